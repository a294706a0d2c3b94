"""What a photo's file says beside its pixels, and what of it a restored picture's file is to say too."""

from __future__ import annotations

import io
import re
import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image, PngImagePlugin, TiffImagePlugin

from priorsolve.photos.pictures import BROKEN_EXIF, EXIF, INTEROP, is_deep_colour, is_grey, opened, orientation
from priorsolve.photos.profiles import space_of, srgb

GPS, MAKER_NOTE = 0x8825, 37500
WIDTH, HEIGHT = 40962, 40963
INCH, CENTIMETRE = 2, 3
"""TIFF's units of resolutions."""
DESCRIBING = (269, 270, 271, 272, 305, 306, 315, 316, 18246, 18249, 33432, 40091, 40092, 40093, 40094, 40095)
"""Tags that speak of the photo: name, title, camera, program, date, artist, host, rating, copyright, and Windows' title to subject. Others,
such as those of TIFF's strips or of a thumbnail, speak of the file."""
IPTC, RESOURCE = 33723, 0x0404
"""Where a TIFF has the words of IPTC, and where Photoshop's block of a JPEG has them."""
APP13 = 0xED
FILES_OWN = ('{"shape"', "ImageJ=", "<?xml")
"""How descriptions begin that programs (tifffile, ImageJ, OME) write about the file's numbers, and read again: they no longer hold."""
JPEG_LIMIT = 65_500
"""Bytes of EXIF that a JPEG holds."""
BLOCK_LIMIT = 65_535
"""And of any other block, with those that tell its length."""


@dataclass(frozen=True)
class Tags:
    """Of an upright picture: `exif` without its thumbnail, `dpi` (across, down); `bits` 16 where a channel has more than 8.

    `grey` is for files that hold no colours.
    """

    profile: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    dpi: tuple[float, float] | None = None
    bits: int = 8
    grey: bool = False

    def fitting(self, *, grey: bool) -> Tags:
        """For a picture that is grey or has colours: a profile of another kind makes way for sRGB, in which such pictures are."""
        if self.profile is None or space_of(self.profile) == ("GRAY" if grey else "RGB"):
            return replace(self, grey=grey)
        return replace(self, profile=None if grey else srgb(), grey=grey)

    def settings(self, kind: str, size: tuple[int, int]) -> dict[str, Any]:
        """How Pillow is to write them into a file of this kind (PNG, JPEG, WEBP) with a picture of (height, width)."""
        exif = None if self.exif is None else _resized(self.exif, size, JPEG_LIMIT if kind == "JPEG" else None)
        if kind == "WEBP" and self.dpi is not None:
            exif = _with_resolution(exif, self.dpi)
        given: dict[str, Any] = {"icc_profile": self.profile, "exif": exif, "dpi": self.dpi}
        if kind == "PNG" and self.xmp is not None:
            words = PngImagePlugin.PngInfo()
            words.add_itxt("XML:com.adobe.xmp", self.xmp.decode("utf-8", "replace"))
            given["pnginfo"] = words
        elif self.xmp is not None:
            given["xmp"] = self.xmp
        if kind == "JPEG" and self.iptc is not None:
            given["extra"] = _block_of(self.iptc)
        return {key: value for key, value in given.items() if value is not None}

    def ifd(self, size: tuple[int, int]) -> dict[int, Any]:
        """The tags of a TIFF with a picture of (height, width)."""
        exif = Image.Exif() if self.exif is None else _loaded(_resized(self.exif, size, None))
        tags: dict[int, Any] = {tag: value for tag, value in exif.items() if tag in DESCRIBING}
        tags |= {tag: dict(exif.get_ifd(tag)) for tag in (EXIF, GPS) if tag in exif}
        if self.dpi is not None:
            tags |= _resolution(self.dpi)
        if self.profile is not None:
            tags[TiffImagePlugin.ICCPROFILE] = self.profile
        if self.xmp is not None:
            tags[TiffImagePlugin.XMP] = self.xmp
        if self.iptc is not None:
            tags[IPTC] = self.iptc
        return tags


class _Words(str):
    """Words of EXIF. Pillow reads their bytes, mostly UTF-8, as latin-1, and would write a question mark for each that is not ASCII."""

    __slots__ = ()

    def encode(self, encoding: str = "latin-1", errors: str = "strict") -> bytes:
        """The bytes as they were, though Pillow asks for ASCII."""
        return super().encode("latin-1", errors)


def _as_stored(value: Any) -> Any:
    return _Words(value) if isinstance(value, str) else value


def read_tags(path: Path) -> Tags:
    """The photo's. What is damaged in them is left out. Raises PhotoError where the file is no picture."""
    return opened(path, _tags)


