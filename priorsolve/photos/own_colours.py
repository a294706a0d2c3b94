"""A restored picture in the colours of its photo's own file, and with its alpha."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from priorsolve.photos.greys import grey as grey_of
from priorsolve.photos.images import read_photo, read_stored, read_transparent
from priorsolve.photos.metadata import Tags
from priorsolve.photos.profiles import from_srgb, is_own
from priorsolve.types import Floats

ROWS = 256
"""Rows that are worked on at once."""
CHANGED = 0.1
"""Pixels that differ so much from the photo's have nothing of it left."""
SAME = 1e-6
"""And those that differ by less are the photo's."""
INVISIBLE = 1e-4
"""Alpha below which a pixel shows no colour."""


class Weighing(Protocol):
    """What took the photo's colours: the operator `Gray`."""

    w: tuple[float, ...]

    def A(self, x: Tensor) -> Tensor: ...
    def lift(self, y: Tensor) -> Tensor: ...
    def within(self, x: Tensor) -> Tensor: ...


def in_own_colours(
    made: Tensor, tags: Tags, path: Path, *, same_size: bool, alpha: Tensor | None = None, grey: Weighing | None = None
) -> Tensor:
    """The picture, (3, H, W) in sRGB, in the photo's profile; grey, (1, H, W), where the tags say so; with alpha, one channel more.

    Where it has the photo's size, pixels that are the photo's come out as in its file to the last bit, colours that sRGB does not have
    among them: what moving there and back loses is added again, the less the more a pixel was changed. Raises PhotoError.

    Args:
        alpha: (1, H, W) of a picture that lies on white, which is taken away again.
        grey: of a picture that was given colours, which are held back where white hid some that do not exist: its grey values stay.
    """
    if tags.grey:
        made = grey_of(made.float()) if len(made) == 3 else made
    profile = tags.profile if tags.profile is not None and len(made) == 3 and is_own(tags.profile) else None
    if profile is None and alpha is None:
        return made
    image, count = made.detach().float().cpu(), len(made)
    stored = (read_stored(path) if alpha is None else read_transparent(path)) if same_size else None
    shown = None if stored is None else read_photo(path, 1 if count == 1 else 3)[0]
    weighed = grey is not None and alpha is not None and profile is None and shown is not None and shown.shape == image.shape
    measured = read_photo(path, 1, grey.w)[0] if grey is not None and weighed else None
    moved = []
    for top in range(0, image.shape[1], ROWS):
        rows = slice(top, top + ROWS)
        strip = _pixels(image[:, rows].clamp(0, 1))
        opacity = None if alpha is None else _pixels(alpha[:, rows])
        if stored is None or shown is None or shown.shape != image.shape:
            own = _own(strip, opacity, profile, grey)
        else:
            before = _pixels(shown[:, rows])
            there = None if opacity is None else stored[rows, :, -1:]
            off = np.abs(strip - before).max(-1, keepdims=True)
            colours = stored[rows] if opacity is None else stored[rows, :, :-1]  # one where a grey photo was given colours
            kept = (1 - off / CHANGED).clip(0, 1) * (1 if opacity is None else opacity == there)  # what was transparent may be filled
            if grey is not None and measured is not None:
                fine = _own(strip + _rounded_off(stored[rows], _pixels(measured[:, rows]), grey), opacity, None, grey)
                own = np.where((off < SAME) & (kept > 0), colours[..., :count], fine)
            else:
                lost = colours[..., :count] - _own(before, there, profile)
                own = _own(np.where(off < SAME, before, strip), opacity, profile, grey) + lost * kept
            own = own if opacity is None else np.where(opacity == 0, colours[..., :count], own)  # nobody sees what was made of it
        own = own if opacity is None else np.concatenate([own, opacity], -1)
        moved.append(torch.from_numpy(np.ascontiguousarray(own.transpose(2, 0, 1))))
    return torch.cat(moved, 1)


def _own(strip: Floats, opacity: Floats | None, profile: bytes | None, grey: Weighing | None = None) -> Floats:
    """(H, W, C) of sRGB as the file has it: not on white, in its profile."""
    if opacity is not None:
        off_white: Floats = ((strip - (1 - opacity)) / np.maximum(opacity, INVISIBLE)).astype(np.float32, copy=False)
        strip = (off_white if grey is None else _pixels(grey.within(_batch(off_white))[0])).clip(0, 1)
    return strip if profile is None else from_srgb(strip, profile)


def _rounded_off(stored: Floats, measured: Floats, grey: Weighing) -> Floats:
    """(H, W, 3): what 8 bits lost of the grey of a photo on white, of which little alpha makes many times more."""
    alpha = stored[..., -1:]
    on_white = _batch(stored[..., :-1] * alpha + (1 - alpha))
    exact = grey.A(on_white) if on_white.shape[1] == 3 else on_white
    return _pixels(grey.lift(exact - _batch(measured))[0])


def _batch(strip: Floats) -> Tensor:
    """(1, C, H, W) of (H, W, C)."""
    return torch.from_numpy(np.ascontiguousarray(strip.transpose(2, 0, 1)))[None]


def _pixels(strip: Tensor) -> Floats:
    return strip.permute(1, 2, 0).contiguous().numpy()
