"""Holes filled with the colours around them: not a restoration, but enough for a face to be seen."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate


def filled(photo: Tensor, known: Tensor) -> Tensor:
    """The photo, (C, H, W), with the mean of what is known nearby where `known`, (1, H, W), is 0; by halving until nothing is missing."""
    return _filled(photo[None], known[None])[0]


def _filled(photo: Tensor, known: Tensor) -> Tensor:
    if bool((known > 0).all()) or max(photo.shape[-2:]) == 1:
        return photo
    share = avg_pool2d(known, 2, ceil_mode=True)
    mean = avg_pool2d(photo * known, 2, ceil_mode=True) / share.clamp_min(torch.finfo(share.dtype).tiny)
    coarse = _filled(mean, (share > 0).to(known))
    around = interpolate(coarse, size=photo.shape[-2:], mode="bilinear", align_corners=False)
    return known * photo + (1 - known) * around
