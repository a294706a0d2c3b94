"""Adam for weights, which are many: memory is gone through once in a step."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor
from torch.optim.adam import adam

from priorsolve.solvers.optimisers import BETA2, Adam, Optimiser, memory_of, rows_of
from priorsolve.solvers.variables import Variables, is_weight


@final
class LeanAdam(Optimiser):
    """Adam with torch's fused kernel for weights: one pass over memory instead of ten, which is most of a step where weights are many.

    The codes, whose rates may differ from number to number, move by the plain one.
    """

    def __init__(self, beta1: float) -> None:
        self.plain = Adam(beta1, epsilon=1e-8)  # as published; what is only rounding must not move by the whole rate
        self.first: Variables = {}
        self.second: Variables = {}

    def keep(self, rows: Tensor) -> None:
        self.plain.keep(rows)
        self.first, self.second = rows_of(self.first, rows), rows_of(self.second, rows)

    def move(self, variables: Variables, gradients: Variables, step: int, lr: float, scale: Variables) -> Variables:
        codes = {name: gradient for name, gradient in gradients.items() if not is_weight(name)}
        moved = self.plain.move(variables, codes, step, lr, scale)
        for name in gradients.keys() - codes.keys():
            # the kernel goes through memory and looks at no strides, and a matrix's gradient may lie transposed
            gradient, value = gradients[name].contiguous(), variables[name].clone(memory_format=torch.contiguous_format)
            second = memory_of(self.second, name, gradient)
            first = memory_of(self.first, name, gradient) if self.plain.beta1 else gradient  # without momentum it is the gradient
            adam(  # a row is a tensor of its own: the kernel rounds the numbers at a tensor's end otherwise
                params=[*value],
                grads=[*gradient],
                exp_avgs=[*first],
                exp_avg_sqs=[*second],
                max_exp_avg_sqs=[],
                state_steps=[*torch.full((len(value),), float(step), device=value.device)],
                fused=True,
                amsgrad=False,
                beta1=self.plain.beta1,
                beta2=BETA2,
                lr=lr * scale[name],
                weight_decay=0.0,
                eps=self.plain.epsilon,
                maximize=False,
            )
            moved[name] = value
        return moved
