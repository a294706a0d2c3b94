"""Least squares without a matrix: what `A_dagger` falls back to."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


@torch.no_grad()
def least_squares(
    A: Callable[[Tensor], Tensor], A_adjoint: Callable[[Tensor], Tensor], y: Tensor, *, steps: int = 1000, tolerance: float | None = None
) -> Tensor:
    """The shortest `x` that minimises `‖A x − y‖²`, for each item of the batch by itself (CGLS, Björck 1996, §7.4).

    Starts at zero, so every iterate stays in the range of `Aᵀ` and the limit is the pseudo-inverse solution. An item stops moving
    when `‖Aᵀ(y − A x)‖` has fallen below `tolerance` times its start, a few roundings of its type unless given.
    """
    tolerance = 8 * torch.finfo(y.dtype).eps if tolerance is None else tolerance
    residual = y.clone()
    gradient = A_adjoint(residual)
    x, direction = torch.zeros_like(gradient), gradient
    size = _dot(gradient, gradient)
    floor = size * tolerance**2
    for step in range(steps):
        if step % 10 == 0 and bool((size <= floor).all()):
            break
        image = A(direction)
        length = _safe_divide(size, _dot(image, image)) * (size > floor)
        x = x + _times(length, direction)
        residual = residual - _times(length, image)
        gradient = A_adjoint(residual)
        previous, size = size, _dot(gradient, gradient)
        direction = gradient + _times(_safe_divide(size, previous), direction)
    return x


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).flatten(1).sum(1)


def _times(scale: Tensor, x: Tensor) -> Tensor:
    return scale.view(-1, *[1] * (x.ndim - 1)) * x


def _safe_divide(a: Tensor, b: Tensor) -> Tensor:
    return torch.where(b > 0, a / b.clamp_min(torch.finfo(b.dtype).tiny), 0)
