"""What an operator is: a forward model `y = A(x)` without noise, and the algebra of operators."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import final, overload

import torch
from torch import Tensor, nn

from priorsolve.following import leads_back
from priorsolve.operators.krylov import Map, least_squares
from priorsolve.operators.made import checked_shape, is_real, none, not_real
from priorsolve.rows import spread_over
from priorsolve.showing import made_float, shown
from priorsolve.types import Images, Measurements, Shape

_SEED, _TRIALS = 20201128, 6
_ROUNDING = 1e-6
"""Relative to the largest number that is measured, what may be left of nothing."""
_SHARE = 0.1
"""How much of what all changes of a picture see of a measurement the grey ones must see to be those that explain it: of `Gray` they see
1.3 to 1.7 times as much, and nothing of what they cannot explain."""
OF_EACH = "an operator with parameters for each image says for how many by `batch`, and takes some of them by `select`"


class Operator(nn.Module, ABC):
    """A forward model `y = A(x)`, without noise. Immutable: parameters are set in the constructor.

    A leaf supplies `out_shape` (which also checks) and `_A` (the formula); the public `A` checks the shape at the door.
    """

    @property
    def batch(self) -> int | None:
        """How many images the parameters are for, one each; None where they serve any number."""
        return None

    @property
    def stand_in(self) -> str:
        """For one that lets no gradient through: what a recipe may name under `surrogate` in its place. Empty where nothing is known."""
        return ""

    @property
    def jumps(self) -> bool:
        """Whether it rounds: where a number is halfway between two steps, what is rounded otherwise before it is soon another picture."""
        return False

    @abstractmethod
    def out_shape(self, in_shape: Shape) -> Shape:
        """The measurement's shape for images of `in_shape`, both without batch.

        Raises:
            ValueError: images of this shape cannot be measured; the message names the operator and both shapes.
        """

    @abstractmethod
    def _A(self, x: Images) -> Measurements:
        """The formula. The shape has been checked."""

    def A(self, x: Images) -> Measurements:
        """Measure images `x` (B, C, H, W): noiseless and differentiable.

        Raises:
            ValueError: `x` does not fit, or the formula writes into it or makes no real tensor.
        """
        self._check_float(x, "images")
        shape = checked_shape(self.out_shape(tuple(x.shape[1:])), self, "out_shape")
        self._check_batch(x)
        if not len(x):
            return none(x, shape)
        written = None if x.is_inference() else x._version
        y = self._A(x)
        if not is_real(y):
            raise ValueError(f"{self}: its _A {not_real(y)}")
        if written is not None and written != x._version:
            raise ValueError(f"{self}: its _A writes into the images that it is given; make new ones, such as x * 0.5 for x.mul_(0.5)")
        return y

    def __getattr__(self, name: str) -> Tensor | nn.Module:
        if "_parameters" not in vars(self):
            raise AttributeError(f"{type(self).__name__}: its __init__ does not call super().__init__(); call it first")
        return super().__getattr__(name)

    def forward(self, x: Images) -> Measurements:
        return self.A(x)

    def support(self, inside: Images) -> Measurements:
        """1 where something is measured, 0 where nothing is (a hole), given where the image itself is known (0/1).

        Found by trying: what is the same for some pictures that differ wherever the image is known tells nothing of it. A leaf that
        knows better says so.
        """
        made = [self.A(inside * picture) for picture in self._trials(inside)]
        lowest = torch.stack([torch.where(y.isfinite(), y, torch.inf) for y in made]).amin(0)
        highest = torch.stack([torch.where(y.isfinite(), y, -torch.inf) for y in made]).amax(0)
        largest = torch.maximum(lowest.abs(), highest.abs()).nan_to_num(0, 0, 0).flatten(1).amax(1)
        return (highest - lowest > _ROUNDING * spread_over(largest, lowest)).to(inside)

    def _trials(self, like: Images) -> list[Tensor]:
        """Pictures (1, C, H, W) of `like`'s size to tell operators by."""
        rng = torch.Generator().manual_seed(_SEED)
        drawn = torch.rand(_TRIALS, 1, *like.shape[1:], generator=rng, device="cpu", dtype=torch.float64).to(like)
        return [like.new_zeros(1, *like.shape[1:]), like.new_ones(1, *like.shape[1:]), *drawn]

    def follows(self, in_shape: Shape) -> bool:
        """Whether a gradient comes back through it to images of `in_shape`, without batch."""
        device, dtype = place_of(self)
        with torch.inference_mode(False), torch.enable_grad():
            x = torch.full((smallest_batch(self), *in_shape), 0.5, dtype=dtype, device=device, requires_grad=True)
            return leads_back(self.A(x), x)

    def select(self, index: Tensor) -> Operator:
        """The operator for the images `index` (integers) of the batch; itself where its parameters serve any image.

        Raises ValueError for a class whose parameters are for one image each, and that has no `select` of its own.
        """
        if self.batch is not None:
            raise ValueError(f"{self}: has parameters for {self.batch} images, and its class has no `select`; {OF_EACH}")
        return self

    def __matmul__(self, inner: Operator) -> Operator:
        """`(A @ B)(x) = A(B(x))`."""
        return compose([inner, self])

    def __rmatmul__(self, outer: Operator) -> Operator:
        """Of what is no operator, such as a function: raises ValueError, as the other way round."""
        return compose([self, outer])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"

    def _check_float(self, batch: Tensor, what: str) -> None:
        if not isinstance(batch, Tensor):
            raise ValueError(f"{self}: expected {what} as a float tensor, got an object of type {type(batch).__name__}")
        if not batch.is_floating_point():
            raise ValueError(f"{self}: expected float {what}, got {batch.dtype}; {made_float(batch.dtype)}")

    def _check_batch(self, batch: Tensor) -> None:
        if self.batch not in (None, len(batch)):
            raise ValueError(f"{self}: has parameters for {self.batch} images, got a batch of {len(batch)}")

    def _refuse(self, expected: str, given: Shape, what: str = "images") -> ValueError:
        """The error for a shape that does not fit: `raise self._refuse("(B, 3, H, W)", in_shape)`."""
        return ValueError(f"{self}: expected {what} of shape {expected}, got {shape_text(given)}")


