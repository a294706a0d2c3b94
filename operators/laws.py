"""The laws that every operator keeps, as public tools: `check_laws(MyOperator(), (3, 32, 32))` is a contributor's whole test.

Each law returns how far it is from true, relative to the sizes compared: 0 is exact. `laws(operator)` lists those that apply.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from priorsolve.apart import exactly_graded
from priorsolve.following import leads_back
from priorsolve.operators.base import OF_EACH, LinearOperator, Operator, place_of
from priorsolve.operators.krylov import found_by_steps
from priorsolve.operators.made import checked_shape
from priorsolve.showing import is_whole, shown
from priorsolve.types import Shape

Law: TypeAlias = Callable[..., float]

TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-9}


def dot_test(operator: LinearOperator, in_shape: Shape, *, batch: int = 2, dtype: torch.dtype = torch.float32, seed: int = 0) -> float:
    """`⟨A u, v⟩ = ⟨u, Aᵀ v⟩`: the difference over `‖A u‖‖v‖`, the worst image of the batch."""
    _must_be_ours(operator, "dot_test")
    if not isinstance(operator, LinearOperator):
        raise ValueError(f"dot_test: {operator} is not linear, so it has no adjoint; check_laws runs the laws that it has")
    u, v = _inputs(operator, in_shape, batch, dtype, seed)
    image, adjoint = operator.A(u), operator.A_adjoint(v)
    left, right = _dot(image, v), _dot(u, adjoint)
    return _worst((left - right).abs(), norm(image) * norm(v))


def linearity(operator: LinearOperator, in_shape: Shape, *, batch: int = 2, dtype: torch.dtype = torch.float32, seed: int = 0) -> float:
    """`A(2u − 3v) = 2 A u − 3 A v`, and the same of `Aᵀ`."""
    u, y = _inputs(operator, in_shape, batch, dtype, seed)
    v, z = _inputs(operator, in_shape, batch, dtype, seed + 1)
    worst = 0.0
    for map_, a, b in ((operator.A, u, v), (operator.A_adjoint, y, z)):
        left, right = map_(2 * a - 3 * b), 2 * map_(a) - 3 * map_(b)
        worst = max(worst, relative(left, right))
    return worst


def autograd_adjoint(
    operator: LinearOperator, in_shape: Shape, *, batch: int = 2, dtype: torch.dtype = torch.float32, seed: int = 0
) -> float:
    """`Aᵀ v` is what autograd's vector-Jacobian product gives."""
    u, v = _inputs(operator, in_shape, batch, dtype, seed)
    u.requires_grad_(True)
    measured = operator.A(u)
    if not leads_back(measured, u):
        return 1.0
    (gradient,) = torch.autograd.grad(measured, u, v)
    return relative(operator.A_adjoint(v), gradient)


def pseudo_inverse(
    operator: LinearOperator, in_shape: Shape, *, batch: int = 2, dtype: torch.dtype = torch.float32, seed: int = 0
) -> float:
    """`A A† A = A`: the pseudo-inverse explains every measurement that an image can make."""
    u, _ = _inputs(operator, in_shape, batch, dtype, seed)
    y = operator.A(u)
    return relative(operator.A(operator.A_dagger(y)), y)


def lifting(operator: LinearOperator, in_shape: Shape, *, batch: int = 2, dtype: torch.dtype = torch.float32, seed: int = 0) -> float:
    """`A lift(A x) = A x`: what is put back into a picture adds to its measurement just what was missing."""
    u, _ = _inputs(operator, in_shape, batch, dtype, seed)
    y = operator.A(u)
    return relative(operator.A(operator.lift(y)), y)


def dagger_gradient(
    operator: LinearOperator, in_shape: Shape, *, batch: int = 2, dtype: torch.dtype = torch.float32, seed: int = 0
) -> float:
    """`⟨A† y, v⟩ = ⟨y, (A†)ᵀ v⟩`, the right side by autograd, for a y and a v that the other side can make."""
    u, r = _inputs(operator, in_shape, batch, dtype, seed)
    y, v = operator.A(u), operator.A_adjoint(r)
    x = operator.A_dagger(y.requires_grad_())
    if not leads_back(x, y):
        return 1.0
    (gradient,) = torch.autograd.grad(x, y, v)
    return _worst((_dot(x, v) - _dot(y, gradient)).abs(), norm(x) * norm(v))


