"""Every kind of picture file, the crop, what is refused, and what is written."""

import io
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
import torch
from photo_support import WIDE
from PIL import Image, ImageCms, JpegImagePlugin

from priorsolve.photos.images import read_cropped, read_image, read_photo, read_stored, read_transparent
from priorsolve.photos.measurements import measurement_suffix, read_measurement, write_measurement
from priorsolve.photos.pictures import PhotoError
from priorsolve.photos.writing import write_image


def pixels(height: int = 16, width: int = 16, channels: int = 3, seed: int = 0) -> Any:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def saved(path: Path, picture: Image.Image, **settings: Any) -> Path:
    picture.save(path, **settings)
    return path


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp", ".ppm"])
def test_rgb_of_the_right_size_is_bit_exact(tmp_path: Path, suffix: str) -> None:
    values = pixels()
    path = saved(tmp_path / f"a{suffix}", Image.fromarray(values), **({"lossless": True} if suffix == ".webp" else {}))
    image, crop = read_cropped(path, (16, 16))
    assert image.dtype == torch.float32
    assert torch.equal((image * 255).round().byte(), torch.from_numpy(values).permute(2, 0, 1))
    assert not crop.resized
    assert crop.sentences() == ()


def test_grey_fills_three_channels_and_colour_becomes_one(tmp_path: Path) -> None:
    values = pixels(channels=1)
    grey = saved(tmp_path / "grey.png", Image.fromarray(values))
    assert torch.equal(read_image(grey, (16, 16), 1)[0], torch.from_numpy(values / np.float32(255)))
    assert torch.equal(read_image(grey, (16, 16), 3)[2], read_image(grey, (16, 16), 1)[0])
    colour = saved(tmp_path / "colour.png", Image.new("RGB", (16, 16), (255, 0, 0)))
    assert read_image(colour, (16, 16), 1).mean().item() == pytest.approx(0.299, abs=0.003)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_grey_keeps_its_precision(tmp_path: Path, suffix: str) -> None:
    values = np.arange(256, dtype=np.uint16).reshape(16, 16) * 257 + 1
    values[-1, -1] = 65535
    path = saved(tmp_path / f"a{suffix}", Image.fromarray(values))
    assert torch.equal(read_image(path, (16, 16), 1)[0], torch.from_numpy(values.astype(np.float32) / np.float32(65535)))


