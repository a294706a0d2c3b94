"""Photos come out upright, and their size and resolution are those of the upright photo."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import run_support as run
import tifffile
import torch
from photo_support import lying
from PIL import Image

from priorsolve.photos.deep import png
from priorsolve.photos.images import read_cropped, read_photo
from priorsolve.photos.metadata import read_tags
from priorsolve.photos.pictures import open_picture, picture_size
from priorsolve.photos.writing import write_tagged

HEIGHT, WIDTH = 20, 12


def quarters(height: int, width: int, kind: type = np.uint8) -> np.ndarray[Any, Any]:
    """(height, width, 3): red above, green on the left; no turn and no mirror leaves it as it is."""
    values: np.ndarray[Any, Any] = np.zeros((height, width, 3), kind)
    most = np.iinfo(kind).max
    values[: height // 2, :, 0], values[:, : width // 2, 1] = most, most
    return values


def told(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[274] = orientation
    return exif


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_comes_out_upright(tmp_path: Path, orientation: int, suffix: str) -> None:
    upright, path = quarters(HEIGHT, WIDTH), tmp_path / f"a{suffix}"
    kept: dict[str, Any] = {"quality": 100, "subsampling": 0} if suffix == ".jpg" else {}
    Image.fromarray(lying(upright, orientation)).save(path, exif=told(orientation), **kept)
    image, crop = read_cropped(path, (HEIGHT, WIDTH))
    assert crop.original == (HEIGHT, WIDTH)
    assert torch.allclose(image, torch.from_numpy(upright / np.float32(255)).permute(2, 0, 1), atol=0.03)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_so_does_every_orientation_of_16_bit_colours(tmp_path: Path, orientation: int, suffix: str) -> None:
    upright, path = quarters(HEIGHT, WIDTH, np.uint16), tmp_path / f"a{suffix}"
    stored = lying(upright, orientation)
    if suffix == ".tif":
        tifffile.imwrite(path, stored, photometric="rgb", extratags=[(274, 3, 1, orientation, True)])
    else:
        head = io.BytesIO()
        Image.new("RGB", (1, 1)).save(head, "PNG", exif=told(orientation))
        path.write_bytes(png(stored, head.getvalue()))
    assert torch.equal(read_photo(path)[0], torch.from_numpy(upright / np.float32(65535)).permute(2, 0, 1))


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_size_and_resolution_are_the_upright_photos(tmp_path: Path, orientation: int, name: str) -> None:
    path, turned = tmp_path / name, orientation >= 5
    run.picture(0, 24, 16).save(path, exif=told(orientation), dpi=(300, 200))
    assert picture_size(path) == read_photo(path)[0].shape[-2:] == ((16, 24) if turned else (24, 16))
    if name != "a.webp":
        assert read_tags(path).dpi == pytest.approx((200, 300) if turned else (300, 200), abs=0.02)


@pytest.mark.parametrize("name", ["a.png", "a.webp"])
@pytest.mark.parametrize(("unit", "factor"), [(None, 1.0), (2, 1.0), (3, 2.54)])
def test_a_resolution_that_exif_alone_tells_is_kept(tmp_path: Path, name: str, unit: int | None, factor: float) -> None:
    """By itself in inches; a WebP has no other place for it."""
    exif, expected = told(6), pytest.approx((200 * factor, 300 * factor), abs=0.02)
    exif.update({282: 300.0, 283: 200.0} | ({} if unit is None else {296: unit}))
    run.picture(0, 24, 16).save(tmp_path / name, exif=exif)
    tags = read_tags(tmp_path / name)
    assert tags.dpi == expected
    write_tagged(tmp_path / f"out_{name}", torch.rand(3, 24, 16), tags)
    with Image.open(tmp_path / f"out_{name}") as made:
        found = made.getexif()
        assert (made.info["dpi"] if name == "a.png" else (found[282], found[283])) == expected
        assert found.get(296, 2) == 2


def test_a_resolution_without_a_unit_is_none(tmp_path: Path) -> None:
    exif = told(1)
    exif.update({282: 300.0, 283: 200.0, 296: 1})
    run.picture(0, 24, 16).save(tmp_path / "a.webp", exif=exif)
    assert read_tags(tmp_path / "a.webp").dpi is None


def test_a_picture_for_two_eyes_is_turned_and_the_first_is_used_without_a_word(tmp_path: Path) -> None:
    """MPO: what many phones and cameras write under the name of a JPEG. It is shrunk while it is decoded, so it is a large one."""
    upright, path = quarters(1600, 800), tmp_path / "a.jpg"
    stored = Image.fromarray(lying(upright, 6))
    stored.save(path, "MPO", save_all=True, append_images=[Image.new("RGB", stored.size)], exif=told(6), quality=95)
    with Image.open(path) as given:
        assert given.format == "MPO"
    image, crop = read_cropped(path, (16, 8))
    assert (crop.original, crop.notes) == ((1600, 800), ())
    assert torch.equal(image.round()[:, ::15, ::7], torch.from_numpy(upright[::1599, ::799] / np.float32(255)).permute(2, 0, 1))
    assert read_photo(path)[0].shape == (3, 1600, 800)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("height", "width"), [(523, 517), (391, 261)])
def test_a_jpeg_of_odd_sides_is_shrunk_in_place_however_it_lies(tmp_path: Path, orientation: int, height: int, width: int) -> None:
    """It is decoded at an eighth, or a half, of sides that are rounded up: their ratio is another one."""
    blots = Image.fromarray(np.random.default_rng(0).integers(0, 256, (7, 7, 3), np.uint8)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    stored = Image.fromarray(lying(np.asarray(blots), orientation))
    stored.save(tmp_path / "a.jpg", quality=98, subsampling=0, exif=told(orientation))
    with Image.open(tmp_path / "a.jpg") as decoded:
        decoded.save(tmp_path / "a.png", exif=told(orientation))
    (jpeg, crop), (png_, _) = (read_cropped(tmp_path / name, (32, 32)) for name in ("a.jpg", "a.png"))
    assert crop.original == (height, width)
    assert (jpeg - png_).abs().max() < 3.5 / 255


def test_a_photo_on_its_side_is_decoded_as_small_as_an_upright_one(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (200, 1600)).save(tmp_path / "upright.jpg")
    Image.new("RGB", (1600, 200)).save(tmp_path / "side.jpg", exif=exif)
    sizes = [open_picture(tmp_path / name, lambda height, width: (height // 4, width // 4))[0].size for name in ("upright.jpg", "side.jpg")]
    assert sizes == [(50, 400), (50, 400)]
