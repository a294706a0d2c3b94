"""One output folder with the records of several recipes: which of them belong together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from priorsolve.run.records import Record


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