def png16(path: Path, values: Any) -> Path:
    """A 16-bit RGB PNG, which Pillow cannot write."""
    import struct
    import zlib

    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    parts = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    chunks = [struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    return path


def test_16_bit_colour_keeps_its_precision(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (16, 24, 3)).astype(np.uint16)
    image, crop = read_cropped(png16(tmp_path / "a.png", values), (16, 16))
    assert torch.equal(image, torch.from_numpy(values[:, 4:20].astype(np.float32) / 65535).permute(2, 0, 1))
    assert crop.sentences() == ("cropped from 24×16 to 16×16 around its centre",)
    grey = read_image(tmp_path / "a.png", (16, 16), 1)
    assert torch.allclose(grey[0], (image * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0), atol=1e-6)
    assert torch.equal(read_photo(tmp_path / "a.png", 1)[0][:, :, 4:20], grey)
    ramp = np.broadcast_to(np.linspace(20_000, 21_000, 64).astype(np.uint16)[:, None, None], (64, 64, 3))
    smooth, crop = read_cropped(png16(tmp_path / "b.png", ramp), (16, 16))
    assert crop.resized
    assert len(set(smooth[0, :, 0].tolist())) == 16  # 8 bits would leave 5


@pytest.mark.parametrize("settings", [{}, {"byteorder": ">"}, {"compression": "zlib", "predictor": True}])
def test_alpha_that_16_bit_colours_were_multiplied_by_is_divided_out(tmp_path: Path, settings: dict[str, Any]) -> None:
    straight = np.random.default_rng(0).integers(0, 65536, (16, 16, 4)).astype(np.uint16)
    straight[..., 3] = np.linspace(20_000, 65_535, 256).reshape(16, 16)
    straight[:4, :4] = 0  # of what is wholly transparent no colour is known
    multiplied = straight.copy()
    multiplied[..., :3] = np.rint(straight[..., :3] * (straight[..., 3:] / 65535))
    for name, values, kind in (("straight", straight, "unassalpha"), ("multiplied", multiplied, "assocalpha")):
        tifffile.imwrite(tmp_path / f"{name}.tif", values, photometric="rgb", extrasamples=[kind], **settings)
    first, second = (read_transparent(tmp_path / f"{name}.tif") for name in ("straight", "multiplied"))
    assert first is not None
    assert second is not None
    assert np.array_equal(first[..., 3], second[..., 3])
    assert np.abs(first - second).max() < 2 / 20_000
    seen = [read_photo(tmp_path / f"{name}.tif")[0] for name in ("straight", "multiplied")]
    assert (seen[0] - seen[1]).abs().max() < 2 / 65535


def test_float_tiff_and_its_range(tmp_path: Path) -> None:
    values = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    path = saved(tmp_path / "a.tif", Image.fromarray(values))
    assert torch.equal(read_image(path, (16, 16), 1)[0], torch.from_numpy(values))
    with pytest.raises(PhotoError, match=r"to 255: scale them"):
        read_image(saved(tmp_path / "b.tif", Image.fromarray(values * 255)), (16, 16))
    with pytest.raises(PhotoError, match="NaN"):
        read_image(saved(tmp_path / "c.tif", Image.fromarray(values * np.nan)), (16, 16))


@pytest.mark.parametrize(
    ("kind", "settings", "told", "way"),
    [
        (np.float32, {"photometric": "rgb"}, "32-bit floats, 3", "with 16 bits per channel"),
        (np.float32, {"photometric": "rgb", "bigtiff": True}, "32-bit floats, 3", "with 16 bits per channel"),
        (np.float64, {"photometric": "rgb", "byteorder": ">"}, "64-bit floats, 3", "with 16 bits per channel"),
        (np.uint32, {"photometric": "rgb"}, "32-bit whole numbers, 3", "with 16 bits per channel"),
        (np.float16, {"photometric": "minisblack"}, "16-bit floats, 3", "as a PNG"),
        (np.uint16, {"photometric": "minisblack", "extrasamples": [2]}, "16-bit whole numbers, 2", "as a PNG, or without alpha"),
    ],
)
def test_a_tiff_of_other_numbers_is_named_with_the_way_out(
    tmp_path: Path, kind: Any, settings: dict[str, Any], told: str, way: str
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels(channels=int(told[-1])).astype(kind), planarconfig="contig", **settings)
    with pytest.raises(PhotoError, match=f"^a.tif: a TIFF of {told} in each pixel, which is not read: save it {way}$"):
        read_image(path, (16, 16))


@pytest.mark.parametrize(("kind", "most"), [(np.uint32, 2**32 - 1), (np.uint32, 65536), (np.int32, -1)])
def test_grey_of_32_bits_is_named_without_numbers_that_are_not_in_it(tmp_path: Path, kind: Any, most: int) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.full((16, 16), most, kind))
    with pytest.raises(PhotoError, match=r"^a\.tif: whole numbers of 32 bits, not all from 0 to 65535: no known range, save it with 16 "):
        read_image(tmp_path / "a.tif", (16, 16))
    tifffile.imwrite(tmp_path / "b.tif", np.full((16, 16), 65535, kind))
    assert read_image(tmp_path / "b.tif", (16, 16)).min() == 1


def test_one_bit_and_palette(tmp_path: Path) -> None:
    checks = (np.indices((16, 16)).sum(0) % 2 * 255).astype(np.uint8)
    for name, picture in (("bit.png", Image.fromarray(checks).convert("1")), ("palette.gif", Image.fromarray(checks).convert("P"))):
        assert torch.equal(read_image(saved(tmp_path / name, picture), (16, 16), 1)[0], torch.from_numpy(checks / np.float32(255)))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_parts_lie_on_white(tmp_path: Path, mode: str) -> None:
    picture = Image.new("RGBA", (16, 16), (40, 40, 40, 255))
    picture.paste((0, 0, 0, 0), (0, 0, 8, 16))
    path = saved(tmp_path / "a.png", picture.convert(mode))
    image, crop = read_cropped(path, (16, 16))
    assert (image[:, :, :8] == 1).all()
    assert torch.allclose(image[:, :, 8:], torch.tensor(40 / 255), atol=0.01)
    assert crop.notes == ("transparent parts were laid on white",)
    opaque = saved(tmp_path / "b.png", Image.new("RGBA", (16, 16), (1, 2, 3, 255)))
    assert read_cropped(opaque, (16, 16))[1].notes == ()
    assert read_transparent(opaque) is None


