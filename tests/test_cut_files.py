"""Photos and arrays of which a part is lost are told as such."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import run_support as run
from PIL import Image, features

from priorsolve.photos.images import read_image, read_photo
from priorsolve.photos.measurements import read_measurement
from priorsolve.photos.pictures import PhotoError

PACKED = {"compression": "tiff_lzw"}


@pytest.mark.parametrize(
    ("form", "settings"), [("TIFF", PACKED), ("TIFF", {**PACKED, "big_tiff": True}), ("TIFF", {}), ("AVIF", {}), ("PNG", {})]
)
def test_what_is_cut_short_is_told_so_wherever_it_is_cut(tmp_path: Path, form: str, settings: dict[str, Any]) -> None:
    if form == "AVIF" and "avif" not in features.get_supported():
        pytest.skip("this Pillow reads no AVIF")
    run.picture(0).save(tmp_path / "a", form, **settings)
    data = (tmp_path / "a").read_bytes()
    for part in (0.1, 0.5, 0.9):
        (tmp_path / "a").write_bytes(data[: int(part * len(data))])
        with pytest.raises(PhotoError, match=r"^a: damaged or cut short"):
            read_image(tmp_path / "a", (16, 16))


@pytest.mark.parametrize("head", [b"\0\0\0 ftypmif9", b"II", b"MM\0+"[:3], b"II\0*"])
def test_what_only_begins_a_little_like_a_picture_is_none(tmp_path: Path, head: bytes) -> None:
    (tmp_path / "a").write_bytes(head)
    with pytest.raises(PhotoError, match=r"^a: not an image"):
        read_image(tmp_path / "a", (16, 16))


def test_a_tiff_of_few_bits_that_is_whole_is_not_called_damaged(tmp_path: Path) -> None:
    image = Image.fromarray(np.zeros((16, 16), np.uint8))
    image.save(tmp_path / "a.tif")
    twelve = (tmp_path / "a.tif").read_bytes().replace(b"\x02\x01\x03\0\1\0\0\0\x08\0", b"\x02\x01\x03\0\1\0\0\0\x0b\0")
    (tmp_path / "a.tif").write_bytes(twelve)
    with pytest.raises(PhotoError, match="not an image"):
        read_image(tmp_path / "a.tif", (16, 16))


@pytest.mark.parametrize(
    ("place", "byte"), [(b")", b" "), (b"'descr'", b"'desc\\\\"), (b"(3,", b"(3("), (b"'<f4'", b"'<\0\0\0"), (b"{", b"[")]
)
def test_an_array_with_a_damaged_head_is_told_as_any_damaged_one(tmp_path: Path, place: bytes, byte: bytes) -> None:
    np.save(tmp_path / "y.npy", np.zeros((3, 8), np.float32))
    data = (tmp_path / "y.npy").read_bytes()
    assert place in data
    (tmp_path / "y.npy").write_bytes(data.replace(place, byte, 1))
    with pytest.raises(PhotoError, match=r"^y.npy: not a \.npy array of numbers, or cut short$"):
        read_measurement(tmp_path / "y.npy", (3, 8))


def test_a_photo_that_is_too_small_is_told_by_width_and_height(tmp_path: Path) -> None:
    Image.new("RGB", (40, 7)).save(tmp_path / "a.png")
    with pytest.raises(PhotoError, match=r"^a.png: 40×7 pixels: too small to restore"):
        read_photo(tmp_path / "a.png")
