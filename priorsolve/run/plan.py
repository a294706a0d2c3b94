"""What a run set out to do, left in its output folder for those who look on."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from priorsolve.files import write_atomically
from priorsolve.run.claims import Shard
from priorsolve.run.places import PLAN


@dataclass(frozen=True)
class Plan:
    """How many photos were to do when the run began, and how many of the others were done or had failed."""

    todo: int
    done: int = 0
    failed: int = 0


def write_plan(out: Path, plan: Plan, shard: Shard | None) -> None:
    """Write `run.json`, or `run-0-of-4.json` for a shard. Its age is the run's.

    A shard that begins again while others are at work goes on with its own plan: what it did since then is counted as new.
    """
    path = out / (PLAN if shard is None else f"run-{shard[0]}-of-{shard[1]}.json")
    before = _read(path)
    if before is not None:
        old, when = before
        done, failed = min(plan.done, old.done), min(plan.failed, old.failed)
        plan = Plan(plan.todo + plan.done + plan.failed - done - failed, done, failed)
        if plan == old:
            return
    write_atomically(path, json.dumps(asdict(plan)).encode() + b"\n")
    if before is not None:
        os.utime(path, (when, when))


def read_plans(out: Path) -> list[tuple[Plan, float]]:
    """The plans of the runs that were last at work together, each with the time when it was written; a damaged one counts as none."""
    return [found for path in _files(out) if (found := _read(path)) is not None]


def forget_plans(out: Path) -> None:
    """Remove the plans of earlier runs: whoever is alone in the folder begins anew."""
    for path in _files(out):
        if _read(path) is not None:  # else it is somebody else's
            path.unlink(missing_ok=True)


def _read(path: Path) -> tuple[Plan, float] | None:
    try:
        return Plan(**{key: int(count) for key, count in json.loads(path.read_bytes()).items()}), path.stat().st_mtime
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return None


def _files(out: Path) -> list[Path]:
    return sorted([*out.glob(PLAN), *out.glob("run-*-of-*.json")])
