"""Masks as files: written, corrected, given back, and those of a run."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import run_support as run
import torch
from PIL import Image, ImageDraw

from priorsolve.cli import main
from priorsolve.photos.scratches import Scratches, find_scratches
from priorsolve.recipe.recipe import Recipe
from priorsolve.run.masks import write_masks
from priorsolve.run.restoration import Options, restore


def test_masks_are_written_corrected_and_given_back(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    photo = run.picture(0)
    ImageDraw.Draw(photo).rectangle((20, 30, 39, 34), "magenta")
    (tmp_path / "in/sub").mkdir(parents=True)
    photo.save(tmp_path / "in/a.jpg", quality=95, subsampling=0)
    run.picture(0).save(tmp_path / "in/b.png")
    recipe, out = run.recipe_file(tmp_path), tmp_path / "masks"
    colour = ["--set", "operator.mask={colour: '#ff00ff', grow: 1}", "--out", str(out)]
    assert main(["masks", recipe, str(tmp_path / "in"), *colour]) == 1
    said = capfd.readouterr().err
    assert "a.jpg: 3.8% is a hole" in said
    assert "failed: b.png: nothing in it is of the colour #ff00ff" in said
    assert said.endswith(f"1 written, 1 failed; see {out}\n")
    assert main(["masks", recipe, str(tmp_path / "in/a.jpg"), *colour]) == 0
    assert capfd.readouterr().err.endswith(f"0 written, 1 kept (--overwrite makes them anew); see {out}\n")
    mask = np.asarray(Image.open(out / "a.png"))
    assert (mask[29:36, 19:41] == 255).all()
    assert mask.sum() == 255 * 7 * 22
    preview = np.asarray(Image.open(out / "previews/a.jpg")).astype(int)
    assert (preview[32, 30] - preview[32, 30].min())[0] > 150
    given = Recipe.load(recipe, [f"operator.mask={{file: '{out}/{{stem}}.png'}}"])
    (record,) = restore(given, tmp_path / "in/a.jpg", tmp_path / "out")
    assert record.status == "done", record.reason
    assert main(["masks", recipe, str(tmp_path / "in/b.png"), "--out", str(out), "--set", "operator=gray"]) == 2
    assert "there is no mask in it" in capfd.readouterr().err
    photo.save(tmp_path / "in/sub/a.png")
    assert main(["masks", recipe, str(tmp_path / "in"), *colour]) == 2
    assert "would both have the mask a.png; rename one of them, or give them one by one, each with an --out" in capfd.readouterr().err


def test_masks_of_each_photos_own_seed_are_those_of_a_run(tmp_path: Path) -> None:
    photos, recipe = run.photos(tmp_path / "in", 2), run.quick(operator={"mask": {"strokes": "thick", "seed": "{seed}"}})
    assert all(made.path is not None for made in write_masks(recipe, [photos], tmp_path / "masks"))
    assert len(list(restore(recipe, photos, tmp_path / "out", Options(degrade=True)))) == 2
    holes = [np.asarray(Image.open(tmp_path / f"masks/0{index}.png").convert("L")) > 0 for index in range(2)]
    assert (holes[0] != holes[1]).any()
    for index, hole in enumerate(holes):
        measured = np.asarray(Image.open(tmp_path / f"out/measurements/0{index}.png"))
        assert (measured[hole] == 0).all()
        assert (measured[~hole].max(-1) > 0).all()


def test_the_masks_of_one_recipe_are_written_together(tmp_path: Path) -> None:
    boxes = [0, 0, 10, 10], [30, 30, 40, 40]
    recipe = run.quick(operator=[{"mask": {"boxes": [box]}} for box in boxes])
    assert [made.name for made in write_masks(recipe, [run.photos(tmp_path / "in", 1)], tmp_path / "masks")] == ["00.png"]
    hole = np.zeros((64, 64), bool)
    hole[:10, :10] = hole[30:40, 30:40] = True
    assert ((run.pixels(tmp_path / "masks/00.png") > 127) == hole).all()


@pytest.mark.parametrize("degrees", range(0, 180, 30))
def test_a_scratch_is_found_whatever_its_direction(degrees: int) -> None:
    photo, along = torch.full((160, 160), 0.4), torch.linspace(-60, 60, 481)
    angle = math.radians(degrees)
    rows, columns = ((80 + along * each).round().long() for each in (math.sin(angle), math.cos(angle)))
    photo[rows, columns] = 0.8
    assert find_scratches(photo, Scratches(grow=0, dust=False))[rows, columns].float().mean() > 0.9


def test_a_wide_scratch_may_be_as_short_as_a_thin_one() -> None:
    """It is found in a smaller picture, in which it is a quarter as long."""
    photo = torch.full((1024, 1024), 0.4)
    photo[500:508, 400:490] = 0.8
    assert find_scratches(photo, Scratches(grow=0, dust=False))[500:508, 400:490].float().mean() > 0.9
