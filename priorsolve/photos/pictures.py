"""From a picture file of any kind to sRGB or grey pixels, or one line that says why not."""

from __future__ import annotations

import io
import stat
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias, TypeVar

import numpy as np
from PIL import Image, ImageCms, TiffImagePlugin, UnidentifiedImageError, features

from priorsolve.photos.profiles import adobe_rgb, is_srgb
from priorsolve.photos.silence import silence

FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "TIFF", "BMP", "GIF", "PPM", "JPEG2000", "AVIF", "HEIF")
"""Pillow's names of what is read. Nothing else is tried: a reader such as EPS would start another program."""

SMALLEST = 8
"""Pixels on the shorter side below which nothing can be restored."""

MOVED = "colours were moved to sRGB by the file's own profile"
ON_WHITE = "transparent parts were laid on white"
MORE_CHANNELS = "channels that are neither colours nor alpha were left out"
CMYK_16 = "CMYK of 16 bits per channel was read as 8"
OPAQUE_GREY = "one level of 16-bit grey is transparent in the file: it was read as opaque"
ALPHA = MULTIPLIED, NOT_MULTIPLIED = 1, 2
"""TIFF's words for alpha that colours were multiplied by (associated), and for alpha that they were not."""

Hint: TypeAlias = Callable[[int, int], tuple[int, int]]
"""(height, width) of an upright photo -> the smallest (height, width) of it that is of use."""

Looked = TypeVar("Looked")

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
MIRRORED_ACROSS, MIRRORED_DOWN = (2, 3, 6, 7), (3, 4, 7, 8)
"""The orientations in which a photo's left and right, and its top and bottom, change places once its sides did (5 to 8)."""
ORIENTATION = 274
EXIF, INTEROP = 0x8769, 0xA005
"""EXIF's own table, and where in the photo's file the one lies that says how to read it."""
_COLOUR_SPACE, _UNCALIBRATED = 40961, 65535
BROKEN_EXIF = (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, struct.error, AttributeError)
"""What Pillow raises where a block of EXIF is broken. The picture itself may be fine."""
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""How TIFFs begin, of either order of bytes."""
_BIG = 43
"""What tells a BigTIFF, whose head is longer."""


class PhotoError(ValueError):
    """A photo, or a measurement, that cannot be used. `reason` is the sentence; the text puts the file's name before it."""

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(Path(path).name, reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.args[0]}: {self.reason}"


def reason_of(error: Exception) -> str:
    """Why, in one line. It does not begin with the photo's name: whoever tells of a photo names it."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.strerror}: {error.filename}"
    return " ".join(str(error.reason if isinstance(error, PhotoError) else error).split())


def open_picture(path: Path, hint: Hint | None = None, smallest: int = SMALLEST) -> tuple[Image.Image, tuple[int, int], list[str]]:
    """Decode the file's first picture, upright: (picture, (height, width) as stored in the file but upright, notes).

    The picture has mode L, LA, RGB, RGBA, CMYK or F (grey, [0, 1]) and still has its colour profile; `finish` removes both
    alpha and profile. A JPEG is decoded at a half, quarter or eighth, but never below what `hint` asks for: that keeps a huge
    photo's memory small. Below `smallest` pixels on a side a picture is refused.
    Notes say what was lost on the way. Raises PhotoError.
    """
    return opened(path, lambda picture: _decode(path, picture, hint, smallest))


def picture_size(path: Path) -> tuple[int, int]:
    """(height, width) of the file's picture, upright; from its head alone. Raises PhotoError."""
    return opened(path, _upright_size)


def _upright_size(picture: Image.Image) -> tuple[int, int]:
    sideways = picture.format != "TIFF" and orientation(picture) >= 5  # Pillow tells a TIFF's size upright
    return picture.size if sideways else (picture.height, picture.width)


def opened(path: Path, look: Callable[[Image.Image], Looked]) -> Looked:
    """What `look` makes of the file's first picture, which it gets before it is decoded. Raises PhotoError, whatever is wrong."""
    if size_of(path) == 0:
        raise PhotoError(path, "an empty file (0 bytes)")
    with silence():
        return _looked(path, look)


