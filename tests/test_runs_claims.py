"""Two runs on one folder: the second is refused and told of the first, unless they share the photos out, or the first is dead."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import run_support as run

from priorsolve.cli import main
from priorsolve.run import claims, outfolder
from priorsolve.run.claims import Claim, FolderBusyError, claimed, own_claim, write_claim
from priorsolve.run.outfolder import working_in
from priorsolve.run.restoration import Options, Run


def others(out: Path) -> list[Path]:
    return list(out.glob(".run-*"))


def claim_of(out: Path, claim: Claim, age: float = 0.0) -> Path:
    path = out / ".run-other.json"
    write_claim(path, claim)
    os.utime(path, (time.time() - age,) * 2)
    return path


def dead_process() -> int:
    return int(subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True).stdout)


def test_the_second_is_refused_in_one_line_that_names_the_first(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run.photos(tmp_path / "in", 1)
    (tmp_path / "out").mkdir()
    pid = os.getppid()
    first = replace(own_claim(None), pid=pid, born=claims._born(pid) or "", command="priorsolve restore inpaint in")
    with claimed(tmp_path / "out", None):
        (path,) = others(tmp_path / "out")
        write_claim(path, first)
        assert main(["restore", run.recipe_file(tmp_path), str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 2
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert f"in use: process {pid} on {first.host} since {time.strftime('%Y-%m-%d')}" in said
    assert "(priorsolve restore inpaint in) does the same photos" in said
    assert "give each `restore` a shard of its own (--shard)" in said  # a benchmark, which is told the same, has none
    assert f"or remove its claim {path.name} from the folder if you know that run is dead\n" in said
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [(None, None, False), (None, (0, 2), False), ((0, 2), (1, 2), True), ((0, 2), (0, 2), False), ((0, 2), (1, 3), False)],
)
def test_shards_of_one_count_work_together(tmp_path: Path, first: claims.Shard | None, second: claims.Shard | None, together: bool) -> None:
    alone: list[str] = []
    with claimed(tmp_path, first, partial(alone.append, "first")):
        if together:
            with claimed(tmp_path, second, partial(alone.append, "second")):
                pass
        else:
            with pytest.raises(FolderBusyError, match="in use"), claimed(tmp_path, second, partial(alone.append, "second")):
                pass
        assert alone == ["first"]
        assert len(others(tmp_path)) == 1
    assert others(tmp_path) == []


def test_no_other_run_begins_before_the_folder_is_tidy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = threading.Event()

    def second() -> None:
        with working_in(tmp_path, (1, 2)):
            begun.set()

    other, early = threading.Thread(target=second), list[bool]()

    def tidying(out: Path) -> None:  # a large folder takes a while
        other.start()
        early.append(begun.wait(0.3))

    monkeypatch.setattr(outfolder, "forget_plans", tidying)
    with working_in(tmp_path, (0, 2)):
        assert begun.wait(20)
    other.join()
    assert early == [False], "else it would lose its plan, and what it is writing"


def test_claims_of_the_dead_go(tmp_path: Path) -> None:
    here, elsewhere = own_claim(None), replace(own_claim(None), host="far", machine="far 1")
    for claim, age, alive in (
        (replace(here, pid=os.getppid(), born=claims._born(os.getppid()) or ""), 1e6, True),  # here the process tells, not the age
        (here, 0, False),  # this very process does not hold it: it could not be removed
        (replace(here, pid=dead_process()), 0, False),
        (replace(here, born="another process of this number"), 0, False),
        (elsewhere, claims.STALE_SECONDS - 30, True),
        (elsewhere, claims.STALE_SECONDS + 30, False),
        (elsewhere, 30 - claims.STALE_SECONDS, True),  # a clock that is a little ahead
        (elsewhere, -claims.STALE_SECONDS - 30, False),
        (elsewhere, -1e6, False),
    ):
        path = claim_of(tmp_path, claim, age)
        if alive:
            with pytest.raises(FolderBusyError, match=re.escape(f"process {claim.pid} on {claim.host}")), claimed(tmp_path, None):
                pass
        else:
            alone: list[Path] = []
            with claimed(tmp_path, None, partial(alone.append, path)):
                assert alone == [path]
                assert not path.exists()
    for damaged in ("{", "[" * 100_000, "[]", json.dumps(asdict(here) | {"shard": [1]})):
        path.write_text(damaged)
        with claimed(tmp_path, None):
            pass


def test_a_claim_is_renewed_while_it_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "BEAT_SECONDS", 0.01)
    with claimed(tmp_path, None):
        (path,) = others(tmp_path)
        os.utime(path, (0, 0))
        until = time.monotonic() + 20
        while path.stat().st_mtime == 0 and time.monotonic() < until:
            time.sleep(0.01)
        assert time.time() - path.stat().st_mtime < 20


@pytest.mark.usefixtures("digiface64")
def test_a_run_holds_its_claim_to_the_end_and_one_with_nothing_to_do_holds_none(tmp_path: Path) -> None:
    first = Run(run.quick(), [run.photos(tmp_path / "in", 6)], tmp_path / "out", Options(batch_size=1))
    records = first.records()
    next(records)
    # as in a notebook whose loop was interrupted: to wait for itself, or remove a claim, would not do
    told = r"is in use: a run that this process itself began earlier .* take the rest of its records, or call their close\(\), or choose"
    with pytest.raises(FolderBusyError, match=told):
        Run(run.quick(), [tmp_path / "in"], tmp_path / "out", Options())
    list(records)
    assert others(tmp_path / "out") == []
    with claimed(tmp_path / "out", None):
        assert Run(run.quick(), [tmp_path / "in"], tmp_path / "out", Options()).before["done"] == 6


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux tells")
def test_a_process_that_ended_and_was_not_waited_for_is_dead() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert claims._born(process.pid) is None


def test_a_claim_is_renewed_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    several, renewed = threading.Event(), list[Path]()

    def write(path: Path, claim: Claim) -> None:
        renewed.append(path)
        if len(renewed) > 3:  # the first one is the claim itself
            several.set()

    monkeypatch.setattr(claims, "BEAT_SECONDS", 0.01)
    monkeypatch.setattr(claims, "write_claim", write)
    with claimed(tmp_path, None):
        assert several.wait(30)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux tells")
def test_a_later_process_of_a_dead_runs_number_is_no_run(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as later:
        for begun, alive in ((claims._born(os.getpid()), False), (claims._born(later.pid), True)):
            claim_of(tmp_path, replace(own_claim(None), pid=later.pid, born=begun or ""))
            assert bool(claims.at_work(tmp_path)) == alive
        later.communicate(b"\n")


def test_a_claim_that_ended_and_could_not_be_removed_holds_nothing(tmp_path: Path) -> None:
    with claimed(tmp_path, None):
        (path,) = others(tmp_path)
        left = path.read_bytes()
        assert len(claims.at_work(tmp_path)) == 1
    path.write_bytes(left)
    assert claims.at_work(tmp_path) == []


def test_a_claim_on_another_machine_is_as_old_as_the_folders_clock_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file server's may be far from ours."""
    claim_of(tmp_path, replace(own_claim(None), machine="far 1"), age=-3600)
    assert claims.at_work(tmp_path) == []
    monkeypatch.setattr(claims, "_now", lambda folder: time.time() + 3600)
    assert len(claims.at_work(tmp_path)) == 1


def test_on_windows_no_process_is_asked_whether_it_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`os.kill(pid, 0)` is Ctrl-C there: a run stopped itself, and all else in its console, when it began."""

    def kill(pid: int, number: int) -> None:
        raise AssertionError(f"sent {number} to {pid}")

    monkeypatch.setattr(claims, "os", SimpleNamespace(name="nt", getpid=os.getpid, kill=kill))
    claim = own_claim(None)
    assert claim.born == ""
    for age, alive in ((0.0, True), (claims.STALE_SECONDS + 60, False)):
        claim_of(tmp_path, claim, age)
        assert bool(claims.at_work(tmp_path)) == alive