def shortest(operator: LinearOperator, in_shape: Shape, *, batch: int = 2, dtype: torch.dtype = torch.float32, seed: int = 0) -> float:
    """`⟨(A†)ᵀ u, A v⟩ = ⟨A u, (A†)ᵀ v⟩`: as `A† A` is symmetric, `A†` adds nothing that A does not see. (A†)ᵀ is by autograd.

    0 where `A†` is by conjugate gradients: they keep this law, as far as they come.
    """
    u, y = _inputs(operator, in_shape, batch, dtype, seed)
    v, _ = _inputs(operator, in_shape, batch, dtype, seed + 1)
    y = torch.zeros_like(y).requires_grad_()  # of which conjugate gradients make no step
    x = operator.A_dagger(y)
    if found_by_steps(x):
        return 0.0
    if not leads_back(x, y):
        return 1.0
    (first,), (second,) = torch.autograd.grad(x, y, u, retain_graph=True), torch.autograd.grad(x, y, v)
    return _unequal((first, operator.A(v)), (operator.A(u), second))


def closest(operator: LinearOperator, in_shape: Shape, *, batch: int = 2, dtype: torch.dtype = torch.float32, seed: int = 0) -> float:
    """`⟨A† y, Aᵀ z⟩ = ⟨Aᵀ y, A† z⟩`: as `A A†` is symmetric, no image explains more of a measurement than `A†` does.

    0 where `A†` is by conjugate gradients: they keep this law, as far as they come.
    """
    _, y = _inputs(operator, in_shape, batch, dtype, seed)
    _, z = _inputs(operator, in_shape, batch, dtype, seed + 1)
    if found_by_steps(operator.A_dagger(torch.zeros_like(y).requires_grad_())):
        return 0.0
    return _unequal((operator.A_dagger(y), operator.A_adjoint(z)), (operator.A_adjoint(y), operator.A_dagger(z)))


def shapes(operator: Operator, in_shape: Shape, *, batch: int = 2, dtype: torch.dtype = torch.float32, seed: int = 0) -> float:
    """The shape that `out_shape` promises, `A` delivers, in the images' type, `support` has, and `in_shape` leads back; 0 or 1."""
    x, _ = _inputs(operator, in_shape, batch, dtype, seed)
    y = operator.A(x)
    wrong = tuple(y.shape) != (batch, *operator.out_shape(in_shape)) or y.dtype != dtype
    wrong |= operator.support(torch.ones_like(x)).shape[1:] != y.shape[1:]
    if isinstance(operator, LinearOperator):
        wrong |= checked_shape(operator.in_shape(tuple(y.shape[1:])), operator, "in_shape") != tuple(in_shape)
    return float(wrong)


def vjp(operator: Operator, in_shape: Shape, *, batch: int = 2, dtype: torch.dtype = torch.float32, seed: int = 0) -> float:
    """A non-linear operator passes a gradient back to every image, finite and not all zero; 0 or 1."""
    x, v = _inputs(operator, in_shape, batch, dtype, seed)
    x.requires_grad_(True)
    measured = operator.A(x)
    if not leads_back(measured, x):
        return 1.0
    (gradient,) = torch.autograd.grad(measured, x, v)
    return float(not (gradient.isfinite().all() and (norm(gradient) > 0).all()))


def independence(operator: Operator, in_shape: Shape, *, batch: int = 2, dtype: torch.dtype = torch.float32, seed: int = 0) -> float:
    """An image's measurement does not depend on its neighbours in the batch."""
    x, _ = _inputs(operator, in_shape, batch, dtype, seed)
    own = [operator.select(torch.tensor([i], device="cpu")) for i in range(batch)]
    if any(one.batch not in (None, 1) for one in own):
        raise AssertionError(f"{operator}: one image selected of {batch} is still for {own[0].batch}; {OF_EACH}")
    together, singles = operator.A(x), [one.A(x[i : i + 1]) for i, one in enumerate(own)]
    if any(len(single) != 1 for single in singles):
        raise AssertionError(f"{operator}: makes {len(singles[0])} measurements of one image; {OF_EACH}")
    return relative(together, torch.cat(singles))


def unchanged(operator: Operator, in_shape: Shape, *, batch: int = 2, dtype: torch.dtype = torch.float32, seed: int = 0) -> float:
    """Images are left as they were given; 0 or 1."""
    x, _ = _inputs(operator, in_shape, batch, dtype, seed)
    given = x.clone()
    operator.A(given)
    return float(not torch.equal(given, x))


def support(operator: Operator, in_shape: Shape, *, batch: int = 2, dtype: torch.dtype = torch.float32, seed: int = 0) -> float:
    """What is measured where `support` says that nothing is: 0, or for every image the same."""
    u, _ = _inputs(operator, in_shape, batch, dtype, seed)
    v, _ = _inputs(operator, in_shape, batch, dtype, seed + 1)
    one, other = operator.A(u), operator.A(v)
    holes = operator.support(torch.ones_like(u)) == 0
    return _worst(norm(torch.where(holes, one - other, 0)), torch.maximum(norm(one), norm(other)))


