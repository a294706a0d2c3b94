"""Adam that goes on where an earlier stage's ended: what it remembers is among the variables, and so in the solution."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import final

import torch
from torch import Tensor

from priorsolve.rows import spread_over
from priorsolve.solvers.optimisers import BETA2, Optimiser
from priorsolve.solvers.variables import REMEMBERED, Variables

_FIRST, _SECOND, _STEPS = f"{REMEMBERED}first:", f"{REMEMBERED}second:", f"{REMEMBERED}steps:"
_EPSILON = 1e-8


@final
class CarriedAdam(Optimiser):
    """Adam (Kingma & Ba 2015, Algorithm 1) whose running means are variables: `adam:first:NAME` and `adam:second:NAME`, (rows, *shape).

    `adam:steps:NAME`, (rows,), says how many steps they are of: what begins to move later has seen fewer. Without momentum the first mean
    is the gradient, and is not remembered.
    """

    def __init__(self, beta1: float) -> None:
        self.beta1 = beta1

    def remembered(self, variables: Variables, names: Iterable[str], earlier: Mapping[str, Tensor]) -> Variables:
        """What `move` needs among the variables: of a name all that is in `earlier`, or where some is lacking, as before any step."""
        begun: Variables = {}
        for name in names:
            value = variables[name]
            fresh = {mean + name: torch.zeros_like(value) for mean in ((_FIRST, _SECOND) if self.beta1 else (_SECOND,))}
            fresh[_STEPS + name] = value.new_zeros(len(value))
            begun |= {key: earlier[key] for key in fresh} if fresh.keys() <= earlier.keys() else fresh
        return begun

    def keep(self, rows: Tensor) -> None:
        """Nothing is remembered here."""

    def move(self, variables: Variables, gradients: Variables, step: int, lr: float, scale: Variables) -> Variables:
        moved = dict(variables)
        for name, gradient in gradients.items():
            taken = variables[_STEPS + name] + 1
            t = spread_over(taken, gradient)
            m = torch.lerp(variables[_FIRST + name], gradient, 1 - self.beta1) if self.beta1 else gradient
            v = torch.lerp(variables[_SECOND + name], gradient.square(), 1 - BETA2)
            step_size = lr * scale[name] * m / (1 - self.beta1**t)
            moved[name] = variables[name] - step_size / ((v / (1 - BETA2**t)).sqrt() + _EPSILON)
            moved |= {_SECOND + name: v, _STEPS + name: taken}
            if self.beta1:
                moved[_FIRST + name] = m
        return moved
