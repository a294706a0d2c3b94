"""Deconvolution by Richardson and Lucy's iterations."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from skimage.restoration import richardson_lucy
from torch import Tensor

from priorsolve.baselines.base import Baseline
from priorsolve.baselines.deconvolution import deconvolved
from priorsolve.baselines.undo import only, undo
from priorsolve.operators import Blur

ITERATIONS = 30
"""Stopped early, since more of them sharpen the noise."""


def iterated(y: Tensor, blur: Blur, noise: float | None) -> Tensor:
    """`skimage.restoration.richardson_lucy`, for every channel. It is for what cannot be negative: what noise made so counts as 0."""
    method: Callable[..., NDArray[np.float64]] = richardson_lucy
    return deconvolved(y.clamp_min(0), blur, partial(method, num_iter=ITERATIONS, clip=False, filter_epsilon=1e-12))


RICHARDSON_LUCY = Baseline("richardson_lucy", only(Blur), partial(undo, sharpen=iterated))
