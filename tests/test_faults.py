"""What must survive: processes that are killed, disks that are full, files that are damaged, and photos that are no photos.

docs/reliability.md has a row for each of these tests; those with Ray are in test_cluster.py, those with signals in test_runs_stop.py.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
import run_support as run
from PIL import Image

from priorsolve.cli import main
from priorsolve.run.restoration import Options, restore

pytestmark = pytest.mark.usefixtures("digiface64")


def arguments(folder: Path, out: str) -> list[str]:
    return ["restore", str(folder / "recipe.yaml"), str(folder / "in"), "--out", str(folder / out), "--quiet", "--batch-size", "2"]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, of 160 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160k", "none", place], capture_output=True).returncode:
        pytest.skip("a disk of its own needs the right to mount one")
    try:
        yield place
    finally:
        with contextlib.suppress(OSError):
            os.chdir("/")
        subprocess.run(["umount", place], check=True)


def test_after_kill_9_the_rest_is_done_and_all_is_as_if_nothing_had_been(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run.photos(tmp_path / "in", 20)
    run.recipe_file(tmp_path)
    process = run.command(*arguments(tmp_path, "killed"))
    run.wait_for(lambda: len(run.records(tmp_path / "killed")) >= 3)
    process.send_signal(signal.SIGKILL)
    assert process.wait(30) == -signal.SIGKILL
    process.communicate()
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


def test_a_full_disk_ends_the_run_in_one_line_and_the_next_goes_on(tmp_path: Path, disk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run.photos(tmp_path / "in", 20)
    run.recipe_file(tmp_path)
    assert main(arguments(tmp_path, "disk")) == 2
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert f"output folder {disk} cannot be written: No space left on device" in said
    kept = run.records(disk)
    assert 0 < len(kept) < 20
    assert {record["status"] for record in kept.values()} == {"done"}
    for name in kept:  # a record is the promise that the rest is whole
        Image.open(disk / "images" / name).load()
    assert list(disk.rglob(".*")) == []
    subprocess.run(["mount", "-o", "remount,size=10m", disk], check=True)
    assert main(arguments(tmp_path, "disk")) == 0
    assert len(run.records(disk)) == 20
    assert kept.items() <= run.records(disk).items()


def test_a_disk_that_becomes_read_only_ends_the_run_and_one_that_is_so_begins_none(
    tmp_path: Path, disk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    records = restore(run.quick(), run.photos(tmp_path / "in", 9), disk / "out", Options(batch_size=1))
    next(records)
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    with pytest.raises(ValueError, match=r"cannot be written: Read-only file system; choose another output folder \(--out\)"):
        list(records)
    run.recipe_file(tmp_path)
    before = sorted(disk.rglob("*"))
    assert main(arguments(tmp_path, "disk/out")) == 2
    said = capfd.readouterr().err
    assert (said.count("\n"), f"no permission to write into {disk}" in said) == (1, True)
    assert sorted(disk.rglob("*")) == before
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    assert len(list(restore(run.quick(), tmp_path / "in", disk / "out"))) == 9 - len(before_records(before))


def before_records(paths: list[Path]) -> list[Path]:
    return [path for path in paths if path.parent.name == "records"]


def test_a_photo_that_is_deleted_during_the_run_fails_alone(tmp_path: Path) -> None:
    photos = run.photos(tmp_path / "in", 6)
    records = restore(run.quick(), photos, tmp_path / "out", Options(batch_size=1))
    first = next(records)
    (photos / "05.png").unlink()
    rest = {record.name: record for record in [first, *records]}
    assert len(rest) == 6
    assert [name for name, record in rest.items() if record.status == "failed"] == ["05.png"]
    assert "No such file" in rest["05.png"].reason


def test_damaged_records_are_made_anew_and_no_others(tmp_path: Path) -> None:
    photos, out = run.photos(tmp_path / "in", 6), tmp_path / "out"
    assert len(list(restore(run.quick(), photos, out))) == 6
    whole = run.records(out)
    texts = {path.name: path.read_bytes() for path in (out / "records").iterdir()}
    for name, damage in (
        ("00.png.json", b""),
        ("01.png.json", texts["01.png.json"][:200]),
        ("02.png.json", b"\0" * 600),
        ("03.png.json", b"[]"),
    ):
        (out / "records" / name).write_bytes(damage)
    assert [record.name for record in restore(run.quick(), photos, out)] == ["00.png", "01.png", "02.png", "03.png"]
    assert run.records(out) == whole


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