class LinearOperator(Operator, ABC):
    """A linear forward model: it also has an adjoint and a pseudo-inverse."""

    @abstractmethod
    def in_shape(self, out_shape: Shape) -> Shape:
        """The images' shape behind measurements of `out_shape`, both without batch. Raises ValueError as `out_shape` does."""

    @abstractmethod
    def _A_adjoint(self, y: Measurements) -> Images:
        """The adjoint's formula. The shape has been checked."""

    def _trials(self, like: Images) -> list[Tensor]:
        zeros, *_, drawn = super()._trials(like)
        return [zeros, drawn]  # one random picture will do: a row that is not 0 almost never makes 0 of it

    def _A_dagger(self, y: Measurements) -> Images:
        """The pseudo-inverse: the shortest least-squares solution, by conjugate gradients unless a leaf knows better."""
        return least_squares(self._A, self._A_adjoint, y)

    @property
    def grey(self) -> bool:
        """Whether one number is left of a pixel's colours, which the same change of them all can explain."""
        return False

    def lift(self, y: Measurements) -> Images:
        """What to add to a picture for `A` to measure `y` more of it: the shortest, `A† y`, so that the picture nearest to it is found.

        Where only `grey` is left it is the shortest of the changes that are the same in all colours, since `A†` would tint; then `A†`
        of what none of these explains, unless it is rounding. A leaf may know better.
        """
        if not self.grey:
            return self.A_dagger(y)
        colours = self.in_shape(tuple(y.shape[1:]))[0]
        A, A_adjoint = of_grey(self, colours)
        x = least_squares(A, A_adjoint, y).expand(-1, colours, -1, -1)
        rest = y - self.A(x)
        with torch.no_grad():
            large = _length(rest) > 100 * torch.finfo(y.dtype).eps * _length(y)
            theirs = _length(A_adjoint(rest)) > _SHARE * _length(self.A_adjoint(rest))
        if bool((large & theirs).any()):  # a strong blur leaves what grey changes would explain in more steps: they go on
            x = x + least_squares(A, A_adjoint, _of_rows(large & theirs, rest).detach())
        if bool(theirs.all()):
            return x
        # its gradient is of the map, whatever is left for this y
        return x + self.A_dagger(_of_rows(~theirs, rest - _of_rows(~large, rest).detach()))

    def A_adjoint(self, y: Measurements) -> Images:
        """`Aᵀ y`: images (B, C, H, W) from measurements."""
        return self._back(self._A_adjoint, y)

    def A_dagger(self, y: Measurements) -> Images:
        """`A† y`: the image of least norm among those that explain `y` best (Moore-Penrose)."""
        return self._back(self._A_dagger, y)

    def _back(self, formula: Map, y: Measurements) -> Images:
        self._check_float(y, "measurements")
        shape = checked_shape(self.in_shape(tuple(y.shape[1:])), self, "in_shape")
        self._check_batch(y)
        return formula(y) if len(y) else none(y, shape)

    @overload
    def __matmul__(self, inner: LinearOperator) -> LinearOperator: ...
    @overload
    def __matmul__(self, inner: Operator) -> Operator: ...
    def __matmul__(self, inner: Operator) -> Operator:
        return super().__matmul__(inner)


