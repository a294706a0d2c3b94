"""Grey photos that files hold as colours: scans, palettes, colour JPEGs. What is filled in them is grey too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import run_support as run
import tifffile
import torch
from photo_support import WIDE
from PIL import Image

from priorsolve.operators.gray import WEIGHTS
from priorsolve.photos.greys import GREY, shows_greys_alone
from priorsolve.photos.images import read_photo
from priorsolve.photos.marks import Marks
from priorsolve.run.records import Record
from priorsolve.run.restoration import Options, restore

pytestmark = pytest.mark.usefixtures("digiface64")

NAMES = ["a.png", "a.jpg", "deep.png", "deep.tif", "palette.gif", "cmyk.jpg", "wide.png", "lossy.webp", "clear.png"]
HOLE = {"mask": {"boxes": [[16, 16, 48, 48]]}}


def grey() -> np.ndarray:
    """(64, 64), 8 bits."""
    return np.asarray(run.picture(3).convert("L"))


def written(path: Path) -> None:
    """The grey photo, as the name asks for: with equal channels, or as nearly so as the format has them."""
    path.parent.mkdir(exist_ok=True)
    thrice = np.repeat(grey()[..., None], 3, -1)
    if path.stem == "deep":
        values = thrice.astype(np.uint16) * 257
        if path.suffix == ".png":
            path.write_bytes(imagecodecs.png_encode(values))
        else:
            tifffile.imwrite(path, values, photometric="rgb")
    elif path.stem == "clear":  # and coloured below full transparency
        alpha = np.full((64, 64, 1), 255, np.uint8)
        alpha[:4], thrice[:4] = 0, (200, 0, 0)
        Image.fromarray(np.concatenate([thrice, alpha], -1)).save(path)
    else:
        picture = Image.fromarray(grey() if path.stem == "palette" else thrice)
        picture = picture.convert({"palette": "P", "cmyk": "CMYK"}.get(path.stem, "RGB"))
        picture.save(path, icc_profile=WIDE if path.stem == "wide" else None)


def done(photo: Path, out: Path, options: Options | None = None, **changes: Any) -> tuple[Record, torch.Tensor]:
    """The record of the photo's run, and how far apart the channels of the result are, (H, W), in levels of 8 bits."""
    (record,) = restore(run.quick(**{"operator": HOLE, **changes}), photo, out, options)
    assert record.image is not None, record.reason
    made = read_photo(out / record.image)[0]
    return record, (made.amax(0) - made.amin(0)) * 255


@pytest.mark.parametrize("frame", ["aligned", "center"])
@pytest.mark.parametrize("name", NAMES)
def test_a_grey_photo_saved_in_colours_stays_grey(tmp_path: Path, name: str, frame: str) -> None:
    written(tmp_path / "in" / name)
    record, apart = done(tmp_path / "in", tmp_path / "out", frame=frame)
    assert apart[4:].max() < 1.5  # what rounding makes of grey in another profile, or lossy WebP
    made, photo = (read_photo(path)[0].mean(0) for path in (tmp_path / "out" / str(record.image), tmp_path / "in" / name))
    assert (made - photo)[16:48, 16:48].abs().mean() > 0.01
    assert name.endswith("jpg") or (made - photo)[4:16].abs().max() * 255 < 1


def test_what_is_filled_is_what_it_is_in_a_grey_file(tmp_path: Path) -> None:
    """The files say how they hold the photo, and their pixels agree."""
    for mode in ("L", "RGB"):
        (tmp_path / mode).mkdir()
        Image.fromarray(grey()).convert(mode).save(tmp_path / mode / "a.png")
        done(tmp_path / mode, tmp_path / f"{mode} out", frame="aligned")
    one, other = (Image.open(tmp_path / f"{mode} out/images/a.png") for mode in ("L", "RGB"))
    assert (one.mode, other.mode) == ("L", "RGB")
    assert np.abs(np.asarray(one).astype(int) - np.asarray(other.convert("L"))).max() <= 1


@pytest.mark.parametrize("tint", [(8, 0, -8), (0, 0, -4)])
def test_a_faintly_tinted_photo_is_one_of_colours(tmp_path: Path, tint: tuple[int, int, int]) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray((grey()[..., None].astype(int) + tint).clip(0, 255).astype(np.uint8)).save(tmp_path / "in/a.png")
    assert done(tmp_path / "in", tmp_path / "out")[1][16:48, 16:48].max() > 12