def test_cmyk_with_and_without_a_profile(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", Image.new("CMYK", (16, 16), (0, 255, 255, 0)), quality=95)
    image, crop = read_cropped(path, (16, 16))
    assert image[0].min() > 0.95
    assert image[1:].max() < 0.05
    assert "without a profile" in crop.notes[0]
    broken = saved(tmp_path / "b.jpg", Image.new("CMYK", (16, 16)), icc_profile=b"no profile at all")
    assert "could not be used" in read_cropped(broken, (16, 16))[1].notes[0]


def test_srgb_profile_changes_nothing_and_another_is_used(tmp_path: Path) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    values = pixels()
    path = saved(tmp_path / "a.png", Image.fromarray(values), icc_profile=srgb)
    assert torch.equal((read_image(path, (16, 16)) * 255).round().byte(), torch.from_numpy(values).permute(2, 0, 1))
    # the same profile under another name, with the red and green primaries swapped
    swapped = bytearray(srgb)
    red, green = swapped.index(b"rXYZ"), swapped.index(b"gXYZ")
    swapped[red : red + 4], swapped[green : green + 4] = b"gXYZ", b"rXYZ"
    renamed = bytes(swapped).replace("sRGB".encode("utf-16-be"), "odd!".encode("utf-16-be"))
    path = saved(tmp_path / "b.png", Image.new("RGB", (16, 16), (250, 10, 10)), icc_profile=renamed)
    image, crop = read_cropped(path, (16, 16))
    assert crop.notes == ("colours were moved to sRGB by the file's own profile",)
    assert image[1].mean() > image[0].mean()


@pytest.mark.parametrize("gamma", [1.0, 2.0])
def test_a_profile_is_srgb_by_what_it_does_not_by_its_name(tmp_path: Path, gamma: float) -> None:
    """Linear and extended spaces are called sRGB too, and one of gamma 2 is only a few levels off."""
    primaries = [0.64, 0.33, 1, 0.30, 0.60, 1, 0.15, 0.06, 1]
    other: bytes = imagecodecs.cms_profile("rgb", whitepoint=(0.3127, 0.3290, 1.0), primaries=primaries, gamma=gamma)
    named = other.replace("RGB built-in".encode("utf-16-be"), "sRGB linear!".encode("utf-16-be"))
    assert "sRGB" in ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(named)))
    path = saved(tmp_path / "a.png", Image.new("RGB", (16, 16), (55, 55, 55)), icc_profile=named)
    for image, notes in (read_photo(path), (read_cropped(path, (16, 16))[0], read_cropped(path, (16, 16))[1].notes)):
        expected = 255 * (1.055 * (55 / 255) ** (gamma / 2.4) - 0.055)
        torch.testing.assert_close(image * 255, torch.full_like(image, expected), atol=0.6, rtol=0)
        assert notes == ("colours were moved to sRGB by the file's own profile",)


