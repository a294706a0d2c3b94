"""Inpainting by total variation: flat patches with short borders."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.restoration import denoise_tv_chambolle
from torch import Tensor

from priorsolve.baselines.base import Baseline
from priorsolve.baselines.undo import grey_holes, only, undo
from priorsolve.operators.mask import Masking

WEIGHTS = np.geomspace(0.5, 0.01, 100)
"""How strongly each round smooths: first enough to cross a wide hole, at the end next to nothing."""


def flat(y: Tensor, known: Tensor) -> Tensor:
    """Alternating projection: denoise (`skimage.restoration.denoise_tv_chambolle`, 20 iterations), put the known pixels back, repeat.

    It starts from mid-grey holes. Total variation is of the three channels together. An approximation: the constrained problem is not
    solved to its end.
    """
    held = known.expand_as(y).numpy()
    start = grey_holes(y, known).double().numpy()
    picture, denoise = start, cast("Callable[..., NDArray[np.float64]]", denoise_tv_chambolle)
    for weight in WEIGHTS:
        picture = np.where(held, start, denoise(picture, weight, max_num_iter=20, channel_axis=0))
    return torch.from_numpy(picture).to(y)


TV = Baseline("tv", only(Masking), partial(undo, fill=flat))
