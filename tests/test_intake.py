"""Which of the files that are given are photos, and which are the recipe's masks."""

from __future__ import annotations

from pathlib import Path

import pytest
import run_support as run
from PIL import Image
from torch import Tensor

from priorsolve.cli import main
from priorsolve.comparison.benchmark import Benchmark
from priorsolve.comparison.variants import Variant
from priorsolve.photos.writing import write_image
from priorsolve.recipe.recipe import Recipe
from priorsolve.report import write_report
from priorsolve.run.degrade import degrade
from priorsolve.run.earlier import mark_previews
from priorsolve.run.intake import take_in
from priorsolve.run.masks import write_masks
from priorsolve.run.restoration import Options, Run, restore

BOXES = "boxes: [[0.25, 0.25, 0.75, 0.75]]"


def recipe(folder: Path, file: str) -> Recipe:
    return Recipe.load(run.recipe_file(folder, run.QUICK.replace(BOXES, f"file: '{file}'")))


def laid(folder: Path, *names: str) -> Path:
    for index, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if "mask" in name:
            Image.new("L", (64, 64)).save(folder / name)
        else:
            run.picture(index).save(folder / name)
    return folder


@pytest.mark.parametrize(
    ("file", "others", "kept"),
    [
        ("in/masks/{stem}.png", ["masks/a.png", "masks/of-nobody.png", "masks/previews/a.jpg"], []),
        ("in/masks/{stem}-m.png", ["masks/a-m.png", "masks/c.png"], ["masks/c.png"]),
        ("in/{stem}-mask.png", ["a-mask.png", "z-mask.png"], ["z-mask.png"]),  # among the photos only what is a photo's mask
        ("in/{stem}.png", ["a.png", "sub/b.png"], ["sub/b.png"]),
        ("in/{stem}/mask.png", ["a/mask.png", "b/other.png"], ["b/other.png"]),
        ("in/mask.png", ["mask.png"], []),
        ("elsewhere/{stem}.png", ["masks/a.png"], ["masks/a.png"]),
    ],
)
def test_masks_below_the_photos_are_no_photos(tmp_path: Path, file: str, others: list[str], kept: list[str]) -> None:
    photos = laid(tmp_path / "in", "a.jpg", "b.bmp", *others)
    intake = take_in([photos], [], [recipe(tmp_path, file)])
    assert [photo.name for photo in intake.photos] == sorted(["a.jpg", "b.bmp", *kept])
    assert intake.masks == len(others) - len(kept)


def test_photos_that_share_a_mask_are_told(tmp_path: Path) -> None:
    """Two versions of one photo may well do so; two photos of one name in two folders may not, and nobody knew."""
    photos = laid(tmp_path / "in", "a.jpg", "a.png", "b.png", "sub/b.png", "c.png")
    told = "photos that take one mask with another, since {stem} is the same for both, such as a.jpg and a.png; rename them where each has"
    assert take_in([photos], [], [recipe(tmp_path, "masks/{stem}.png")]).sentences() == [f"{told} its own: 4"]
    assert take_in([photos], [], [recipe(tmp_path, "hole.png")]).sentences() == []
    (photos / "a.jpg").unlink()
    (photos / "sub" / "b.png").unlink()
    assert take_in([photos], [], [recipe(tmp_path, "masks/{stem}.png")]).sentences() == []


def test_what_was_asked_for_by_name_stays(tmp_path: Path) -> None:
    photos = laid(tmp_path / "in", "a.jpg", "masks/a.png")
    with_masks = recipe(tmp_path, "in/masks/{stem}.png")
    assert len(take_in([photos, photos / "masks"], [], [with_masks]).photos) == 2
    assert len(take_in([photos, photos / "masks" / "a.png"], [], [with_masks]).photos) == 2
    assert len(take_in([photos / "masks"], [], [with_masks]).photos) == 1
    (photos / "a.jpg").unlink()
    with pytest.raises(ValueError, match=r"no photos in .*in but the recipe's masks"):
        take_in([photos], [], [with_masks])


@pytest.mark.usefixtures("digiface64")
def test_no_command_takes_masks_for_photos(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    photos = laid(tmp_path / "in", "a.png", "masks/a.png")
    with_masks = recipe(tmp_path, "in/masks/{stem}.png")
    assert [photo.name for photo in Run(with_masks, [photos], tmp_path / "out", Options()).todo] == ["a.png"]
    assert [made.name for made in degrade(with_masks, [photos], tmp_path / "y")] == ["a.png"]
    assert [made.name for made in write_masks(with_masks, [photos], tmp_path / "m")] == ["a.png"]
    plain = Variant("plain", run.quick())
    bench = Benchmark([plain, Variant("own", with_masks)], [photos], tmp_path / "b", Options(), baselines=False)
    assert [photo.name for photo in bench.photos] == ["a.png"]
    assert [[photo.name for photo in entry.run.todo] for entry in bench.entries] == [["a.png"], ["a.png"]]
    assert main(["restore", str(tmp_path / "recipe.yaml"), str(photos), "--out", str(tmp_path / "out")]) == 0
    assert "files among the photos that are left out, since they are the recipe's masks: 1\n" in capfd.readouterr().err


@pytest.fixture
def used(tmp_path: Path) -> Path:
    """A folder with two photos, and what runs and `masks` left below it."""
    photos = laid(tmp_path / "in", "a.png", "sub/b.png")
    for out in ("r1", "sub"):  # the second lies among photos
        list(restore(run.quick(), photos / "sub" / "b.png", photos / out, Options()))
        write_report(photos / out)
    list(write_masks(run.quick(), [photos / "a.png"], photos / "masks"))
    return photos


@pytest.mark.parametrize("written", [0, 1])
def test_a_mask_is_known_as_one_whenever_its_command_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int) -> None:
    photos, left = laid(tmp_path / "in", "a.png"), iter(range(written))

    def write_until_killed(path: Path, image: Tensor) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        write_image(path, image)

    monkeypatch.setattr("priorsolve.run.masks.write_image", write_until_killed)
    with pytest.raises(KeyboardInterrupt):
        list(write_masks(run.quick(), [photos], photos / "masks"))
    assert [photo.name for photo in take_in([photos], [], [run.quick()]).photos] == ["a.png"]
    monkeypatch.undo()
    (made,) = write_masks(run.quick(), [photos], photos / "masks")
    assert made.reason == ""


