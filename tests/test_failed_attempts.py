"""A new attempt that fails takes nothing away from what is done already, and a folder that cannot be written ends the run."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import run_support as run

from priorsolve.cli import main
from priorsolve.files import WriteError, together, write_atomically
from priorsolve.photos.pictures import PhotoError
from priorsolve.recipe.recipe import Recipe
from priorsolve.run import workbench
from priorsolve.run.jobs import Reader
from priorsolve.run.records import write_record
from priorsolve.run.restoration import Options, Run, restore

OWN_MASKS = run.QUICK.replace("boxes: [[0.25, 0.25, 0.75, 0.75]]", "file: 'masks/{stem}.png'")


def command(folder: Path, *more: str) -> list[str]:
    return ["restore", str(folder / "recipe.yaml"), str(folder / "in"), "--out", str(folder / "out"), "--quiet", *more]


def all_files(out: Path) -> tuple[dict[str, bytes], dict[str, dict[str, Any]]]:
    """What was made of photos: pictures and records."""
    return {name: data for name, data in run.files(out).items() if "/" in name}, run.records(out)


@contextmanager
def refusing(code: int, place: str) -> Iterator[None]:
    """No file whose path has `place` in it can be moved there."""
    real = Path.replace

    def replace(self: Path, target: Path) -> Path:
        if place in str(target):
            raise OSError(code, os.strerror(code), str(self))
        return real(self, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "replace", replace)
        yield


@pytest.mark.usefixtures("digiface64")
def test_files_that_grow_too_large_end_the_run_and_lose_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    resource = pytest.importorskip("resource")
    run.photos(tmp_path / "in", 3)
    run.recipe_file(tmp_path)
    assert main(command(tmp_path)) == 0
    before = all_files(tmp_path / "out")
    most = (tmp_path / "out/images/01.png").stat().st_size - 1
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
    try:
        assert main(command(tmp_path, "--overwrite", "--batch-size", "1")) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    said = capfd.readouterr().err
    assert said == f"priorsolve: output folder {tmp_path / 'out'} cannot be written: File too large; choose another output folder (--out)\n"
    assert all_files(tmp_path / "out") == before
    assert main(command(tmp_path)) == 0


@pytest.mark.usefixtures("digiface64")
@pytest.mark.parametrize("place", ["images", "records"])
def test_whatever_the_folder_refuses_ends_the_run(tmp_path: Path, place: str) -> None:
    photos = run.photos(tmp_path / "in", 2)
    (photos / "00.png").write_text("no picture")
    with refusing(errno.EIO, f"/{place}/"), pytest.raises(ValueError, match=r"out cannot be written: Input/output error; choose"):
        list(restore(run.quick(), photos, tmp_path / "out"))
    assert len(list(restore(run.quick(), photos, tmp_path / "out"))) == (1 if place == "images" else 2)
    with refusing(errno.ENAMETOOLONG, "/images/01.png"):  # the photo's own
        (record,) = restore(run.quick(seed=1), photos / "01.png", tmp_path / "out")
    assert record.reason == f"File name too long: {tmp_path / 'out/images/01.png'}"


@pytest.mark.usefixtures("digiface64")
def test_a_mask_that_cannot_be_read_for_a_moment_costs_no_result(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run.photos(tmp_path / "in", 2)
    run.photos(tmp_path / "masks", 2)
    run.recipe_file(tmp_path, OWN_MASKS)
    assert main(command(tmp_path)) == 0
    before = all_files(tmp_path / "out")
    (tmp_path / "masks").rename(tmp_path / "gone")
    assert main(command(tmp_path)) == 1
    said = capfd.readouterr().err
    assert said.count("with --set in the working folder; what was made of it before stays\n") == said.count("\n") == 2
    assert all_files(tmp_path / "out") == before
    (tmp_path / "gone").rename(tmp_path / "masks")
    assert main(command(tmp_path)) == 0
    assert all_files(tmp_path / "out") == before
    (tmp_path / "masks").rename(tmp_path / "gone")
    assert main(command(tmp_path, "--seed", "5")) == 1  # the recipe has changed: what the other made is none of this one's
    assert not list((tmp_path / "out/images").iterdir())
    assert {record["status"] for record in run.records(tmp_path / "out").values()} == {"failed"}


@pytest.mark.usefixtures("digiface64")
def test_a_failure_that_cannot_be_written_ends_the_run_too(tmp_path: Path) -> None:
    """Of a photo whose name is too long for a record it is told, and it is no other photo's."""
    photos = run.photos(tmp_path / "in", 1)
    (photos / "00.png").write_text("no picture")
    with refusing(errno.EIO, "/records/"), pytest.raises(ValueError, match=r"out cannot be written: Input/output error; choose"):
        list(restore(run.quick(), photos, tmp_path / "out"))
    with refusing(errno.ENAMETOOLONG, "/records/00.png"):
        (record,) = restore(run.quick(), photos, tmp_path / "out")
    assert record.status == "failed"


@pytest.mark.usefixtures("digiface64")
@pytest.mark.parametrize(("recipe", "stays"), [("", True), ("another's", False)])
def test_an_older_record_may_be_of_this_recipe(tmp_path: Path, recipe: str, stays: bool) -> None:
    """It names none, and without the mask nobody can tell."""
    photos, out = run.photos(tmp_path / "in", 1), tmp_path / "out"
    run.photos(tmp_path / "masks", 1)
    own = Recipe.load(run.recipe_file(tmp_path, OWN_MASKS))
    (record,) = restore(own, photos, out)
    write_record(out, replace(record, recipe=recipe))
    (tmp_path / "masks/00.png").unlink()
    (again,) = restore(own, photos, out)
    assert (again.status, (out / "images/00.png").exists()) == ("failed", stays)
    assert again.recipe == record.recipe != again.fingerprint, "of all photos of the recipe, whatever their masks"