class Identity(LinearOperator):
    """Nothing happened to the picture but noise.

    y = x          Aᵀ y = y          A† = Aᵀ
    """

    def __init__(self) -> None:
        super().__init__()

    def out_shape(self, in_shape: Shape) -> Shape:
        return in_shape

    def in_shape(self, out_shape: Shape) -> Shape:
        return out_shape

    def support(self, inside: Images) -> Measurements:
        return inside

    def _A(self, x: Images) -> Measurements:
        return x.clone()  # a caller may add noise in place

    def _A_adjoint(self, y: Measurements) -> Images:
        return y.clone()

    def _A_dagger(self, y: Measurements) -> Images:
        return y.clone()


class _Composition(Operator, ABC):
    """What every composition does: `y = Aₙ(…A₂(A₁(x)))`."""

    def __init__(self, operators: Sequence[Operator]) -> None:
        super().__init__()
        self.operators = nn.ModuleList(operators)

    @property
    def batch(self) -> int | None:
        sizes = {part.batch for part in factors(self)} - {None}
        if len(sizes) > 1:
            raise ValueError(f"{self}: its parts are for different numbers of images: {sorted(map(str, sizes))}")
        return sizes.pop() if sizes else None

    @property
    def jumps(self) -> bool:
        return any(part.jumps for part in factors(self))

    def out_shape(self, in_shape: Shape) -> Shape:
        for part in factors(self):
            in_shape = checked_shape(part.out_shape(in_shape), part, "out_shape")
        return in_shape

    def support(self, inside: Images) -> Measurements:
        for part in factors(self):
            inside = part.support(inside)
        return inside

    def select(self, index: Tensor) -> Operator:
        return compose([part.select(index) for part in factors(self)])

    def _A(self, x: Images) -> Measurements:
        for part in factors(self):
            x = part.A(x)
        return x

    def __repr__(self) -> str:
        return " @ ".join(map(repr, reversed(factors(self))))


@final
class Composed(_Composition):
    """Operators applied one after another, at least one of them non-linear: `y = Aₙ(…A₂(A₁(x)))`."""


