"""What is said of the records that other runs left in the output folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from priorsolve.run.records import record_of


def told_of_strangers(out: Path, count: int) -> str:
    """One line on records of another recipe."""
    what = "the record of 1 photo" if count == 1 else f"the records of {count} photos"
    return f"{out} holds {what} that another recipe, or other options, made; choose another --out to keep them apart"


def told_of_metrics(out: Path, names: Iterable[str], metrics: Sequence[str]) -> str:
    """One line on those of the photos whose records lack some of the metrics, since a run with others made them; empty where none does."""
    lacking, missing = 0, set[str]()
    for name in names:
        record = record_of(out, name)
        if record is None or record.original is None or record.misfit is None:  # nothing was judged
            continue
        lacks = set(metrics) - record.metrics.keys()
        missing |= lacks
        lacking += bool(lacks)
    if not lacking:
        return ""
    given = " and ".join(metric for metric in metrics if metric in missing)
    return f"restored before with other metrics, without {given}: {lacking} (--overwrite does them again)"
