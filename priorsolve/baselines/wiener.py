"""Deconvolution by the Wiener filter."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from skimage.restoration import wiener
from torch import Tensor

from priorsolve.baselines.base import Baseline
from priorsolve.baselines.deconvolution import deconvolved
from priorsolve.baselines.undo import only, undo
from priorsolve.operators import Blur

DETAIL = 0.115
"""The standard deviation to expect of a photo's Laplacian."""
FAINTEST = 1e-2
"""The least balance: what lies past the border is not known, and counts as noise even where there is none."""
UNTOLD = 0.05
"""The noise to expect where its strength cannot be said, as of `photons`."""


def filtered(y: Tensor, blur: Blur, noise: float | None) -> Tensor:
    """`skimage.restoration.wiener`: ĥ* / (|ĥ|² + balance |Laplacian|²), balance = (noise / DETAIL)² or FAINTEST, for every channel."""
    balance = max(((UNTOLD if noise is None else noise) / DETAIL) ** 2, FAINTEST)
    method: Callable[..., NDArray[np.float64]] = wiener
    return deconvolved(y, blur, partial(method, balance=balance, clip=False))


WIENER = Baseline("wiener", only(Blur), partial(undo, sharpen=filtered))