@final
class ComposedLinear(_Composition, LinearOperator):
    """Linear operators applied one after another.

    y = Aₙ … A₂ A₁ x          Aᵀ y = A₁ᵀ A₂ᵀ … Aₙᵀ y          A† by conjugate gradients (it is not the product of the A†)
    """

    def in_shape(self, out_shape: Shape) -> Shape:
        shape = out_shape
        for part in reversed(self._linear()):
            shape = part.in_shape(shape)
        self.out_shape(shape)
        return shape

    def _A_adjoint(self, y: Measurements) -> Images:
        for part in reversed(self._linear()):
            y = part.A_adjoint(y)
        return y

    def _A_dagger(self, y: Measurements) -> Images:
        """What is not finite where nothing is measured, as in `Mask`, is ignored: sums over the picture would spread it."""
        if not bool(y.isfinite().all()):
            known = support_of(self, self.in_shape(tuple(y.shape[1:])), y)
            y = torch.where((known > 0) | y.isfinite(), y, 0)
        return super()._A_dagger(y)

    @property
    def grey(self) -> bool:
        return any(part.grey for part in self._linear())

    def _linear(self) -> list[LinearOperator]:
        return [part for part in factors(self) if isinstance(part, LinearOperator)]


@overload
def compose(operators: Sequence[LinearOperator]) -> LinearOperator: ...
@overload
def compose(operators: Sequence[Operator]) -> Operator: ...
def compose(operators: Sequence[Operator]) -> Operator:
    """One operator that applies `operators` in order, first damage first; compositions are flattened.

    Raises:
        ValueError: `operators` is no list, or one of them is not an `Operator`.
    """
    if not isinstance(operators, Sequence) or isinstance(operators, str):
        raise ValueError(f"compose: operators is {shown(operators)}; give a list of operators, first damage first")
    for operator in operators:
        if not isinstance(operator, Operator):
            kind = shown(operator) if isinstance(operator, type) else f"an object of type {type(operator).__name__}"
            raise ValueError(
                f"{kind} is not one of priorsolve's operators and cannot be composed with them; "
                "give the solver a function, such as lambda x: A.A(B.A(x))"
            )
    flat = [part for operator in operators for part in factors(operator)]
    if len(flat) == 1:
        return flat[0]
    linear = [part for part in flat if isinstance(part, LinearOperator)]
    if len(linear) < len(flat):
        return Composed(flat)
    return ComposedLinear(linear) if linear else Identity()


def of_grey(operator: LinearOperator, colours: int) -> tuple[Map, Map]:
    """`A` of grey pictures (B, 1, H, W), each the same in as many `colours`, and the adjoint of that."""

    def A(x: Tensor) -> Tensor:
        return operator.A(x.expand(-1, colours, -1, -1))

    def A_adjoint(r: Tensor) -> Tensor:
        return operator.A_adjoint(r).sum(1, keepdim=True)

    return A, A_adjoint


def factors(operator: Operator) -> list[Operator]:
    """The operators that a composition applies, in order; `[operator]` for a simple one."""
    if isinstance(operator, _Composition):
        return [part for part in operator.operators if isinstance(part, Operator)]
    return [operator]


def smallest_batch(operator: Operator) -> int:
    """How many images it can be tried on: as many as it has parameters for, or one."""
    return 1 if operator.batch is None else operator.batch


def place_of(operator: Operator) -> tuple[torch.device | None, torch.dtype | None]:
    """Where its numbers lie and of what type the first real ones are, as pictures for it must be; None where it has none."""
    own = [*operator.parameters(), *operator.buffers()]
    return next((each.device for each in own), None), next((each.dtype for each in own if each.is_floating_point()), None)


def support_of(operator: Operator, in_shape: Shape, like: Tensor) -> Measurements:
    """Its `support` of images (C, H, W) that are known everywhere, the fewest that it takes; of the type of `like`, and there."""
    return operator.support(like.new_ones(smallest_batch(operator), *in_shape)).to(like)


def _length(rows: Tensor) -> Tensor:
    """(B,): of each row, as one vector."""
    length: Tensor = torch.linalg.vector_norm(rows.flatten(1), dim=1)
    return length


def _of_rows(chosen: Tensor, rows: Tensor) -> Tensor:
    """The rows that are chosen, and 0 in place of the others."""
    return torch.where(spread_over(chosen, rows), rows, 0)


def shape_text(shape: Shape) -> str:
    """`(B, 3, 64, 64)` for (3, 64, 64)."""
    return f"({', '.join(['B', *map(str, shape)])})"