def test_transparent_colours_of_a_profile_lie_on_white_too(tmp_path: Path) -> None:
    values = np.full((32, 32, 4), (200, 80, 40, 255), np.uint8)
    values[:, :16, 3] = 0
    path = saved(tmp_path / "a.png", Image.fromarray(values), icc_profile=WIDE)
    opaque = saved(tmp_path / "b.png", Image.fromarray(values[..., :3]), icc_profile=WIDE)
    for size in ((32, 32), (16, 16)):  # as it is, and resized
        image, crop = read_cropped(path, size)
        assert (image[:, :, : size[1] // 2 - 3] == 1).all()
        torch.testing.assert_close(image[:, :, -1], read_image(opaque, size)[:, :, -1], atol=1.5 / 255, rtol=0)
        assert "transparent parts were laid on white" in crop.notes
        assert "colours were moved to sRGB by the file's own profile" in crop.notes


def test_a_channel_that_is_no_alpha_plays_no_part(tmp_path: Path) -> None:
    """As the infrared one of a scanner, whose dust would be laid on white."""
    tifffile.imwrite(tmp_path / "scan.tif", np.full((16, 16, 4), 20_000, np.uint16), photometric="rgb", extrasamples=["unspecified"])
    image, notes = read_photo(tmp_path / "scan.tif")
    torch.testing.assert_close(image, torch.full((3, 16, 16), 20_000 / 65_535))
    assert notes == ("channels that are neither colours nor alpha were left out",)
    stored = read_stored(tmp_path / "scan.tif")
    assert stored is not None
    assert stored.shape == (16, 16, 3)


def test_crop_is_central_and_noted(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.fromarray(pixels(16, 41)))
    image, crop = read_cropped(path, (16, 16))
    assert crop.box == (12, 0, 28, 16)
    assert not crop.resized
    assert torch.equal((image * 255).round().byte(), torch.from_numpy(pixels(16, 41)[:, 12:28]).permute(2, 0, 1))
    assert crop.sentences() == ("cropped from 41×16 to 16×16 around its centre",)
    _, crop = read_cropped(path, (8, 16))
    assert crop.sentences() == ("cropped from 41×16 to 32×16 around its centre", "resized from 32×16 to 16×8")


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_shrinking_a_large_photo_keeps_the_picture(tmp_path: Path, suffix: str) -> None:
    ramp = np.linspace(0, 255, 1600).astype(np.uint8)[None].repeat(1201, 0)
    image, crop = read_cropped(saved(tmp_path / f"a{suffix}", Image.fromarray(ramp)), (16, 16), 1)
    assert crop.original == (1201, 1600)
    assert crop.box == (199.5, 0, 1400.5, 1201)
    centres = (199.5 + (torch.arange(16) + 0.5) * 1201 / 16) / 1600
    assert torch.allclose(image[0, 8], centres, atol=0.01)


def test_a_jpeg_is_shrunk_as_a_png_is(tmp_path: Path) -> None:
    """It is read at a fraction of its size: at twice what is asked for, or more."""
    large = Image.fromarray(pixels(34, 34)).resize((272, 272), Image.Resampling.NEAREST)
    png = saved(tmp_path / "a.png", large)
    jpeg = saved(tmp_path / "a.jpg", large, quality=100, subsampling=0)
    off = read_image(jpeg, (33, 33)) - read_image(png, (33, 33))
    assert off.square().mean().sqrt() < 0.02


def test_enlarging_and_a_constant_stay_in_range(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.new("RGB", (9, 9), (255, 0, 77)))
    image = read_image(path, (31, 31))
    assert torch.allclose(image[:, 15, 15], torch.tensor([255.0, 0.0, 77.0]) / 255)


def test_the_first_picture_of_an_animation(tmp_path: Path) -> None:
    first, second = Image.new("L", (16, 16), 0), Image.new("L", (16, 16), 255)
    path = saved(tmp_path / "a.gif", first, save_all=True, append_images=[second])
    image, crop = read_cropped(path, (16, 16))
    assert image.max() == 0
    assert "first was used" in crop.notes[0]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", r"empty file \(0 bytes\)"),
        (b"hello, I am text\n" * 9, "not an image"),
        (b"\x89PNG\r\n\x1a\n\0\0", "not an image|damaged"),
        (b"%!PS-Adobe-3.0 EPSF", "not an image"),
        (b"II*\0rubbish", "damaged or cut short"),
        (b"\0\0\0 ftypmif9" + 20 * b"x", "not an image"),
        (b"MM", "not an image"),
    ],
)
def test_what_is_no_photo_is_refused_in_one_line(tmp_path: Path, content: Any, reason: str) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(PhotoError, match=reason) as caught:
        read_image(path, (16, 16))
    assert str(caught.value) == f"a.png: {caught.value.reason}"
    assert "\n" not in str(caught.value)


def test_postscript_is_refused_however_whole_it_is(tmp_path: Path) -> None:
    """To read it another program would be started."""
    with pytest.raises(PhotoError, match="not an image"):
        read_image(saved(tmp_path / "a.png", Image.fromarray(pixels()), format="EPS"), (16, 16))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".gif"])
