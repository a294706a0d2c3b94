"""A restoration on the command line, from loading the prior to the report."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from priorsolve.command import console
from priorsolve.command.engine import loaded
from priorsolve.command.other_runs import told_of_metrics, told_of_strangers
from priorsolve.command.output import refused
from priorsolve.command.stopping import Stopping
from priorsolve.report import outdated, write_report
from priorsolve.run.restoration import Run

if TYPE_CHECKING:
    from priorsolve.cluster import Cluster


def run_restore(run: Run, cluster: Cluster | None, opening: str, *, quiet: bool, as_json: bool) -> int:
    """Restore the photos that are to do, tell of it, and write the report. Returns the command's exit code.

    Args:
        opening: what is said first, once all is loaded and if anything is to do.
        quiet: say nothing but failures.
        as_json: print records, and say nothing else but failures.

    Raises OSError where the report could not be written.
    """
    silent = quiet or as_json
    say = console.say_unless(silent)
    for line in [*run.remarks, *([told_of_strangers(run.out, run.strangers)] if run.strangers else [])]:
        say(line)
    start = time.perf_counter()
    with loaded(run, cluster, silent) as records:
        if run.todo and opening:
            say(opening)
        with console.RunDisplay(len(run.todo), quiet, as_json) as display, Stopping(say) as stop:
            for record in records(display.step, stop):
                display.record(record)
    if not silent:
        _tell(run, display, time.perf_counter() - start)
    _report(run)
    return stop.exit_code or (1 if display.counts["failed"] or run.before["failed"] else 0)


def _tell(run: Run, display: console.RunDisplay, seconds: float) -> None:
    counts = {
        "restored": display.counts["done"],
        "failed": display.counts["failed"],
        "done before": run.before["done"],
        "failed before (--retry-failed tries again)": run.before["failed"],
    }
    console.say(f"{console.counted(counts)} in {seconds:.0f} s{f'; see {run.out}' if run.out.is_dir() else ''}")
    others = run.names if run.before["done"] and run.options.degrade else ()
    for line in [*display.summary(), told_of_metrics(run.out, others, run.recipe.metrics)]:
        if line:
            console.say(line)


def _report(run: Run) -> None:
    if not outdated(run.out):
        return
    try:
        write_report(run.out)
    except OSError as error:
        again = f"make room and run `priorsolve report {run.out}`"
        raise OSError(f"every photo's result is kept; the report could not be written: {refused(error)}; {again}") from None