@pytest.mark.usefixtures("digiface64")
def test_what_earlier_runs_wrote_is_left_out(used: Path) -> None:
    laid(used, "masks/own.png", "previews/c.png", "images/d.png")  # none of these is a run's
    intake = take_in([used], [], [run.quick()])
    assert [photo.name for photo in intake.photos] == ["a.png", "images/d.png", "masks/own.png", "previews/c.png", "sub/b.png"]
    assert intake.earlier == len(["images", "measurements", "sheet.png"]) * 2 + len(["mask", "preview"])
    assert intake.sentences() == ["files among the photos that are left out, since earlier runs wrote them: 8"]
    assert [photo.name for photo in take_in([used / "r1"], [], [run.quick()]).photos] == ["images/b.png", "measurements/b.png", "sheet.png"]
    assert len(take_in([used / "r1" / "images"], [], [run.quick()]).photos) == 1
    assert len(take_in([used, used / "r1" / "images", used / "r1" / "sheet.png"], [], [run.quick()]).photos) == 5 + 2
    assert [photo.name for photo in take_in([used / "masks"], [], [run.quick()]).photos] == ["a.png", "own.png"]
    for photo in ("a.png", "sub/b.png", "images/d.png", "masks/own.png", "previews/c.png"):
        (used / photo).unlink()
    with pytest.raises(ValueError, match=r"no photos in .*in but what earlier runs wrote; give the very folder"):
        take_in([used], [], [run.quick()])


@pytest.mark.usefixtures("digiface64")
def test_results_among_the_photos_themselves_are_left_out_too(tmp_path: Path) -> None:
    photos = laid(tmp_path / "in", "a.png", "sub/b.png")
    assert len(list(restore(run.quick(), photos, photos, Options(degrade=True)))) == 2
    write_report(photos)
    own = ["a.png", "sub/b.png"]

    def names(*inputs: Path) -> list[str]:
        return [photo.name for photo in take_in(inputs, [], [run.quick()]).photos]

    assert names(photos) == own
    assert take_in([photos], [], [run.quick()]).earlier == len(["images", "measurements", "originals"]) * 2 + len(["sheet"])
    assert [photo.name for photo in Run(run.quick(), [photos], tmp_path / "other", Options()).todo] == own
    assert Run(run.quick(), [photos], photos, Options(degrade=True)).before == {"done": 2}
    assert names(photos / "images") == own  # given itself
    assert names(photos, photos / "sheet.png") == ["a.png", "sheet.png", "sub/b.png"]
    assert len(names(photos, photos / "images")) == 4
    (photos / "sub" / "b.png").unlink()
    assert names(photos) == ["a.png"]
    (photos / "a.png").unlink()  # results alone, and given themselves
    assert len(names(photos)) == 7


@pytest.mark.usefixtures("digiface64")
def test_what_a_benchmark_wrote_is_left_out(tmp_path: Path) -> None:
    photos = laid(tmp_path / "in", "a.png", "sheet-of-mine.png")
    bench = Benchmark([Variant("own", run.quick())], [photos / "a.png"], photos / "bench", Options(), metrics=["psnr"])
    list(bench.entries[0].run.records())
    list(bench.baseline_records(bench.baseline_work()))
    bench.write_sheets()
    assert (photos / "bench" / "sheet-own.png").is_file()
    assert [photo.name for photo in take_in([photos], [], [run.quick()]).photos] == ["a.png", "sheet-of-mine.png"]


@pytest.mark.usefixtures("digiface64")
def test_every_command_says_what_it_leaves_out(used: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    recipe, told = run.recipe_file(tmp_path), "since earlier runs wrote them: 8\n"
    for command in ("restore", "degrade", "masks"):
        capfd.readouterr()
        assert main([command, recipe, str(used), "--out", str(tmp_path / command)]) == 0
        assert told in capfd.readouterr().err
    assert main(["benchmark", recipe, "--photos", str(used), "--out", str(tmp_path / "b"), "--metric", "psnr", "--no-baselines"]) == 0
    assert told in capfd.readouterr().err
    assert main(["degrade", recipe, str(used), "--out", str(tmp_path / "degrade"), "--quiet"]) == 0
    assert capfd.readouterr().err == ""
    assert main(["degrade", recipe, str(used / "sub"), "--out", str(used / "sub" / "images")]) == 0
    assert "that are left out, since results are written where they are: 1\n" in capfd.readouterr().err


def test_a_photo_of_a_masks_name_beside_it_is_no_mask(tmp_path: Path) -> None:
    photos = laid(tmp_path, "sub/a.png", "sub/a.bmp", "sub/previews/a.jpg")
    mark_previews(photos / "sub")
    assert [photo.name for photo in take_in([photos], [], []).photos] == ["sub/a.bmp"]


def test_a_folder_of_previews_that_is_ones_own_makes_no_masks(tmp_path: Path) -> None:
    photos = laid(tmp_path, "a.png", "previews/a.jpg")
    (photos / "previews/about.txt").write_text("Small ones, to look at.")
    assert [photo.name for photo in take_in([photos], [], []).photos] == ["a.png", "previews/a.jpg"]
