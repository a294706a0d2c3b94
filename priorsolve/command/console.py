"""What the command line shows: progress with time left, one-line errors, tables."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn, track
from rich.progress import Progress as Bar

from priorsolve.command.output import emit
from priorsolve.files import legible
from priorsolve.types import OnProgress

if TYPE_CHECKING:
    from priorsolve.run.advance import Advance
    from priorsolve.run.degrade import Degraded
    from priorsolve.run.masks import Masked
    from priorsolve.run.records import Record

ALMOST = 0.99
"""What is shown at most while photos are at work: the last of all are still to be put together and written when they are solved."""
LONG = 100
"""Letters of a reason that is told in full once: a thousand photos may fail for the same."""
STEADY = 600
"""Over how many seconds the time left is told from: some photos take longer than others."""
err = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)


def fail(message: object) -> None:
    """One line on standard error."""
    say(f"priorsolve: {message}", style="red")


def say(message: str, style: str | None = None) -> None:
    """One line on standard error, whatever file names it holds."""
    err.print(legible(" ".join(message.split())), markup=False, style=style)


def photos(count: int) -> str:
    """`1 photo`, `2 photos`."""
    return f"{count} photo{'s' * (count != 1)}"


def say_unless(quiet: bool) -> Callable[[str], None]:
    """What says a line, unless it is to be quiet."""
    return (lambda line: None) if quiet else say


def say_once(message: str, told: set[str]) -> None:
    """One line, unless it was `told` before."""
    if message not in told:
        told.add(message)
        say(message)


def counted(counts: Mapping[str, int]) -> str:
    """`3 written, 1 kept`: the first count, and of the others those that are not 0."""
    first = next(iter(counts))
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count or what == first)


def downloading(name: str, quiet: bool) -> AbstractContextManager[OnProgress]:
    """A bar for the bytes of a download."""
    return _appearing(Bar(TextColumn(f"fetching {name}"), BarColumn(), DownloadColumn(), TimeRemainingColumn(), console=err, disable=quiet))


def learning(prior: str, quiet: bool) -> AbstractContextManager[OnProgress]:
    """A bar for what is made of a prior once on a machine."""
    doing = TextColumn(f"drawing pictures of {prior} to learn from, once")
    return _appearing(Bar(doing, BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), console=err, disable=quiet))


@contextmanager
def _appearing(bar: Bar) -> Iterator[OnProgress]:
    """The bar, when there is something to show."""
    task = bar.add_task("", total=None)

    def progress(done: int, total: int) -> None:
        bar.start()
        bar.update(task, completed=done, total=total)

    try:
        yield progress
    finally:
        if bar.live.is_started:
            bar.stop()


def show_outcomes(doing: str, outcomes: Iterable[Degraded | Masked], out: Path, quiet: bool, as_json: bool) -> int:
    """Show each photo's outcome as it comes, and at the end where they are. Returns how many failed: those without a path."""
    counts = {"written": 0, "kept": 0, "failed": 0}
    for outcome in track(outcomes, doing, console=err, disable=quiet or as_json):
        counts["failed" if outcome.path is None else "kept" if outcome.reason else "written"] += 1
        told = asdict(outcome)
        if as_json:
            emit(json.dumps({**told, "path": outcome.path and str(outcome.path)}))
        elif outcome.path is None:
            say(f"failed: {outcome.name}: {outcome.reason}")
        elif (share := told.get("share")) is not None and not quiet:
            say(f"{outcome.name}: {100 * share:.2g}% is a hole" + (f" ({outcome.reason})" if outcome.reason else ""))
    if not quiet and not as_json:
        say(f"{counted(counts)}{' (--overwrite makes them anew)' if counts['kept'] else ''}; see {out}")
    return counts["failed"]


class RunDisplay:
    """Progress of a restoration: photos done, time left, and the misfit of the batch at work. Failures that are in `told` are known."""

    def __init__(self, total: int, quiet: bool, as_json: bool, told: set[str] | None = None) -> None:
        self._told = set() if told is None else told
        self._as_json, self._shown = as_json, 0.0
        self.counts: Counter[str] = Counter()  # records by their status
        self._first: dict[str, str] = {}  # the photo of which a reason was told
        self._bar = Bar(
            TextColumn("restoring"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[photos]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[misfit]}", style="dim"),
            console=err,
            disable=quiet or as_json or not total,
            speed_estimate_period=STEADY,
        )
        self._total = total
        self._summarised: Counter[str] = Counter()
        self._task = self._bar.add_task("", total=total, photos=f"0/{total} photos", misfit="")

    def __enter__(self) -> RunDisplay:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def step(self, step: Advance) -> None:
        """The batch moved on."""
        self._show(min(step.photos, ALMOST * self._total), misfit=f"misfit {float(step.misfit.median()):.2g}")

    def record(self, record: Record) -> None:
        """A photo is done, or failed."""
        from priorsolve.run.jobs import SUMMARISED  # there already, as the record's module is
        from priorsolve.run.records import data_of

        self.counts[record.status] += 1
        done = self.counts.total()
        self._show(done, photos=f"{done}/{self._total} photos")
        if self._as_json:
            emit(json.dumps(data_of(record), allow_nan=False))
        elif record.status == "failed":
            first = self._first.setdefault(record.reason, record.name)
            as_before = first != record.name and len(record.reason) > LONG
            say_once(f"failed: {record.name}: {f'as {first}' if as_before else record.reason}", self._told)
        self._summarised.update(note.partition(" (")[0] for note in record.notes if note.startswith(SUMMARISED))

    def _show(self, completed: float, **words: Any) -> None:
        """What was shown once is not taken back: photos are solved before their records come."""
        self._shown = max(self._shown, completed)
        self._bar.update(self._task, completed=self._shown, **words)

    def summary(self) -> list[str]:
        """A line for each thing that was noted of photos, and of how many."""
        return [f"{sentence}: {photos(count)}" for sentence, count in self._summarised.items()]
