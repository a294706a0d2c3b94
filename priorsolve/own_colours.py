"""A restored picture in the colours of its photo's own file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from priorsolve.images import LUMA, read_photo, read_stored
from priorsolve.metadata import Tags
from priorsolve.profiles import from_srgb, is_own
from priorsolve.types import Floats

ROWS = 256
"""Rows that are worked on at once."""
CHANGED = 0.1
"""Pixels that differ so much from the photo's have nothing of it left."""


def in_own_colours(made: Tensor, tags: Tags, path: Path, *, same_size: bool) -> Tensor:
    """The picture, (3, H, W) in sRGB, in the photo's profile; grey, (1, H, W), where the tags say so.

    Where it has the photo's size, pixels that are the photo's come out as in its file to the last bit, colours that sRGB does not have
    among them: what moving there and back loses is added again, the less the more a pixel was changed. Raises PhotoError.
    """
    if tags.grey:
        return (made.float() * made.new_tensor(LUMA)[:, None, None]).sum(0, keepdim=True) if len(made) == 3 else made
    if tags.profile is None or not is_own(tags.profile) or len(made) != 3:
        return made
    profile, image = tags.profile, made.detach().float().cpu()
    stored = read_stored(path) if same_size else None
    shown = None if stored is None else read_photo(path)[0]
    moved = torch.empty_like(image)
    for top in range(0, image.shape[1], ROWS):
        rows = slice(top, top + ROWS)
        strip = _pixels(image[:, rows].clamp(0, 1))
        own = from_srgb(strip, profile)
        if stored is not None and shown is not None and shown.shape == image.shape:
            before = _pixels(shown[:, rows])
            lost = stored[rows, :, :3] - from_srgb(before, profile)
            own = own + lost * (1 - np.abs(strip - before).max(-1, keepdims=True) / CHANGED).clip(0, 1)
        moved[:, rows] = torch.from_numpy(np.ascontiguousarray(own.transpose(2, 0, 1)))
    return moved


def _pixels(strip: Tensor) -> Floats:
    return strip.permute(1, 2, 0).contiguous().numpy()
