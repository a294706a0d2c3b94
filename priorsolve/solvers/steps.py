"""How variables move: Adam for every image by itself, and learning rates over time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

Variables: TypeAlias = dict[str, Tensor]
"""What a solver moves: tensors by name, one row per image and restart."""

Decay = Literal["cosine", "linear", "none"]


@dataclass(frozen=True)
class Schedule:
    """A learning rate over time: a linear warm-up to `lr`, then a decay towards 0 at the last step."""

    lr: float
    warmup: float
    decay: Decay

    def at(self, step: int, steps: int) -> float:
        """The rate at `step` of `steps`."""
        warm = math.ceil(self.warmup * steps)
        if step < warm:
            return self.lr * (step + 1) / (warm + 1)
        left = 1 - (step - warm) / max(steps - warm, 1)
        return self.lr * {"cosine": (1 - math.cos(math.pi * left)) / 2, "linear": left, "none": 1.0}[self.decay]


@dataclass
class Adam:
    """Adam (Kingma & Ba 2015, Algorithm 1). Every number has its own moments, so rows never meet."""

    first: Variables
    second: Variables
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-12

    @staticmethod
    def start(variables: Variables) -> Adam:
        """Zero moments for these variables."""
        return Adam({k: torch.zeros_like(v) for k, v in variables.items()}, {k: torch.zeros_like(v) for k, v in variables.items()})

    def keep(self, rows: Tensor) -> None:
        """Forget all rows but these."""
        self.first = {k: m[rows] for k, m in self.first.items()}
        self.second = {k: v[rows] for k, v in self.second.items()}

    def move(self, variables: Variables, gradients: Variables, step: int, lr: float, scale: Variables) -> Variables:
        """The variables after one step; `lr` is in units of `scale`, the spread of each variable under the prior."""
        correct1, correct2 = 1 - self.beta1 ** (step + 1), 1 - self.beta2 ** (step + 1)
        moved: Variables = {}
        for name, value in variables.items():
            gradient = gradients[name]
            m = self.first[name].lerp_(gradient, 1 - self.beta1)
            v = self.second[name].mul_(self.beta2).addcmul_(gradient, gradient, value=1 - self.beta2)
            moved[name] = value - (lr / correct1) * scale[name] * m / ((v / correct2).sqrt_() + self.epsilon)
        return moved