def laws(operator: Operator) -> dict[str, Law]:
    """The laws that apply to this operator, by name."""
    common: dict[str, Law] = {"unchanged": unchanged, "shapes": shapes, "independence": independence, "support": support}
    if not isinstance(operator, LinearOperator):
        return {**common, "vjp": vjp}
    # elsewhere `lift` is A†
    own_lift: dict[str, Law] = {"A lift A = A": lifting} if operator.grey or type(operator).lift is not LinearOperator.lift else {}
    return {
        **common,
        "dot test": dot_test,
        "linearity": linearity,
        "autograd adjoint": autograd_adjoint,
        "A A† A = A": pseudo_inverse,
        "gradient of A†": dagger_gradient,
        "A† A symmetric": shortest,
        "A A† symmetric": closest,
        **own_lift,
    }


def check_laws(operator: Operator, in_shape: Shape, *, batch: int | None = None, dtype: torch.dtype = torch.float32, seed: int = 0) -> None:
    """Assert every law that applies, for images of `in_shape` (C, H, W).

    Raises:
        AssertionError: names the operator, the law, the error and the tolerance (relative: 1e-4 in float32, 1e-9 in float64).
        ValueError: that is no operator of priorsolve's, it refuses the shape or has `batch` and no `select`, or laws are for other types.
    """
    _must_be_ours(operator, "check_laws")
    if dtype not in TOLERANCE:
        raise ValueError(f"check_laws: dtype is {dtype}; laws are kept in {' and '.join(map(str, TOLERANCE))}")
    if not isinstance(in_shape, Sequence) or not all(map(is_whole, in_shape)):
        raise ValueError(f"check_laws: in_shape is {shown(in_shape)}; give (C, H, W), such as (3, 32, 32)")
    batch = batch or operator.batch or 2
    for name, law in laws(operator).items():
        try:
            with exactly_graded((place_of(operator)[0] or torch.device("cpu")).type):
                error = law(operator, in_shape, batch=batch, dtype=dtype, seed=seed)
        except RuntimeError as wrong:
            first = str(wrong).partition("\n")[0]
            if "size" not in first and "shape" not in first:
                raise
            raise AssertionError(f"{operator}: {name} on {batch} × {in_shape} ends in {first!r}; {OF_EACH}") from wrong
        if not error <= TOLERANCE[dtype]:
            made = f"; it makes {_form(operator, in_shape, batch, dtype)}" if law is shapes else ""
            raise AssertionError(
                f"{operator}: {name} is off by {error:.2e} (relative) on {batch} × {in_shape} {dtype}; allowed {TOLERANCE[dtype]:.0e}{made}"
            )


def _form(operator: Operator, in_shape: Shape, batch: int, dtype: torch.dtype) -> str:
    """What it makes of such images, in words, and what it says of that."""
    x, _ = _inputs(operator, in_shape, batch, dtype, 0)
    y, where = operator.A(x), operator.support(torch.ones_like(x))
    back = f", its in_shape {tuple(operator.in_shape(tuple(y.shape[1:])))}" if isinstance(operator, LinearOperator) else ""
    said = f"its out_shape says {tuple(operator.out_shape(in_shape))}, its support {tuple(where.shape[1:])}{back}"
    return f"{tuple(y.shape)} {y.dtype}; {said}"


def _must_be_ours(operator: object, who: str) -> None:
    if not isinstance(operator, Operator):
        raise ValueError(f"{who}: expected an Operator, got {shown(operator)}; subclass priorsolve.operators.base.Operator")


def _inputs(operator: Operator, in_shape: Shape, batch: int, dtype: torch.dtype, seed: int) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    x = torch.rand(batch, *in_shape, generator=rng, device="cpu", dtype=torch.float64)
    shape = checked_shape(operator.out_shape(in_shape), operator, "out_shape")
    y = torch.randn(batch, *shape, generator=rng, device="cpu", dtype=torch.float64)
    device, _ = place_of(operator)
    return x.to(device, dtype), y.to(device, dtype)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).flatten(1).sum(1)


def norm(a: Tensor) -> Tensor:
    """The Euclidean length of every row, (B,)."""
    return _dot(a, a).sqrt()


def _worst(difference: Tensor, size: Tensor) -> float:
    return float((difference / size.clamp_min(torch.finfo(size.dtype).tiny)).detach().max())


def relative(a: Tensor, b: Tensor) -> float:
    """The largest difference of two rows, over the size of the larger."""
    return _worst(norm(a - b), torch.maximum(norm(a), norm(b)))


def _unequal(left: tuple[Tensor, Tensor], right: tuple[Tensor, Tensor]) -> float:
    """How far one inner product is from the other, over the larger product of lengths."""
    sizes = torch.maximum(norm(left[0]) * norm(left[1]), norm(right[0]) * norm(right[1]))
    return _worst((_dot(*left) - _dot(*right)).abs(), sizes)
