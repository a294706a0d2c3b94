"""The laws that every operator keeps, as public tools: `check_laws(MyOperator(), (3, 32, 32))` is a contributor's whole test.

Each law returns how far it is from true, relative to the sizes compared: 0 is exact. `laws(operator)` lists those that apply.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from priorsolve.operators.base import LinearOperator, Operator
from priorsolve.types import Shape

Law: TypeAlias = Callable[..., float]

TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-9}


def dot_test(operator: LinearOperator, in_shape: Shape, *, batch: int = 2, dtype: torch.dtype = torch.float32, seed: int = 0) -> float:
    """`⟨A u, v⟩ = ⟨u, Aᵀ v⟩`: the difference over `‖A u‖‖v‖`, the worst image of the batch."""
    u, v = _inputs(operator, in_shape, batch, dtype, seed)
    image, adjoint = operator.A(u), operator.A_adjoint(v)
    left, right = _dot(image, v), _dot(u, adjoint)
    return _worst((left - right).abs(), _norm(image) * _norm(v))


def linearity(operator: LinearOperator, in_shape: Shape, *, batch: int = 2, dtype: torch.dtype = torch.float32, seed: int = 0) -> float:
    """`A(2u − 3v) = 2 A u − 3 A v`, and the same of `Aᵀ`."""
    u, y = _inputs(operator, in_shape, batch, dtype, seed)
    v, z = _inputs(operator, in_shape, batch, dtype, seed + 1)
    worst = 0.0
    for map_, a, b in ((operator.A, u, v), (operator.A_adjoint, y, z)):
        left, right = map_(2 * a - 3 * b), 2 * map_(a) - 3 * map_(b)
        worst = max(worst, _relative(left, right))
    return worst


def autograd_adjoint(
    operator: LinearOperator, in_shape: Shape, *, batch: int = 2, dtype: torch.dtype = torch.float32, seed: int = 0
) -> float:
    """`Aᵀ v` is what autograd's vector-Jacobian product gives."""
    u, v = _inputs(operator, in_shape, batch, dtype, seed)
    u.requires_grad_(True)
    measured = operator.A(u)
    if not measured.requires_grad:
        return 1.0
    (gradient,) = torch.autograd.grad(measured, u, v)
    return _relative(operator.A_adjoint(v), gradient)


def pseudo_inverse(
    operator: LinearOperator, in_shape: Shape, *, batch: int = 2, dtype: torch.dtype = torch.float32, seed: int = 0
) -> float:
    """`A A† A = A`: the pseudo-inverse explains every measurement that an image can make."""
    u, _ = _inputs(operator, in_shape, batch, dtype, seed)
    y = operator.A(u)
    return _relative(operator.A(operator.A_dagger(y)), y)


def shapes(operator: Operator, in_shape: Shape, *, batch: int = 2, dtype: torch.dtype = torch.float32, seed: int = 0) -> float:
    """The shape that `out_shape` promises, `A` delivers, and `in_shape` leads back; 0 or 1."""
    x, _ = _inputs(operator, in_shape, batch, dtype, seed)
    y = operator.A(x)
    wrong = tuple(y.shape) != (batch, *operator.out_shape(in_shape)) or y.dtype != dtype
    if isinstance(operator, LinearOperator):
        wrong |= tuple(operator.in_shape(tuple(y.shape[1:]))) != tuple(in_shape)
    return float(wrong)


def vjp(operator: Operator, in_shape: Shape, *, batch: int = 2, dtype: torch.dtype = torch.float32, seed: int = 0) -> float:
    """A non-linear operator passes a gradient back to every image, finite and not all zero; 0 or 1."""
    x, v = _inputs(operator, in_shape, batch, dtype, seed)
    x.requires_grad_(True)
    measured = operator.A(x)
    if not measured.requires_grad:
        return 1.0
    (gradient,) = torch.autograd.grad(measured, x, v)
    return float(not (gradient.isfinite().all() and (_norm(gradient) > 0).all()))


def independence(operator: Operator, in_shape: Shape, *, batch: int = 2, dtype: torch.dtype = torch.float32, seed: int = 0) -> float:
    """An image's measurement does not depend on its neighbours in the batch."""
    x, _ = _inputs(operator, in_shape, batch, dtype, seed)
    singles = [operator.select(torch.tensor([i])).A(x[i : i + 1]) for i in range(batch)]
    return _relative(operator.A(x), torch.cat(singles))


def support(operator: Operator, in_shape: Shape, *, batch: int = 2, dtype: torch.dtype = torch.float32, seed: int = 0) -> float:
    """What is measured where `support` says that nothing is: 0, or for every image the same."""
    u, _ = _inputs(operator, in_shape, batch, dtype, seed)
    v, _ = _inputs(operator, in_shape, batch, dtype, seed + 1)
    one, other = operator.A(u), operator.A(v)
    holes = operator.support(torch.ones_like(u)) == 0
    return _worst(_norm(torch.where(holes, one - other, 0)), torch.maximum(_norm(one), _norm(other)))


def laws(operator: Operator) -> dict[str, Law]:
    """The laws that apply to this operator, by name."""
    common: dict[str, Law] = {"shapes": shapes, "independence": independence, "support": support}
    if not isinstance(operator, LinearOperator):
        return {**common, "vjp": vjp}
    return {**common, "dot test": dot_test, "linearity": linearity, "autograd adjoint": autograd_adjoint, "A A† A = A": pseudo_inverse}


def check_laws(operator: Operator, in_shape: Shape, *, batch: int | None = None, dtype: torch.dtype = torch.float32, seed: int = 0) -> None:
    """Assert every law that applies, for images of `in_shape` (C, H, W).

    Raises:
        AssertionError: names the operator, the law, the error and the tolerance (relative: 1e-4 in float32, 1e-9 in float64).
    """
    batch = batch or operator.batch or 2
    for name, law in laws(operator).items():
        error = law(operator, in_shape, batch=batch, dtype=dtype, seed=seed)
        if not error <= TOLERANCE[dtype]:
            raise AssertionError(
                f"{operator}: {name} is off by {error:.2e} (relative) on {batch} × {in_shape} {dtype}; allowed {TOLERANCE[dtype]:.0e}"
            )


def _inputs(operator: Operator, in_shape: Shape, batch: int, dtype: torch.dtype, seed: int) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    x = torch.rand(batch, *in_shape, generator=rng, device="cpu", dtype=torch.float64)
    y = torch.randn(batch, *operator.out_shape(in_shape), generator=rng, device="cpu", dtype=torch.float64)
    device = next(operator.buffers(), x).device
    return x.to(device, dtype), y.to(device, dtype)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).flatten(1).sum(1)


def _norm(a: Tensor) -> Tensor:
    return _dot(a, a).sqrt()


def _worst(difference: Tensor, size: Tensor) -> float:
    return float((difference / size.clamp_min(torch.finfo(size.dtype).tiny)).max())


def _relative(a: Tensor, b: Tensor) -> float:
    return _worst(_norm(a - b), torch.maximum(_norm(a), _norm(b)))
