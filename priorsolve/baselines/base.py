"""What a baseline is: a classical method, without a prior network, that sees what a solver sees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from priorsolve.operators.base import Operator
from priorsolve.types import Shape


@dataclass(frozen=True)
class Problem:
    """One measurement to restore: all that a baseline is told, never the original.

    Args:
        y: what was measured, without batch, of any shape; float, on the CPU.
        operator: what happened to the picture, for a batch of one.
        image_shape: (C, H, W) of the picture.
        noise: root mean square of the measurement's noise, as the recipe tells it; 0 without noise, None where it cannot be said.
    """

    y: Tensor
    operator: Operator
    image_shape: Shape
    noise: float | None = 0.0


@dataclass(frozen=True)
class Baseline:
    """A method by its name.

    Args:
        name: as in tables and folders.
        applies: whether it can restore what this operator measures.
        restore: the picture (C, H, W), to be clamped to [0, 1]. Raises ValueError for a measurement that it cannot use.
        needs: the module of the extra `benchmark` that it imports; empty if none.
    """

    name: str
    applies: Callable[[Operator], bool]
    restore: Callable[[Problem], Tensor]
    needs: str = ""
