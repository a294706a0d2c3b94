"""Means over photos with their confidence, and the files that show them."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from priorsolve.comparison.written import TABLES, remove
from priorsolve.files import legible, write_atomically

LEVEL = 0.95

CAPTION = (
    "Mean over n photos ± half of the 95 % confidence interval (Student's t). psnr in dB and ssim (data range 1): higher is better; "
    "lpips (AlexNet): lower is better. misfit (root mean square of A(result) − y where measured): with noise, best near its level; "
    "without, lower is better. coverage and spread_to_error (of all photos together, no mean of ratios): where anything was guessed. "
    "seconds: per photo. passes: pictures that the generator draws for a photo, of multicode's several codes one. "
    "psnr, ssim, lpips and misfit are of the written 8-bit images."
)
"""What the table's columns are."""

COVERAGE, RATIO, ERROR = CALIBRATION = ("coverage", "spread_to_error", "guessed_error")
"""What records say of the spread where a recipe draws samples. NaN is a photo in which nothing was guessed, or a method without spread."""


@dataclass(frozen=True)
class Score:
    """How one method did on one photo. `values` has the same keys, in the order of the table, for all methods."""

    recipe: str
    method: str
    photo: str
    values: Mapping[str, float]
    row: int = 0
    """The method's in the table: the lowest comes first."""


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
    return Mean(mean, float(_reach(len(values)) * np.std(values, ddof=1) / math.sqrt(len(values))))


def pooled(ratios: Sequence[float], errors: Sequence[float]) -> Mean:
    """√(mean spread² / mean error²) over the photos where both are known, from each one's spread / error and error; NaN where none is.

    The interval is the jackknife's, with Student's t: what is left out in turn is a photo. A mean of ratios would be above 1 where the
    spread is honest: by 1.17 where each photo's values err together in 5 directions.
    """
    known = [(ratio, error) for ratio, error in zip(ratios, errors, strict=True) if math.isfinite(ratio * error)]
    if not known:
        return Mean(math.nan, None)
    squares = np.array([((ratio * error) ** 2, error**2) for ratio, error in known])
    total = squares.sum(0)
    found = math.sqrt(total[0] / total[1])
    if len(known) < 2:
        return Mean(found, None)
    others = total - squares
    return Mean(found, _reach(len(known)) * math.sqrt((len(known) - 1) * np.var(np.sqrt(others[:, 0] / others[:, 1]))))


def summarised(scores: Sequence[Score]) -> list[Line]:
    """One line for each recipe and method, by their rows, else in the order met."""
    return [
        Line(recipe, method, len(group), {key: _mean(key, group) for key in group[0].values if key != ERROR})
        for (recipe, method), group in _by_method(scores).items()
    ]


def unpaired(scores: Sequence[Score], methods: Sequence[tuple[str, str]] = ()) -> list[str]:
    """A sentence on each method that lacks photos which another one has; `methods`, (recipe, method), are those that may have none."""
    photos = len({score.photo for score in scores})
    counts = dict.fromkeys(methods, 0) | {method: len(group) for method, group in _by_method(scores).items()}
    return [
        f"{recipe} {method}: {count} of {photos} photos{'; means are not of the same photos' if count else ''}"
        for (recipe, method), count in counts.items()
        if count < photos
    ]


def infinite(scores: Sequence[Score]) -> list[str]:
    """A sentence on each method and column whose mean is infinite."""
    counts = {
        (*method, key): (sum(math.isinf(score.values[key]) for score in group), len(group))
        for method, group in _by_method(scores).items()
        for key in group[0].values
        if key not in CALIBRATION
    }
    return [f"{recipe} {method}: {key} is infinite for {n} of {of} photos" for (recipe, method, key), (n, of) in counts.items() if n]


def cells(lines: Sequence[Line]) -> tuple[list[str], list[list[str]]]:
    """The table for people: heads, and a row of words for each line."""
    keys = list(lines[0].means) if lines else []
    return ["recipe", "method", "n", *keys], [
        [line.recipe, line.method, str(line.n), *(_said(key, line.means[key]) for key in keys)] for line in lines
    ]


def write_tables(out: Path, scores: Sequence[Score], methods: Sequence[tuple[str, str]] = ()) -> list[Line]:
    """Write `table.csv`, `table.parquet`, `table.md` (with `CAPTION` and remarks below) and `per_photo.parquet`; returns the table's lines.

    `methods` as in `unpaired`. Half the width of a column's interval is in the column `<name>_ci95`. Without scores there is no table: none
    is written, and those of before are removed.
    """
    import pyarrow as arrow  # slow to import
    import pyarrow.csv as csv
    import pyarrow.parquet as parquet

    lines = summarised(scores)
    if not lines:
        remove(out, TABLES)
        return []
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
    remarks = [line for sentence in (*unpaired(scores, methods), *infinite(scores)) for line in ("", f"{sentence}.")]
    write_atomically(out / "table.md", "\n".join([*text, *remarks, "", CAPTION, ""]).encode())
    return lines


def _by_method(scores: Sequence[Score]) -> dict[tuple[str, str], list[Score]]:
    groups: dict[tuple[str, str], list[Score]] = {}
    for score in sorted(scores, key=lambda score: score.row):
        groups.setdefault((score.recipe, score.method), []).append(score)
    return groups


def _mean(key: str, scores: Sequence[Score]) -> Mean:
    """With its interval, but for times: the photos of a batch share one, which says nothing of how times vary."""
    values = [score.values[key] for score in scores]
    if key == RATIO:
        return pooled(values, [score.values[ERROR] for score in scores])
    if key == COVERAGE:
        values = [value for value in values if math.isfinite(value)] or [math.nan]
    found = interval(values)
    return Mean(found.mean, None) if key == "seconds" else found


def _reach(count: int) -> float:
    """Student's t₀.₉₇₅(count − 1)."""
    from scipy.stats import t  # slow to import

    return float(t.ppf((1 + LEVEL) / 2, count - 1))


def _said(key: str, value: Mean) -> str:
    if math.isnan(value.mean):  # a column that is not this method's
        return "–"
    digits = {"psnr": 2, "seconds": 3, "passes": 0, "misfit": 4}.get(key, 3)
    mean = f"{value.mean:.{digits}f}"
    return mean if value.half is None else f"{mean} ± {value.half:.{digits}f}"
