"""Holes filled from what is around them: with its colours, enough for a face to be seen, or with the smoothest surface through it."""

from __future__ import annotations

import math

import numpy as np
import torch
from skimage.restoration import inpaint_biharmonic
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

SOLVED = 150_000
"""Missing pixels that are solved for at once, in 2 s and half a gigabyte; where there are more the photo is made smaller."""


def filled(photo: Tensor, known: Tensor) -> Tensor:
    """The photo, (C, H, W), with the mean of what is known nearby where `known`, (1, H, W), is 0; by halving until nothing is missing."""
    return _filled(photo[None], known[None])[0]


def _filled(photo: Tensor, known: Tensor) -> Tensor:
    if bool((known > 0).all()) or max(photo.shape[-2:]) == 1:
        return photo
    coarse, there = _smaller(photo, known, 2)
    around = interpolate(_filled(coarse, there), size=photo.shape[-2:], mode="bilinear", align_corners=False)
    return known * photo + (1 - known) * around


def continued(photo: Tensor, known: Tensor) -> Tensor:
    """The photo, (C, H, W), with the smoothest surface through what is known where `known`, (1, H, W), is below 1.

    Where much is missing the surface is found in a smaller photo, and moved smoothly so that it meets what is known. A photo of which
    nothing is known stays as it is.

    Source: biharmonic inpainting (Damelin & Hoang 2018), as scikit-image has it.
    """
    there = (known >= 1).to(photo)
    if not bool(there.any()):
        return photo
    scale = math.ceil(math.sqrt(float((1 - there).sum()) / SOLVED))
    small, sure = _smaller(photo[None], there[None], max(scale, 1))
    holes = sure[0, 0].cpu().numpy() == 0
    surface = torch.from_numpy(inpaint_biharmonic(np.ascontiguousarray(small[0].double().cpu().numpy()), holes, channel_axis=0)).to(photo)
    if scale > 1:
        drawn = interpolate(surface[None], size=photo.shape[-2:], mode="bicubic", align_corners=False)[0]
        surface = drawn + filled(photo - drawn, there)
    return known * photo + (1 - known) * surface.clamp(0, 1)


def _smaller(photo: Tensor, known: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """(1, C, h, w): the mean of what is known in squares of `factor`, and 1 where there is any, else 0."""
    share = avg_pool2d(known, factor, ceil_mode=True)
    mean = avg_pool2d(photo * known, factor, ceil_mode=True) / share.clamp_min(torch.finfo(share.dtype).tiny)
    return mean, (share > 0).to(known)
