"""A benchmark's tables, for people and for programs."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from priorsolve.comparison.differences import Difference, differences
from priorsolve.comparison.summary import Line, Mean, Score, infinite, summarised, unpaired
from priorsolve.comparison.written import DIFFERENCES, TABLES, remove
from priorsolve.files import legible, write_atomically

CAPTION = (
    "Mean over n photos ± half of the 95 % confidence interval (Student's t). psnr in dB and ssim (data range 1): higher is better; "
    "lpips (AlexNet): lower is better. misfit (root mean square of A(result) − y where measured): with noise, best near its level; "
    "without, lower is better. coverage and spread_to_error (of all photos together, no mean of ratios): where anything was guessed. "
    "seconds: per photo. passes: pictures that the generator draws for a photo, of multicode's several codes one. "
    "psnr, ssim, lpips and misfit are of the written 8-bit images."
)
"""What the table's columns are."""

PAIRED = (
    "Photo by photo: a method's value less that of the recipe in the column minus, in the mean over the n photos that both have. Where the "
    "interval leaves out 0, the two differ on photos of this kind (at 95 %, for one comparison)."
)
"""What the table of differences is."""


def cells(lines: Sequence[Line]) -> tuple[list[str], list[list[str]]]:
    """The table for people: heads, and a row of words for each line."""
    keys = list(lines[0].means) if lines else []
    return ["recipe", "method", "n", *keys], [[line.recipe, line.method, str(line.n), *_words(line.means)] for line in lines]


def paired_cells(found: Sequence[Difference]) -> tuple[list[str], list[list[str]]]:
    """The same for differences, which have their sign."""
    keys = list(found[0].means) if found else []
    return ["recipe", "method", "minus", "n", *keys], [
        [each.recipe, each.method, each.minus, str(each.n), *_words(each.means, "+")] for each in found
    ]


def write_tables(out: Path, scores: Sequence[Score], methods: Sequence[tuple[str, str]] = ()) -> None:
    """Write `table.csv`, `table.parquet`, `differences.csv`, `table.md` (both tables, what they are, and remarks), `per_photo.parquet`.

    `methods` as in `unpaired`. Half the width of a column's interval is in the column `<name>_ci95`. Without scores there is no table, and
    without two methods on one photo no difference: none is written, and those of before are removed.
    """
    import pyarrow as arrow  # slow to import
    import pyarrow.parquet as parquet

    lines, found = summarised(scores), differences(scores)
    remove(out, TABLES if not lines else DIFFERENCES if not found else ())
    if not lines:
        return
    whole = {"recipe": [line.recipe for line in lines], "method": [line.method for line in lines], "n": [line.n for line in lines]}
    table = arrow.table(whole | _columns([line.means for line in lines]))
    single: dict[str, Any] = {
        "recipe": [score.recipe for score in scores],
        "method": [score.method for score in scores],
        "photo": [legible(score.photo) for score in scores],
    }
    for key in scores[0].values:
        single[key] = arrow.array([float(score.values[key]) for score in scores], arrow.float64())
    for name, rows in (("table.parquet", table), ("per_photo.parquet", arrow.table(single))):
        data = io.BytesIO()
        parquet.write_table(rows, data)
        write_atomically(out / name, data.getvalue())
    _write_csv(out / "table.csv", table)
    parts = [_markdown(*cells(lines)), *(f"{said}." for said in (*unpaired(scores, methods), *infinite(scores))), CAPTION]
    if found:
        names = {key: [getattr(each, key) for each in found] for key in ("recipe", "method", "minus", "n")}
        _write_csv(out / "differences.csv", arrow.table(names | _columns([each.means for each in found])))
        parts += [_markdown(*paired_cells(found)), PAIRED]
    write_atomically(out / "table.md", "\n\n".join([*parts, ""]).encode())


def _columns(means: Sequence[Mapping[str, Mean]]) -> dict[str, Any]:
    """Each mean and half its interval, empty where there is none."""
    import pyarrow as arrow

    columns = {}
    for key in means[0]:
        columns[key] = arrow.array([each[key].mean for each in means], arrow.float64())
        columns[f"{key}_ci95"] = arrow.array([each[key].half for each in means], arrow.float64())
    return columns


def _write_csv(path: Path, table: Any) -> None:
    import pyarrow.csv as csv  # slow to import

    data = io.BytesIO()
    csv.write_csv(table, data)
    write_atomically(path, data.getvalue())


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def _words(means: Mapping[str, Mean], sign: str = "") -> list[str]:
    return [_said(key, mean, sign) for key, mean in means.items()]


def _said(key: str, value: Mean, sign: str) -> str:
    if math.isnan(value.mean):  # a column that is not this method's
        return "–"
    digits = {"psnr": 2, "seconds": 3, "passes": 0, "misfit": 4}.get(key, 3)
    mean = f"{value.mean:{sign}.{digits}f}"
    return mean if value.half is None else f"{mean} ± {value.half:.{digits}f}"
