"""Words in EXIF that are not ASCII."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from priorsolve.photos.images import write_tagged
from priorsolve.photos.metadata import EXIF, GPS, INTEROP, read_tags

WORDS = "Jürgen Müller", "© Åse\0© Zoë", "Großes Auge", "Längengrad"
"""The artist, whose photo and whose print it is, the lens, and what the place is counted from."""


def test_no_place_in_the_photo_s_own_file_is_kept(tmp_path: Path) -> None:
    """A camera's table of "R98" was pointed to where nothing was, and readers called the EXIF corrupt."""
    given = Image.Exif()
    given[315] = "Jo"
    given.get_ifd(EXIF)[INTEROP] = {1: "R98", 2: b"0100"}
    Image.new("RGB", (16, 16)).save(tmp_path / "given.jpg", exif=given)
    write_tagged(tmp_path / "made.jpg", torch.rand(3, 16, 16), read_tags(tmp_path / "given.jpg"))
    for name, kept in (("given", True), ("made", False)):
        with Image.open(tmp_path / f"{name}.jpg") as picture:
            assert (INTEROP in picture.getexif().get_ifd(EXIF)) is kept


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp"])
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_words_that_are_not_ascii_come_back_byte_for_byte(tmp_path: Path, name: str, encoding: str) -> None:
    said = {mark * len(words): words for mark, words in zip("ACLG", (each.encode(encoding) for each in WORDS), strict=True)}
    artist, rights, lens, place = said
    given = Image.Exif()
    given[315], given[33432] = artist, rights
    given.get_ifd(EXIF)[42036], given.get_ifd(GPS)[18] = lens, place
    data = given.tobytes()
    for mark, stored in said.items():  # as other programs write them; Pillow does not
        data = data.replace(mark.encode(), stored)
    Image.new("RGB", (16, 16)).save(tmp_path / "given.jpg", exif=data)
    write_tagged(tmp_path / name, torch.rand(3, 16, 16), read_tags(tmp_path / "given.jpg"))
    write_tagged(tmp_path / f"out_{name}", torch.rand(3, 16, 16), read_tags(tmp_path / name))
    with Image.open(tmp_path / f"out_{name}") as made:
        found = made.getexif()
        words = found[315], found[33432], found.get_ifd(EXIF)[42036], found.get_ifd(GPS)[18]
    assert [each.encode("latin-1") for each in words] == list(said.values())


@pytest.mark.parametrize(("unit", "dpi"), [(2, 100.0), (3, 254.0)])
def test_a_resolution_by_the_centimetre_is_told_by_the_inch(tmp_path: Path, unit: int, dpi: float) -> None:
    exif = Image.Exif()
    exif[282], exif[283], exif[296] = 100.0, 100.0, unit
    Image.new("RGB", (16, 16)).save(tmp_path / "a.webp", exif=exif)
    assert read_tags(tmp_path / "a.webp").dpi == pytest.approx((dpi, dpi))
