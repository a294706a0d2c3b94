"""Colour of 16 bits per channel, which Pillow reads as 8 and does not write: PNG and TIFF, from files and to them; and all TIFFs."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from PIL import TiffImagePlugin

from priorsolve.photos.pictures import ALPHA, MIRRORED_ACROSS, MIRRORED_DOWN, MULTIPLIED, NOT_MULTIPLIED, PhotoError, opened, orientation
from priorsolve.photos.silence import silence
from priorsolve.types import Floats

Deep = npt.NDArray[np.uint16]
"""(H, W), (H, W, 3) or, with alpha, one channel more."""
_BLACK_IS_0, _RGB = 1, 2
_DEFLATE, _DIFFERENCES = 8, 2
"""TIFF's words for what the numbers are, and how they are packed."""


def read_deep(path: Path) -> Floats:
    """The file's first picture, upright: (H, W, channels) in [0, 1], as it is stored, but for alpha that was multiplied into the colours.

    Raises PhotoError.
    """
    turn = opened(path, orientation)
    try:
        data = path.read_bytes()
        with silence():
            values, multiplied = _tiff(path) if data[:2] in (b"II", b"MM") else (np.asarray(imagecodecs.png_decode(data)), False)
    except Exception as error:  # broken bytes make decoders raise nearly anything
        raise PhotoError(path, f"damaged or cut short: {' '.join(str(error).split()) or type(error).__name__}") from error
    if values.dtype != np.uint16 or values.ndim != 3:
        raise PhotoError(path, f"16 bits per channel expected, not {values.dtype} of shape {values.shape}; save it anew")
    upright: Floats = _upright(values, turn).astype(np.float32) / np.float32(65535)
    if multiplied:
        alpha = upright[..., -1:]
        upright[..., :-1] = np.divide(upright[..., :-1], alpha, out=np.zeros_like(upright[..., :-1]), where=alpha > 0).clip(0, 1)
    return upright


def _tiff(path: Path) -> tuple[Any, bool]:
    """The first picture, its colours and alpha, and whether the colours were multiplied by that.

    Other channels are left out, such as a scanner's infrared one.
    """
    from tifffile import TiffFile

    with TiffFile(path) as file:
        page = file.pages.first
        values = page.asarray()
    values = np.moveaxis(values, 0, -1) if page.planarconfig == 2 else values
    colours = 3 if page.photometric == _RGB else 1
    alpha = [(colours + i, kind) for i, kind in enumerate(page.extrasamples) if kind in ALPHA][:1]
    return values[..., [*range(colours), *(place for place, _ in alpha)]], [kind for _, kind in alpha] == [MULTIPLIED]


def _upright(values: Any, turn: int) -> Any:
    """EXIF's orientation undone."""
    if turn >= 5:
        values = values.swapaxes(0, 1)
    return values[:: -1 if turn in MIRRORED_DOWN else 1, :: -1 if turn in MIRRORED_ACROSS else 1]


def png(values: Deep, head: bytes) -> bytes:
    """A PNG of these values, with the profile, the resolution and the words of `head`, any PNG that Pillow wrote."""
    encoded = imagecodecs.png_encode(np.ascontiguousarray(values), level=6)
    at = 8 + 25  # behind the signature and IHDR
    kept = b"".join(chunk for kind, chunk in _chunks(head) if kind not in (b"IHDR", b"IDAT", b"IEND"))
    return bytes(encoded[:at]) + kept + bytes(encoded[at:])


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        found.append((data[at + 4 : at + 8], data[at : at + 12 + length]))
        at += 12 + length
    return found


def tiff(values: Deep | npt.NDArray[np.uint8], tags: dict[int, Any]) -> bytes:
    """A TIFF of these values, with tags beside those of the picture itself; tifffile writes no EXIF, Pillow none where it compresses.

    Compressed by deflate, with differences along each row.
    """
    height, width, *channels = values.shape
    count = channels[0] if channels else 1
    rows = max(1, (1 << 18) // (values.itemsize * width * count))
    data, offsets, sizes = io.BytesIO(), [], []
    for top in range(0, height, rows):
        strip = values[top : top + rows]
        strip = np.concatenate([strip[:, :1], np.diff(strip, axis=1)], 1)
        packed = zlib.compress(strip.astype(strip.dtype.newbyteorder("<")).tobytes(), 6)
        offsets.append(data.tell())
        sizes.append(len(packed))
        data.write(packed + b"\0" * (len(packed) % 2))
    ifd, file = TiffImagePlugin.ImageFileDirectory_v2(b"II*\0\0\0\0\0"), io.BytesIO()
    own = {
        TiffImagePlugin.IMAGEWIDTH: width,
        TiffImagePlugin.IMAGELENGTH: height,
        TiffImagePlugin.BITSPERSAMPLE: (8 * values.itemsize,) * count,
        TiffImagePlugin.COMPRESSION: _DEFLATE,
        TiffImagePlugin.PHOTOMETRIC_INTERPRETATION: _RGB if count >= 3 else _BLACK_IS_0,
        TiffImagePlugin.STRIPOFFSETS: tuple(offsets),
        TiffImagePlugin.SAMPLESPERPIXEL: count,
        **({} if count % 2 else {TiffImagePlugin.EXTRASAMPLES: NOT_MULTIPLIED}),
        TiffImagePlugin.ROWSPERSTRIP: rows,
        TiffImagePlugin.STRIPBYTECOUNTS: tuple(sizes),
        TiffImagePlugin.PREDICTOR: _DIFFERENCES,
    }
    for tag, value in {**tags, **own}.items():
        ifd[tag] = value
    ifd.save(file)  # it takes offsets as counted from its own end, where the strips follow
    return file.getvalue() + data.getvalue()


def deepened(values: Floats) -> Deep:
    """[0, 1] to 16 bits."""
    return np.rint(values.clip(0, 1).astype(np.float64) * 65535).astype(np.uint16)
