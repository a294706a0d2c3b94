"""A benchmark on the command line, from its first prior to its table."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.progress import track
from rich.table import Table

from priorsolve.command import console
from priorsolve.command.output import to_output
from priorsolve.command.stopping import Stopping
from priorsolve.comparison.benchmark import Benchmark, Todo
from priorsolve.comparison.differences import differences
from priorsolve.comparison.summary import Score, summarised
from priorsolve.comparison.tables import cells, paired_cells, write_tables
from priorsolve.run.outfolder import working_in


def run_benchmark(bench: Benchmark, quiet: bool) -> int:
    """Restore, judge, write and show it. Returns the command's exit code.

    Raises FolderBusyError where another benchmark is at work in its folder.
    """
    say = console.say_unless(quiet)
    for line in bench.remarks:
        say(line)
    for entry in bench.entries:
        with console.downloading(entry.recipe.prior, quiet) as on_download, console.learning(entry.recipe.prior, quiet) as on_learning:
            entry.run.prepare(on_download, on_learning)
    work = bench.baseline_work()
    with working_in(bench.out):
        with Stopping(say) as stop:
            _restore(bench, work, stop, quiet)
            scores = _judge(bench, stop, quiet)
        return _show(bench, scores, quiet) if stop.exit_code is None else stop.exit_code


def _restore(bench: Benchmark, work: Sequence[Todo], stop: Stopping, quiet: bool) -> None:
    """By the recipes, then by the baselines. A failure that is told of is not told again."""
    say, told = console.say_unless(quiet), set[str]()
    for entry in bench.entries:
        if stop():
            break
        if entry.run.todo:
            say(f"{entry.name}: {console.photos(len(entry.run.todo))}")
        with console.RunDisplay(len(entry.run.todo), quiet, False, told) as display:
            for record in entry.run.records(display.step, stop=stop):
                display.record(record)
    silent = quiet or not work or stop()
    for record in track(bench.baseline_records(work, stop), "baselines", total=len(work), console=console.err, disable=silent):
        if record.status == "failed":
            console.say_once(f"failed: {record.name}: {record.reason}", told)


def _judge(bench: Benchmark, stop: Stopping, quiet: bool) -> list[Score]:
    judged = bench.scores(stop, console.say)
    return list(track(judged, "judging", total=bench.results(), console=console.err, disable=quiet or stop()))


def _show(bench: Benchmark, scores: Sequence[Score], quiet: bool) -> int:
    """Write tables and sheets, and print the tables. Returns 1 where results are missing."""
    write_tables(bench.out, scores, bench.methods)
    bench.write_sheets()
    if not scores:
        console.say(f"no photo was restored, so there is no table; the records in {bench.out} say why")
        return 1
    missing = bench.expected() - len(scores)
    if not quiet:
        _print(*cells(summarised(scores)))
        if found := differences(scores):
            _print(*paired_cells(found), title="photo by photo, less the recipe in the column minus")
        several = f"{missing} results are missing: they" if missing > 1 else "1 result is missing: it"
        console.say(f"{f'{several} failed, or cannot be read; ' if missing else ''}see {bench.out}")
    return 1 if missing else 0


def _print(head: Sequence[str], rows: Sequence[Sequence[str]], title: str | None = None) -> None:
    table = Table(*head, title=title, title_justify="left")
    for row in rows:
        table.add_row(*row)
    with to_output():
        Console(width=None if sys.stdout.isatty() else 200).print(table)