def size_of(path: Path) -> int:
    """Bytes of the photo's file. Raises PhotoError where it cannot be read, or would be waited for without end."""
    try:
        about = path.stat()
    except OSError as error:
        raise PhotoError(path, f"cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(about.st_mode):
        raise PhotoError(path, "not a file (a folder, a pipe, a socket or a device)")
    return about.st_size


def _looked(path: Path, look: Callable[[Image.Image], Looked]) -> Looked:
    Image.init()
    try:
        with Image.open(path, formats=[name for name in FORMATS if name in Image.OPEN]) as picture:
            if _is_adobe(picture):
                picture.info["icc_profile"] = adobe_rgb()
            return look(picture)
    except PhotoError:
        raise
    except UnidentifiedImageError as error:
        raise PhotoError(path, _unidentified(path)) from error
    except Image.DecompressionBombError as error:
        raise PhotoError(path, "too large: more than 178 million pixels; shrink it first") from error
    except MemoryError as error:
        raise PhotoError(path, "too large for this machine's memory; shrink it first") from error
    except Exception as error:  # broken bytes make Pillow's readers raise nearly anything
        raise PhotoError(path, f"damaged or cut short: {' '.join(str(error).split()) or type(error).__name__}") from error


def _is_adobe(picture: Image.Image) -> bool:
    """Whether a camera's EXIF alone tells that the colours are Adobe RGB's: DCF 2.0 has no profile for them, but this mark."""
    if picture.format not in ("JPEG", "MPO") or picture.mode != "RGB" or picture.info.get("icc_profile"):
        return False
    try:
        exif = picture.getexif()
        return exif.get_ifd(EXIF).get(_COLOUR_SPACE) == _UNCALIBRATED and str(exif.get_ifd(INTEROP).get(1, "")).startswith("R03")
    except BROKEN_EXIF:
        return False


def _unidentified(path: Path) -> str:
    """Why Pillow knows nothing of the file, and the way out."""
    unknown, head = "not an image: no picture format that is read", b""
    if path.suffix.lower() in (".heic", ".heif") and "HEIF" not in Image.OPEN:
        return "not an image: HEIC is not read: convert it to JPEG or PNG"
    try:
        with path.open("rb") as file:
            head = file.read(16)
            tags = TiffImagePlugin.ImageFileDirectory_v2(head[: 16 if head[2] == _BIG else 8])
            file.seek(tags.next)
            tags.load(file)
        bits, (kind, *_) = tags[TiffImagePlugin.BITSPERSAMPLE], tags.get(TiffImagePlugin.SAMPLEFORMAT, (1,))
        numbers = {1: "whole numbers", 2: "signed whole numbers", 3: "floats"}.get(kind, "numbers")
        told = f"a TIFF of {bits[0]}-bit {numbers}, {len(bits)} in each pixel, which is not read: {_way_out(bits)}"
        return told if bits[0] in (16, 32, 64) else unknown
    except Exception:  # noqa: BLE001 (no TIFF, or one whose broken tags make Pillow's reader raise nearly anything)
        return "damaged or cut short" if _is_read(head) else unknown


def _is_read(head: bytes) -> bool:
    """Whether a file that begins so is of a format that is read, of which Pillow knows nothing where the file is cut short."""
    brand = head[8:12] if head[4:8] == b"ftyp" else b""
    avif, heif = brand in (b"avif", b"avis") and features.check("avif"), brand[:3] == b"hei" and "HEIF" in Image.OPEN
    return head[:4] in _TIFF or bool(avif or heif)


def _way_out(bits: Sequence[int]) -> str:
    """What to do with a TIFF of so many bits in each channel, two of which are grey with alpha."""
    if bits[0] != 16:
        return "save it with 16 bits per channel"
    return "save it as a PNG, or without alpha" if len(bits) == 2 else "save it as a PNG"


def _decode(path: Path, picture: Image.Image, hint: Hint | None, smallest: int) -> tuple[Image.Image, tuple[int, int], list[str]]:
    width, height = picture.size
    if min(width, height) < smallest:
        raise PhotoError(path, f"{width}×{height} pixels: too small to restore, needs at least {smallest}×{smallest}")
    notes = _losses(picture)
    sideways = picture.format in ("JPEG", "MPO") and orientation(picture) >= 5
    full = (width, height) if sideways else (height, width)
    if hint is not None and picture.format in ("JPEG", "MPO"):
        rows, columns = hint(*full)
        picture.draft(None, (rows, columns) if sideways else (columns, rows))
    picture.load()
    turn = TURNS.get(orientation(picture))
    upright: Image.Image = picture if turn is None else picture.transpose(turn)
    if picture.format not in ("JPEG", "MPO"):
        full = (upright.height, upright.width)
    # Pillow turns a TIFF of 8 bits in which 0 is white, and none of 16
    negative = getattr(picture, "tag_v2", {}).get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0
    return _plain(path, upright, negative=negative), full, notes


def orientation(picture: Image.Image) -> int:
    """EXIF's, 1 where there is none."""
    try:
        return int(picture.getexif().get(ORIENTATION, 1))
    except BROKEN_EXIF:
        return 1


def _losses(picture: Image.Image) -> list[str]:
    several = getattr(picture, "n_frames", 1) > 1 and picture.format != "MPO"
    said = ["several pictures in one file: the first was used"] if several else []
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        beside = picture.tag_v2.get(TiffImagePlugin.EXTRASAMPLES, ())
        said += [MORE_CHANNELS] if len(beside) > any(kind in ALPHA for kind in beside) else []
        said += [CMYK_16] if picture.mode == "CMYK" and 16 in picture.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, ()) else []
    elif picture.mode.startswith("I") and "transparency" in picture.info:
        said.append(OPAQUE_GREY)
    return said