def _tags(picture: Image.Image) -> Tags:
    info = dict(picture.info)
    mode, deep, grey = picture.mode, is_deep_colour(picture), is_grey(picture)  # told before anything is decoded
    exif, sideways = _exif(picture), orientation(picture) >= 5
    xmp = picture.info.get("xmp", info.get("xmp"))
    return Tags(
        profile=info.get("icc_profile") or None,
        exif=exif,
        xmp=_upright(xmp if isinstance(xmp, bytes) else xmp.encode()) if xmp else None,
        iptc=_iptc(picture),
        dpi=_dpi(info.get("dpi"), sideways) or _dpi(_told_resolution(picture), sideways),
        bits=16 if deep or mode.startswith(("I", "F")) else 8,
        grey=grey,
    )


def _exif(picture: Image.Image) -> bytes | None:
    """The words of the photo's EXIF, for an upright picture."""
    try:
        given, kept = picture.getexif(), Image.Exif()
        for tag in DESCRIBING:
            if tag in given and not str(given[tag]).startswith(FILES_OWN):
                kept[tag] = _as_stored(given[tag])
        for place in (EXIF, GPS):
            if inner := {tag: _as_stored(value) for tag, value in given.get_ifd(place).items() if tag != INTEROP}:
                kept.get_ifd(place).update(inner)
        return bytes(kept.tobytes()) if len(kept) or kept.get_ifd(EXIF) or kept.get_ifd(GPS) else None
    except BROKEN_EXIF:
        return None


def _iptc(picture: Image.Image) -> bytes | None:
    """The words of the photo's IPTC: caption, keywords, credit."""
    try:
        if isinstance(picture, TiffImagePlugin.TiffImageFile):
            given = picture.tag_v2._tagdata.get(IPTC)  # of bytes said to be longs Pillow tells the first alone
        else:
            given = picture.info.get("photoshop", {}).get(RESOURCE)
        return bytes(given) if given else None
    except BROKEN_EXIF:
        return None


def _block_of(iptc: bytes) -> bytes | None:
    """Photoshop's block of a JPEG that has these words; none where they are too long for it."""
    body = b"Photoshop 3.0\0" + b"8BIM" + struct.pack(">HHL", RESOURCE, 0, len(iptc)) + iptc + b"\0" * (len(iptc) % 2)
    return struct.pack(">BBH", 0xFF, APP13, len(body) + 2) + body if len(body) + 2 <= BLOCK_LIMIT else None


def _loaded(exif: bytes) -> Image.Exif:
    given = Image.Exif()
    given.load(exif)
    for words in (given, *(given.get_ifd(place) for place in (EXIF, GPS) if place in given)):
        words.update({tag: _as_stored(value) for tag, value in words.items()})
    return given


def _resized(exif: bytes, size: tuple[int, int], limit: int | None) -> bytes:
    """With the picture's own size in it, and without the camera maker's note where all of it would be too long."""
    given = _loaded(exif)
    inner = given.get_ifd(EXIF)
    if WIDTH in inner or HEIGHT in inner:
        inner[HEIGHT], inner[WIDTH] = size
    if limit is not None and len(given.tobytes()) > limit:
        inner.pop(MAKER_NOTE, None)
    return bytes(given.tobytes())


def _resolution(dpi: tuple[float, float]) -> dict[int, Any]:
    across, down = dpi
    return {TiffImagePlugin.X_RESOLUTION: across, TiffImagePlugin.Y_RESOLUTION: down, TiffImagePlugin.RESOLUTION_UNIT: INCH}


def _with_resolution(exif: bytes | None, dpi: tuple[float, float]) -> bytes:
    """For a file that has no other place for it."""
    given = Image.Exif() if exif is None else _loaded(exif)
    given.update(_resolution(dpi))
    return bytes(given.tobytes())


def _told_resolution(picture: Image.Image) -> tuple[float, float] | None:
    """Pixels per inch, across and down, by the photo's EXIF; of a WebP, and of some PNGs, nothing else tells them."""
    try:
        given = picture.getexif()
        scale = {INCH: 1.0, CENTIMETRE: 2.54}[given.get(TiffImagePlugin.RESOLUTION_UNIT, INCH)]
        return scale * float(given[TiffImagePlugin.X_RESOLUTION]), scale * float(given[TiffImagePlugin.Y_RESOLUTION])
    except BROKEN_EXIF:
        return None


def _upright(xmp: bytes) -> bytes:
    """XMP repeats EXIF's orientation."""
    said = re.sub(rb"(tiff:Orientation\s*=\s*[\"'])\d", rb"\g<1>1", xmp)
    return re.sub(rb"(<tiff:Orientation>\s*)\d", rb"\g<1>1", said)


def _dpi(given: Any, sideways: bool) -> tuple[float, float] | None:
    try:
        across, down = float(given[0]), float(given[1])
    except (TypeError, ValueError, IndexError, ZeroDivisionError):
        return None
    if not (1 < across < 1e6 and 1 < down < 1e6):
        return None  # 1 is Pillow's word for a TIFF that says nothing
    return (down, across) if sideways else (across, down)


def png_head(tags: Tags, size: tuple[int, int]) -> bytes:
    """A PNG of one pixel with all that the tags say."""
    data = io.BytesIO()
    Image.new("RGB", (1, 1)).save(data, "PNG", **tags.settings("PNG", size))
    return data.getvalue()
