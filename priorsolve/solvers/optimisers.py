"""How variables move. Every optimiser works on each row by itself, so rows never meet."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from priorsolve.alike import of_long_rows
from priorsolve.priors.spaces import is_features
from priorsolve.solvers.variables import Variables

OptimiserName = Literal["adam", "sgd", "momentum", "rmsprop", "normalised", "lbfgs"]
BETA2 = 0.999
"""Adam's second decay rate."""


class Optimiser(ABC):
    """Moves variables along their gradients; `lr` is in units of `scale`, each variable's spread under the prior."""

    amplifies: ClassVar[bool] = False
    """Whether what is only rounded otherwise grows from step to step until it is seen."""

    @abstractmethod
    def move(self, variables: Variables, gradients: Variables, step: int, lr: float, scale: Variables) -> Variables:
        """The variables after one step; those without a gradient stay."""

    @abstractmethod
    def keep(self, rows: Tensor) -> None:
        """Forget all rows but these."""


@final
class Adam(Optimiser):
    """Adam (Kingma & Ba 2015, Algorithm 1); ε is 1e-12 and not its 1e-8, which gradients of typical losses near the optimum fall below."""

    def __init__(self, beta1: float = 0.9, epsilon: float = 1e-12) -> None:
        self.beta1, self.epsilon = beta1, epsilon
        self.first: Variables = {}
        self.second: Variables = {}

    def keep(self, rows: Tensor) -> None:
        self.first, self.second = rows_of(self.first, rows), rows_of(self.second, rows)

    def move(self, variables: Variables, gradients: Variables, step: int, lr: float, scale: Variables) -> Variables:
        correct1, correct2 = 1 - self.beta1 ** (step + 1), 1 - BETA2 ** (step + 1)
        moved = dict(variables)
        for name, gradient in gradients.items():
            m = memory_of(self.first, name, gradient).lerp_(gradient, 1 - self.beta1)
            v = memory_of(self.second, name, gradient).mul_(BETA2).addcmul_(gradient, gradient, value=1 - BETA2)
            moved[name] = variables[name] - ((lr / correct1) * scale[name] * m).div_((v / correct2).sqrt_().add_(self.epsilon))
        return moved


@final
class Descent(Optimiser):
    """Gradient descent, `v ← μ·v + g`, `x ← x − lr·v`; μ = 0 is the plain one."""

    def __init__(self, momentum: float = 0.0) -> None:
        self.momentum = momentum
        self.velocity: Variables = {}

    def keep(self, rows: Tensor) -> None:
        self.velocity = rows_of(self.velocity, rows)

    def move(self, variables: Variables, gradients: Variables, step: int, lr: float, scale: Variables) -> Variables:
        moved = dict(variables)
        for name, gradient in gradients.items():
            velocity = gradient
            if self.momentum:
                velocity = memory_of(self.velocity, name, gradient).mul_(self.momentum).add_(gradient)
            moved[name] = variables[name] - lr * scale[name] * velocity
        return moved


@final
class RMSProp(Optimiser):
    """RMSProp (Tieleman & Hinton 2012): each number's step over the root of its gradient's running mean square."""

    alpha: ClassVar[float] = 0.99
    epsilon: ClassVar[float] = 1e-8

    def __init__(self) -> None:
        self.second: Variables = {}

    def keep(self, rows: Tensor) -> None:
        self.second = rows_of(self.second, rows)

    def move(self, variables: Variables, gradients: Variables, step: int, lr: float, scale: Variables) -> Variables:
        moved = dict(variables)
        for name, gradient in gradients.items():
            v = memory_of(self.second, name, gradient).mul_(self.alpha).addcmul_(gradient, gradient, value=1 - self.alpha)
            moved[name] = variables[name] - lr * scale[name] * gradient / (v.sqrt() + self.epsilon)
        return moved


@final
class NormalisedDescent(Optimiser):
    """`x ← x − lr·σ√n·g/‖g‖` for every vector of n numbers by itself (Poirier-Ginter & Lalonde 2023, §3).

    σ√n is the length of a vector whose numbers have the spread σ: each vector moves by the share `lr` of that, no further. One without a
    gradient stays. A vector is a code's last axis; features, of channels and pixels, are one as a whole.
    """

    def keep(self, rows: Tensor) -> None:
        """Nothing is remembered."""

    def move(self, variables: Variables, gradients: Variables, step: int, lr: float, scale: Variables) -> Variables:
        moved = dict(variables)
        for name, gradient in gradients.items():
            code, slope = (_vectors(name, value) for value in (variables[name], gradient))
            length = slope.norm(dim=-1, keepdim=True)
            share = torch.where(length > 0, lr * scale[name] * slope.shape[-1] ** 0.5 / length.clamp_min(1e-30), 0)
            # a code may be millions of numbers: one pass
            moved[name] = torch.addcmul(code, slope, share, value=-1).view_as(gradient)
        return moved


