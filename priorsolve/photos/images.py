"""Photos, from files to numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from priorsolve.photos.deep import read_deep
from priorsolve.photos.greys import LUMA, grey, note_colours
from priorsolve.photos.pictures import (
    MIRRORED_ACROSS,
    MIRRORED_DOWN,
    MOVED,
    ON_WHITE,
    finish,
    is_deep_colour,
    open_picture,
    opened,
    orientation,
)
from priorsolve.photos.profiles import is_own, to_srgb
from priorsolve.showing import checked_path, shown
from priorsolve.types import Floats

Box: TypeAlias = tuple[float, float, float, float]
"""(left, top, right, bottom)."""


@dataclass(frozen=True)
class Crop:
    """How a photo became an image: sizes are (height, width); `box` is (left, top, right, bottom) in the upright photo's pixels."""

    original: tuple[int, int]
    size: tuple[int, int]
    box: Box
    resized: bool
    notes: tuple[str, ...] = ()

    def sentences(self) -> tuple[str, ...]:
        """What a record should say, one thought each; empty when the photo was used exactly as it is."""
        (height, width), (left, top, right, bottom) = self.original, self.box
        said = []
        if (right - left, bottom - top) != (width, height):
            said.append(f"cropped from {width}×{height} to {right - left:g}×{bottom - top:g} around its centre")
        if self.resized:
            said.append(f"resized from {right - left:g}×{bottom - top:g} to {self.size[1]}×{self.size[0]}")
        return (*said, *self.notes)


def read_image(path: str | Path, size: tuple[int, int], channels: Literal[1, 3] = 3) -> Tensor:
    """The photo as (channels, *size), float32 in [0, 1]; `read_cropped` also tells what was done to it.

    Raises PhotoError for a file that cannot be used, and ValueError where `path` is not a path or `size` is not (height, width).
    """
    path = checked_path(path, "read_image: path")
    if not isinstance(size, Sequence) or len(size) != 2 or not all(isinstance(side, Integral) and side > 0 for side in size):
        raise ValueError(f"read_image: size is {shown(size)}; give (height, width), such as (128, 128)")
    if channels not in (1, 3):
        raise ValueError(f"read_image: channels is {shown(channels)}; give 1 or 3")
    return read_cropped(path, (int(size[0]), int(size[1])), channels)[0]


def read_cropped(path: Path, size: tuple[int, int], channels: Literal[1, 3] = 3, luma: Sequence[float] = LUMA) -> tuple[Tensor, Crop]:
    """Read a photo, turn it upright, crop it around its centre to the aspect of `size` (height, width) and resample it.

    Shrinking uses Lanczos, enlarging bicubic; a photo that already has this size is returned bit for bit (value / 255).
    16 bits and floats keep their precision; colours come out as sRGB, what is transparent lies on white, of an animation the
    first picture counts. One channel has shares of red, green and blue, `luma`, of a photo in colours. Raises PhotoError with one
    sentence for a file that cannot be used.
    """
    rows, columns = size
    if opened(path, is_deep_colour):
        photo, said = read_photo(path, channels, luma)
        whole = photo.shape[-2], photo.shape[-1]
        layers = [_cropped(Image.fromarray(layer.numpy()), whole, size) for layer in photo]
        _, box, resized = layers[0]
        return torch.cat([as_tensor(layer, 1, []) for layer, _, _ in layers]), Crop(whole, size, box, resized, said)
    # Twice what is needed is left for Lanczos: decoding a JPEG at a fraction is a box filter.
    picture, original, notes = open_picture(path, lambda h, w: _cover(h, w, 2 * rows, 2 * columns))
    picture, box, resized = _cropped(picture, original, size, opened(path, orientation))
    image = as_tensor(finish(picture, notes), channels, notes, luma)
    return image, Crop(original, size, box, resized, tuple(notes))


