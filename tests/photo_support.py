"""What the tests of photos' files share: a profile of more colours than sRGB has, and how a file's pixels lie before they are turned."""

from __future__ import annotations

from typing import Any

import imagecodecs
import numpy as np

WIDE: bytes = imagecodecs.cms_profile(
    "rgb", whitepoint=[0.3127, 0.3290], primaries=[0.68, 0.32, 0.265, 0.69, 0.15, 0.06], gamma=2.2
)  # Display P3's primaries


def lying(upright: np.ndarray[Any, Any], orientation: int) -> np.ndarray[Any, Any]:
    """The pixels of an upright photo, (H, W, …), as they lie in a file of this EXIF orientation."""
    turned = upright.swapaxes(0, 1)
    lies = (upright, upright[:, ::-1], upright[::-1, ::-1], upright[::-1], turned, turned[::-1], turned[::-1, ::-1], turned[:, ::-1])
    return np.ascontiguousarray(lies[orientation - 1])
