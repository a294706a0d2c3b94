"""A run in progress as a table that is drawn again and again."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from priorsolve.files import legible
from priorsolve.report.progress import Onlooker, Progress
from priorsolve.report.words import duration, metric_names, value


def watch(out: Path, console: Console, *, seconds: float = 1.0) -> Progress:
    """Show how far the run is whose output folder is `out`, every so many seconds, until no run is at work there.

    Takes a tenth of the time at most, however many records there are. Raises ValueError when there was never a run in `out`.
    """
    onlooker, start = Onlooker(out), time.perf_counter()
    progress = onlooker.look()
    try:
        with Live(console=console, auto_refresh=False) as live:
            while True:
                live.update(table(progress), refresh=True)
                if not progress.running and not progress.behind:
                    return progress
                if not progress.behind:
                    time.sleep(max(seconds, 9 * (time.perf_counter() - start)))
                start = time.perf_counter()
                progress = onlooker.look()
    finally:
        if not console.is_terminal:  # where only the last table is written, and rich ends no line
            console.line()


def table(progress: Progress) -> RenderableType:
    """The counts, a bar, and the photos that were done last."""
    ended = progress.done + progress.failed
    counts = [f"[bold]{progress.done:,}[/] done", f"{'[red]' if progress.failed else '[dim]'}{progress.failed:,} failed[/]"]
    if progress.total is not None:
        counts.append(f"of {progress.total:,}")
    if progress.rate is not None:
        counts.append(f"{progress.rate:.3g} photos/s" if progress.rate >= 1 else f"{1 / progress.rate:.3g} s a photo")
    if not progress.running:
        counts.append("no run is at work here" if progress.total is None or ended < progress.total else "the run is over")
    elif progress.left is not None:
        counts.append(f"{duration(progress.left)} left")
    bar = [] if progress.total is None else [Padding(ProgressBar(total=max(progress.total, 1), completed=ended, width=60), (0, 0, 1, 0))]
    return Group(Text.from_markup("  ".join(counts)), *bar, *([_photos(progress)] if progress.latest else []))


def _photos(progress: Progress) -> Table:
    metrics = metric_names(progress.latest)
    photos = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    photos.add_column("photo", overflow="ellipsis", no_wrap=True, min_width=14, max_width=40)
    for name in ("misfit", *metrics):
        photos.add_column(Text(legible(name)), justify="right", no_wrap=True, min_width=7)
    photos.add_column("", overflow="ellipsis", no_wrap=True)
    for record in progress.latest:
        misfit = "" if record.misfit is None else f"{record.misfit:.3g}"
        scores = [value(name, record.metrics[name]) if name in record.metrics else "" for name in metrics]
        failed = record.status == "failed"
        remark = Text(legible(record.reason if failed else record.stopped), style="red" if failed else "dim")
        photos.add_row(Text(legible(record.name)), misfit, *scores, remark)
    return photos
