"""A run in progress, seen from its folder alone."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import run_support as run
from rich.console import Console

from priorsolve.cli import main
from priorsolve.report import progress as looking
from priorsolve.report.progress import Onlooker, Progress
from priorsolve.report.watch import table, watch
from priorsolve.run.claims import claimed
from priorsolve.run.outfolder import working_in
from priorsolve.run.plan import Plan, forget_plans, read_plans, write_plan
from priorsolve.run.records import Record, read_record, record_path, write_record
from priorsolve.run.restoration import Options, Run


def written(out: Path, name: str, at: float, **changes: object) -> None:
    """A record, written at this time."""
    facts: dict[str, object] = {"status": "done", "misfit": 0.5, "metrics": {"psnr": 20.0}, **changes}
    os.utime(write_record(out, Record(name, fingerprint="f", **facts)), (at, at))  # type: ignore[arg-type]


def planned(out: Path, plan: Plan, at: float, shard: tuple[int, int] | None = None) -> None:
    write_plan(out, plan, shard)
    name = "run.json" if shard is None else f"run-{shard[0]}-of-{shard[1]}.json"
    os.utime(out / name, (at, at))


def text(*things: object) -> str:
    file = io.StringIO()
    Console(file=file, width=120).print(*things)
    return file.getvalue()


def test_counts_rate_and_time_left(tmp_path: Path) -> None:
    written(tmp_path, "before.png", 500)
    planned(tmp_path, Plan(todo=8, done=1), 1000)
    for number in range(3):
        written(tmp_path, f"sub/{number}.png", 1002 + 2 * number)
    written(tmp_path, "bad.png", 1008, status="failed", reason="an empty file (0 bytes)", metrics={}, misfit=None)
    with claimed(tmp_path, None):
        onlooker = Onlooker(tmp_path)
        seen = onlooker.look()
        assert (seen.done, seen.failed, seen.total, seen.running) == (4, 1, 9, True)
        assert seen.rate == pytest.approx(0.5)
        assert seen.left == pytest.approx(8)
        assert [record.name for record in seen.latest] == ["bad.png", "sub/2.png", "sub/1.png", "sub/0.png"]
        drawn = text(table(seen))
        for words in ("4 done", "1 failed", "of 9", "2 s a photo", "8 s left", "20.0 dB", "an empty file (0 bytes)"):
            assert words in drawn
        assert [line.split()[0] for line in drawn.splitlines()[3:5]] == ["photo", "bad.png"]  # below the bar, not beside it
        for number in range(3, 7):
            written(tmp_path, f"sub/{number}.png", 1010)
        assert onlooker.look().done == 8
    assert "the run is over" in text(table(onlooker.look()))


def test_a_fast_run_and_one_that_was_stopped_are_told() -> None:
    fast = Progress(6, 0, 9, rate=2.5, left=75.0, latest=(), running=True, behind=False)
    assert text(table(fast)).split("\n")[0].rstrip() == "6 done  0 failed  of 9  2.5 photos/s  1 min 15 s left"
    for stopped, said in (
        (replace(fast, running=False), "no run is at work here"),
        (replace(fast, running=False, total=None), "no run is at work here"),  # an older run's, of which nobody knows
        (replace(fast, running=False, done=8, failed=1), "the run is over"),
    ):
        told = text(table(stopped))
        assert said in told
        assert "left" not in told


def test_shards_are_seen_together_and_a_new_run_begins_anew(tmp_path: Path) -> None:
    with working_in(tmp_path, (0, 2)), working_in(tmp_path, (1, 2)):
        planned(tmp_path, Plan(3), 1000, (0, 2))
        planned(tmp_path, Plan(2), 1001, (1, 2))
        written(tmp_path, "a.png", 1003)
        seen = Onlooker(tmp_path).look()
        assert (seen.done, seen.total) == (1, 5)
    onlooker = Onlooker(tmp_path)
    assert onlooker.look().total == 5
    with working_in(tmp_path):
        assert read_plans(tmp_path) == []
        planned(tmp_path, Plan(4, done=1), 2000)
        seen = onlooker.look()
        assert (seen.done, seen.total, seen.latest, seen.rate) == (1, 5, (), None)


def test_a_shard_that_begins_again_counts_no_photo_twice(tmp_path: Path) -> None:
    def again(plan: Plan) -> tuple[int, int, int | None, float | None]:
        with working_in(tmp_path, (1, 2)):
            write_plan(tmp_path, plan, (1, 2))
        seen = Onlooker(tmp_path).look()
        return seen.done, seen.failed, seen.total, seen.left

    with working_in(tmp_path, (0, 2)):
        planned(tmp_path, Plan(10), 1000, (0, 2))
        planned(tmp_path, Plan(8, done=1, failed=1), 1000, (1, 2))
        for number in range(5):
            written(tmp_path, f"{number}.png", 1001 + number)
        assert again(Plan(3, done=6, failed=1)) == (6, 1, 20, 13)
        assert again(Plan(10)) == (5, 0, 20, 15), "all of its photos are done again"
    with working_in(tmp_path, (1, 2)):
        write_plan(tmp_path, Plan(3, done=6, failed=1), (1, 2))
        assert read_plans(tmp_path)[0][0] == Plan(3, done=6, failed=1), "alone it begins anew"


def test_only_new_records_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def reading(path: Path) -> Record | None:
        read.append(path.name)
        return read_record(path)

    monkeypatch.setattr(looking, "read_record", reading)
    for number in range(5):
        written(tmp_path, f"{number}.png", 10)
    record_path(tmp_path, "damaged.png").write_text("{")
    onlooker = Onlooker(tmp_path)
    assert onlooker.look().done == 5
    assert len(read) == 6
    written(tmp_path, "new.png", 11)
    assert onlooker.look().done == 6
    assert read[6:] == ["new.png.json"]
    monkeypatch.setattr(looking, "AT_ONCE", 4)
    again = Onlooker(tmp_path)
    assert again.look().behind
    assert [again.look().done for _ in range(2)] == [6, 6]


def test_a_record_that_is_written_anew_is_the_latest_once(tmp_path: Path) -> None:
    """As an album's are, once the colours of all its photos are known."""
    for name, when in (("a.png", 10), ("b.png", 11)):
        written(tmp_path, name, when)
    onlooker = Onlooker(tmp_path)
    assert [record.name for record in onlooker.look().latest] == ["b.png", "a.png"]
    record_path(tmp_path, "a.png").unlink()
    written(tmp_path, "a.png", 12)
    assert [record.name for record in onlooker.look().latest] == ["a.png", "b.png"]


