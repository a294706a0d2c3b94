"""Which of the files that are given are photos, and which are the recipe's masks."""

from __future__ import annotations

from pathlib import Path

import pytest
import run_support as run
from PIL import Image

from priorsolve.benchmark import Benchmark
from priorsolve.cli import main
from priorsolve.degrade import degrade
from priorsolve.intake import take_in
from priorsolve.masks import write_masks
from priorsolve.recipe import Recipe
from priorsolve.restoration import Options, Run
from priorsolve.variants import Variant

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
