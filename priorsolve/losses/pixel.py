"""Losses of single entries: measurements of any shape, holes left out."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from priorsolve.losses.base import Loss, mean_where
from priorsolve.showing import must_be_as_annotated
from priorsolve.types import Measurements, PerImage


@dataclass(frozen=True)
class L2:
    """`mean (e − y)²`: the mean squared error, right for Gaussian noise."""

    def __call__(self, estimate: Measurements, measured: Measurements, where: Tensor) -> PerImage:
        squares = F.mse_loss(estimate, measured, reduction="none")  # (e − y)², one pass over memory each way
        return mean_where(squares, where)


@dataclass(frozen=True)
class L1:
    """`mean |e − y|`: forgives outliers such as salt and pepper."""

    def __call__(self, estimate: Measurements, measured: Measurements, where: Tensor) -> PerImage:
        return mean_where((estimate - measured).abs(), where)


@dataclass(frozen=True)
class Huber:
    """`mean h(e − y)`, h(r) = r²/2 below δ and δ·(|r| − δ/2) above (Huber 1964): smooth at zero, forgiving far out.

    Args:
        delta: where the square turns into the straight line, in the measurement's units.

    Raises:
        ValueError: `delta` is not above 0.
    """

    delta: float = 0.1

    def __post_init__(self) -> None:
        must_be_as_annotated(self)
        if self.delta <= 0:
            raise ValueError(f"delta is {self.delta}; it must be above 0")

    def __call__(self, estimate: Measurements, measured: Measurements, where: Tensor) -> PerImage:
        return mean_where(F.huber_loss(estimate, measured, reduction="none", delta=self.delta), where)


@dataclass(frozen=True)
class DeadZone:
    """`mean max(|e − y| − width, 0)`: differences within the width, such as known noise, cost nothing (ILO, Daras et al. 2021).

    Args:
        width: half the width of the zone, in the measurement's units; ILO's 0.1 on [−1, 1] is 0.05.

    Raises:
        ValueError: `width` is below 0.
    """

    width: float = 0.05

    def __post_init__(self) -> None:
        must_be_as_annotated(self)
        if self.width < 0:
            raise ValueError(f"width is {self.width}; it must be at least 0")

    def __call__(self, estimate: Measurements, measured: Measurements, where: Tensor) -> PerImage:
        return mean_where(((estimate - measured).abs() - self.width).relu(), where)


l2: Loss = L2()
l1: Loss = L1()
huber: Loss = Huber()
