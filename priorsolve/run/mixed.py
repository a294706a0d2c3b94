"""One output folder with the records of several recipes, or of several lists of metrics: which belong together, and what to say of it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from priorsolve.photos.names import Photo
from priorsolve.run.records import Record, glance, read_record, record_path


def by_recipe(records: Sequence[Record]) -> dict[str, list[Record]]:
    """The records of each recipe, by what stands for it, in the order met.

    Older records name no recipe, only the photo's fingerprint, which is the recipe's too unless each photo has a mask of its own.
    """
    shared = Counter(record.recipe or record.fingerprint for record in records)
    told = {record.recipe for record in records}
    found: dict[str, list[Record]] = {}
    for record in records:
        own = record.fingerprint if shared[record.fingerprint] > 1 or record.fingerprint in told else ""
        found.setdefault(record.recipe or own, []).append(record)
    return found


def strangers(out: Path, settled: Collection[str], fingerprint: Callable[[Photo], str], recipe: str) -> int:
    """How many records of another recipe stay in the folder. `settled` are photos' names of whose records that is not to be asked."""
    count, folder = 0, out / "records"
    for place, _, files in os.walk(folder):
        below = Path(place).relative_to(folder).as_posix()
        for file in files:
            name = (file if below == "." else f"{below}/{file}").removesuffix(".json")
            if file.endswith(".json") and name not in settled:
                record = glance(f"{place}{os.sep}{file}")
                if record is not None and record.name == name:  # no copy of another one
                    count += record.recipe != recipe if record.recipe else record.fingerprint != fingerprint(Photo(folder, name))
    return count


def told_of_strangers(out: Path, count: int) -> str:
    """One line on records of another recipe."""
    what = "the record of 1 photo" if count == 1 else f"the records of {count} photos"
    return f"{out} holds {what} that another recipe, or other options, made; choose another --out to keep them apart"


def told_of_metrics(out: Path, names: Iterable[str], metrics: Sequence[str]) -> str:
    """One line on those of the photos whose records lack some of the metrics, since a run with others made them; empty where none does."""
    lacking, missing = 0, set[str]()
    for name in names:
        record = read_record(record_path(out, name))
        if record is None or record.original is None or record.misfit is None:  # nothing was judged
            continue
        lacks = set(metrics) - record.metrics.keys()
        missing |= lacks
        lacking += bool(lacks)
    if not lacking:
        return ""
    given = " and ".join(metric for metric in metrics if metric in missing)
    return f"restored before with other metrics, without {given}: {lacking} (--overwrite does them again)"
