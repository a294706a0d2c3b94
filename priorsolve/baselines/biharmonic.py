"""Inpainting by the biharmonic equation: the smoothest surface through the pixels around a hole."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from skimage.restoration import inpaint_biharmonic
from torch import Tensor

from priorsolve.baselines.base import Baseline
from priorsolve.baselines.undo import only, undo
from priorsolve.operators.mask import Masking


def smooth(y: Tensor, known: Tensor) -> Tensor:
    """`skimage.restoration.inpaint_biharmonic` (Damelin & Hoang 2018), in float64. Raises ValueError where no pixel is known."""
    if not bool(known.flatten(1).any(1).all()):
        raise ValueError("no pixel is known, so there is nothing to continue into the hole")
    picture, holes = np.ascontiguousarray(y.double().numpy()), np.ascontiguousarray(~known.expand_as(y).numpy())
    if (holes == holes[:1]).all():
        filled = inpaint_biharmonic(picture, holes[0], channel_axis=0)
    else:  # such as a colour filter's mosaic
        filled = np.stack([inpaint_biharmonic(channel, hole) for channel, hole in zip(picture, holes, strict=True)])
    return torch.where(known, y, torch.from_numpy(filled).to(y))


BIHARMONIC = Baseline("biharmonic", only(Masking), partial(undo, fill=smooth))