def is_deep_colour(picture: Image.Image) -> bool:
    """Whether a file just opened holds 16 bits per channel of which Pillow reads 8."""
    if picture.mode not in ("RGB", "RGBA", "LA"):
        return False
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        return 16 in picture.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, ())
    return any(";16" in stored for stored in _stored_modes(picture))


def is_grey(picture: Image.Image) -> bool:
    """Whether a file just opened holds no colours."""
    with_alpha = any(stored.startswith("LA;16") for stored in _stored_modes(picture))  # which Pillow reads as colours
    return with_alpha or picture.mode in ("1", "L", "LA") or picture.mode.startswith(("I", "F"))


def _stored_modes(picture: Image.Image) -> list[str]:
    """How Pillow says that the parts of a file just opened are stored."""
    tiles: list[tuple[object, ...]] = getattr(picture, "tile", [])
    return [str(tile[3]) for tile in tiles]


def _plain(path: Path, picture: Image.Image, *, negative: bool) -> Image.Image:
    """One of the modes that can be resampled as they are; the 16-bit and float ones become F in [0, 1], those of a `negative` turned."""
    if picture.mode == "1":
        return picture.convert("L")
    if picture.mode.startswith(("I", "F")):
        values = _unit(path, np.asarray(picture))
        return Image.fromarray(1 - values if negative else values)
    if picture.mode in ("P", "PA", "RGBa", "La") or "transparency" in picture.info:
        return picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    if picture.mode in ("L", "LA", "RGB", "RGBA", "CMYK"):
        return picture
    return picture.convert("RGB")


def _unit(path: Path, values: np.ndarray) -> np.ndarray:
    if values.dtype.kind in "iu":
        if values.min() < 0 or values.max() > 65535:  # not named: Pillow takes the largest of 32 bits for negative ones
            raise PhotoError(path, "whole numbers of 32 bits, not all from 0 to 65535: no known range, save it with 16 bits per channel")
        return values.astype(np.float32) / np.float32(65535)
    if not np.isfinite(values).all():
        raise PhotoError(path, "float pixels that are NaN or infinite")
    if values.min() < -0.01 or values.max() > 1.01:
        raise PhotoError(path, f"float pixels from {values.min():.4g} to {values.max():.4g}: scale them to [0, 1]")
    return values.astype(np.float32).clip(0.0, 1.0)


def finish(picture: Image.Image, notes: list[str]) -> Image.Image:
    """The picture as L, RGB or F: its colours in sRGB by its own profile, what is transparent laid on white (as browsers show it)."""
    picture = _to_srgb(picture, notes)
    if picture.mode in ("LA", "RGBA"):
        alpha = picture.getchannel("A")
        if alpha.getextrema() != (255, 255):
            notes.append(ON_WHITE)
            white = Image.new("RGBA", picture.size, "white")
            flat = Image.alpha_composite(white, picture.convert("RGBA"))
            return flat.convert("L" if picture.mode == "LA" else "RGB")
        return picture.convert(picture.mode[:-1])
    return picture


def _to_srgb(picture: Image.Image, notes: list[str]) -> Image.Image:
    profile = picture.info.get("icc_profile")
    if picture.mode in ("RGB", "RGBA", "CMYK") and profile:
        try:
            given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if picture.mode != "CMYK" and is_srgb(profile):
                return picture
            mode = "RGB" if picture.mode == "CMYK" else picture.mode
            moved = ImageCms.profileToProfile(picture, given, ImageCms.createProfile("sRGB"), outputMode=mode)
            if moved is not None:
                notes.append(MOVED)
                return moved
        except (ImageCms.PyCMSError, OSError, RuntimeError, ValueError, TypeError):
            notes.append("the file's colour profile could not be used")
    if picture.mode == "CMYK":
        notes.append("CMYK was converted without a profile")
        return picture.convert("RGB")
    return picture
