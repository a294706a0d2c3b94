"""Colours between sRGB and a photo's own profile, by LittleCMS in floating point: beyond the range nothing is cut off.

Pillow has LittleCMS too, but for 8 bits alone.
"""

from __future__ import annotations

import io
from functools import cache

import imagecodecs
import numpy as np
from PIL import ImageCms

from priorsolve.types import Floats


@cache
def srgb() -> bytes:
    """The profile of sRGB."""
    return bytes(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())


@cache
def adobe_rgb() -> bytes:
    """The profile of Adobe RGB (1998): its primaries, D65, and a gamma of 563/256."""
    primaries = [0.64, 0.33, 0.21, 0.71, 0.15, 0.06]
    return bytes(imagecodecs.cms_profile("rgb", whitepoint=[0.3127, 0.3290], primaries=primaries, gamma=563 / 256))


@cache
def is_own(profile: bytes) -> bool:
    """Whether colours have to be moved for it: a profile of RGB, and another than sRGB. False for one that is damaged."""
    try:
        return space_of(profile) == "RGB" and not is_srgb(profile)
    except (RuntimeError, ValueError):
        return False


@cache
def is_srgb(profile: bytes) -> bool:
    """Whether a profile of RGB is sRGB, to two 255ths: by where it moves colours, as linear and extended ones are called sRGB too.

    Raises:
        RuntimeError: LittleCMS cannot use it.
    """
    steps = np.linspace(0, 1, 9, dtype=np.float32)
    colours = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(27, 27, 3)
    return bool(np.abs(to_srgb(colours, profile) - colours).max() <= 2 / 255)


def space_of(profile: bytes) -> str:
    """RGB, GRAY, CMYK …; nothing for one that is damaged."""
    try:
        return str(ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile.xcolor_space.strip())
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return ""


def to_srgb(values: Floats, profile: bytes) -> Floats:
    """(H, W, 3) of the profile, in [0, 1], as sRGB; colours that sRGB has not lie beyond [0, 1]."""
    return _moved(values, profile, srgb())


def from_srgb(values: Floats, profile: bytes) -> Floats:
    """The inverse of `to_srgb`."""
    return _moved(values, srgb(), profile)


def _moved(values: Floats, given: bytes, wanted: bytes) -> Floats:
    flat = np.ascontiguousarray(values, np.float32)
    moved: Floats = imagecodecs.cms_transform(flat, given, wanted, colorspace="rgb", outcolorspace="rgb")
    return moved
