"""Pictures, from numbers to files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from priorsolve.files import Write, write_atomically
from priorsolve.photos.deep import deepened, png, tiff
from priorsolve.photos.metadata import Tags, png_head
from priorsolve.showing import checked_path, shown
from priorsolve.types import Floats

WRITTEN: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {}),
    **dict.fromkeys((".jpg", ".jpeg", ".jfif", ".jpe"), ("JPEG", {"quality": 95, "subsampling": 0})),
    ".webp": ("WEBP", {"lossless": True, "exact": True}),
    ".tif": ("TIFF", {}),
    ".tiff": ("TIFF", {}),
}
"""Suffix -> Pillow's format and settings. All but JPEG keep every 8-bit value."""
LONGEST = {"JPEG": 65_500, "WEBP": 16_383}
"""Pixels that a side of a picture in these formats may have."""


def write_image(path: str | Path, image: Tensor) -> None:
    """Write (1 or 3, H, W), clamped to [0, 1] and rounded, atomically, in the format of the suffix (none: PNG); with alpha, 2 or 4.

    8 bits per channel. Parent folders are made. Raises ValueError for another shape, values from 0 to 255, NaN, alpha in a JPEG, or a
    suffix that is not written.
    """
    path = checked_path(path, "write_image: path")
    if not isinstance(image, Tensor):
        raise ValueError(f"write_image: the image is {shown(image)}; give a float tensor (1 or 3, H, W)")
    if not image.is_floating_point():
        raise ValueError(f"write_image: the image is of {image.dtype}; give floats in [0, 1], 8-bit values divided by 255")
    if image.numel() and (middle := float(image.median())) > 4:  # a generator may overshoot, but not so
        raise ValueError(f"write_image: the image has values of about {middle:.3g}; pictures are in [0, 1], so divide 8-bit values by 255")
    write_tagged(path, image)


def write_tagged(path: Path, image: Tensor, tags: Tags | None = None, write: Write = write_atomically) -> None:
    """As `write_image`, with `tags` in the file: the image is in the colours of their profile.

    16 bits per channel where the tags say so and the format has them (PNG, TIFF).
    """
    if image.ndim != 3 or not 1 <= image.shape[0] <= 4:
        raise ValueError(f"an image has shape (1 or 3, H, W), with alpha (2 or 4, H, W), not {tuple(image.shape)}")
    if image.isnan().any():
        raise ValueError(f"{path.name}: the image holds NaN, so it is not written")
    suffix = path.suffix.lower() or ".png"
    if suffix not in WRITTEN:
        raise ValueError(f"{path.name}: {suffix} is not written; use one of {', '.join(WRITTEN)}")
    if WRITTEN[suffix][0] == "JPEG" and len(image) in (2, 4):
        raise ValueError(f"{path.name}: a JPEG holds no alpha; write a PNG, WebP or TIFF, or leave the last channel out")
    values = image.detach().float().clamp(0, 1).cpu()
    values = values[0] if len(values) == 1 else values.permute(1, 2, 0).contiguous()
    kind, settings = WRITTEN[suffix]
    write(path, _encoded(values.numpy(), kind, settings, tags or Tags()))


def _encoded(values: Floats, kind: str, settings: dict[str, Any], tags: Tags) -> bytes:
    size = values.shape[0], values.shape[1]
    if tags.bits == 16 and kind == "PNG":
        return png(deepened(values), png_head(tags, size))
    rounded = np.rint(values * 255).astype(np.uint8)
    if kind == "TIFF":
        return tiff(deepened(values) if tags.bits == 16 else rounded, tags.ifd(size))
    data = io.BytesIO()
    Image.fromarray(rounded).save(data, kind, **settings, **tags.settings(kind, size))
    return data.getvalue()