@pytest.mark.usefixtures("digiface64")
def test_a_photo_that_cannot_be_read_for_a_moment_costs_no_result(tmp_path: Path) -> None:
    photos, out = run.photos(tmp_path / "in", 2), tmp_path / "out"
    assert len(list(restore(run.quick(), photos, out))) == 2
    before = all_files(out)
    (photos / "01.png").rename(tmp_path / "elsewhere.png")
    (photos / "01.png").symlink_to(tmp_path / "share" / "01.png")  # of a share that is not mounted
    (record,) = restore(run.quick(), photos, out)
    assert (record.status, record.reason) == ("failed", "cannot be read: No such file or directory; what was made of it before stays")
    assert all_files(out) == before
    record = {each.name: each for each in restore(run.quick(seed=2), photos, out)}["01.png"]
    assert record.reason == "cannot be read: No such file or directory"
    assert not (out / "images/01.png").exists()


@pytest.mark.usefixtures("digiface64")
@pytest.mark.parametrize("size", ["the same", "another"])
def test_of_a_photo_that_is_not_opened_the_size_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: str) -> None:
    photos, out = run.photos(tmp_path / "in", 1), tmp_path / "out"
    list(restore(run.quick(), photos, out))

    def refused(path: Path) -> None:
        raise PhotoError(path, "cannot be read: Permission denied")

    monkeypatch.setattr(workbench, "identify", refused)
    if size == "another":
        run.picture(5, 80, 80).save(photos / "00.png")
    (record,) = restore(run.quick(), photos, out, Options(overwrite=True))
    assert record.status == "failed"
    assert (out / "images/00.png").exists() == (size == "the same")


@pytest.mark.usefixtures("digiface64")
@pytest.mark.parametrize("where", ["read", "solve"])
def test_doing_a_finished_photo_again_and_failing_leaves_it_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    photos, out = run.photos(tmp_path / "in", 1), tmp_path / "out"
    list(restore(run.quick(), photos, out))
    before = all_files(out)

    place: tuple[object, str] = (Reader, "read") if where == "read" else (workbench, "solve_jobs")
    monkeypatch.setattr(*place, run.broken)
    (record,) = restore(run.quick(), photos, out, Options(overwrite=True))
    assert (record.status, record.image) == ("failed", None)
    assert record.reason == "no finite picture was found; what was made of it before stays"
    assert all_files(out) == before
    assert Run(run.quick(), [photos], out, Options()).before == {"done": 1}
    (record,) = restore(run.quick(seed=1), photos, out)
    assert record.reason == "no finite picture was found"
    assert not (out / "images/00.png").exists()


@contextmanager
def killed_after(steps: int, out: Path) -> Iterator[None]:
    """So many files of results and records are moved or removed below `out`, and then none."""
    left, real = [steps], {name: getattr(Path, name) for name in ("replace", "unlink")}

    def alive(name: str) -> Callable[..., Any]:
        def step(self: Path, *given: Any, **more: Any) -> Any:
            if self.is_relative_to(out) and self.parent != out:
                if not left[0]:
                    raise KeyboardInterrupt
                left[0] -= 1
            return real[name](self, *given, **more)

        return step

    with pytest.MonkeyPatch.context() as patched:
        for name in real:
            patched.setattr(Path, name, alive(name))
        yield


@pytest.mark.usefixtures("digiface64")
def test_killed_while_it_replaces_results_a_run_leaves_none_of_the_old_ones(tmp_path: Path) -> None:
    old, new = run.quick(samples=2, noise={"gaussian": {"sigma": 0.05}}, output={"codes": True}), run.quick()
    photos, first, whole = run.photos(tmp_path / "in", 1), tmp_path / "first", tmp_path / "whole"
    list(restore(old, photos, first, Options(degrade=True)))
    shutil.copytree(first, whole)
    list(restore(new, photos, whole))
    assert len(all_files(first)[0]) - len(all_files(whole)[0]) == 3, "original, spread and codes"
    for steps in range(7):  # the old record, two files, three that go, the new record
        out = tmp_path / str(steps)
        shutil.copytree(first, out)
        with pytest.raises(KeyboardInterrupt), killed_after(steps, out):
            list(restore(new, photos, out))
        assert len(list(restore(new, photos, out))) == 1
        assert all_files(out) == all_files(whole)


def test_what_is_written_together_appears_together(tmp_path: Path) -> None:
    old, new, record = tmp_path / "a/old.png", tmp_path / "b/new.png", tmp_path / "record"
    write_atomically(old, b"old")
    write_atomically(record, b"before")

    def failing() -> None:
        with together(instead_of=record) as write:
            write(old, b"newer")
            write(new, b"new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        failing()
    assert (old.read_bytes(), record.read_bytes()) == (b"old", b"before")
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["old.png", "record"]
    with together(instead_of=record) as write:
        write(old, b"newer")
        write(new, b"new")
        assert (old.read_bytes(), new.exists(), record.read_bytes()) == (b"old", False, b"before")
    assert (old.read_bytes(), new.read_bytes(), record.exists()) == (b"newer", b"new", False)
    with pytest.raises(WriteError) as caught:
        write_atomically(old / "below" / "a.png", b"")
    assert (caught.value.errno, caught.value.filename) == (errno.ENOTDIR, str(old / "below" / "a.png"))


def test_a_recipe_knows_whether_its_files_can_be_read(tmp_path: Path) -> None:
    recipe = Recipe.load(run.recipe_file(tmp_path, OWN_MASKS))
    assert run.quick().is_readable()
    assert not recipe.is_readable("00")
    run.photos(tmp_path / "masks", 1)
    assert recipe.is_readable("00")
    assert not recipe.is_readable("01")