def test_truncated_is_refused(tmp_path: Path, suffix: str) -> None:
    data = saved(tmp_path / f"a{suffix}", Image.fromarray(pixels(64, 64))).read_bytes()
    (tmp_path / f"a{suffix}").write_bytes(data[: len(data) // 2])
    with pytest.raises(PhotoError):
        read_image(tmp_path / f"a{suffix}", (16, 16))


def test_missing_folder_small_and_huge_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match="No such file"):
        read_image(tmp_path / "none.png", (16, 16))
    with pytest.raises(PhotoError):
        read_image(tmp_path, (16, 16))
    with pytest.raises(PhotoError, match="1×1 pixels: too small to restore, needs at least 8×8"):
        read_image(saved(tmp_path / "dot.png", Image.new("L", (1, 1))), (16, 16))
    huge = bytearray(saved(tmp_path / "bomb.bmp", Image.new("1", (8, 8))).read_bytes())
    huge[18:26] = (30000).to_bytes(4, "little") * 2
    (tmp_path / "bomb.bmp").write_bytes(huge)
    with pytest.raises(PhotoError, match="178 million pixels"):
        read_image(tmp_path / "bomb.bmp", (16, 16))


def test_broken_exif_does_not_cost_the_photo(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", Image.new("RGB", (16, 16), "white"), exif=b"Exif\0\0II*\0\xff\xff\xff\x7fjunk")
    assert read_image(path, (16, 16)).min() > 0.99


@pytest.mark.parametrize("suffix", ["", ".png", ".webp", ".tiff", ".TIF"])
@pytest.mark.parametrize("channels", [1, 3])
def test_written_images_come_back(tmp_path: Path, suffix: str, channels: Any) -> None:
    image = torch.rand(channels, 12, 10, generator=torch.Generator().manual_seed(0))
    path = tmp_path / "deep" / "er" / f"a{suffix}"
    write_image(path, image)
    assert (read_image(path, (12, 10), channels) - image).abs().max() <= 0.5 / 255 + 1e-6
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".jfif", ".jpe", ".JFIF"])
def test_a_jpeg_is_written_fine_and_with_all_of_its_colours(tmp_path: Path, suffix: str) -> None:
    image = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
    write_image(tmp_path / f"a{suffix}", image)
    with Image.open(tmp_path / f"a{suffix}") as made:
        assert made.format == "JPEG"
        assert JpegImagePlugin.get_sampling(made) == 0
    assert (read_image(tmp_path / f"a{suffix}", (64, 64)) - image).abs().mean() < 0.018


def test_writing_clamps_and_refuses(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg", torch.full((3, 16, 16), 1.7))
    assert read_image(tmp_path / "a.jpg", (16, 16)).min() == 1
    with pytest.raises(ValueError, match=r"\.gif is not written"):
        write_image(tmp_path / "a.gif", torch.zeros(3, 8, 8))
    with pytest.raises(ValueError, match="NaN"):
        write_image(tmp_path / "a.png", torch.full((3, 8, 8), torch.nan))
    with pytest.raises(ValueError, match=r"^write_image: the image has values of about \d+; .* divide 8-bit values by 255$"):
        write_image(tmp_path / "a.png", 255 * torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0)))
    with pytest.raises(ValueError, match="shape"):
        write_image(tmp_path / "a.png", torch.zeros(5, 8, 8))
    for channels in (2, 4):
        with pytest.raises(ValueError, match=r"^a\.JPEG: a JPEG holds no alpha; write a PNG, WebP or TIFF, or leave the last channel out$"):
            write_image(tmp_path / "a.JPEG", torch.zeros(channels, 8, 8))


def test_measurements_come_back_and_wrong_ones_are_named(tmp_path: Path) -> None:
    assert measurement_suffix((1, 4, 4)) == measurement_suffix((3, 9, 2)) == ".png"
    assert measurement_suffix((17,)) == measurement_suffix((2, 4, 4)) == ".npy"
    y = torch.randn(17, generator=torch.Generator().manual_seed(0))
    write_measurement(tmp_path / "y.npy", y)
    assert torch.equal(read_measurement(tmp_path / "y.npy", (17,)), y)
    with pytest.raises(PhotoError, match=r"shape \(17,\), but the operator measures \(18,\)"):
        read_measurement(tmp_path / "y.npy", (18,))
    small = torch.rand(1, 4, 4).mul(255).round() / 255
    write_measurement(tmp_path / "y.png", small)
    assert torch.allclose(read_measurement(tmp_path / "y.png", (1, 4, 4)), small)
    with pytest.raises(PhotoError, match="4×4 pixels, but the operator measures 8×4"):
        read_measurement(tmp_path / "y.png", (3, 4, 8))
    with pytest.raises(PhotoError, match=r"give a \.npy"):
        read_measurement(tmp_path / "y.png", (16,))


def test_arrays_that_are_no_measurement_are_refused(tmp_path: Path) -> None:
    data = io.BytesIO()
    np.save(data, np.array([{}], dtype=object), allow_pickle=True)
    contents = {"object": data.getvalue(), "empty": b"", "text": b"hello"}
    for name, content in contents.items():
        (tmp_path / f"{name}.npy").write_bytes(content)
        with pytest.raises(PhotoError, match=r"\.npy array of numbers"):
            read_measurement(tmp_path / f"{name}.npy", (1,))
    np.save(tmp_path / "whole.npy", np.zeros(3, np.uint8))
    with pytest.raises(PhotoError, match="uint8"):
        read_measurement(tmp_path / "whole.npy", (3,))
    np.save(tmp_path / "nan.npy", np.full(3, np.nan))
    with pytest.raises(PhotoError, match="NaN"):
        read_measurement(tmp_path / "nan.npy", (3,))
