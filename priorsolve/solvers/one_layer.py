"""One layer backwards: which u within [low, high] makes `activation(W u + b)` come nearest to h."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy
import scipy
import torch
from numpy.typing import NDArray
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


def inverted(
    matrix: Any, bias: Vector, h: Tensor, importance: Vector, activation: nn.Module | None, bounds: tuple[float, float], norm: Norm
) -> Vector:
    """u (n,) for W (m, n) sparse, b and h (m,): a residual of h counts `importance` (m,) times, at 0 it does not count.

    A ReLU is undone by linear programs in either norm; what has an inverse is a linear system, by least squares for linf (nothing says
    which number is off, so that none is pulled at), and in the least sum of absolute residuals for l1.

    Raises:
        ArithmeticError: HiGHS found no answer, for numerical reasons; it gives its own.
    """
    v, weight = _weighed(h, importance, activation)
    rows = numpy.flatnonzero(weight > 0)
    scaled = scipy.sparse.diags_array(weight[rows]) @ matrix[rows]
    if isinstance(activation, nn.ReLU):
        level = (weight * v)[rows].clip(0)
        return _rectified(scaled, level, (weight * bias)[rows], bounds, norm)
    target = (weight * (v - bias))[rows]
    return (
        _program(scaled, target, numpy.ones(len(rows), bool), bounds, norm)[0] if norm == "l1" else _least_squares(scaled, target, bounds)
    )


def estimated(
    matrix: Any, bias: Vector, h: Tensor, importance: Vector, activation: nn.Module | None, bounds: tuple[float, float]
) -> Vector:
    """As `inverted`, where that found nothing: plain least squares, without the zeros of a ReLU, then brought within the bounds."""
    v, weight = _weighed(h, importance, activation)
    rows = numpy.flatnonzero((weight > 0) & ((v > 0) | (not isinstance(activation, nn.ReLU))))
    scaled = scipy.sparse.diags_array(weight[rows]) @ matrix[rows]
    return numpy.asarray(numpy.linalg.lstsq(scaled.toarray(), (weight * (v - bias))[rows])[0].clip(*bounds))


def _weighed(h: Tensor, importance: Vector, activation: nn.Module | None) -> tuple[Vector, Vector]:
    """What the activation made h of, and what a residual there counts."""
    v, slope = (part.numpy() for part in undone(activation, h))
    return v, slope * importance


def _rectified(matrix: Any, level: Vector, bias: Vector, bounds: tuple[float, float], norm: Norm) -> Vector:
    """u with max(W u + b, 0) ≈ level: rows above a tolerance ε must be met, the others must not be exceeded, with the least slack.

    Where more slack is needed than ε, zeros with noise on them were taken for signal: ε grows until that is no longer so
    (Lei et al. 2019, who do so too; the program is our own formulation).
    """
    tolerance = 1e-6 * max(float(level.max(initial=0)), 1e-3)
    found: Vector | None = None
    while True:
        try:
            found, slack = _program(matrix, level - bias, level > tolerance, bounds, norm)
        except ArithmeticError:
            if found is None:
                raise
            return found  # of a smaller tolerance
        if slack <= tolerance:  # at the latest once no row is above it, and u may lie anywhere below
            return found
        tolerance *= 2


def _program(matrix: Any, target: Vector, met: NDArray[numpy.bool_], bounds: tuple[float, float], norm: Norm) -> tuple[Vector, float]:
    """u with the least slack: |W u − t| ≤ slack where `met`, W u − t ≤ slack elsewhere; one for all (linf) or each (l1).

    Beside it the slack; of l1's the median where `met`, since a few that are large are numbers that are wrong, and no noise.
    """
    rows, unknowns = matrix.shape
    slack = scipy.sparse.csr_array(numpy.ones((rows, 1))) if norm == "linf" else scipy.sparse.eye_array(rows, format="csr")
    count = slack.shape[1]
    answer = scipy.optimize.linprog(
        numpy.concatenate([numpy.zeros(unknowns), numpy.ones(count)]),
        A_ub=scipy.sparse.vstack([scipy.sparse.hstack([matrix, -slack]), scipy.sparse.hstack([-matrix[met], -slack[met]])], format="csr"),
        b_ub=numpy.concatenate([target, -target[met]]),
        bounds=numpy.array([bounds] * unknowns + [(0, numpy.inf)] * count),
        method="highs",
        options=_EXACT,
    )
    if answer.x is None or answer.status != 0:
        raise ArithmeticError(f"HiGHS found no answer to a linear program of {rows} rows and {unknowns} unknowns: {answer.message}")
    slacks = answer.x[unknowns:]
    needed = slacks[met] if norm == "l1" else slacks
    return answer.x[:unknowns], float(numpy.median(needed)) if len(needed) else 0.0


def _least_squares(matrix: Any, target: Vector, bounds: tuple[float, float]) -> Vector:
    """The u within the bounds that has the least ‖W u − t‖."""
    q, r = numpy.linalg.qr(matrix.toarray())  # so that each step looks at n rows, not at m
    target = q.T @ target
    if bounds == (0, numpy.inf):
        return numpy.asarray(scipy.optimize.nnls(r, target, maxiter=10 * r.shape[1])[0])
    return numpy.asarray(scipy.optimize.lsq_linear(r, target, bounds, method="bvls", tol=1e-14).x)
