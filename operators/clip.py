"""Blown-out highlights and crushed shadows."""

from __future__ import annotations

from typing import final

from priorsolve.operators.base import Operator
from priorsolve.operators.made import straight_through
from priorsolve.showing import is_number, shown
from priorsolve.types import Images, Measurements, Shape


@final
class Clip(Operator):
    """Values held between `low` and `high`, as a sensor holds them.

    y = min(max(x, low), high)          gradient: straight through, dy/dx = 1, so that a clipped pixel can still be corrected

    Args:
        low, high: the limits, low < high, on the images' scale [0, 1].
    """

    def __init__(self, low: float = 0.0, high: float = 1.0) -> None:
        super().__init__()
        if not (is_number(low) and is_number(high) and low < high):
            raise ValueError(f"Clip: low must be below high, got low={shown(low)} and high={shown(high)}")
        self.low, self.high = low, high

    def extra_repr(self) -> str:
        return f"low={self.low}, high={self.high}"

    def out_shape(self, in_shape: Shape) -> Shape:
        return in_shape

    def support(self, inside: Images) -> Measurements:
        return inside  # a pixel held at a limit is measured, if coarsely

    def _A(self, x: Images) -> Measurements:
        y = x.detach().clamp(self.low, self.high)
        return straight_through(y, x)
