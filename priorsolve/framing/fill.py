"""Holes filled from what is around them: with its colours, enough for a face to be seen, or with a surface that goes on smoothly."""

from __future__ import annotations

import math

import numpy as np
import skimage
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, pad

SOLVED = 150_000
"""Missing pixels that are solved for at once, in 2 s and half a gigabyte; where there are more the picture is made smaller."""
SWEEPS = 10
"""Rounds of averaging at each size: more change the surface by less than a grey level."""


def filled(picture: Tensor, known: Tensor, sweeps: int = 0) -> Tensor:
    """The picture, (C, H, W), with the mean of what is known nearby where `known`, (1, H, W), is 0; by halving until nothing is missing.

    Args:
        sweeps: so often each missing pixel becomes the mean of its four neighbours, which flattens steps: towards the harmonic surface.
    """
    return _filled(picture[None], known[None], sweeps)[0]


def _filled(picture: Tensor, known: Tensor, sweeps: int) -> Tensor:
    if bool((known > 0).all()) or max(picture.shape[-2:]) == 1:
        return picture
    coarse, there = _smaller(picture, known, 2)
    around = interpolate(_filled(coarse, there, sweeps), size=picture.shape[-2:], mode="bilinear", align_corners=False)
    made = known * picture + (1 - known) * around
    for _ in range(sweeps):
        near = pad(made, (1, 1, 1, 1), mode="replicate")
        mean = (near[..., :-2, 1:-1] + near[..., 2:, 1:-1] + near[..., 1:-1, :-2] + near[..., 1:-1, 2:]) / 4
        made = known * picture + (1 - known) * mean
    return made


def continued(picture: Tensor, known: Tensor) -> Tensor:
    """The picture, (C, H, W), with a smooth surface through what is known where `known`, (1, H, W), is below 1.

    It is the mean of two: the biharmonic surface goes on as it came, but too far in a broad hole; the harmonic one is flat there. Where
    much is missing the first is found in a smaller picture. A picture of which nothing is known stays as it is.

    Source: Damelin & Hoang 2018, as scikit-image has it; Pérez, Gangnet & Blake 2003.
    """
    there = (known >= 1).to(picture)
    if not bool(there.any()):
        return picture
    flat = filled(picture, there, SWEEPS)
    scale = max(math.ceil(math.sqrt(float((1 - there).sum()) / SOLVED)), 1)
    small, sure = _smaller(picture[None], there[None], scale)
    holes = sure[0, 0].cpu().numpy() == 0
    bent = torch.from_numpy(
        skimage.restoration.inpaint_biharmonic(np.ascontiguousarray(small[0].cpu().double().numpy()), holes, channel_axis=0)
    ).to(picture)
    if scale > 1:
        drawn = interpolate(bent[None], size=picture.shape[-2:], mode="bicubic", align_corners=False)[0]
        bent = drawn + filled(picture - drawn, there, SWEEPS)
    return known * picture + (1 - known) * (flat + bent) / 2


def _smaller(picture: Tensor, known: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """(1, C, h, w): the mean of what is known in squares of `factor`, and 1 where there is any, else 0."""
    share = avg_pool2d(known, factor, ceil_mode=True)
    mean = avg_pool2d(picture * known, factor, ceil_mode=True) / share.clamp_min(torch.finfo(share.dtype).tiny)
    return mean, (share > 0).to(known)
