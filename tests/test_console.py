"""What the command line shows where a terminal knows few letters, a disk is full, or a thousand photos fail for the same reason."""

from __future__ import annotations

import errno
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import run_support as run

import priorsolve.report
from priorsolve.cli import main
from priorsolve.command import restoring
from priorsolve.command.console import LONG, RunDisplay, show_outcomes
from priorsolve.command.output import refused
from priorsolve.metrics import METRICS
from priorsolve.run.masks import Masked
from priorsolve.run.records import Record


@pytest.mark.usefixtures("digiface64")
def test_a_terminal_of_ascii_letters_ends_no_command(tmp_path: Path) -> None:
    photos, recipe, out = run.photos(tmp_path / "in", 1), run.recipe_file(tmp_path), str(tmp_path / "out")
    compare = ["benchmark", recipe, "--photos", str(photos), "--out", out, "--metric", "psnr", "--no-baselines"]
    for words in (["restore", "--help"], compare):
        environment = os.environ | {"PYTHONIOENCODING": "ascii"}
        done = subprocess.run([sys.executable, "-m", "priorsolve", *words], env=environment, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.isascii()
    assert b"psnr" in done.stdout


@pytest.mark.parametrize("what", ["losses", "recipes"])
def test_lists_line_up(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", what]) == 0
    lines = capsys.readouterr().out.splitlines()
    widest = max(len(line.split()[0]) for line in lines)
    assert all(line[widest : widest + 2] == "  " and line[widest + 2] != " " for line in lines)


def test_a_long_reason_is_told_in_full_once(capsys: pytest.CaptureFixture[str]) -> None:
    long, short = "why " * LONG, "not an image"
    with RunDisplay(5, quiet=False, as_json=False) as display:
        for name, reason in [("a.png", long), ("b.png", long), ("c.png", short), ("d.png", short), ("e.png", long)]:
            display.record(Record(name, "failed", "f", reason=reason))
    said = capsys.readouterr().err
    assert said.count(long.strip()) == 1
    for line in ("failed: b.png: as a.png", "failed: c.png: not an image", "failed: d.png: not an image", "failed: e.png: as a.png"):
        assert line in said


@pytest.mark.usefixtures("digiface64")
def test_a_report_that_cannot_be_written_loses_no_photo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run.photos(tmp_path / "in", 2)
    recipe, out = run.recipe_file(tmp_path), tmp_path / "out"

    def full(folder: Path) -> None:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(folder / "sheet.png"))

    with monkeypatch.context() as patch:
        for module in (priorsolve.report, restoring):
            patch.setattr(module, "write_report", full)
        assert main(["restore", str(recipe), str(tmp_path / "in"), "--out", str(out)]) == 2
        said = capsys.readouterr().err
        assert "2 restored" in said
        told = f"every photo's result is kept; the report could not be written: {out / 'sheet.png'}: File too large; make room and run"
        assert f"{told} `priorsolve report {out}`" in said
        assert main(["report", str(out)]) == 2
        assert capsys.readouterr().err == f"priorsolve: {out / 'sheet.png'}: File too large\n"
    assert main(["report", str(out)]) == 0
    assert (out / "report.html").exists()


def test_metrics_can_be_had_by_the_library_alone_and_pickled() -> None:
    asked = "import priorsolve as ps; print(*ps.metrics.METRICS)"
    assert subprocess.run([sys.executable, "-c", asked], capture_output=True, check=True, text=True).stdout.split() == [*METRICS]
    assert [pickle.loads(pickle.dumps(metric)) for metric in METRICS.values()] == [*METRICS.values()]


def test_lines_for_a_machine_leave_nothing_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    with RunDisplay(1, quiet=False, as_json=True) as display:
        display.record(Record("a.png", "failed", "f", reason="not an image"))
    told = capsys.readouterr()
    assert told.out.count("not an image") == 1
    assert told.err == ""


@pytest.mark.parametrize("how", ["", "quiet", "json"])
def test_what_became_of_each_mask_is_told_as_it_is_asked_for(how: str, capsys: pytest.CaptureFixture[str]) -> None:
    made = [
        Masked("a.png", Path("m/a.png"), 0.0384),
        Masked("b.png", Path("m/b.png"), 0.5, "was there"),
        Masked("c.png", None, reason="why"),
    ]
    assert show_outcomes("masking", made, Path("m"), how == "quiet", how == "json") == 1
    told = capsys.readouterr()
    if how == "json":
        assert told.err == ""
        paths = {"a.png": "m/a.png", "b.png": "m/b.png", "c.png": None}
        assert [json.loads(line) for line in told.out.splitlines()] == [
            {"name": each.name, "path": paths[each.name], "share": each.share, "reason": each.reason} for each in made
        ]
        return
    lines = ["a.png: 3.8% is a hole", "b.png: 50% is a hole (was there)", "failed: c.png: why"]
    lines.append("1 written, 1 kept, 1 failed (--overwrite makes them anew); see m")
    assert told.out == ""
    assert [line for line in told.err.splitlines() if not line.startswith("masking")] == (lines[2:3] if how == "quiet" else lines)


def test_a_failure_without_a_file_names_none() -> None:
    assert str(refused(OSError(errno.ENOSPC, "No space left on device", "a.png"))) == "a.png: No space left on device"
    assert str(refused(OSError(errno.ENOMEM, "Cannot allocate memory"))) == "[Errno 12] Cannot allocate memory"
