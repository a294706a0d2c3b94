"""Another photo of the same name is another photo: what was made of the first does not count for it."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import run_support as run
from PIL import Image

from priorsolve.comparison.benchmark import Benchmark
from priorsolve.comparison.variants import Variant
from priorsolve.photos import identity
from priorsolve.photos.identity import Identity, identify
from priorsolve.photos.names import Photo
from priorsolve.photos.pictures import PhotoError
from priorsolve.run import workbench
from priorsolve.run.keeping import Keeper
from priorsolve.run.records import Record, read_record, record_of, record_path, write_record
from priorsolve.run.restoration import Options, restore

pytestmark = pytest.mark.usefixtures("digiface64")


def names(photos: Path, out: Path, options: Options | None = None) -> list[str]:
    return [record.name for record in restore(run.quick(), photos, out, options)]


def exchanged(photo: Path, index: int) -> None:
    """Another picture in the place of the first, changed a second later."""
    before = photo.stat().st_mtime_ns
    run.picture(index).save(photo)
    os.utime(photo, ns=(before + 10**9,) * 2)


def kept(out: Path, name: str) -> Record:
    record = record_of(out, name)
    assert record is not None
    return record


def test_a_photo_that_was_exchanged_is_done_again_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos, out = run.photos(tmp_path / "in", 3), tmp_path / "out"
    assert len(names(photos, out)) == 3
    assert kept(out, "01.png").file == identify(photos / "01.png")
    exchanged(photos / "01.png", 7)
    assert names(photos, out) == ["01.png"]
    known = Image.open(out / "images/01.png").getpixel((2, 2))
    assert known == Image.open(photos / "01.png").getpixel((2, 2))

    def never(path: Path) -> Identity:
        raise AssertionError(f"{path}: a start reads no photo of the same size and time")

    monkeypatch.setattr(identity, "identify", never)
    assert names(photos, out) == []


def test_a_copied_or_touched_folder_stays_done(tmp_path: Path) -> None:
    photos, out = run.photos(tmp_path / "in", 2), tmp_path / "out"
    assert len(names(photos, out)) == 2
    shutil.copytree(photos, tmp_path / "copied", copy_function=shutil.copyfile)
    os.utime(photos / "00.png", (0, 0))
    assert names(tmp_path / "copied", out) == names(photos, out) == []


def test_older_records_know_no_file_and_stay_done(tmp_path: Path) -> None:
    photos, out = run.photos(tmp_path / "in", 1), tmp_path / "out"
    assert len(names(photos, out)) == 1
    path = record_path(out, "00.png")
    path.write_text(json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key != "file"}))
    exchanged(photos / "00.png", 7)
    assert names(photos, out) == []


def test_a_photo_that_failed_and_was_exchanged_is_tried_again(tmp_path: Path) -> None:
    photos, out = run.photos(tmp_path / "in", 1), tmp_path / "out"
    (photos / "00.png").write_text("no picture")
    assert names(photos, out) == ["00.png"]
    assert kept(out, "00.png").status == "failed"
    assert names(photos, out) == []
    exchanged(photos / "00.png", 3)
    assert names(photos, out) == ["00.png"]
    assert kept(out, "00.png").status == "done"


@pytest.mark.parametrize(("place", "what"), [(workbench, "solve_jobs"), (Keeper, "keep")], ids=["solved", "kept"])
def test_another_photo_that_fails_leaves_nothing_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: object, what: str
) -> None:
    """Though it is as large; and the failure is its own, until it is exchanged too."""
    photo, out = tmp_path / "in" / "a.bmp", tmp_path / "out"
    photo.parent.mkdir()
    run.picture(0).save(photo)
    assert names(photo, out) == ["a.bmp"]
    size = photo.stat().st_size
    exchanged(photo, 5)
    assert photo.stat().st_size == size

    with monkeypatch.context() as patched:
        patched.setattr(place, what, run.broken)
        (record,) = restore(run.quick(), photo, out)
    assert (record.status, record.reason) == ("failed", "no finite picture was found")
    assert kept(out, "a.bmp").file == identify(photo)
    assert not (out / "images/a.bmp.png").exists()
    assert names(photo, out) == []
    exchanged(photo, 7)
    assert names(photo, out) == ["a.bmp"]


def test_a_photo_that_is_exchanged_while_it_is_read_is_noticed_next_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from priorsolve.run.jobs import Reader

    photos, out, real = run.photos(tmp_path / "in", 1), tmp_path / "out", Reader.read

    def late(self: Reader, photo: Photo) -> object:
        exchanged(photos / "00.png", 5)
        return real(self, photo)

    with monkeypatch.context() as patched:
        patched.setattr(Reader, "read", late)
        assert names(photos, out) == ["00.png"]
    assert names(photos, out) == ["00.png"]


def test_a_benchmark_judges_no_result_of_another_photo(tmp_path: Path) -> None:
    photos, out = run.photos(tmp_path / "in", 2), tmp_path / "out"

    def bench() -> Benchmark:
        made = Benchmark([Variant("own", run.quick())], [photos], out, Options(), metrics=["psnr"])
        made.entries[0].run.prepare()
        return made

    first = bench()
    list(first.entries[0].run.records())
    list(first.baseline_records(first.baseline_work()))
    baselines = len(first.contests[0].baselines)
    assert len(list(first.scores())) == 2 * (1 + baselines)
    exchanged(photos / "01.png", 7)
    second = bench()
    assert len(list(second.scores())) == 1 + baselines  # nothing is known yet of the other
    assert [photo.name for photo in second.entries[0].run.todo] == ["01.png"]
    assert [photo.name for _, _, photo in second.baseline_work()] == ["01.png"] * baselines
    list(second.entries[0].run.records())
    list(second.baseline_records(second.baseline_work()))
    assert len(list(second.scores())) == 2 * (1 + baselines)
    assert bench().baseline_work() == []


def test_an_identity_is_of_a_file_that_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    run.picture(0).save(path)
    found = identify(path)
    assert found.is_of(path)
    assert replace(found, mtime_ns=0).is_of(path)
    assert not replace(found, mtime_ns=0, sha256="0" * 64).is_of(path)
    assert not replace(found, bytes=1).is_of(path)
    assert found.may_be_of(path)
    assert not replace(found, bytes=1).may_be_of(path)
    path.unlink()
    assert found.may_be_of(path)
    assert not found.is_of(path)
    with pytest.raises(PhotoError, match=r"^a\.png: cannot be read: No such file or directory$"):
        identify(path)


@pytest.mark.parametrize("damage", [3, {}, {"bytes": 1, "mtime_ns": "1", "sha256": "0"}])
def test_a_record_of_a_damaged_identity_is_none(tmp_path: Path, damage: object) -> None:
    path = write_record(tmp_path, Record("a.png", "done", "f", file=Identity(1, 2, "3")))
    assert kept(tmp_path, "a.png").file == Identity(1, 2, "3")
    path.write_text(json.dumps({**json.loads(path.read_text()), "file": damage}))
    assert read_record(path) is None
