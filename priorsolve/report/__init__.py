"""A run's summary, rebuilt from its output folder alone: `report.html`, `sheet.png` and `results.parquet`."""

from __future__ import annotations

import itertools
from pathlib import Path

from priorsolve.files import write_atomically
from priorsolve.report.pages import page
from priorsolve.report.pictures import shown
from priorsolve.report.recipe import wants_sheet
from priorsolve.report.table import results
from priorsolve.report.words import value
from priorsolve.run.album import FILE as ALBUM
from priorsolve.run.records import Record, read_records, record_files
from priorsolve.sheet import Row, is_sheet, write_sheet
from priorsolve.showing import checked_path

SHOWN = 40
"""Photos on the sheet."""


def write_report(out: str | Path) -> None:
    """Write `report.html`, `results.parquet` (one row per record) and, where any photo is done, `sheet.png` into `out`.

    Where its `recipe.yaml` has no sheet, one that was written before is removed. Equal records and images give equal files. Raises
    ValueError when `out` holds no records.
    """
    out = checked_path(out, "write_report: out")
    records = list(read_records(out))
    if not records:
        within = sorted(path.parent.name for path in out.glob("*/records"))[:3]  # a benchmark's folder
        way_out = f"; give a run in it, such as {' or '.join(str(out / name) for name in within)}" if within else ""
        raise ValueError(f"no records in {out}: it is not the output folder of a run, or nothing was restored yet{way_out}")
    write_atomically(out / "results.parquet", results(records))
    write_atomically(out / "report.html", page(out, records))
    done = [record for record in records if record.status == "done"]
    failed = len(records) - len(done)
    rows = [row for record in itertools.islice(done, SHOWN) if (row := _row(out, record)).pictures]
    if rows and wants_sheet(out):
        write_sheet(out / "sheet.png", rows, more=max(0, len(done) - SHOWN), remark=f"{failed} failed" if failed else "")
    elif is_sheet(out / "sheet.png"):  # of an earlier run
        (out / "sheet.png").unlink(missing_ok=True)


def outdated(out: Path) -> bool:
    """Whether `out` holds a record that its `report.html` does not know yet, or its album has brought pictures to new colours since."""
    page = out / "report.html"
    written = page.stat().st_mtime_ns if page.is_file() else -1
    return any(path.stat().st_mtime_ns > written for path in itertools.chain(record_files(out), out.glob(ALBUM)))


def _row(out: Path, record: Record) -> Row:
    places = {"measurement": record.measurement, "restored": record.image, "original": record.original}
    pictures = {column: picture for column, place in places.items() if place and (picture := shown(out / place, 384)) is not None}
    said = (f"{name} {value(name, number)}" if name != "psnr" else value(name, number) for name, number in sorted(record.metrics.items()))
    return Row(record.name, pictures, " · ".join(said))
