"""How far a run is, from its output folder alone; each record is read once."""

from __future__ import annotations

import contextlib
import heapq
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from priorsolve.run.claims import at_work
from priorsolve.run.places import RECORDS
from priorsolve.run.plan import read_plans
from priorsolve.run.records import Record, read_record

LATEST = 10
"""Photos that are told one by one."""
AT_ONCE = 5000
"""Records that are read in one look; of a folder with more, the rest is read in the next ones."""


@dataclass(frozen=True)
class Progress:
    """What is known of a run. `total` and `left` (seconds) are None where it left no plan, or nothing is done yet."""

    done: int
    failed: int
    total: int | None
    rate: float | None
    """Photos a second, since the run began."""
    left: float | None
    latest: tuple[Record, ...]
    """The last ones first."""
    running: bool
    behind: bool
    """There are records that were not read yet: look again at once."""


class Onlooker:
    """Looks at an output folder again and again. Raises ValueError when there was never a run in it."""

    def __init__(self, out: Path) -> None:
        self._out, self._began = out, -1.0
        self._forget()
        if not read_plans(out) and not (out / RECORDS).is_dir():
            raise ValueError(f"no run in {out}: neither run.json nor records; give the folder that a run has as --out")

    def look(self) -> Progress:
        """How far it is now."""
        running = bool(at_work(self._out))  # before the records: what ends afterwards is told next time
        plans = read_plans(self._out)
        began = min((when for _, when in plans), default=0.0)
        if began != self._began:  # another run
            self._forget()
            self._began = began
        behind = self._read(everything=not running)
        status = Counter(self._status.values())
        new, total = status["done"] + status["failed"], None
        for plan, _ in plans:
            status.update(done=plan.done, failed=plan.failed)
            total = (total or 0) + plan.todo + plan.done + plan.failed
        took = max((when for when, _, _ in self._latest), default=began) - began if plans else 0.0
        rate = new / took if new and took > 0 else None
        missing = max(0, (total or 0) - status["done"] - status["failed"])
        left = missing / rate if rate and total is not None else None
        latest = tuple(record for _, _, record in self._latest)
        return Progress(status["done"], status["failed"], total, rate, left, latest, running, behind)

    def _forget(self) -> None:
        self._known: dict[str, tuple[int, int]] = {}
        """The inode and the time of each record that was looked at."""
        self._status: dict[str, str] = {}
        self._latest: list[tuple[float, str, Record]] = []

    def _read(self, everything: bool) -> bool:
        """Read the records that are not known yet; whether some were left. `everything` asks for times, not only for inodes."""
        room, folders = AT_ONCE, [str(self._out / RECORDS)]
        while folders:
            with contextlib.suppress(FileNotFoundError), os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    elif entry.name.endswith(".json"):
                        known = self._known.get(entry.path)
                        if known is None or known[0] != entry.inode() or (everything and known[1] != entry.stat().st_mtime_ns):
                            if not room:
                                return True
                            room -= self._note(entry)
        return False

    def _note(self, entry: os.DirEntry[str]) -> bool:
        """Count the record if it is of this run; whether it was read."""
        found = entry.stat()
        self._known[entry.path] = (found.st_ino, found.st_mtime_ns)
        if found.st_mtime < self._began:
            return False
        record = read_record(Path(entry.path))
        if record is not None:
            self._status[entry.path] = record.status
            others = [each for each in self._latest if each[1] != entry.path]  # it may have been written anew
            self._latest = heapq.nlargest(LATEST, [*others, (found.st_mtime, entry.path, record)], key=lambda each: each[:2])
        return True
