"""How far an estimate is from what was measured: one number per image."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from torch import Tensor
from torch.nn import functional as F

from priorsolve.types import Measurements, PerImage

Loss: TypeAlias = Callable[[Measurements, Measurements, Tensor], PerImage]
"""`loss(estimate, measured, where)`: the mean over the entries where `where` is 1."""


def l2(estimate: Measurements, measured: Measurements, where: Tensor) -> PerImage:
    """`mean (e − y)²`: the mean squared error, right for Gaussian noise."""
    return _mean((estimate - measured).square(), where)


def l1(estimate: Measurements, measured: Measurements, where: Tensor) -> PerImage:
    """`mean |e − y|`: forgives outliers such as salt and pepper."""
    return _mean((estimate - measured).abs(), where)


def huber(estimate: Measurements, measured: Measurements, where: Tensor) -> PerImage:
    """`mean h(e − y)`, h(r) = r²/2 below 0.1 and 0.1·(|r| − 0.05) above (Huber 1964): smooth at zero, forgiving far out."""
    return _mean(F.huber_loss(estimate, measured, reduction="none", delta=0.1), where)


LOSSES: dict[str, Loss] = {"l2": l2, "l1": l1, "huber": huber}


def _mean(values: Tensor, where: Tensor) -> PerImage:
    return (values * where).flatten(1).sum(1) / where.flatten(1).sum(1).clamp_min(1)
