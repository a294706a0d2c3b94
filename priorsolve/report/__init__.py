"""A run's summary, rebuilt from its output folder alone: `report.html`, `sheet.png` and `results.parquet`."""

from __future__ import annotations

import contextlib
import itertools
import os
from pathlib import Path

from priorsolve.files import write_atomically
from priorsolve.report.pages import page
from priorsolve.report.pictures import shown
from priorsolve.report.recipe import wants_sheet
from priorsolve.report.table import results
from priorsolve.report.words import value
from priorsolve.run.claims import at_work
from priorsolve.run.places import ALBUM, RECORDS, REPORT, SHEET, TABLE
from priorsolve.run.records import Record, read_records, record_files
from priorsolve.sheet import Row, is_sheet, write_sheet
from priorsolve.showing import checked_path

SHOWN = 40
"""Photos on the sheet."""
ON_SHEET = ("psnr", "ssim", "lpips")
"""Metrics that are said there; with those of several solutions there was no room for any."""


def write_report(out: str | Path) -> None:
    """Write `report.html`, `results.parquet` (one row per record) and, where any photo is done, `sheet.png` into `out`.

    Where its `recipe.yaml` has no sheet, one that was written before is removed. Equal records and images give equal files. A run that is
    at work there meanwhile leaves the report outdated. Raises ValueError when `out` holds no records.
    """
    out = checked_path(out, "write_report: out")
    _write(out)
    if outdated(out) and not at_work(out):  # a run ended meanwhile, and this may have replaced its own report
        _write(out)


def outdated(out: Path) -> bool:
    """Whether `report.html` does not know a record of `out` yet, or knows one that is gone, or an album has new colours since."""
    page = out / REPORT
    return _changed(out) > (page.stat().st_mtime_ns if page.is_file() else -1)


def _changed(out: Path) -> int:
    """When a record came or went, or an album was written, at last, in nanoseconds; -1 where there are no records."""
    newest, records = -1, list(record_files(out))
    folders = [Path(place) for place, _, _ in os.walk(out / RECORDS)] if records else []  # their times tell of what is gone
    for path in itertools.chain(records, folders, out.glob(ALBUM)):
        with contextlib.suppress(FileNotFoundError):  # a run at work there has just removed it
            newest = max(newest, path.stat().st_mtime_ns)
    return newest


def _write(out: Path) -> None:
    changed, records = _changed(out), list(read_records(out))
    if not records:
        within = sorted(path.parent.name for path in out.glob(f"*/{RECORDS}"))[:3]  # a benchmark's folder
        way_out = f"; give a run in it, such as {' or '.join(str(out / name) for name in within)}" if within else ""
        raise ValueError(f"no records in {out}: it is not the output folder of a run, or nothing was restored yet{way_out}")
    html = page(out, records)
    write_atomically(out / TABLE, results(records))
    done = [record for record in records if record.status == "done"]
    failed = len(records) - len(done)
    rows = [row for record in itertools.islice(done, SHOWN) if (row := _row(out, record)).pictures]
    if rows and wants_sheet(out):
        write_sheet(out / SHEET, rows, more=max(0, len(done) - SHOWN), remark=f"{failed} failed" if failed else "")
    elif is_sheet(out / SHEET):  # of an earlier run
        (out / SHEET).unlink(missing_ok=True)
    write_atomically(out / REPORT, html)  # the last: by it all three are judged
    known = min(changed, (out / REPORT).stat().st_mtime_ns)  # a record's time may be one to come
    with contextlib.suppress(OSError):  # a disk that keeps times of its own
        os.utime(out / REPORT, ns=(known, known))  # so that whatever came while it was made is newer


def _row(out: Path, record: Record) -> Row:
    places = {"measurement": record.measurement, "restored": record.image, "original": record.original}
    pictures = {column: picture for column, place in places.items() if place and (picture := shown(out / place, 384)) is not None}
    said = ((name, value(name, record.metrics[name])) for name in ON_SHEET if name in record.metrics)
    return Row(record.name, pictures, " · ".join(words if name == "psnr" else f"{name} {words}" for name, words in said))
