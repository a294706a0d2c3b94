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
def is_own(profile: bytes) -> bool:
    """Whether colours have to be moved for it: a profile of RGB, and another than sRGB. False for one that is damaged."""
    try:
        given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return given.profile.xcolor_space.strip() == "RGB" and "srgb" not in ImageCms.getProfileDescription(given).lower()
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return False


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
