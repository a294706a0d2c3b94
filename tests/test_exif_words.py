"""Words in EXIF that are not ASCII, words of IPTC, and what else describes a photo."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, IptcImagePlugin

from priorsolve.photos.images import read_photo
from priorsolve.photos.metadata import GPS, Tags, read_tags
from priorsolve.photos.pictures import EXIF, INTEROP, MOVED
from priorsolve.photos.profiles import adobe_rgb, srgb
from priorsolve.photos.writing import write_tagged

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


@pytest.mark.parametrize("space", [65535, 1])
@pytest.mark.parametrize("mark", ["R03", "R98"])
def test_adobe_rgb_that_exif_alone_tells_of_is_read_so(tmp_path: Path, mark: str, space: int) -> None:
    """As cameras mark it; by the formula of Adobe RGB (1998), and sRGB's. The result has a profile, since its mark is dropped."""
    name, given = "a.jpg", Image.Exif()
    given.get_ifd(EXIF).update({40961: space, INTEROP: {1: mark, 2: b"0100"}})
    Image.new("RGB", (16, 16), (150, 120, 90)).save(tmp_path / name, exif=given, quality=100)
    image, notes = read_photo(tmp_path / name)
    tags = read_tags(tmp_path / name)
    if (mark, space) != ("R03", 65535):
        assert (tags.profile, notes) == (None, ())
        torch.testing.assert_close(image[:, 0, 0], torch.tensor([150, 120, 90]) / 255, atol=1.01 / 255, rtol=0)
        return
    linear = torch.tensor([150, 120, 90], dtype=torch.float64).div(255) ** (563 / 256)
    to_xyz = torch.tensor([[0.57667, 0.18556, 0.18823], [0.29734, 0.62736, 0.07529], [0.02703, 0.07069, 0.99134]], dtype=torch.float64)
    to_rgb = torch.tensor([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]], dtype=torch.float64)
    expected = 1.055 * (to_rgb @ to_xyz @ linear) ** (1 / 2.4) - 0.055
    torch.testing.assert_close(image[:, 0, 0].double(), expected, atol=2 / 255, rtol=0)
    assert float((expected * 255)[0]) > 158
    assert notes == (MOVED,)
    assert tags.profile == adobe_rgb()


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


def iptc(words: str) -> bytes:
    """Caption, or abstract, and a keyword."""
    fields = ((b"\x02\x78", words.encode()), (b"\x02\x19", b"wedding"))
    return b"".join(b"\x1c" + kind + struct.pack(">H", len(text)) + text for kind, text in fields)


@pytest.mark.parametrize("words", ["Lea in May", "Lea at noon"])  # of an odd and an even number of bytes
def test_words_of_iptc_are_kept_in_jpeg_and_tiff(tmp_path: Path, words: str) -> None:
    given = iptc(words)
    write_tagged(tmp_path / "a.jpg", torch.rand(3, 16, 16), Tags(iptc=given, profile=srgb()))
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((16, 16), np.uint8), extratags=[(33723, 7, len(given), given, True)])
    longs = np.frombuffer(given + b"\0" * (-len(given) % 4), ">u4").tolist()
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((16, 16), np.uint8), byteorder=">", extratags=[(33723, 4, len(longs), longs, True)])
    for name in ("a.jpg", "a.tif", "b.tif"):
        tags = read_tags(tmp_path / name)
        assert tags.iptc is not None
        assert tags.iptc.rstrip(b"\0") == given
        for suffix in (".jpg", ".tif"):
            write_tagged(tmp_path / f"out{suffix}", torch.rand(3, 16, 16), tags)
            with Image.open(tmp_path / f"out{suffix}") as made:
                found = IptcImagePlugin.getiptcinfo(made)
                assert found is not None
                assert (found[2, 120], found[2, 25]) == (words.encode(), b"wedding")
    write_tagged(tmp_path / "c.jpg", torch.rand(3, 16, 16), Tags(iptc=bytes(70_000)))
    assert read_tags(tmp_path / "c.jpg").iptc is None


@pytest.mark.parametrize("name", ["a.jpg", "a.tif", "a.webp", "a.png"])
def test_a_name_and_a_rating_are_kept(tmp_path: Path, name: str) -> None:
    exif = Image.Exif()
    exif.update({269: "album 3", 18246: 4, 18249: 75})
    Image.new("RGB", (16, 16)).save(tmp_path / name, exif=exif)
    write_tagged(tmp_path / f"out_{name}", torch.rand(3, 16, 16), read_tags(tmp_path / name))
    with Image.open(tmp_path / f"out_{name}") as made:
        found = made.getexif()
        assert [found.get(tag) for tag in (269, 18246, 18249)] == ["album 3", 4, 75]