def test_a_run_is_watched_from_another_process_until_it_ends(tmp_path: Path) -> None:
    run.photos(tmp_path / "in", 3)
    recipe = run.recipe_file(tmp_path)
    command = [
        sys.executable,
        "-m",
        "priorsolve",
        "restore",
        recipe,
        str(tmp_path / "in"),
        "--batch-size",
        "1",
        "--out",
        str(tmp_path / "out"),
    ]
    with subprocess.Popen([*command, "--quiet"], cwd=Path(__file__).parent.parent) as process:
        until = time.monotonic() + 120
        while not read_plans(tmp_path / "out") and process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        drawn = io.StringIO()
        end = watch(tmp_path / "out", Console(file=drawn, width=120), seconds=0.1)
        assert (end.done, end.failed, end.total, end.running) == (3, 0, 3, False)
        assert process.wait(60) == 0
    assert "the run is over" in drawn.getvalue()
    assert (tmp_path / "out" / "report.html").is_file()


def test_a_folder_without_a_run_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--watch", str(tmp_path)]) == 2
    assert "no run in" in capsys.readouterr().err
    written(tmp_path, "a[red].png", 10)
    assert main(["report", "--watch", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "1 done" in out
    assert "a[red].png" in out
    assert out.endswith("\n")
    assert not out.endswith("\n\n")
    assert main(["report", "--watch", str(tmp_path), "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("digiface64")
def test_a_hidden_photo_that_is_given_by_name_is_seen(tmp_path: Path) -> None:
    run.picture(0).save(tmp_path / ".a.png")
    out = tmp_path / "out"
    command = ["restore", run.recipe_file(tmp_path), str(tmp_path / ".a.png"), "--out", str(out), "--quiet"]
    assert main(command) == 0
    assert '"name":".a.png"' in (out / "report.html").read_text(encoding="utf-8")
    record = record_path(out, ".a.png")
    record.with_name("._.a.png.json").write_bytes(record.read_bytes())  # as archivers leave beside files
    seen = Onlooker(out).look()
    assert (seen.done, [each.name for each in seen.latest]) == (1, [".a.png"])
    assert Run(run.quick(seed=1), [run.photos(tmp_path / "in", 1)], out, Options()).strangers == 1


def test_what_a_shard_did_before_the_last_one_began_counts(tmp_path: Path) -> None:
    with working_in(tmp_path, (0, 2)), working_in(tmp_path, (1, 2)):
        planned(tmp_path, Plan(3), 1000, (0, 2))
        written(tmp_path, "a.png", 1004)
        planned(tmp_path, Plan(2), 1006, (1, 2))
        written(tmp_path, "b.png", 1008)
        seen = Onlooker(tmp_path).look()
        assert (seen.done, seen.total, seen.rate, seen.left) == (2, 5, 0.25, 12)


def test_a_shard_that_begins_again_keeps_its_plan_and_its_age(tmp_path: Path) -> None:
    """What it did since, and what failed since, was to do when it began."""
    write_plan(tmp_path, Plan(5, 2, 1), (0, 2))
    os.utime(tmp_path / "run-0-of-2.json", (1000.0, 1000.0))
    write_plan(tmp_path, Plan(2, 3, 3), (0, 2))
    assert read_plans(tmp_path) == [(Plan(5, 2, 1), 1000.0)]
    write_plan(tmp_path, Plan(4, 3, 3), (0, 2))  # two photos more
    assert read_plans(tmp_path) == [(Plan(7, 2, 1), 1000.0)]


def test_a_file_of_a_plans_name_that_is_none_stays(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("[1, 2]")
    write_plan(tmp_path, Plan(1), (0, 2))
    forget_plans(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_a_record_that_is_written_anew_is_read_anew(tmp_path: Path) -> None:
    planned(tmp_path, Plan(todo=1), 1000)
    written(tmp_path, "a.png", 500)
    path, onlooker = record_path(tmp_path, "a.png"), Onlooker(tmp_path)
    done = path.read_bytes()
    with claimed(tmp_path, None):
        assert onlooker.look().done == 0, "it is an earlier run's"
        written(tmp_path, "a.png", 1000, status="failed", reason="because")  # as soon as it began, by a disk's clock
        seen = onlooker.look()
        assert (seen.done, seen.failed) == (0, 1)
    path.write_bytes(done)  # the same file, of another time
    os.utime(path, (1001, 1001))
    seen = onlooker.look()
    assert (seen.done, seen.failed) == (1, 0)


def test_the_last_photos_are_told_one_by_one(tmp_path: Path) -> None:
    for number in range(12):
        written(tmp_path, f"{number}.png", 1000 + number)
    assert [record.name for record in Onlooker(tmp_path).look().latest] == [f"{number}.png" for number in range(11, 1, -1)]
