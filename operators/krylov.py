"""Least squares without a matrix: what `A_dagger` falls back to."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias, final

import torch
from torch import Tensor
from torch.autograd import Function

from priorsolve.rows import spread_over

Map: TypeAlias = Callable[[Tensor], Tensor]
_Solve: TypeAlias = Callable[[Map, Map, Tensor], Tensor]
"""From A, Aᵀ and y to x, linear in y, and its transpose where A and Aᵀ change places."""

PROBES = 32
"""Random pictures from which the lengths of A's rows are estimated, to about 25 %."""

SPREAD = 0.1
"""Rows whose squared lengths differ by more than 1/SPREAD are worth balancing; below that the estimate's own noise would do harm."""

REFINEMENTS = 2
"""Solutions of the balanced system: the second, of what the first left, finds what rounding hid in directions that A hardly sees.
They share an item's steps, so that it is looked for only where the first was found."""

RUNAWAY = 1e3
"""Over the damping: an item's `‖gradient‖²` over its least so far, beyond which it is lost. It cannot exceed `1 + ‖A‖²/damping` but by
rounding: where convolutions are rounded so coarsely (a GPU's TF32) that Aᵀ is not quite A's transpose, steps lead away once the answer
is found. Undamped nothing bounds it, and in float32 it was seen to come back from 5e6."""

GROWN = 4.0
"""How many times its first squared misfit an item may come to before it is lost: few known pixels under a blur were followed to 1e118."""


def least_squares(A: Map, A_adjoint: Map, y: Tensor, *, steps: int = 1000) -> Tensor:
    """The shortest `x` that minimises `‖A x − y‖²`, for each item of the batch by itself.

    Conjugate gradients (CGLS, Björck 1996, §7.4) from zero, so that every iterate stays in the range of `Aᵀ` and the limit is the
    pseudo-inverse solution. Where an item's rows are of very different length (masks and what follows them), the balanced system
    `W A x = W y`, W = 1/row length, is solved first, and once more for what that leaves (iterative refinement): it has the same shortest
    solution where y can be explained. A last pass without W makes up for where it cannot. What of either would leave more than was left
    before is not taken: where what is left is but rounding, directions that `A` hardly sees lead away (few known pixels, then a blur).

    Differentiable in `y`: `(A†)ᵀ g = (Aᵀ)† g`, found in the same way.
    """
    return _solved(partial(_shortest, steps=steps), A, A_adjoint, y)


def damped_least_squares(A: Map, A_adjoint: Map, y: Tensor, damping: float, *, steps: int = 1000) -> Tensor:
    """The `x` of least `‖A x − y‖² + damping · ‖x‖²`, for each item of the batch by itself: CGLS on `[A; √damping · I] x = [y; 0]`.

    Differentiable in `y`: with λ for the damping, `(Aᵀ (A Aᵀ + λ)⁻¹)ᵀ g = (A Aᵀ + λ)⁻¹ A g`, the same of `Aᵀ`.
    """
    return _solved(partial(_damped, damping=damping, steps=steps), A, A_adjoint, y)


def found_by_steps(x: Tensor) -> bool:
    """Whether `x`, found with gradients on, is as either of these gave it."""
    return x.grad_fn is not None and x.grad_fn.name() == "_SolvedBackward"


def _solved(solve: _Solve, A: Map, A_adjoint: Map, y: Tensor) -> Tensor:
    apply: Any = _Solved.apply
    wide = y if y.dtype in (torch.float32, torch.float64) else y.float()  # sums of squares overflow or stall in fewer digits
    x: Tensor = apply(solve, A, A_adjoint, wide)
    return x.to(y.dtype)


@final
class _Solved(Function):
    """`solve(A, Aᵀ, y)` with the gradient `solve(Aᵀ, A, g)`, instead of one through every iteration and where it stopped; forwards, as it
    is linear, the same of the tangent."""

    @staticmethod
    def forward(solve: _Solve, A: Map, A_adjoint: Map, y: Tensor) -> Tensor:
        with torch.autocast(y.device.type, enabled=False):  # backwards too: in its types y is explained to two digits
            return solve(A, A_adjoint, y)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[_Solve, Map, Map, Tensor], output: Tensor) -> None:
        ctx.solve, ctx.A, ctx.A_adjoint, _ = inputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None, None, Tensor]:
        return None, None, None, _solved(ctx.solve, ctx.A_adjoint, ctx.A, gradients[0])

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        return _solved(ctx.solve, ctx.A, ctx.A_adjoint, tangents[-1])


