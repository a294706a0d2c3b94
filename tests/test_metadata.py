"""What survives of a photo's file: colour profile, EXIF, XMP, resolution, 16 bits, and its format."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import run_support as run
import tifffile
import torch
from photo_support import WIDE
from PIL import Image, ImageCms

from priorsolve.photos.images import read_image, read_photo, read_stored
from priorsolve.photos.metadata import GPS, Tags, read_tags
from priorsolve.photos.own_colours import in_own_colours
from priorsolve.photos.pictures import EXIF, PhotoError
from priorsolve.photos.profiles import from_srgb, srgb
from priorsolve.photos.writing import write_tagged
from priorsolve.run.records import Record
from priorsolve.run.restoration import restore

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6" dc:title="Lea"/></x:xmpmeta>'
SIZE = 80, 80


def pixels(kind: type = np.uint8, channels: int = 3) -> Any:
    """(80, 80, channels) of every value."""
    values = np.random.default_rng(0).integers(0, np.iinfo(kind).max + 1, (*SIZE, channels), dtype=kind)
    return values if channels > 1 else values[..., 0]


def exif(orientation: int = 1) -> Image.Exif:
    made = Image.Exif()
    made[274], made[271], made[306], made[282], made[256] = orientation, "Lumen", "2001:02:03 04:05:06", 72.0, 4000
    made.get_ifd(EXIF).update({33434: 0.008, 40962: 4000, 40963: 3000, 37500: b"maker's own" * 4})
    made.get_ifd(GPS).update({1: "N", 2: (48.0, 8.0, 30.0)})
    return made


def filled(photos: Path, out: Path, **changes: Any) -> Record:
    """A run that fills a box of 10×8 pixels near the middle and leaves all else."""
    changes = {"operator": {"mask": {"boxes": [[50, 36, 60, 44]]}}, "frame": "aligned", **changes}
    (record,) = restore(run.quick(**changes), photos, out)
    assert record.status == "done", record.reason
    return record


def opened(path: Path) -> Image.Image:
    """Read whole, and closed."""
    with Image.open(path) as picture:
        picture.load()
        return picture


def elsewhere() -> Any:
    known = np.ones(SIZE, bool)
    known[36:44, 50:60] = False
    return known


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp"])
def test_words_and_resolution_survive_upright(tmp_path: Path, name: str) -> None:
    stored = run.picture(0, 112, 80)
    kept: dict[str, Any] = {"exif": exif(6).tobytes(), "icc_profile": WIDE, "dpi": (300, 200), "lossless": True}
    if name in ("a.jpg", "a.webp"):
        kept["xmp"] = XMP
    stored.save(tmp_path / name, **kept)
    tags = read_tags(tmp_path / name)
    write_tagged(tmp_path / f"out_{name}", torch.rand(3, 80, 112), tags)
    with Image.open(tmp_path / f"out_{name}") as made:
        found = made.getexif()
        assert made.size == (112, 80)
        assert (found.get(274, 1), found[271], found[306]) == (1, "Lumen", "2001:02:03 04:05:06")
        assert found.get_ifd(EXIF)[33434] == pytest.approx(0.008)
        assert (found.get_ifd(EXIF)[40962], found.get_ifd(EXIF)[40963]) == (112, 80)
        assert found.get_ifd(EXIF)[37500] == b"maker's own" * 4
        assert found.get_ifd(GPS)[1] == "N"
        assert not found.get_ifd(1)  # no thumbnail
        assert made.info["icc_profile"] == WIDE
        if name != "a.webp":
            assert made.info["dpi"] == pytest.approx((200, 300), abs=0.01)
        if name in ("a.jpg", "a.webp"):
            assert made.info["xmp"] == XMP.replace(b'"6"', b'"1"')


def test_a_place_alone_is_kept_and_an_orientation_in_words_is_undone(tmp_path: Path) -> None:
    place = Image.Exif()
    place.get_ifd(GPS).update({1: "N", 2: (48.0, 8.0, 30.0)})
    words = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description><tiff:Orientation>6</tiff:Orientation></rdf:Description></x:xmpmeta>'
    Image.new("RGB", (16, 16)).save(tmp_path / "a.jpg", exif=place, xmp=words)
    tags = read_tags(tmp_path / "a.jpg")
    assert tags.xmp == words.replace(b">6<", b">1<")
    write_tagged(tmp_path / "b.jpg", torch.zeros(3, 16, 16), tags)
    assert opened(tmp_path / "b.jpg").getexif().get_ifd(GPS)[2] == (48.0, 8.0, 30.0)


def test_xmp_that_pillow_does_not_write_and_a_broken_exif(tmp_path: Path) -> None:
    for name in ("a.png", "a.tif"):
        for bits in (8, 16):
            write_tagged(tmp_path / name, torch.rand(3, 16, 16), Tags(xmp=XMP, bits=bits))
            assert read_tags(tmp_path / name) == Tags(xmp=XMP.replace(b'"6"', b'"1"'), bits=bits)
    Image.new("RGB", (16, 16)).save(tmp_path / "b.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\x7fjunk", dpi=(0, 0))
    assert read_tags(tmp_path / "b.jpg").exif is None
    long = exif()
    long.get_ifd(EXIF)[37500] = b"m" * 60_000
    long[270] = "t" * 10_000
    write_tagged(tmp_path / "c.jpg", torch.rand(3, 16, 16), Tags(exif=long.tobytes()))
    found = opened(tmp_path / "c.jpg").getexif()
    assert found[271] == "Lumen"
    assert 37500 not in found.get_ifd(EXIF)


@pytest.mark.usefixtures("digiface64")
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_16_bits_survive_to_the_last(tmp_path: Path, name: str, channels: int) -> None:
    values, folder = pixels(np.uint16, channels), tmp_path / "in"
    folder.mkdir()
    tags = Tags(profile=WIDE if channels == 3 else None, exif=exif().tobytes(), dpi=(600, 600), bits=16, grey=channels == 1)
    image = torch.from_numpy(values.reshape(*SIZE, channels).astype(np.float32) / 65535).permute(2, 0, 1)
    write_tagged(folder / name, image, tags)
    filled(folder, tmp_path / "out")
    made = tmp_path / "out/images" / name
    again = imagecodecs.png_decode(made.read_bytes()) if name == "a.png" else tifffile.imread(made)
    assert again.dtype == np.uint16
    assert again.shape == values.shape
    assert (again == values)[elsewhere()].all()
    assert (again != values)[~elsewhere()].any()
    kept = read_tags(made)
    assert (kept.profile, kept.bits, kept.grey) == (tags.profile, 16, tags.grey)
    assert kept.dpi == pytest.approx((600, 600), abs=0.01)
    with Image.open(made) as picture:
        assert picture.getexif().get_ifd(EXIF)[33434] == pytest.approx(0.008)


@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_16_bit_tiffs_of_other_programs_are_read(tmp_path: Path, compression: str | None, planar: str) -> None:
    values = pixels(np.uint16)
    given = values if planar == "contig" else np.moveaxis(values, -1, 0)
    for order in ("<", ">"):
        kept: dict[str, Any] = {"photometric": "rgb", "planarconfig": planar, "compression": compression, "byteorder": order}
        tifffile.imwrite(tmp_path / "a.tif", given, **kept, extratags=[(274, 3, 1, 6, True)])
        photo, notes = read_photo(tmp_path / "a.tif")
        assert photo.shape == (3, 80, 80)
        assert torch.equal(photo, torch.from_numpy(np.rot90(values, -1).astype(np.float32) / 65535).permute(2, 0, 1))
        assert notes == ()
    (tmp_path / "a.tif").write_bytes((tmp_path / "a.tif").read_bytes()[:-20_000])
    with pytest.raises(PhotoError):
        read_photo(tmp_path / "a.tif")


@pytest.mark.usefixtures("digiface64")
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_wide_colours_come_back_as_they_were(tmp_path: Path, name: str) -> None:
    folder, values = tmp_path / "in", pixels()
    folder.mkdir()
    values[:30, :50] = (250, 5, 5)  # a red that sRGB does not have
    Image.fromarray(values).save(folder / name, icc_profile=WIDE)
    record = filled(folder, tmp_path / "out")
    assert "colours were moved to sRGB by the file's own profile" in record.notes
    made = opened(tmp_path / "out/images" / name)
    assert made.info["icc_profile"] == WIDE
    assert (np.asarray(made) == values)[elsewhere()].all()
    seen = read_photo(tmp_path / "out/images" / name)[0]
    measured = read_photo(tmp_path / "out/measurements/a.tif.png" if name == "a.tif" else tmp_path / "out/measurements/a.png")[0]
    assert (seen - measured)[:, torch.from_numpy(elsewhere())].abs().max() < 1 / 255


def test_what_was_changed_is_what_the_profile_says(tmp_path: Path) -> None:
    Image.fromarray(pixels()).save(tmp_path / "a.png", icc_profile=WIDE)
    tags = read_tags(tmp_path / "a.png")
    wanted = torch.full((3, *SIZE), 0.5)
    wanted[0] = 0.8
    for same_size in (True, False):
        own = in_own_colours(wanted, tags, tmp_path / "a.png", same_size=same_size)
        write_tagged(tmp_path / "b.png", own, tags)
        changed = (wanted - read_photo(tmp_path / "a.png")[0]).abs().amax(0) > 0.1
        assert (read_photo(tmp_path / "b.png")[0] - wanted)[:, changed].abs().max() < 1.5 / 255
    shifted = in_own_colours(read_photo(tmp_path / "a.png")[0] * 0.999, tags, tmp_path / "a.png", same_size=True)
    stored = read_stored(tmp_path / "a.png")
    assert stored is not None
    assert np.abs(shifted.numpy().transpose(1, 2, 0) - stored).max() < 0.02  # no step where a change begins


def test_half_of_what_srgb_cannot_show_stays_where_half_was_changed(tmp_path: Path) -> None:
    values = np.zeros((8, 8, 3), np.uint8)
    values[..., 1] = 255  # a green that sRGB does not have
    Image.fromarray(values).save(tmp_path / "a.png", icc_profile=WIDE)
    shown, _ = read_photo(tmp_path / "a.png")
    made = shown.clone()
    made[1] -= 0.05

    def stored(image: torch.Tensor) -> np.ndarray:
        return from_srgb(np.ascontiguousarray(image.permute(1, 2, 0).numpy()), WIDE)

    lost = values / 255 - stored(shown)
    assert np.abs(lost).max() > 0.05
    own = in_own_colours(made, Tags(profile=WIDE), tmp_path / "a.png", same_size=True)
    np.testing.assert_allclose(own.permute(1, 2, 0).numpy(), stored(made) + lost / 2, atol=2e-3)


def test_what_was_erased_does_not_come_back_with_what_fills_it(tmp_path: Path) -> None:
    values = np.full((8, 8, 4), 250, np.uint8)
    values[2:5, 2:5] = 255, 0, 0, 0  # its colour is still in the file
    Image.fromarray(values).save(tmp_path / "a.png")
    made = torch.full((3, 8, 8), 250 / 255)
    own = in_own_colours(made, Tags(), tmp_path / "a.png", same_size=True, alpha=torch.ones(1, 8, 8))
    torch.testing.assert_close(own[:3], made, atol=1e-3, rtol=0)


@pytest.mark.usefixtures("digiface64")
def test_a_picture_of_the_priors_size_keeps_words_and_profile(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(pixels()).save(tmp_path / "in/a.jpg", icc_profile=WIDE, exif=exif(), dpi=(300, 300))
    (record,) = restore(run.quick(), tmp_path / "in", tmp_path / "out")
    assert record.status == "done", record.reason
    with Image.open(tmp_path / "out/images/a.jpg") as made:
        assert (made.format, made.size, made.info["icc_profile"], made.info["dpi"]) == ("JPEG", (64, 64), WIDE, (300, 300))
        assert made.getexif()[271] == "Lumen"
    seen, _ = read_photo(tmp_path / "out/images/a.jpg")
    shown, _ = read_photo(tmp_path / "out/measurements/a.jpg.png")
    assert (seen - shown)[:, :12].abs().mean() < 0.03  # outside the hole it looks the same


@pytest.mark.usefixtures("digiface64")
def test_cmyk_becomes_rgb_and_grey_stays_grey(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(pixels(channels=4), "CMYK").save(folder / "a.jpg")
    record = filled(folder, tmp_path / "cmyk")
    assert "CMYK was converted without a profile" in record.notes
    assert opened(tmp_path / "cmyk/images/a.jpg").mode == "RGB"
    (folder / "a.jpg").unlink()
    Image.fromarray(pixels(channels=1)).save(folder / "g.png")
    filled(folder, tmp_path / "grey")
    made = opened(tmp_path / "grey/images/g.png")
    assert made.mode == "L"
    assert (np.asarray(made) == pixels(channels=1))[elsewhere()].all()
    filled(folder, tmp_path / "coloured", operator="gray")
    assert opened(tmp_path / "coloured/images/g.png").mode == "RGB"


def test_a_profile_of_another_kind_makes_way_for_srgb() -> None:
    grey = imagecodecs.cms_profile("gray", gamma=1.8)
    assert Tags(profile=grey, grey=True).fitting(grey=True).profile == grey
    assert Tags(profile=grey, grey=True).fitting(grey=False).profile == srgb()
    assert Tags(profile=b"broken").fitting(grey=False).profile == srgb()
    assert Tags(profile=WIDE).fitting(grey=False).profile == WIDE
    assert Tags().fitting(grey=False).profile is None
    assert "sRGB" in ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(srgb())))


@pytest.mark.usefixtures("digiface64")
def test_formats_that_are_not_written_become_png_and_say_so(tmp_path: Path) -> None:
    Image.fromarray(pixels()).save(tmp_path / "a.bmp", dpi=(150, 150))
    record = filled(tmp_path / "a.bmp", tmp_path / "out")
    assert record.image == "images/a.bmp.png"
    assert "the result is a PNG: BMP is not written" in record.notes
    made = tmp_path / "out/images/a.bmp.png"
    assert (np.asarray(opened(made)) == pixels())[elsewhere()].all()
    assert read_tags(made).dpi == pytest.approx((150, 150), abs=0.02)


@pytest.mark.usefixtures("digiface64")
@pytest.mark.parametrize(
    ("name", "channels", "profile"),
    [("a.png", 4, None), ("a.webp", 4, None), pytest.param("a.tif", 4, WIDE, id="wide"), ("a.tif", 2, None)],  # WIDE tells when it was made
)
def test_alpha_that_is_no_hole_survives(tmp_path: Path, name: str, channels: int, profile: bytes | None) -> None:
    values, folder = pixels(channels=channels), tmp_path / "in"
    values[:4, :, -1] = 0  # what lies below is kept too
    values[40:, :, -1] = 255
    folder.mkdir()
    Image.fromarray(values).save(folder / name, lossless=True, exact=True, icc_profile=profile)
    record = filled(folder, tmp_path / "out")
    assert "transparent parts were laid on white" not in record.notes
    made = np.asarray(opened(tmp_path / "out/images" / name))
    assert (made[..., -1] == values[..., -1]).all()
    assert (made == values)[elsewhere()].all()
    inside = made[40:44, 50:60, :-1].astype(int)  # opaque: what was filled is shown
    assert np.abs(inside - values[40:44, 50:60, :-1]).max() > 20


@pytest.mark.usefixtures("digiface64")
@pytest.mark.parametrize("operator", ["gray", {"gaussian_blur": {"sigma": 1.0}}])
def test_what_lies_below_full_transparency_stays_inside_a_frame_too(tmp_path: Path, operator: Any) -> None:
    values, folder = pixels(channels=4), tmp_path / "in"
    values[..., 3] = 255
    values[20:30, :, 3] = 0
    folder.mkdir()
    Image.fromarray(values).save(folder / "a.png")
    filled(folder, tmp_path / "out", operator=operator)
    made = np.asarray(opened(tmp_path / "out/images/a.png"))
    assert (made[20:30] == values[20:30]).all()
    assert (made[..., 3] == values[..., 3]).all()
    assert np.abs(made[40:].astype(int) - values[40:]).max() > 20


@pytest.mark.usefixtures("digiface64")
def test_alpha_of_16_bits_and_of_larger_pictures_survives(tmp_path: Path) -> None:
    values, folder = pixels(np.uint16, 4), tmp_path / "in"
    folder.mkdir()
    for name in ("a.png", "a.tif"):
        write_tagged(folder / name, torch.from_numpy(values.astype(np.float32) / 65535).permute(2, 0, 1), Tags(bits=16))
    for record in restore(run.quick(operator={"mask": {"boxes": [[50, 36, 60, 44]]}}, frame="aligned"), folder, tmp_path / "out"):
        assert record.status == "done", record.reason
        made = tmp_path / "out/images" / record.name
        again = imagecodecs.png_decode(made.read_bytes()) if record.name == "a.png" else tifffile.imread(made)
        assert (again == values)[elsewhere()].all()
        assert (again == values)[..., 3].all()
    small, clear = run.picture(0, 40, 40).convert("RGBA"), Image.linear_gradient("L").resize((40, 40))
    small.putalpha(clear)
    (tmp_path / "small").mkdir()
    small.save(tmp_path / "small/b.png")
    filled(tmp_path / "small", tmp_path / "large", operator={"downsample": {"factor": 4}})
    large = opened(tmp_path / "large/images/b.png")
    assert large.size == (160, 160)
    assert np.abs(np.asarray(large.resize((40, 40), Image.Resampling.BICUBIC)).astype(int) - np.asarray(small))[20:].mean() < 3


@pytest.mark.usefixtures("digiface64")
def test_grey_of_16_bits_with_alpha_stays_grey(tmp_path: Path) -> None:
    values, folder = pixels(np.uint16, 2), tmp_path / "in"
    values[36:44, 50:60, 1] = 65535
    folder.mkdir()
    (folder / "a.png").write_bytes(imagecodecs.png_encode(values))
    filled(folder, tmp_path / "out")
    again = imagecodecs.png_decode((tmp_path / "out/images/a.png").read_bytes())
    assert again.dtype == np.uint16
    assert again.shape == values.shape
    assert (again[..., 1] == values[..., 1]).all()
    assert (again == values)[elsewhere()].all()
    assert (again != values)[~elsewhere()].any()


@pytest.mark.usefixtures("digiface64")
@pytest.mark.parametrize("frame", ["aligned", {"faces": {"missing": "copy", "beside": "fill"}}])
@pytest.mark.parametrize("nearly", [False, True])
def test_transparent_holes_become_opaque_where_they_are_filled(tmp_path: Path, frame: Any, *, nearly: bool) -> None:
    values = np.concatenate([np.asarray(run.picture(0, *SIZE)), np.full((*SIZE, 1), 255, np.uint8)], -1)
    values[36:44, 50:60] = (255, 0, 255, 0)
    if nearly:
        values[60:64, 20:40, 3] = 250, 251, 252, 253, 254, *[255] * 15  # no hole, and not opaque
    (tmp_path / "in").mkdir()
    Image.fromarray(values).save(tmp_path / "in/a.png")
    filled(tmp_path / "in", tmp_path / "out", operator={"mask": {"alpha": True}}, frame=frame)
    made = np.asarray(opened(tmp_path / "out/images/a.png"))
    assert (made == values[..., : 4 if nearly else made.shape[-1]])[elsewhere()].all()
    assert (made[36:44, 50:60, 3:] == 255).all()
    assert np.abs(made[36:44, 50:60, :3].astype(int) - (255, 0, 255)).sum(-1).min() > 60  # nothing of what lay below


def test_16_bits_with_alpha_lie_on_white(tmp_path: Path) -> None:
    values = np.full((16, 16, 4), 65535, np.uint16)
    values[..., :3] = 12_345
    values[:8, :, 3] = 0
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(values))
    photo, notes = read_photo(tmp_path / "a.png")
    assert (photo[:, :8] == 1).all()
    assert torch.equal(photo[:, 8:], torch.full((3, 8, 16), 12_345) / 65535)
    assert notes == ("transparent parts were laid on white",)
    assert read_photo(tmp_path / "a.png", 1)[0].shape == (1, 16, 16)
    assert read_image(tmp_path / "a.png", (16, 16)).shape == (3, 16, 16)
    (tmp_path / "b.png").write_bytes(imagecodecs.png_encode(np.ascontiguousarray(values[..., [0, 3]])))
    assert torch.equal(read_photo(tmp_path / "b.png")[0], photo)


def test_a_transparent_grey_photo_that_was_given_colours_keeps_its_alpha(tmp_path: Path) -> None:
    grey, clear = pixels(channels=1), np.tile(np.linspace(0, 255, 80).astype(np.uint8), (80, 1))
    Image.fromarray(np.stack([grey, clear], -1)).save(tmp_path / "a.png")
    tags, alpha = replace(read_tags(tmp_path / "a.png"), grey=False), torch.from_numpy(clear / 255).float()[None]
    photo = read_photo(tmp_path / "a.png", 3)[0]
    coloured = photo.clone()
    coloured[:, 40:] = (photo * torch.tensor([1.0, 0.8, 0.6])[:, None, None])[:, 40:]
    own = in_own_colours(coloured, tags, tmp_path / "a.png", same_size=True, alpha=alpha)
    assert own.shape == (4, *SIZE)
    assert (own[3] - alpha[0]).abs().max() < 1e-6
    stored = torch.from_numpy(grey / 255).float()
    assert (own[:3, :40] - stored[:40])[:, :, 1:].abs().max() < 1e-6  # what was left alone is the file's
    assert (own[0] - own[2])[40:, 40:].mean() > 0.1


@pytest.mark.parametrize(
    ("words", "kept"), [(None, ""), ('<?xml version="1.0" encoding="UTF-8"?><OME/>', ""), ("ImageJ=1.54", ""), ("Lea in May", "Lea in May")]
)
def test_what_a_program_noted_about_the_files_numbers_is_not_kept(tmp_path: Path, words: str | None, kept: str) -> None:
    metadata: dict[str, Any] | None = {} if words is None else None  # tifffile's own note, which tells the shape
    tifffile.imwrite(tmp_path / "a.tif", pixels(np.uint16, 1), description=words, metadata=metadata)
    tags = replace(read_tags(tmp_path / "a.tif"), grey=False)
    write_tagged(tmp_path / "b.tif", read_photo(tmp_path / "a.tif", 3)[0], tags)
    with tifffile.TiffFile(tmp_path / "b.tif") as made:  # a note of another shape would be a warning
        assert made.series[0].shape == (*SIZE, 3)
        assert made.pages.first.description == kept
