"""A run's summary, rebuilt from its output folder alone: `sheet.png` and `results.parquet`."""

from __future__ import annotations

import io
import itertools
from pathlib import Path
from typing import Any

from PIL import Image

from priorsolve.files import legible, write_atomically
from priorsolve.pictures import PhotoError, finish, open_picture
from priorsolve.records import Record, read_records
from priorsolve.sheet import Row, write_sheet

SHOWN = 40
"""Photos on the sheet."""


def write_report(out: Path, *, sheet: bool = True) -> None:
    """Write `results.parquet` (one row per record, a column per metric) and, where any photo is done, `sheet.png` into `out`.

    Equal records and images give equal files. Raises ValueError when `out` holds no records.
    """
    records = list(read_records(out))
    if not records:
        raise ValueError(f"no records in {out}: it is not the output folder of a run, or nothing was restored yet")
    write_atomically(out / "results.parquet", results(records))
    done = [record for record in records if record.status == "done"]
    failed = len(records) - len(done)
    rows = [row for record in itertools.islice(done, SHOWN) if (row := _row(out, record)).pictures]
    if rows and sheet:
        hidden = max(0, len(done) - SHOWN)
        write_sheet(out / "sheet.png", rows, limit=SHOWN, total=len(rows) + hidden, remark=f"{failed} failed" if failed else "")


def results(records: list[Record]) -> bytes:
    """The records as a Parquet file. Every metric of any record is a column of its own name (`metric_` before it if that is taken)."""
    import pyarrow as arrow  # slow to import, and only a report needs it
    import pyarrow.parquet as parquet

    metrics = sorted({name for record in records for name in record.metrics})
    text, number, whole = arrow.string(), arrow.float64(), arrow.int64()
    table: dict[str, Any] = {
        "name": arrow.array([legible(record.name) for record in records], text),
        "status": arrow.array([record.status for record in records], text),
        "reason": arrow.array([legible(record.reason) for record in records], text),
        "misfit": arrow.array([record.misfit for record in records], number),
        "steps": arrow.array([record.steps for record in records], whole),
        "stopped": arrow.array([legible(record.stopped) for record in records], text),
        "seconds": arrow.array([record.seconds for record in records], number),
        # A string: a seed may use all 64 bits, which Parquet readers without unsigned numbers would spoil.
        "seed": arrow.array([None if record.seed is None else str(record.seed) for record in records], text),
        "fingerprint": arrow.array([record.fingerprint for record in records], text),
        "image": arrow.array([None if record.image is None else legible(record.image) for record in records], text),
        "notes": arrow.array(["; ".join(legible(note) for note in record.notes) for record in records], text),
    }
    for metric in metrics:
        column = f"metric_{metric}" if metric in table else metric
        table[column] = arrow.array([record.metrics.get(metric) for record in records], number)
    data = io.BytesIO()
    parquet.write_table(arrow.table(table), data)
    return data.getvalue()


def _row(out: Path, record: Record) -> Row:
    pictures = {}
    for column, place in (("measurement", record.measurement), ("restored", record.image), ("original", record.original)):
        if place is not None and (picture := _picture(out / place)) is not None:
            pictures[column] = picture
    return Row(record.name, pictures, " · ".join(_said(name, value) for name, value in sorted(record.metrics.items())))


def _said(name: str, value: float) -> str:
    return f"{value:.1f} dB" if name == "psnr" else f"{name} {value:.3f}"


def _picture(path: Path) -> Image.Image | None:
    """What can be shown of a file; an array of numbers, or a file that is gone, cannot."""
    try:
        picture = open_picture(path, lambda height, width: (min(height, 384), min(width, 384)), smallest=1)[0]
        return finish(picture, [])
    except PhotoError:
        return None
