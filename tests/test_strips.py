"""Large photos are worked on strip by strip: what comes out is as if it had been done at once."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
import torch
from photo_support import WIDE
from PIL import Image

from priorsolve.photos import own_colours
from priorsolve.photos.images import read_photo
from priorsolve.photos.metadata import Tags, read_tags
from priorsolve.photos.own_colours import in_own_colours
from priorsolve.photos.writing import write_tagged


@pytest.mark.parametrize("bits", [8, 16])
def test_a_tiff_of_many_strips_is_whole(tmp_path: Path, bits: int) -> None:
    most = 2**bits - 1
    values = np.random.default_rng(0).integers(0, most + 1, (400, 500, 3))
    image = torch.from_numpy((values / most).astype(np.float32)).permute(2, 0, 1)
    write_tagged(tmp_path / "a.tif", image, Tags(bits=bits))
    with tifffile.TiffFile(tmp_path / "a.tif") as made:
        assert len(made.pages.first.dataoffsets) > 2
        assert (made.pages.first.asarray() == values).all()
    assert torch.equal((read_photo(tmp_path / "a.tif")[0] * most).round(), (image * most).round())


@pytest.mark.parametrize("channels", [3, 4])
def test_a_tall_photo_has_its_own_colours_in_every_strip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, channels: int) -> None:
    values = np.random.default_rng(0).integers(0, 256, (50, 12, channels), dtype=np.uint8)
    values[20:30, :6, :3] = (250, 5, 5)  # a red that sRGB does not have
    path = tmp_path / "a.png"
    Image.fromarray(values).save(path, icc_profile=WIDE)
    photo, _ = read_photo(path)
    alpha = None if channels == 3 else torch.from_numpy(values[..., 3] / np.float32(255))[None]
    made = photo.clone()
    made[:, 33:36, 4:8] = 1 - made[:, 33:36, 4:8]
    own = {}
    for rows in (256, 16):  # at once, and in four strips of which the last is shorter
        monkeypatch.setattr(own_colours, "ROWS", rows)
        own[rows] = in_own_colours(made, read_tags(path), path, same_size=True, alpha=alpha)
    assert own[16].shape == (channels, 50, 12)
    torch.testing.assert_close(own[16], own[256], atol=1e-6, rtol=0)
    kept = np.ones((50, 12), bool)
    kept[33:36, 4:8] = False
    assert (np.rint(own[16].permute(1, 2, 0).numpy() * 255) == values)[kept].all()


def test_what_is_beyond_white_is_white_in_a_wide_profile_too(tmp_path: Path) -> None:
    """A solver's picture is not clamped, and beyond 1 in sRGB is a colour that a wide profile has."""
    Image.new("RGB", (16, 16), (200, 80, 40)).save(tmp_path / "a.png", icc_profile=WIDE)
    tags, made = read_tags(tmp_path / "a.png"), torch.tensor([1.2, 0.3, -0.1]).view(3, 1, 1).expand(3, 16, 16)
    for same_size in (True, False):
        own, expected = (in_own_colours(x, tags, tmp_path / "a.png", same_size=same_size) for x in (made, made.clamp(0, 1)))
        torch.testing.assert_close(own, expected)


def test_a_photos_own_pixels_are_its_files_where_they_are_all_but_transparent(tmp_path: Path) -> None:
    """There white hides what a float32 rounds, and to take it away again would make thousands of times more of it."""
    values = np.random.default_rng(0).integers(0, 65536, (8, 8, 4), dtype=np.uint16)
    values[:4, :, 3] = 8
    path, alpha = tmp_path / "a.png", torch.from_numpy(values[..., 3] / np.float32(65535))[None]
    path.write_bytes(imagecodecs.png_encode(values))
    photo = read_photo(path)[0]
    for off in (2e-7, -2e-7):
        own = in_own_colours(photo + off, read_tags(path), path, same_size=True, alpha=alpha)
        assert (np.rint(own.permute(1, 2, 0).numpy() * 65535) == values).all()
    other = in_own_colours(photo - 1e-4, read_tags(path), path, same_size=True, alpha=alpha)
    assert (other[:3] < own[:3])[:, alpha[0] > 0.1].float().mean() > 0.9