def test_colours_of_marks_are_not_the_photos(tmp_path: Path) -> None:
    """Where holes are painted over in magenta what is left is grey."""
    (tmp_path / "in").mkdir()
    marked = np.repeat(grey()[..., None], 3, -1)
    marked[20:40, 20:40] = (255, 0, 255)
    Image.fromarray(marked).save(tmp_path / "in/a.png")
    for frame in ("aligned", "center"):
        assert done(tmp_path / "in", tmp_path / frame, operator={"mask": {"colour": "#ff00ff"}}, frame=frame)[1].max() == 0


def test_a_clean_grey_photo_is_judged_by_what_is_written_of_it(tmp_path: Path) -> None:
    written(tmp_path / "in/a.png")
    record, apart = done(tmp_path / "in", tmp_path / "out", Options(degrade=True), noise=[{"gaussian": {"sigma": 0.05}}])
    assert apart.max() == 0
    made, photo = (np.asarray(Image.open(path)).astype(float) for path in (tmp_path / "out/images/a.png", tmp_path / "in/a.png"))
    assert record.metrics["psnr"] == pytest.approx(10 * np.log10(255**2 / np.square(made - photo).mean()), abs=0.05)


def test_a_grey_photo_that_lost_its_colours_is_given_some(tmp_path: Path) -> None:
    written(tmp_path / "in/a.png")
    for frame in ("aligned", "center"):
        assert done(tmp_path / "in", tmp_path / frame, operator="gray", frame=frame)[1].max() > 12


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize("weights", ["rec601", "rec709"])
def test_grey_values_are_the_photos_below_soft_alpha_too(tmp_path: Path, mode: str, weights: Any) -> None:
    """Little alpha makes more of what colours, and 8 bits on white, are off."""
    (tmp_path / "in").mkdir()
    photo = (run.picture(3).convert("L") if mode == "LA" else run.picture(3)).convert(mode)
    photo.putalpha(Image.radial_gradient("L").resize((64, 64)))
    photo.save(tmp_path / "in/a.png")
    operator = {"gray": {"weights": weights}}
    done(tmp_path / "in", tmp_path / "out", operator=operator, frame="aligned", output={"consistency": True, "album": True})
    made, given = (
        np.asarray(Image.open(path).convert("RGBA")).astype(float) for path in (tmp_path / "out/images/a.png", tmp_path / "in/a.png")
    )
    assert (made[..., 3] == given[..., 3]).all()
    off = ((made - given)[..., :3] @ WEIGHTS[weights])[given[..., 3] > 0]
    assert np.abs(off).max() < 1.01  # half a level, and once more by the album
    assert np.ptp(made[..., :3], axis=-1).max() > 12


def test_a_pixel_in_colours_is_seen_wherever_it_is_but_in_a_hole() -> None:
    image, known = torch.rand(1, 600, 5).repeat(3, 1, 1), torch.ones(1, 600, 5)
    assert shows_greys_alone(image, known)
    image[0, 590, 2] = image[1, 590, 2] + 1.01 * GREY
    assert not shows_greys_alone(image, known)
    known[0, 590, 2] = 0
    assert shows_greys_alone(image, known)
    assert not shows_greys_alone(image, 0 * known)  # all is hidden, and nothing known of it


def test_paint_of_just_the_colour_is_found_without_tolerance(tmp_path: Path) -> None:
    photo = np.full((20, 20, 3), 90, np.uint8)
    photo[5:9, 5:9], photo[9, 9] = (255, 0, 255), (254, 0, 255)
    Image.fromarray(photo).save(tmp_path / "a.png")
    hole = torch.zeros(20, 20, dtype=torch.bool)
    hole[5:9, 5:9] = True
    assert torch.equal(Marks(colour="magenta", tolerance=0, grow=0).find(tmp_path / "a.png", alone=True), hole)


def test_smeared_paint_is_found_across_corners_too(tmp_path: Path) -> None:
    photo = np.full((20, 20, 3), 90, np.uint8)
    photo[5:9, 5:9] = 255, 0, 255
    photo[9, 9] = photo[15, 15] = 255 - 3 * 25, 3 * 25, 255 - 3 * 25  # three times the tolerance off: a hole only where it touches
    Image.fromarray(photo).save(tmp_path / "a.png")
    hole = torch.zeros(20, 20, dtype=torch.bool)
    hole[5:9, 5:9], hole[9, 9] = True, True
    assert torch.equal(Marks(colour="magenta", tolerance=0.1, grow=0).find(tmp_path / "a.png", alone=True), hole)
