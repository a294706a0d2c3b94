"""Holes found in photos themselves: transparent, painted over, scratched; as files, and through a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import run_support as run
import torch
from PIL import Image, ImageDraw

from priorsolve.cli import main
from priorsolve.data import masks
from priorsolve.operators.holes import Holes
from priorsolve.operators.photo_holes import PhotoHoles
from priorsolve.photos.pictures import PhotoError
from priorsolve.photos.scratches import Scratches, find_scratches
from priorsolve.recipe.components import RecipeError
from priorsolve.recipe.operators import Operators
from priorsolve.recipe.recipe import Recipe
from priorsolve.run.jobs import HIDES_ALL, HIDES_NOTHING
from priorsolve.run.records import Record
from priorsolve.run.restoration import Options, restore

MAGENTA = (255, 0, 255)


def found(path: Path, size: tuple[int, int], *, whole: bool = True, **given: object) -> np.ndarray:
    """Where the holes are, boolean."""
    mask = Holes(**given).in_photo(path, whole=whole)  # type: ignore[arg-type]
    return np.asarray(mask.A(torch.ones(1, 3, *size))[0, 0] == 0)


def smooth(height: int = 96, width: int = 96, seed: int = 0) -> Image.Image:
    """A smooth picture with a little grain."""
    values = np.asarray(run.picture(0, height, width)).astype(float) * 0.8
    return Image.fromarray((values + np.random.default_rng(seed).normal(0, 2, values.shape)).clip(0, 255).astype(np.uint8))


def done(photos: Path, out: Path, options: Options | None = None, **changes: object) -> list[Record]:
    return list(restore(run.quick(**changes), photos, out, options))


def test_transparent_parts_are_holes(tmp_path: Path) -> None:
    photo = smooth().convert("RGBA")
    photo.paste((0, 0, 0, 0), (10, 20, 30, 25))
    hole = np.zeros((96, 96), bool)
    hole[20:25, 10:30] = True
    for name in ("a.png", "a.webp", "a.tif"):
        photo.save(tmp_path / name, lossless=True, exact=True)  # which but WebP pass over
        assert (found(tmp_path / name, (96, 96), alpha=True) == hole).all(), name
    Image.fromarray(hole[::-1]).save(tmp_path / "mask.png")
    assert (found(tmp_path / "a.png", (96, 96), alpha=True, file=str(tmp_path / "mask.png")) == hole | hole[::-1]).all()
    photo.quantize(64).save(tmp_path / "palette.png")
    assert (found(tmp_path / "palette.png", (96, 96), alpha=True) == hole).all()
    smooth().save(tmp_path / "plain.jpg")
    with pytest.raises(PhotoError, match=r"plain.jpg: nothing in it is transparent, so no hole is known; erase"):
        found(tmp_path / "plain.jpg", (96, 96), alpha=True)
    boxed = found(tmp_path / "plain.jpg", (96, 96), alpha=True, boxes=[[0.5, 0.5, 1.0, 1.0]])
    assert boxed.sum() == 48 * 48
    Image.new("RGBA", (16, 16)).save(tmp_path / "empty.png")
    with pytest.raises(PhotoError, match="all of it is transparent"):
        found(tmp_path / "empty.png", (16, 16), alpha=True)


def test_what_is_half_transparent_is_a_hole_beside_a_scratch(tmp_path: Path) -> None:
    photo = Image.new("RGBA", (96, 96), "grey")
    photo.paste((255, 255, 255, 255), (20, 70, 80, 71))
    for left, alpha in ((10, 128), (40, 253)):
        photo.paste((128, 128, 128, alpha), (left, 20, left + 20, 25))
    photo.save(tmp_path / "a.png")
    hole = np.zeros((96, 96), bool)
    hole[20:25, 10:30] = True
    assert (found(tmp_path / "a.png", (96, 96), alpha=True) == hole).all()
    hole[70, 20:80] = True
    assert (found(tmp_path / "a.png", (96, 96), alpha=True, scratches=Scratches(grow=0)) == hole).all()


def test_what_was_painted_over_is_a_hole_with_its_soft_edge(tmp_path: Path) -> None:
    large = smooth().resize((384, 384))
    ImageDraw.Draw(large).line((40, 60, 300, 280), MAGENTA, 24)
    large.resize((96, 96), Image.Resampling.BOX).save(tmp_path / "a.png")  # as an editor's brush, with antialiasing
    painted = np.asarray(Image.open(tmp_path / "a.png")).astype(int)
    off = np.abs(painted - np.asarray(smooth().resize((384, 384)).resize((96, 96), Image.Resampling.BOX))).max(-1)
    hole = found(tmp_path / "a.png", (96, 96), colour="#ff00ff")
    assert hole[off > 20].all()
    assert hole.sum() < 2 * (off > 20).sum()
    assert (found(tmp_path / "a.png", (96, 96), colour="magenta") == hole).all()
    assert found(tmp_path / "a.png", (96, 96), colour="#ff00ff", grow=0).sum() < (off > 20).sum()
    with pytest.raises(PhotoError, match="nothing in it is of the colour #00ff00"):
        found(tmp_path / "a.png", (96, 96), colour="#00ff00")
    with pytest.raises(ValueError, match="'blurple' is no colour; write it as '#ff00ff', with quotes"):
        Holes(colour="blurple")
    deep = np.full((20, 20), 30_000, np.uint16)
    deep[5:9, 5:9] = 65535
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert found(tmp_path / "deep.png", (20, 20), colour="white", grow=0).sum() == 16


def test_paint_that_a_jpeg_smeared_is_found(tmp_path: Path) -> None:
    photo = np.zeros((96, 96, 3), np.uint8)
    photo[:48], photo[48:] = (180, 70, 50), (20, 20, 30)
    painted = np.zeros((96, 96), bool)
    painted[:, 30:34], painted[60:64] = True, True
    photo[painted] = 255, 0, 255
    Image.fromarray(photo).save(tmp_path / "a.jpg", quality=95)
    hole = found(tmp_path / "a.jpg", (96, 96), colour="#ff00ff", grow=0)
    off = np.abs(np.asarray(Image.open(tmp_path / "a.jpg")).astype(int) - (255, 0, 255)).max(-1)
    assert (off[painted] > 0.1 * 255).mean() > 0.2  # a good part is off by more than the tolerance
    assert hole[painted].mean() > 0.95
    assert hole.sum() < 1.2 * painted.sum()


def test_marks_turn_crop_and_shrink_with_their_photo(tmp_path: Path) -> None:
    photo = smooth(60, 100)
    ImageDraw.Draw(photo).rectangle((70, 10, 79, 19), MAGENTA)
    exif = Image.Exif()
    exif[274] = 6  # to be turned by 90° clockwise
    photo.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "a.png", exif=exif)
    upright = found(tmp_path / "a.png", (60, 100), colour="#ff00ff", grow=0)
    assert upright[10:20, 70:80].all()
    assert upright.sum() == 100
    middle = found(tmp_path / "a.png", (60, 60), whole=False, colour="#ff00ff", grow=0)
    assert (middle == upright[:, 20:80]).all()
    small = found(tmp_path / "a.png", (30, 30), whole=False, colour="#ff00ff", grow=0)
    assert small[5:10, 25:30].all()
    assert small.sum() <= 49  # and no more than a pixel around


def test_files_of_the_photos_shape_go_with_it(tmp_path: Path) -> None:
    smooth(60, 100).save(tmp_path / "a.png")
    hole = Image.new("L", (100, 60))
    hole.paste(255, (70, 10, 80, 20))
    hole.save(tmp_path / "m.png")
    hole.resize((50, 30), Image.Resampling.NEAREST).save(tmp_path / "half.png")
    hole.resize((50, 50)).save(tmp_path / "square.png")
    assert found(tmp_path / "a.png", (60, 60), whole=False, file=str(tmp_path / "m.png"))[10:20, 50:60].all()
    halved = Holes(file=str(tmp_path / "half.png")).in_photo(tmp_path / "a.png", whole=True)
    assert (found(tmp_path / "a.png", (60, 100), file=str(tmp_path / "half.png"))[10:20, 70:80]).all()
    assert getattr(halved, "notes", ()) == ("the mask, 50×30, was stretched to the photo's 100×60",)
    with pytest.raises(ValueError, match=r"square.png is 50×50 but the picture is 100×60, another shape"):
        found(tmp_path / "a.png", (60, 100), file=str(tmp_path / "square.png"))
    assert found(tmp_path / "a.png", (50, 50), whole=False, file=str(tmp_path / "square.png")).sum() > 20  # made for what is worked on
    hole.resize((14, 9), Image.Resampling.NEAREST).save(tmp_path / "off.png")  # as far off as rounding may be, whatever is worked on
    for whole in (True, False):
        off = Holes(file=str(tmp_path / "off.png")).in_photo(tmp_path / "a.png", whole=whole)
        assert getattr(off, "notes", ()) == ("the mask, 14×9, was stretched to the photo's 100×60",)


def test_a_file_of_the_size_that_is_worked_on_lies_over_that(tmp_path: Path) -> None:
    smooth(128, 128).save(tmp_path / "a.png")
    hole = Image.new("L", (64, 64))
    hole.paste(255, (10, 10, 20, 20))
    hole.save(tmp_path / "m.png")
    mask = Holes(file=str(tmp_path / "m.png"))
    assert mask.in_photo(tmp_path / "a.png", whole=False, size=(64, 64)) is mask
    assert mask.in_photo(tmp_path / "a.png", whole=False, size=(32, 32)) is not mask


def test_a_photos_holes_are_cropped_at_whole_pixels_and_keep_their_levels() -> None:
    holes = torch.zeros(64, 65)  # half a pixel too wide on either side
    holes[:, 10], holes[:, 20] = 1, 0.498
    known = PhotoHoles(holes).A(torch.ones(1, 1, 64, 64))[0, 0]
    assert (known == 0).all(0).nonzero().flatten().tolist() == [10]
    torch.testing.assert_close(known[:, 20], 1 - holes[:, 20], atol=0.5 / 255, rtol=0)


def test_below_a_files_soft_edge_a_photo_is_damaged(tmp_path: Path) -> None:
    smooth(8, 8).save(tmp_path / "a.png")
    levels = np.zeros((8, 8), np.uint8)
    levels[2:5], levels[5] = 255, 128
    Image.fromarray(levels).save(tmp_path / "m.png")
    assert (found(tmp_path / "a.png", (8, 8), file=str(tmp_path / "m.png")) == (levels > 0)).all()


@pytest.mark.usefixtures("digiface64")
def test_one_file_of_the_photos_shape_is_cropped_with_each(tmp_path: Path) -> None:
    photos = tmp_path / "in"
    photos.mkdir()
    for name, size in (("a.png", (60, 100)), ("b.png", (60, 60))):
        smooth(*size).save(photos / name)
    hole = Image.new("L", (100, 60))
    hole.paste(255, (70, 10, 80, 20))
    hole.save(tmp_path / "m.png")
    mask = {"mask": {"file": str(tmp_path / "m.png")}}
    fits, other = sorted(done(photos, tmp_path / "out", operator=mask), key=lambda record: record.name)
    assert fits.status == "done"
    measured = np.asarray(Image.open(tmp_path / "out/measurements/a.png"))
    assert (measured[12:20, 54:] == 0).all()
    assert measured[:9].max(-1).all()
    assert measured[:, :51].max(-1).all()
    assert "m.png is 100×60 but the picture is 64×64, another shape" in other.reason
    with pytest.raises(RecipeError, match=r"m.png is 100×60 but the picture is 64×64, another shape"):
        done(photos, tmp_path / "clean", Options(degrade=True), operator=mask)


@pytest.mark.usefixtures("digiface64")
def test_a_square_file_of_another_size_goes_with_a_square_photo(tmp_path: Path) -> None:
    photo = Image.new("RGB", (128, 128), "gray")
    photo.paste((255, 0, 0), (33, 33, 75, 75))  # the damage
    photo.save(tmp_path / "a.png")
    hole = Image.new("L", (256, 256))
    hole.paste(255, (66, 66, 150, 150))
    for size in (256, 128):
        hole.resize((size, size), Image.Resampling.NEAREST).save(tmp_path / f"{size}.png")
        mask = {"mask": {"file": str(tmp_path / f"{size}.png")}}
        (record,) = done(tmp_path / "a.png", tmp_path / f"out{size}", operator=mask)
        measured = np.asarray(Image.open(tmp_path / f"out{size}/measurements/a.png")).astype(int)
        assert (measured[17:37, 17:37] == 0).all()
        assert np.ptp(measured, axis=-1).max() < 30  # a trace of red, by Lanczos, but no outline
        stretched = "the mask, 256×256, was stretched to the photo's 128×128"
        assert (stretched in record.notes) == (size == 256)
    hole.resize((64, 64), Image.Resampling.NEAREST).save(tmp_path / "64.png")  # of what is worked on: as it is
    (record,) = done(tmp_path / "a.png", tmp_path / "out64", operator={"mask": {"file": str(tmp_path / "64.png")}})
    assert not any("stretched" in note for note in record.notes)
    (record,) = done(tmp_path / "a.png", tmp_path / "clean", Options(degrade=True), operator={"mask": {"file": str(tmp_path / "256.png")}})
    assert not any("stretched" in note for note in record.notes)  # of clean photos, it is the same for all


def scratched(kind: str, height: int = 240, width: int = 320) -> tuple[torch.Tensor, np.ndarray]:
    """A smooth photo with scratches and dust, and where they are."""
    marks = Image.new("L", (width * 2, height * 2))
    draw = ImageDraw.Draw(marks)
    draw.line((60, 40, 200, 300, 240, 440), 255, 4)
    draw.line((300, 60, 620, 150), 255, 6)
    for x, y in ((500, 300), (400, 380), (90, 400)):
        draw.ellipse((x - 4, y - 4, x + 4, y + 4), 255)
    cover = np.asarray(marks.resize((width, height), Image.Resampling.BOX)) / 255
    grey = np.asarray(smooth(height, width).convert("L")) / 255 * 0.6 + 0.2
    level = {"light": 0.97, "dark": 0.03}[kind]
    return torch.from_numpy((grey * (1 - cover) + level * cover).astype(np.float32)), cover > 0.5


@pytest.mark.parametrize("kind", ["light", "dark"])
@pytest.mark.parametrize("times", [1, 2])
def test_scratches_and_dust_are_found_at_any_size(kind: str, times: int) -> None:
    grey, truth = scratched(kind)
    grey = grey.repeat_interleave(times, 0).repeat_interleave(times, 1)
    truth = truth.repeat(times, 0).repeat(times, 1)
    seen = find_scratches(grey, Scratches(kind=kind, width=0.015)).numpy()  # type: ignore[arg-type]
    assert (seen & truth).sum() > 0.95 * truth.sum()
    assert seen.sum() < 3 * truth.sum()  # a pixel more around each
    other = find_scratches(grey, Scratches(kind="dark" if kind == "light" else "light"))
    assert other.float().mean() < 0.005
    lines = find_scratches(grey, Scratches(kind=kind, width=0.015, dust=False)).numpy()  # type: ignore[arg-type]
    assert 0.5 * truth.sum() < (lines & truth).sum() < (seen & truth).sum()


def test_what_is_shorter_than_a_scratch_is_none() -> None:
    for length, is_one in ((44, False), (52, True)):
        grey = torch.full((240, 240), 0.5)
        grey[100:102, 60 : 60 + length] = 0.9
        assert bool(find_scratches(grey, Scratches(length=0.2, dust=False)).any()) == is_one


def grainy(side: int, grain: float = 0.01) -> torch.Tensor:
    """A grey photo, whose texture is this strong."""
    return (0.4 + grain * torch.randn(side, side, generator=torch.Generator().manual_seed(0))).clamp(0, 1)


@pytest.mark.parametrize(
    ("place", "how", "is_one"),
    [
        ((slice(150, 158), slice(50, 250)), Scratches(width=0.02, dust=False, grow=0), True),  # as wide as may be: found at half the size
        ((slice(100, 104), slice(50, 110)), Scratches(width=0.005, dust=False, grow=0), False),  # wider than that
        ((slice(100, 101), slice(50, 66)), Scratches(grow=0), False),  # shorter than a scratch, and longer than dust
        ((slice(100, 103), slice(50, 53)), Scratches(contrast=0.3, grow=0), False),  # dust that stands out as a scratch need only
        ((slice(100, 103), slice(50, 53)), Scratches(contrast=0.15, grow=0), True),
    ],
)
def test_how_wide_long_and_bright_a_scratch_is(place: tuple[slice, slice], how: Scratches, is_one: bool) -> None:
    grey = grainy(400)
    grey[place] += 0.4
    seen = find_scratches(grey, how)
    assert float(seen[place].float().mean()) > 0.9 if is_one else not bool(seen.any())


def test_grain_as_strong_as_a_scratch_is_none() -> None:
    assert float(find_scratches(grainy(200, 0.12), Scratches(grow=0)).float().mean()) < 0.005


def test_a_clean_photo_has_no_scratch_and_is_no_failure(tmp_path: Path) -> None:
    smooth().save(tmp_path / "a.png")
    mask = Holes(scratches=Scratches()).in_photo(tmp_path / "a.png", whole=True)
    assert getattr(mask, "notes", ()) == ("nothing of the photo is scratched or dusty",)
    assert float(mask.A(torch.ones(1, 3, 96, 96)).min()) == 1


@pytest.mark.usefixtures("digiface64")
def test_a_run_fills_what_is_marked_and_says_how_much(tmp_path: Path) -> None:
    photo = smooth(128, 160)
    ImageDraw.Draw(photo).rectangle((60, 40, 79, 59), MAGENTA)
    (tmp_path / "in").mkdir()
    photo.save(tmp_path / "in/a.png")
    smooth(128, 160, seed=1).save(tmp_path / "in/b.png")
    colour: dict[str, Any] = {"operator": {"mask": {"colour": "#ff00ff", "grow": 1}}}
    missing, tiled = sorted(
        done(tmp_path / "in", tmp_path / "tiles", frame="tiles", **colour), key=lambda record: record.name, reverse=True
    )
    assert tiled.status == "done", tiled.reason
    assert "2.4% of the photo is of the colour #ff00ff" in tiled.notes
    made = np.asarray(Image.open(tmp_path / "tiles/images/a.png")).astype(int)
    hole = np.zeros((128, 160), bool)
    hole[39:61, 59:81] = True
    assert (made == np.asarray(photo))[~hole].all()
    assert np.abs(made[hole] - MAGENTA).max(-1).min() > 40
    assert (missing.status, "nothing in it is of the colour" in missing.reason) == ("failed", True)
    middle = min(done(tmp_path / "in", tmp_path / "center", **colour), key=lambda record: record.name)
    assert middle.status == "done", middle.reason
    measured = np.asarray(Image.open(tmp_path / "center/measurements/a.png"))
    assert (measured[21:29, 23:31] == 0).all()
    assert (measured.max(-1) > 0).mean() > 0.95
    with pytest.raises(RecipeError, match="colour finds holes in photos that have them, and photos that are degraded first are clean"):
        done(tmp_path / "in", tmp_path / "degraded", Options(degrade=True), **colour)


@pytest.mark.parametrize("frame", ["center", "aligned", "tiles"])
@pytest.mark.parametrize("keeps", [True, False])
def test_a_mask_that_hides_nothing_is_noted_in_every_frame(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], frame: str, keeps: bool
) -> None:
    photos = run.photos(tmp_path / "in", 1)
    Image.new("L", (64, 64)).save(tmp_path / "black.png")
    mask = {"file": str(tmp_path / "black.png")}
    recipe: dict[str, Any] = {"frame": frame, "output": {"consistency": keeps}}
    (record,) = done(photos, tmp_path / "out", operator={"mask": mask}, **recipe)
    assert HIDES_NOTHING in record.notes
    (record,) = done(photos, tmp_path / "with", operator=[{"mask": mask}, {"mask": {"half": "left"}}], **recipe)
    assert not any(note.startswith("the mask hides") for note in record.notes)
    path = run.recipe_file(tmp_path, run.quick(operator={"mask": mask}, **recipe).dump())
    assert main(["restore", path, str(photos), "--out", str(tmp_path / "said")]) == 0
    assert capfd.readouterr().err.endswith("the mask hides nothing: 1 photo\n")


def test_a_mask_of_all_that_is_left_of_the_photo_is_noted(tmp_path: Path) -> None:
    smooth(64, 128).save(tmp_path / "a.png")
    hole = Image.new("L", (128, 64))
    hole.paste(255, (32, 0, 96, 64))
    hole.save(tmp_path / "mask-a.png")
    mask = {"mask": {"file": str(tmp_path / "mask-{stem}.png")}}
    (middle,) = done(tmp_path / "a.png", tmp_path / "middle", operator=mask)
    assert HIDES_ALL in middle.notes
    (whole,) = done(tmp_path / "a.png", tmp_path / "whole", operator=mask, frame="tiles")
    assert HIDES_ALL not in whole.notes


def test_marks_are_in_the_fingerprint_and_refused_with_their_line(tmp_path: Path) -> None:
    one, other = run.quick(operator={"mask": {"scratches": True}}), run.quick(operator={"mask": {"scratches": {"kind": "dark"}}})
    assert one.fingerprint() != other.fingerprint()
    assert "kind: light" in one.dump()
    with pytest.raises(RecipeError, match=r"recipe.yaml:2: operator\[0\].mask.scratches.widht: unknown key; did you mean 'width'"):
        Recipe.load(run.recipe_file(tmp_path, "operator:\n  - mask: {scratches: {widht: 3}}\nprior: digiface64\nsolver: latent\n"))


def test_a_square_file_of_what_was_made_smaller_since_lies_over_that(tmp_path: Path) -> None:
    run.picture(0, 16, 16).save(tmp_path / "a.png")
    hole = Image.new("L", (128, 128))
    hole.paste(255, (64, 64, 66, 66))
    hole.save(tmp_path / "m.png")
    recipe = run.quick(operator=[{"mask": {"file": str(tmp_path / "m.png")}}, {"downsample": {"factor": 4}}])
    mask, _ = Operators(recipe, (3, 64, 64), torch.device("cpu"), torch.float32).of("a", 0, tmp_path / "a.png")
    assert (mask.A(torch.ones(1, 3, 64, 64))[0, 0] == 0).nonzero().tolist() == [[32, 32]]


def test_a_box_beyond_the_photo_is_told_beside_marks_too(tmp_path: Path) -> None:
    picture = Image.new("RGBA", (32, 32), "gray")
    picture.paste((0, 0, 0, 0), (4, 4, 8, 8))
    picture.save(tmp_path / "a.png")
    mask = Holes(alpha=True, boxes=[[10, 10, 40, 20]]).in_photo(tmp_path / "a.png", whole=True)
    with pytest.raises(ValueError, match=r"the box \[10, 10, 40, 20\] reaches beyond the picture, 32×32"):
        mask.A(torch.ones(1, 3, 32, 32))


def test_holes_of_a_photo_tell_what_they_are_of(tmp_path: Path) -> None:
    """A run fills what is transparent, and doubts what is drawn to demonstrate with."""
    Image.new("RGBA", (32, 32), (128, 128, 128, 253)).save(tmp_path / "a.png")
    kinds: list[dict[str, Any]] = [{"alpha": True}, {"alpha": True, "pixels": 0.5}, {"colour": "#ff0000", "pixels": 0.5}]
    for given, clear, made_up in zip(kinds, (True, True, False), (False, True, True), strict=True):
        mask = Holes(**given, boxes=[[0, 0, 0.5, 0.5]]).in_photo(tmp_path / "a.png", whole=True)
        assert isinstance(mask, PhotoHoles)
        assert (mask.clear, mask.made_up) == (clear, made_up)
    Image.new("L", (32, 32)).save(tmp_path / "own.png")
    assert [Holes(file=str(file)).made_up for file in (*masks(), tmp_path / "own.png")] == [*[True for _ in masks()], False]


def test_beside_paint_no_more_is_taken_for_it_than_a_colour_that_is_somewhat_near(tmp_path: Path) -> None:
    """However large the tolerance is: four times as much would be any colour, and all that touches the paint a hole."""
    photo = np.full((40, 40, 3), (0, 255, 0), np.uint8)
    photo[10:20, 10:20] = 255, 0, 255
    Image.fromarray(photo).save(tmp_path / "a.png")
    assert found(tmp_path / "a.png", (40, 40), colour="magenta", tolerance=0.3, grow=0).sum() == 100