@final
class LBFGS(Optimiser):
    """Limited-memory BFGS (Liu & Nocedal 1989) on each row's variables end to end, without line search; `lr` 1 is the full step.

    The first step has length `lr` in ℓ1 at most. Pairs without positive curvature are skipped, row by row.
    """

    amplifies = True  # by the curvature, a difference of two gradients over another

    def __init__(self, memory: int = 10) -> None:
        self.memory = memory
        self.pairs: list[tuple[Tensor, Tensor, Tensor]] = []
        self.size: Tensor | None = None
        self.last: tuple[Tensor, Tensor] | None = None

    def keep(self, rows: Tensor) -> None:
        self.pairs = [(s[rows], y[rows], r[rows]) for s, y, r in self.pairs]
        self.size = None if self.size is None else self.size[rows]
        self.last = None if self.last is None else (self.last[0][rows], self.last[1][rows])

    def move(self, variables: Variables, gradients: Variables, step: int, lr: float, scale: Variables) -> Variables:
        names = list(gradients)
        unit = torch.cat([scale[name].expand_as(variables[name]).flatten(1) for name in names], 1)
        x = torch.cat([variables[name].flatten(1) for name in names], 1) / unit
        g = torch.cat([gradients[name].flatten(1) for name in names], 1) * unit
        if self.last is not None:
            s, y = x - self.last[0], g - self.last[1]
            curvature, square = _total(s * y), _total(y.square())
            good = curvature > 1e-10 * square
            self.pairs = [*self.pairs, (s, y, torch.where(good, 1 / curvature, 0))][-self.memory :]
            # the newest pair that tells of curvature sets the scale
            self.size = torch.where(good, curvature / square, torch.ones_like(curvature) if self.size is None else self.size)
        self.last = (x.clone(), g.clone())
        direction = -self._inverse_hessian_times(g)
        if step == 0:
            direction = direction * (1 / _total(g.abs()).clamp_min(1e-30)).clamp_max(1)
        x = (x + lr * direction) * unit
        moved, place = dict(variables), 0
        for name in names:
            count = variables[name][0].numel()
            moved[name] = x[:, place : place + count].reshape(variables[name].shape)
            place += count
        return moved

    def _inverse_hessian_times(self, q: Tensor) -> Tensor:
        """The two-loop recursion."""
        kept = []
        for s, y, r in reversed(self.pairs):
            a = r * _total(s * q)
            q = q - a * y
            kept.append(a)
        q = q if self.size is None else q * self.size
        for (s, y, r), a in zip(self.pairs, reversed(kept), strict=True):
            b = r * _total(y * q)
            q = q + s * (a - b)
        return q


def make_optimiser(name: OptimiserName, beta1: float = 0.9) -> Optimiser:
    """A fresh optimiser by its name; `beta1` is Adam's."""
    made: dict[OptimiserName, Callable[[], Optimiser]] = {
        "adam": lambda: Adam(beta1),
        "sgd": Descent,
        "momentum": lambda: Descent(0.9),
        "rmsprop": RMSProp,
        "normalised": NormalisedDescent,
        "lbfgs": LBFGS,
    }
    return made[name]()


def _vectors(name: str, codes: Tensor) -> Tensor:
    """(rows, ..., n): features (rows, C, H, W) and multicode's (rows, N, C, H, W) with all numbers last; w++ has four axes too."""
    if is_features(name):
        return codes.flatten(1)
    return codes.flatten(2) if codes.ndim > 4 else codes


def _total(rows: Tensor) -> Tensor:
    """(rows, 1)."""
    return of_long_rows(lambda rows: rows.sum(1, keepdim=True), rows)


def memory_of(state: Variables, name: str, gradient: Tensor) -> Tensor:
    """What the state holds by this name; zeros like the gradient at first."""
    if name not in state:
        state[name] = torch.zeros_like(gradient)
    return state[name]


def rows_of(state: Variables, rows: Tensor) -> Variables:
    """The state of these rows alone."""
    return {name: value[rows] for name, value in state.items()}
