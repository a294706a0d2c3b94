"""Learning rates over time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Decay = Literal["cosine", "linear", "cycle", "none"]


@dataclass(frozen=True)
class Schedule:
    """A learning rate over time: a linear warm-up to `lr`, then a decay towards 0 at the last step.

    Args:
        warmup: share of the steps over which it rises.
        decay: how it falls: `cosine`, `linear`, `none`, or `cycle`, PULSE's "linear1cycledrop": up from a tenth to `lr` and back over the
            first 90 % of the steps, and on to a thousandth over the rest; it has a warm-up of its own.
        decay_share: share of the steps, at the end, over which it falls; 1 is all of them after the warm-up.
    """

    lr: float
    warmup: float
    decay: Decay
    decay_share: float = 1.0

    def at(self, step: int, steps: int) -> float:
        """The rate at `step` of `steps`."""
        if self.decay == "cycle":
            return self.lr * _cycle(step / max(steps, 1))
        warm = math.ceil(self.warmup * steps)
        if step < warm:
            return self.lr * (step + 1) / (warm + 1)
        left = min(1.0, (steps - step) / max(min(steps - warm, self.decay_share * steps), 1e-9))
        return self.lr * {"cosine": (1 - math.cos(math.pi * left)) / 2, "linear": left, "none": 1.0}[self.decay]


def _cycle(t: float) -> float:
    if t < 0.9:
        return (9 * (1 - 2 * abs(t / 0.9 - 0.5)) + 1) / 10
    return 0.1 + (0.001 - 0.1) * (t - 0.9) / 0.1
