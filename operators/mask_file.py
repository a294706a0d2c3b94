"""The holes that a mask's file shows."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy
import torch
from PIL import Image, ImageOps, TiffImagePlugin
from torch import Tensor

from priorsolve.files import is_file, is_folder, is_there

_LOSSLESS = ("PNG", "TIFF", "BMP", "PPM", "GIF")
"""Formats in which a level of 1 is no speck."""


def read_holes(file: Path, hole: Literal["white", "black"]) -> Tensor:
    """The holes that an image file shows, (h, w) float32: 1 in a hole, a fraction at a soft edge.

    Raises:
        ValueError: the file is missing or unreadable, or one big hole.
    """
    if is_folder(file):
        raise ValueError(f"Holes: {file} is a folder; file: '{file}/{{stem}}.png' takes from it the mask of each photo's own name")
    if is_there(file) and not is_file(file):
        raise ValueError(f"Holes: the mask {file} is a pipe, a socket or a device; give a picture's file")
    try:
        with Image.open(file) as opened:
            exact = opened.format in _LOSSLESS
            # Pillow turns a TIFF of 8 bits in which 0 is white, and no other
            deep = opened.mode == "F" or opened.mode.startswith("I")
            negative = deep and getattr(opened, "tag_v2", {}).get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0
            level = _luminance(ImageOps.exif_transpose(opened), behind="black" if hole == "white" else "white", exact=exact)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        places = "a path starts beside the recipe's file, with --set in the working folder"
        way_out = f"; give one that is there: {places}" if isinstance(error, FileNotFoundError) else ""
        raise ValueError(f"Holes: cannot read the mask {file}: {getattr(error, 'strerror', None) or error}{way_out}") from error
    holes = level if (hole == "white") != negative else 1 - level
    holes = torch.where(holes < 0.05, 0, torch.where(holes > 0.95, 1, holes))
    if bool((holes == 1).all()):
        raise ValueError(f"Holes: the mask {file} is one big hole ({hole} everywhere); see that hole: names the colour of the holes")
    return holes


def _luminance(image: Image.Image, behind: Literal["black", "white"], *, exact: bool) -> Tensor:
    """Levels from 0 (black) to 1 (white), (h, w); what is transparent shows the colour behind."""
    if image.mode == "F":
        return torch.from_numpy(numpy.array(image, dtype=numpy.float32)).nan_to_num(0, 1, 0).clamp(0, 1)
    deep = image.mode.startswith("I")
    if not deep:  # 16 bits per pixel Pillow's conversion would clip
        if image.has_transparency_data:
            top = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", top.size, behind), top)
        image = image.convert("L")
    values = torch.from_numpy(numpy.array(image, dtype=numpy.float32))
    if exact and bool((values <= 1).all()):  # programs write masks as 0 and 1 too
        return values
    return values / (65535 if deep and values.max() != 255 else 255)  # and those of 8 bits in 16
