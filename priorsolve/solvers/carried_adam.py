"""Adam that goes on where an earlier stage's ended: what it remembers is among the variables, and so in the solution."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import final

import torch
from torch import Tensor

from priorsolve.solvers.optimisers import Optimiser
from priorsolve.solvers.variables import REMEMBERED, Variables, is_remembered

_FIRST, _SECOND, _STEPS = f"{REMEMBERED}first:", f"{REMEMBERED}second:", f"{REMEMBERED}steps"


@final
class CarriedAdam(Optimiser):
    """Adam (Kingma & Ba 2015, Algorithm 1) whose running means are variables: `adam:first:NAME` and `adam:second:NAME`, (rows, *shape).

    `adam:steps`, (rows,), says how many steps they are of. Without momentum the first mean is the gradient, and is not remembered.
    """

    def __init__(self, beta1: float, beta2: float = 0.999, epsilon: float = 1e-8) -> None:
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon

    def remembered(self, variables: Variables, names: Iterable[str], earlier: Mapping[str, Tensor]) -> Variables:
        """What `move` needs among the variables: from `earlier` what is there, in whose absence nothing has been seen yet."""
        like = next(iter(variables.values()))
        begun: Variables = {_STEPS: like.new_zeros(len(like))}
        for name in names:
            begun |= {mean + name: torch.zeros_like(variables[name]) for mean in ((_FIRST, _SECOND) if self.beta1 else (_SECOND,))}
        return {name: earlier.get(name, value) for name, value in begun.items()}

    def keep(self, rows: Tensor) -> None:
        """Nothing is remembered here."""

    def move(self, variables: Variables, gradients: Variables, step: int, lr: float, scale: Variables) -> Variables:
        taken = variables[_STEPS] + 1
        moved = variables | {_STEPS: taken}
        for name, gradient in gradients.items():
            t = taken.view(-1, *[1] * (gradient.ndim - 1))
            m = torch.lerp(variables[_FIRST + name], gradient, 1 - self.beta1) if self.beta1 else gradient
            v = torch.lerp(variables[_SECOND + name], gradient.square(), 1 - self.beta2)
            step_size = lr * scale[name] * m / (1 - self.beta1**t)
            moved |= {_SECOND + name: v, name: variables[name] - step_size / ((v / (1 - self.beta2**t)).sqrt() + self.epsilon)}
            if self.beta1:
                moved[_FIRST + name] = m
        return moved


def forgotten(variables: Mapping[str, Tensor]) -> Variables:
    """The variables without what Adam remembers."""
    return {name: value for name, value in variables.items() if not is_remembered(name)}
