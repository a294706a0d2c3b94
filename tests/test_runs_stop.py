"""Ctrl-C with real signals: once finishes the batch at work, twice stops at once; the next run goes on from either."""

from __future__ import annotations

import importlib
import itertools
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
import run_support as run

from priorsolve.cli import main
from priorsolve.command.interrupted import stopped
from priorsolve.command.stopping import Stopping
from priorsolve.comparison.benchmark import Benchmark
from priorsolve.comparison.variants import read_variants
from priorsolve.run import restoration
from priorsolve.run.restoration import Options, Run

pytestmark = pytest.mark.usefixtures("digiface64")
STOPPED = "priorsolve: stopped; what is done is kept, run the same command for any that are left\n"


def test_once_finishes_the_batch_and_all_that_follows_is_done_by_the_next_run(tmp_path: Path) -> None:
    arguments = restore(tmp_path, 12, "--batch-size", "4", "--set", "solver.steps=20")
    process = run.command(*arguments)
    run.wait_for(lambda: bool(run.records(tmp_path / "out")))
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=100)[1]
    assert process.returncode == 130
    assert "finishing the batch at work; once more stops at once\n" in said
    assert said.endswith(STOPPED)
    kept = run.records(tmp_path / "out")
    assert len(kept) in (4, 8)
    assert (tmp_path / "out" / "results.parquet").is_file()
    assert list((tmp_path / "out").rglob(".*")) == []
    assert main([*arguments, "--quiet"]) == 0
    assert len(run.records(tmp_path / "out")) == 12
    assert kept.items() <= run.records(tmp_path / "out").items()


def test_stopped_between_its_first_files_a_run_may_be_followed_by_one_of_another_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    photos, out = run.photos(tmp_path / "in", 2), tmp_path / "out"
    for writer in ("write_plan", "write_atomically"):
        with monkeypatch.context() as patched:
            patched.setattr(restoration, writer, stopped)
            with pytest.raises(KeyboardInterrupt):
                list(Run(run.quick(), [photos], out, Options()).records())
        assert len(Run(run.quick(seed=1), [photos], out, Options()).todo) == 2


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_benchmark_keeps_the_batch_at_work_too(tmp_path: Path, number: signal.Signals, code: int) -> None:
    photos, out = run.photos(tmp_path / "in", 12), tmp_path / "out"
    recipe = f"hole={run.recipe_file(tmp_path)}?solver.steps=20"
    arguments = ["benchmark", recipe, "--photos", str(photos), "--out", str(out), "--metric", "psnr", "--batch-size", "4"]
    process = run.command(*arguments)
    run.wait_for(lambda: bool(run.records(out / "hole")))
    process.send_signal(number)
    said = process.communicate(timeout=100)[1]
    assert process.returncode == code
    assert "finishing the batch at work; once more stops at once\n" in said
    assert said.endswith(STOPPED)
    assert len(run.records(out / "hole")) in (4, 8)
    assert list(out.rglob(".*")) == []
    assert not list(out.rglob("baselines"))
    assert not (out / "table.md").exists()


def test_a_benchmark_stops_between_baselines_and_in_judging(tmp_path: Path) -> None:
    bench = Benchmark(
        read_variants([run.recipe_file(tmp_path)]), [run.photos(tmp_path / "in", 2)], tmp_path / "out", Options(), metrics=["psnr"]
    )
    (entry,) = bench.entries
    assert len(list(entry.run.records())) == 2
    whole = len(bench.baseline_work())
    assert len(list(bench.baseline_records(bench.baseline_work(), after(3)))) == 3
    assert len(bench.baseline_work()) == whole - 3
    assert {score.photo for score in bench.scores(after(1))} == {"00.png"}
    assert len(list(bench.baseline_records(bench.baseline_work()))) == whole - 3


def after(times: int) -> Callable[[], bool]:
    """Says that it is to stop once it was asked so many times."""
    asked = itertools.count()
    return lambda: next(asked) >= times


def test_twice_stops_at_once(tmp_path: Path) -> None:
    arguments = restore(tmp_path, 2, "--batch-size", "1", "--set", "solver.steps=1000000", "--quiet")
    process = run.command(*arguments)
    run.wait_for(lambda: any((tmp_path / "out").glob(".run-*")))
    time.sleep(2)  # the batch is to be at work: asked before, the run ends by itself, and meets the second signal on its way out
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert process.poll() is None  # the batch would take hours
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30)[1] == STOPPED
    assert process.returncode in (130, -signal.SIGINT)  # the latter is Python's own, where Ctrl-C meets code that is being made
    assert list((tmp_path / "out").rglob(".*")) == []
    assert len(Run(run.quick(), [tmp_path / "in"], tmp_path / "out", Options()).todo) == 2


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_handlers_are_put_back_and_the_exit_code_is_the_signals(number: signal.Signals, code: int) -> None:
    told = threading.Event()
    outside = signal.signal(number, signal.SIG_DFL)  # background jobs are deaf to Ctrl-C, and so are the tests in them
    try:
        with Stopping(lambda _: told.set()) as stop:
            assert not stop()
            signal.raise_signal(number)
            assert stop()
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(number)
        assert stop.exit_code == code
        assert told.wait(10)
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, outside)


def test_a_job_that_is_deaf_to_ctrl_c_stays_so() -> None:
    outside = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Stopping(lambda _: None) as stop:
            signal.raise_signal(signal.SIGINT)
            assert not stop()
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, outside)


def restore(folder: Path, photos: int, *more: str) -> list[str]:
    run.photos(folder / "in", photos)
    return ["restore", run.recipe_file(folder), str(folder / "in"), "--out", str(folder / "out"), *more]


@pytest.mark.parametrize("half", [True, False])
def test_while_torch_is_being_imported_a_process_says_one_line_and_is_not_taken_down(half: bool) -> None:
    """What was imported of it is left behind then, and would fail at length when it is imported again or at the end."""
    begin = "import atexit, sys, types; atexit.register(print, 'taken down')"
    left = "sys.modules['torch._C'] = types.ModuleType('torch._C')" if half else ""
    program = f"{begin}\n{left}\nfrom priorsolve.command.interrupted import stopped\nsys.exit(stopped(130, ['restore']))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (130, STOPPED)
    assert done.stdout == ("" if half else "taken down\n")


def test_a_process_whose_standard_error_is_closed_is_stopped_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    assert stopped(130, ["restore"]) == 130


@pytest.mark.parametrize(
    ("arguments", "at", "told"),
    [
        (["check", "inpaint"], "command.checks.check_recipe", "priorsolve: stopped\n"),
        (["report", "restore"], "report.write_report", "priorsolve: stopped\n"),
        (["convert", "a.pth", "b.safetensors"], "priors.load_prior", "priorsolve: stopped\n"),
        (["masks", "inpaint", "photos"], "run.masks.write_masks", STOPPED),
        (["degrade", "inpaint"], "run.degrade.degrade", STOPPED),
        (["benchmark", "inpaint"], "comparison.benchmark.Benchmark", STOPPED),
    ],
)
def test_only_what_writes_file_after_file_says_that_it_is_kept(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], arguments: list[str], at: str, told: str
) -> None:
    def pressed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    module, _, name = at.rpartition(".")
    monkeypatch.setattr(importlib.import_module(f"priorsolve.{module}"), name, pressed)
    assert main(arguments) == 130
    assert capfd.readouterr().err == told
