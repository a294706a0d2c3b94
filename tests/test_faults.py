"""What must survive: a process that is killed, and photos that are no photos."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
import run_support as run
from PIL import Image

from priorsolve.cli import main

pytestmark = pytest.mark.usefixtures("digiface64")


def arguments(folder: Path, out: str) -> list[str]:
    return ["restore", str(folder / "recipe.yaml"), str(folder / "in"), "--out", str(folder / out), "--quiet", "--batch-size", "2"]


def test_after_kill_9_the_rest_is_done_and_all_is_as_if_nothing_had_been(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run.photos(tmp_path / "in", 20)
    run.recipe_file(tmp_path)
    here = Path(__file__).resolve().parent.parent
    process = subprocess.Popen(
        [sys.executable, "-m", "priorsolve", *arguments(tmp_path, "killed")], cwd=here, env={**os.environ, "PYTHONPATH": str(here)}
    )
    until = time.monotonic() + 100
    while len(run.records(tmp_path / "killed")) < 3 and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait(30) == -signal.SIGKILL
    (tmp_path / "killed" / "images" / ".0123456789abcdef.tmp").write_bytes(b"half an image")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "killed" / "records").glob("[!.]*")}
    assert 3 <= len(before) < 20

    assert main(arguments(tmp_path, "killed")) == 0
    assert all(path.stat().st_mtime_ns == written for path, written in before.items())  # only what was missing was done
    assert main(arguments(tmp_path, "whole")) == 0
    assert run.files(tmp_path / "killed") == run.files(tmp_path / "whole")
    assert run.records(tmp_path / "killed") == run.records(tmp_path / "whole")
    tables = [parquet.read_table(tmp_path / out / "results.parquet").drop_columns(["seconds"]) for out in ("killed", "whole")]
    assert tables[0].equals(tables[1])
    assert tables[0].num_rows == 20
    assert capfd.readouterr() == ("", "")


def test_four_odd_ones_among_twenty(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    photos = run.photos(tmp_path / "in", 20)
    run.recipe_file(tmp_path)
    whole = (photos / "03.png").read_bytes()
    (photos / "03.png").write_bytes(whole[: len(whole) // 2])
    (photos / "07.png").write_text("this is text")
    run.picture(0, 1, 1).save(photos / "11.png")
    Image.new("RGB", (8000, 8000), (90, 120, 150)).save(photos / "15.png")
    assert main([*arguments(tmp_path, "out"), "--batch-size", "8"]) == 1
    records = run.records(tmp_path / "out")
    failed = {name: record["reason"] for name, record in records.items() if record["status"] == "failed"}
    assert failed.keys() == {"03.png", "07.png", "11.png"}
    assert "cut short" in failed["03.png"]
    assert "not an image" in failed["07.png"]
    assert "1×1" in failed["11.png"]
    assert records["15.png"]["notes"] == ["resized from 8000×8000 to 64×64"]
    assert len(records) == 20
    said = capfd.readouterr()
    assert sorted(line.split(":")[1].strip() for line in said.err.splitlines()) == sorted(failed)
    assert said.out == ""
