"""Pictures small enough to stand inside a page."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
from PIL import Image

from priorsolve.photos.pictures import PhotoError, finish, open_picture

PLAIN = 64
"""Pixels on the longer side up to which a picture is kept as it is, and each of its pixels is shown."""


@dataclass(frozen=True)
class Size:
    """How large pictures are kept: pixels on the longer side, and WebP's quality."""

    side: int
    quality: int


def size_for(photos: int) -> Size:
    """The more photos, the smaller each of them, so that a file can still be mailed (measured in docs/report.md)."""
    tiers = {60: Size(768, 85), 500: Size(256, 85), 2000: Size(192, 70)}
    return next((size for most, size in tiers.items() if photos <= most), Size(128, 60))


def shown(path: Path, side: int) -> Image.Image | None:
    """What can be shown of a file, of about `side` pixels if it is a JPEG; an array of numbers, or a file that is gone, cannot."""
    try:
        picture = open_picture(path, lambda height, width: (min(height, side), min(width, side)), smallest=1)[0]
        made = finish(picture, [])
        return Image.fromarray((np.asarray(made) * 255).round().astype(np.uint8)) if made.mode == "F" else made
    except PhotoError:
        return None


def embedded(out: Path, place: str, size: Size) -> dict[str, object] | None:
    """A picture below `out` for the page: `src` with its bytes inside, `side` in pixels of the longer one, and the `file` to open."""
    picture = shown(out / place, size.side)
    if picture is None:
        return None
    picture.thumbnail((size.side, size.side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    data = io.BytesIO()
    if max(picture.size) <= PLAIN:
        picture.save(data, "WEBP", lossless=True, quality=0, method=0)
    else:
        picture.save(data, "WEBP", quality=size.quality, method=1)
    source = "data:image/webp;base64," + base64.b64encode(data.getvalue()).decode("ascii")
    return {"src": source, "width": picture.width, "height": picture.height, "file": quote(place, errors="surrogateescape")}
