"""Few brightness levels, as in an 8-bit file or a poster."""

from __future__ import annotations

from typing import final

from priorsolve.operators.base import Operator
from priorsolve.operators.made import straight_through
from priorsolve.showing import is_number, shown
from priorsolve.types import Images, Measurements, Shape


@final
class Quantize(Operator):
    """Brightness rounded to `levels` equal steps from 0 to 1.

    y = round((L − 1) x) / (L − 1)          gradient: straight through, dy/dx = 1 (Bengio et al. 2013)

    Values outside [0, 1] are rounded to steps out there; put `Clip` before it where they should not be.

    Args:
        levels: how many, 2 or more; 256 is an 8-bit file.
    """

    def __init__(self, levels: int = 256) -> None:
        super().__init__()
        if not (is_number(levels) and levels >= 2) or levels % 1:
            raise ValueError(f"Quantize: levels must be a whole number of 2 or more, got {shown(levels)}")
        self.levels = int(levels)

    def extra_repr(self) -> str:
        return f"levels={self.levels}"

    @property
    def jumps(self) -> bool:
        return True

    def out_shape(self, in_shape: Shape) -> Shape:
        return in_shape

    def support(self, inside: Images) -> Measurements:
        return inside

    def _A(self, x: Images) -> Measurements:
        steps = self.levels - 1
        y = (steps * x.detach()).round() / steps
        return straight_through(y, x)
