"""One layer backwards: which u within [low, high] makes `activation(W u + b)` come nearest to h."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy
import torch
from numpy.typing import NDArray
from scipy import optimize, sparse
from torch import Tensor, nn

Norm = Literal["linf", "l1"]
Vector: TypeAlias = NDArray[numpy.float64]

EDGE = 1e-9
"""How near to the ends of its range a number behind a tanh or sigmoid may come before it is undone."""
_EXACT = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}


def value_range(activation: nn.Module | None) -> tuple[float, float]:
    """The least and the largest number that leaves the activation."""
    if isinstance(activation, nn.Tanh):
        return -1, 1
    if isinstance(activation, nn.Sigmoid):
        return 0, 1
    return (0 if isinstance(activation, nn.ReLU | nn.Softplus) else -numpy.inf), numpy.inf


def undone(activation: nn.Module | None, h: Tensor) -> tuple[Tensor, Tensor]:
    """v with activation(v) = h, and the slope there: it turns a residual of v into one of h. A ReLU's zeros stay zeros."""
    match activation:
        case nn.LeakyReLU(negative_slope=slope):
            return torch.where(h >= 0, h, h / slope), torch.where(h >= 0, 1.0, slope).to(h)
        case nn.Tanh():
            h = h.clamp(-1 + EDGE, 1 - EDGE)
            return h.atanh(), 1 - h.square()
        case nn.Sigmoid():
            h = h.clamp(EDGE, 1 - EDGE)
            return h.logit(), h * (1 - h)
        case nn.Softplus():
            h = h.clamp_min(EDGE)
            return h + (-torch.expm1(-h)).log(), -torch.expm1(-h)
    return h, torch.ones_like(h)


def rectified(matrix: Any, target: Vector, weight: Vector, bounds: tuple[float, float], norm: Norm) -> Vector:
    """u with `max(W u, 0) ≈ target`, where b is already taken off W u + b and from the target's zeros.

    Rows whose target is above a tolerance ε must be met, the others must only not be exceeded; the slack needed is made smallest
    (Lei et al. 2019, our own formulation). An input with more slack than ε took noise for signal, so ε grows until there is none.
    """
    raise NotImplementedError
