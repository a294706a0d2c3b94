"""Means over photos with their confidence, and the files that show them."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from priorsolve.files import legible, write_atomically

LEVEL = 0.95

CAPTION = (
    "Mean over n photos ± half of the 95 % confidence interval (Student's t). psnr in dB and ssim (data range 1): higher is better; "
    "lpips (AlexNet) and misfit (root mean square of A(result) − y where measured): lower is better. seconds: per photo. passes: pictures "
    "that the generator draws for a photo, of multicode's several codes one. All of the written 8-bit images."
)
"""What the table's columns are."""


@dataclass(frozen=True)
class Score:
    """How one method did on one photo. `values` has the same keys, in the order of the table, for all methods."""

    recipe: str
    method: str
    photo: str
    values: Mapping[str, float]


@dataclass(frozen=True)
class Mean:
    """A mean and half the width of its 95 % confidence interval; None where one photo, or an infinite value, leaves it unknown."""

    mean: float
    half: float | None


@dataclass(frozen=True)
class Line:
    """How one method did on `n` photos."""

    recipe: str
    method: str
    n: int
    means: Mapping[str, Mean]


def interval(values: Sequence[float]) -> Mean:
    """The mean with Student's interval, t₀.₉₇₅(n − 1) · s / √n, s with n − 1. Raises ValueError for no values."""
    if not values:
        raise ValueError("there is nothing to take the mean of")
    mean = float(np.mean(values))
    if len(values) < 2 or not math.isfinite(mean):
        return Mean(mean, None)
    from scipy.stats import t  # slow to import

    return Mean(mean, float(t.ppf((1 + LEVEL) / 2, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values))))


def summarised(scores: Sequence[Score]) -> list[Line]:
    """One line for each recipe and method, in the order met."""
    groups: dict[tuple[str, str], list[Score]] = {}
    for score in scores:
        groups.setdefault((score.recipe, score.method), []).append(score)
    return [
        Line(recipe, method, len(group), {key: _mean(key, [score.values[key] for score in group]) for key in group[0].values})
        for (recipe, method), group in groups.items()
    ]


def cells(lines: Sequence[Line]) -> tuple[list[str], list[list[str]]]:
    """The table for people: heads, and a row of words for each line."""
    keys = list(lines[0].means) if lines else []
    return ["recipe", "method", "n", *keys], [
        [line.recipe, line.method, str(line.n), *(_said(key, line.means[key]) for key in keys)] for line in lines
    ]


def write_tables(out: Path, scores: Sequence[Score], caption: str) -> list[Line]:
    """Write `table.csv`, `table.parquet`, `table.md` (with `caption` below) and `per_photo.parquet`; returns the table's lines.

    Half the width of a column's interval is in the column `<name>_ci95`. Raises ValueError for no scores.
    """
    import pyarrow as arrow  # slow to import
    import pyarrow.csv as csv
    import pyarrow.parquet as parquet

    lines = summarised(scores)
    if not lines:
        raise ValueError(f"no photo was restored, so there is no table; the records in {out} say why")
    whole: dict[str, Any] = {
        "recipe": [line.recipe for line in lines],
        "method": [line.method for line in lines],
        "n": [line.n for line in lines],
    }
    for key in lines[0].means:
        whole[key] = [line.means[key].mean for line in lines]
        whole[f"{key}_ci95"] = arrow.array([line.means[key].half for line in lines], arrow.float64())
    single: dict[str, Any] = {
        "recipe": [score.recipe for score in scores],
        "method": [score.method for score in scores],
        "photo": [legible(score.photo) for score in scores],
    }
    for key in scores[0].values:
        single[key] = arrow.array([float(score.values[key]) for score in scores], arrow.float64())
    for name, table in (("table.parquet", whole), ("per_photo.parquet", single)):
        data = io.BytesIO()
        parquet.write_table(arrow.table(table), data)
        write_atomically(out / name, data.getvalue())
    data = io.BytesIO()
    csv.write_csv(arrow.table(whole), data)
    write_atomically(out / "table.csv", data.getvalue())
    head, rows = cells(lines)
    text = [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]
    write_atomically(out / "table.md", "\n".join([*text, "", caption, ""]).encode())
    return lines


def _mean(key: str, values: Sequence[float]) -> Mean:
    """With its interval, but for times: the photos of a batch share one, which says nothing of how times vary."""
    found = interval(values)
    return Mean(found.mean, None) if key == "seconds" else found


def _said(key: str, value: Mean) -> str:
    if math.isnan(value.mean):  # a column that is not this method's
        return "–"
    digits = {"psnr": 2, "seconds": 3, "passes": 0, "misfit": 4}.get(key, 3)
    mean = f"{value.mean:.{digits}f}"
    return mean if value.half is None else f"{mean} ± {value.half:.{digits}f}"
