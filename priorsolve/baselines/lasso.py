"""Compressed sensing without a network: the sparsest picture, in a cosine or a wavelet basis, that explains the measurement."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from priorsolve.baselines.base import Baseline, Problem
from priorsolve.counter_rng import normal
from priorsolve.operators.base import LinearOperator, Operator, factors
from priorsolve.operators.sensing import Sensing
from priorsolve.operators.transforms import Transform, dct, idct
from priorsolve.types import Shape

ON_THE_WAY = (50, 1e-3)
AT_THE_END = (300, 1e-4)
"""Iterations at most, and the relative change of the coefficients at which they are enough: for stronger α, and for the one asked for."""


COSINES = Transform(lambda x: dct(dct(x).mT).mT, lambda c: idct(idct(c.mT).mT))
"""The two-dimensional cosine transform of the whole picture (DCT-II), orthonormal."""


def haar(shape: Shape) -> Transform:
    """PyWavelets' `db1`, as Bora et al. use it, at as many levels as height and width can be halved evenly."""
    import pywt  # comes with the extra `benchmark`

    levels, (height, width) = 0, shape[1:]
    while height % 2 ** (levels + 1) == 0 and width % 2 ** (levels + 1) == 0:
        levels += 1

    def split(x: Tensor) -> list[object]:
        found: list[object] = pywt.wavedec2(x.numpy(), "db1", mode="periodization", level=levels)
        return found

    slices = pywt.coeffs_to_array(split(torch.zeros(shape)), axes=(-2, -1))[1]

    def forward(x: Tensor) -> Tensor:
        return torch.from_numpy(pywt.coeffs_to_array(split(x), axes=(-2, -1))[0])

    def inverse(c: Tensor) -> Tensor:
        parts = pywt.array_to_coeffs(c.numpy(), slices, output_format="wavedec2")
        return torch.from_numpy(np.ascontiguousarray(pywt.waverec2(parts, "db1", mode="periodization")))

    return Transform(forward, inverse)


def lasso(problem: Problem, basis: Callable[[Shape], Transform], alpha: float) -> Tensor:
    """argmin over coefficients c of `½ ‖A B c − y‖² + α ‖c‖₁`, in pictures from −1 to 1; B is the basis's inverse.

    That is scikit-learn's `Lasso(alpha / m, fit_intercept=False)` on the matrix A B, m × 49 152 for 128×128 pictures and too large to
    keep; so it is solved with A and Aᵀ alone: FISTA (Beck & Teboulle 2009) with restarts (O'Donoghue & Candès 2015), from strong to weak α.
    Raises ValueError for an operator that is not linear.
    """
    operator = problem.operator
    if not isinstance(operator, LinearOperator):
        raise ValueError(f"{operator} is not linear, so the lasso does not apply")
    pictures = basis(problem.image_shape)

    def A(c: Tensor) -> Tensor:
        return operator.A(pictures.inverse(c)[None])[0]

    def A_adjoint(y: Tensor) -> Tensor:
        return pictures.forward(operator.A_adjoint(y[None])[0])

    y = 2 * problem.y - operator.A(problem.y.new_ones(1, *problem.image_shape))[0]  # of 2 x − 1
    back = A_adjoint(y)
    step = 1 / (1.02 * _largest(lambda c: A_adjoint(A(c)), back))
    c, strength = torch.zeros_like(back), max(alpha, float(back.abs().max()))
    while strength > alpha:
        strength = max(alpha, strength / 4)
        limits = ON_THE_WAY if strength > alpha else AT_THE_END
        c = _fista(lambda at: A_adjoint(A(at) - y), c, step, strength * step, *limits)
    return (pictures.inverse(c) + 1) / 2


def _fista(gradient: Callable[[Tensor], Tensor], c: Tensor, step: float, threshold: float, iterations: int, tolerance: float) -> Tensor:
    ahead, momentum = c, 1.0
    for _ in range(iterations):
        moved = ahead - step * gradient(ahead)
        following = moved.sign() * (moved.abs() - threshold).clamp_min(0)
        if float(((ahead - following) * (following - c)).sum()) > 0:  # it has overshot: without momentum again
            momentum = 1.0
        faster = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        ahead = following + (momentum - 1) / faster * (following - c)
        change, size = float((following - c).norm()), float(following.norm())
        c, momentum = following, faster
        if change <= tolerance * size:
            break
    return c


def _largest(square: Callable[[Tensor], Tensor], like: Tensor) -> float:
    """The largest eigenvalue of AᵀA, by 30 power iterations."""
    vector, value = normal(torch.Generator().manual_seed(0), *like.shape).to(like), 0.0
    for _ in range(30):
        vector = square(vector / vector.norm())
        value = float(vector.norm())
    return value


def _senses(operator: Operator) -> bool:
    return isinstance(operator, LinearOperator) and any(isinstance(part, Sensing) for part in factors(operator))


LASSO_DCT = Baseline("lasso_dct", _senses, partial(lasso, basis=lambda shape: COSINES, alpha=0.1))
"""Bora et al. (2017): α = 0.1 for matrices of this scale and pictures from −1 to 1."""
LASSO_WAVELET = Baseline("lasso_wavelet", _senses, partial(lasso, basis=haar, alpha=1e-5), needs="pywt")
"""Bora et al. (2017): α = 0.00001."""