def _shortest(A: Map, A_adjoint: Map, y: Tensor, *, steps: int) -> Tensor:
    precision = torch.finfo(y.dtype).eps
    each = torch.full((len(y),), steps, device=y.device)
    goal = _size(A_adjoint(y))
    plainly = goal * (8 * precision) ** 2
    weights, uneven = _balance(A, A_adjoint, y)
    if not bool(uneven.any()):
        return _cgls(A, A_adjoint, y, each, plainly)[0]

    def balanced(x: Tensor) -> Tensor:
        return weights * A(x)

    def balanced_adjoint(r: Tensor) -> Tensor:
        return A_adjoint(weights * r)

    x = torch.zeros_like(A_adjoint(y))
    left = each
    for _ in range(REFINEMENTS):
        start = weights * (y - A(x))
        # where y cannot be explained the gradient of what is left is rounding, and is not to be followed
        floor = torch.maximum(_size(balanced_adjoint(start)), _size(start)) * (8 * precision) ** 2
        change, left = _cgls(balanced, balanced_adjoint, start, left, torch.where(uneven, floor, plainly))
        x = _where(_size(weights * (y - A(x + change))) > _size(start), x, x + change)
        left = left * uneven  # the others, whose weights are 1, are done: as plainly as alone
    start = y - A(x)
    change, _ = _cgls(A, A_adjoint, start, each * uneven, goal * precision**1.5)
    return _where(_size(y - A(x + change)) > _size(start), x, x + change)


def _damped(A: Map, A_adjoint: Map, y: Tensor, *, damping: float, steps: int) -> Tensor:
    split = math.prod(y.shape[1:])
    root = math.sqrt(damping)

    def taller(x: Tensor) -> Tensor:
        return torch.cat([A(x).flatten(1), root * x.flatten(1)], 1)

    def taller_adjoint(r: Tensor) -> Tensor:
        x: Tensor = A_adjoint(r[:, :split].reshape(y.shape))
        return x + root * r[:, split:].reshape(x.shape)

    right = torch.cat([y.flatten(1), torch.zeros_like(A_adjoint(y)).flatten(1)], 1)
    each = torch.full((len(y),), steps, device=y.device)
    floor = _size(A_adjoint(y)) * (64 * torch.finfo(y.dtype).eps) ** 2
    return _cgls(taller, taller_adjoint, right, each, floor, runaway=RUNAWAY / damping)[0]


def _cgls(A: Map, A_adjoint: Map, y: Tensor, left: Tensor, floor: Tensor, *, runaway: float = math.inf) -> tuple[Tensor, Tensor]:
    """CGLS, and how many steps of each item are left then of the `left` it may take.

    An item stops moving when `‖Aᵀ(y − A x)‖²` has fallen to its `floor`, whatever the others do. Beyond `runaway` times its least so
    far it stops too, and where `‖y − A x‖²`, which but for rounding never grows, is `GROWN` times what it began with; the answer is
    where the least was.
    """
    residual = y.clone()
    gradient = A_adjoint(residual)
    size = _size(gradient)
    most = GROWN * _size(y)
    x, direction = _times(0 * size, torch.ones_like(gradient)), gradient  # all NaN where anything of y is: no step would say so
    best, least = x, size
    for step in itertools.count():
        sane = (size <= runaway * least) & (_size(residual) <= most)  # of NaN neither is true
        moving = (size > floor) & (left > 0) & sane
        if step % 10 == 0 and not bool(moving.any()):
            break
        left = left - moving.to(left)
        image = A(direction)
        length = _safe_divide(size, _size(image)) * moving
        x = x + _times(length, direction)
        residual = residual - _times(length, image)
        gradient = A_adjoint(residual)
        previous, size = size, _size(gradient)
        better = size < least
        best, least = _where(better, x, best), torch.where(better, size, least)
        direction = gradient + _times(_safe_divide(size, previous), direction)
    return _where(sane, x, best), left


def _balance(A: Map, A_adjoint: Map, y: Tensor) -> tuple[Tensor, Tensor]:
    """One over the length of each row of A, 0 for empty rows, but 1 for all rows of an item whose rows are about equally long;
    and which items have uneven rows, (B,).

    `E (A n)² = ‖row‖²` for a standard normal n. The probes are fixed, so an item's weights do not depend on its neighbours.
    """
    rng = torch.Generator().manual_seed(0)
    shape = A_adjoint(y).shape[1:]
    squares = torch.zeros_like(y)
    for _ in range(PROBES):
        probe = torch.randn(1, *shape, generator=rng, device="cpu", dtype=torch.float64).to(y)
        squares += A(probe.expand(len(y), *shape)).square() / PROBES
    longest = spread_over(squares.flatten(1).amax(1), y)
    used = squares > longest * torch.finfo(y.dtype).eps
    uneven = (used & (squares < SPREAD * longest)).flatten(1).any(1)
    weights = torch.where(used, squares.clamp_min(torch.finfo(y.dtype).tiny).rsqrt(), 0)
    return torch.where(spread_over(uneven, y), weights, 1), uneven


def _size(a: Tensor) -> Tensor:
    return (a * a).flatten(1).sum(1)


def _where(chosen: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """For each item `a` where it is chosen, else `b`."""
    return torch.where(spread_over(chosen, a), a, b)


def _times(scale: Tensor, x: Tensor) -> Tensor:
    return spread_over(scale, x) * x


def _safe_divide(a: Tensor, b: Tensor) -> Tensor:
    return torch.where(b > 0, a / b.clamp_min(torch.finfo(b.dtype).tiny), 0)