def _cropped(picture: Image.Image, original: tuple[int, int], size: tuple[int, int], turn: int = 1) -> tuple[Image.Image, Box, bool]:
    """The picture at `size`, the box of the original (height, width) that it shows, and whether it was resampled.

    `turn` is the EXIF orientation that was undone.
    """
    (rows, columns), box = size, _central(original, size)
    if (box[2] - box[0], box[3] - box[1]) == (columns, rows) and (picture.height, picture.width) == original:
        return _with_info(picture, picture.crop((int(box[0]), int(box[1]), int(box[2]), int(box[3])))), box, False
    # A JPEG may be decoded at a fraction, its size rounded up: what is too much lies at the end of its rows, and of its columns.
    part = next(part for part in (1, 2, 4, 8) if -(-original[1] // part) == picture.width)
    across = picture.width - original[1] / part if turn in MIRRORED_ACROSS else 0
    down = picture.height - original[0] / part if turn in MIRRORED_DOWN else 0
    left, top = across + box[0] / part, down + box[1] / part
    scaled = (left, top, min(across + box[2] / part, picture.width), min(down + box[3] / part, picture.height))
    shrinking = box[2] - box[0] > columns
    how = Image.Resampling.LANCZOS if shrinking else Image.Resampling.BICUBIC
    return _with_info(picture, picture.resize((columns, rows), how, box=scaled, reducing_gap=3.0 if shrinking else None)), box, True


def read_photo(path: Path, channels: Literal[1, 3] = 3, luma: Sequence[float] = LUMA) -> tuple[Tensor, tuple[str, ...]]:
    """The whole photo, upright: (channels, H, W), float32 in [0, 1], and what was lost on the way.

    16 bits per channel are read as such, and colours are moved to sRGB without rounding. The rest as `read_cropped`.
    """
    picture, _, notes = open_picture(path)
    stored = read_stored(path, picture)
    if stored is None:
        return as_tensor(finish(picture, notes), channels, notes, luma), tuple(notes)
    values, profile = stored[..., :3], picture.info.get("icc_profile")
    if profile and is_own(profile):
        values = to_srgb(values, profile).clip(0, 1)
        notes.append(MOVED)
    if stored.shape[-1] == 4 and (stored[..., 3] < 1).any():
        values = values * stored[..., 3:] + (1 - stored[..., 3:])
        notes.append(ON_WHITE)
    image = torch.from_numpy(np.ascontiguousarray(values)).permute(2, 0, 1).contiguous()
    if channels == 1:
        note_colours(values, notes)
        image = grey(image, luma)
    return image, tuple(notes)


def read_stored(path: Path, picture: Image.Image | None = None) -> Floats | None:
    """A photo in colours as its file holds it, where sRGB of 8 bits would not do: (H, W, 3), or 4 with alpha, upright, in [0, 1].

    None where it holds 8 bits of sRGB, grey or CMYK. `picture` is the opened file, where it is at hand. Raises PhotoError.
    """
    if opened(path, is_deep_colour):
        values = read_deep(path)
        return values if values.shape[-1] > 2 else np.concatenate([values[..., :1]] * 3 + [values[..., 1:]], -1)
    picture = open_picture(path)[0] if picture is None else picture
    profile = picture.info.get("icc_profile")
    if picture.mode in ("RGB", "RGBA") and profile and is_own(profile):
        return _of_bytes(picture)
    return None


def read_transparent(path: Path) -> Floats | None:
    """A photo with transparent parts as its file holds it, upright: (H, W, 2 or 4) in [0, 1], alpha last. None where nothing
    is transparent.

    Raises PhotoError.
    """
    picture = open_picture(path)[0]
    stored = read_stored(path, picture)
    if stored is None and picture.mode in ("LA", "RGBA"):
        stored = _of_bytes(picture)
    return stored if stored is not None and stored.shape[-1] in (2, 4) and bool((stored[..., -1] < 1).any()) else None


def _cover(height: int, width: int, rows: int, columns: int) -> tuple[int, int]:
    """The smallest (height, width) of the photo's shape that is at least (rows, columns)."""
    scale = max(rows / height, columns / width)
    return -int(-height * scale // 1), -int(-width * scale // 1)


def _central(original: tuple[int, int], size: tuple[int, int]) -> Box:
    """The largest box around the middle of the original (height, width) with the aspect of `size`."""
    (height, width), (rows, columns) = original, size
    scale = min(height / rows, width / columns)
    crop_height, crop_width = min(scale * rows, height), min(scale * columns, width)
    left, top = (width - crop_width) / 2, (height - crop_height) / 2
    if scale == 1:  # whole pixels, so that nothing has to be resampled
        left, top = left // 1, top // 1
    return left, top, left + crop_width, top + crop_height


def _with_info(source: Image.Image, made: Image.Image) -> Image.Image:
    made.info = dict(source.info)  # the colour profile is still to be used
    return made


def _of_bytes(picture: Image.Image) -> Floats:
    """The values of a picture of 8 bits, in [0, 1]."""
    return np.asarray(picture, dtype=np.float32) / np.float32(255)


def as_tensor(picture: Image.Image, channels: int, notes: list[str], luma: Sequence[float] = LUMA) -> Tensor:
    """(channels, H, W) in [0, 1] of a picture that is finished; notes what is left out."""
    if picture.mode == "F":
        values = np.asarray(picture, dtype=np.float32).clip(0.0, 1.0)
    else:
        if channels == 1 and picture.mode != "L":
            note_colours(_of_bytes(picture), notes)
            if tuple(luma) != LUMA:
                return grey(torch.from_numpy(_of_bytes(picture)).permute(2, 0, 1), luma)
            picture = picture.convert("L")
        values = _of_bytes(picture)
    tensor = torch.from_numpy(values)
    tensor = tensor[None] if tensor.ndim == 2 else tensor.permute(2, 0, 1).contiguous()
    return tensor if tensor.shape[0] == channels else tensor.repeat(channels, 1, 1)
