"""A weighted sum of losses."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Real

import torch
from torch import Tensor

from priorsolve.losses.base import Distance, Loss, Preparing, must_compare, prepared
from priorsolve.showing import shown
from priorsolve.types import Measurements


@dataclass(frozen=True)
class Mixture(Preparing):
    """`Σ weight·loss`, image by image.

    Args:
        parts: pairs of a loss and its weight.

    Raises:
        ValueError: there is no part, one is no pair of a loss and a number, a weight is negative, or all are 0.
    """

    parts: Sequence[tuple[Loss, float]]

    def __post_init__(self) -> None:
        if not isinstance(self.parts, Iterable) or isinstance(self.parts, str):
            raise ValueError(f"a mixture's parts are {shown(self.parts)}; give pairs of a loss and its weight, such as [(l1, 0.5)]")
        object.__setattr__(self, "parts", tuple(self.parts))  # hashable, whatever was given
        for part in self.parts:
            if not isinstance(part, Sequence) or len(part) != 2 or not isinstance(part[1], Real):
                raise ValueError(f"a part of a mixture is {shown(part)}; give pairs of a loss and its weight, such as (l1, 0.5)")
        object.__setattr__(self, "parts", tuple((loss, weight) for loss, weight in self.parts))
        if not self.parts:
            raise ValueError("a mixture needs at least one loss")
        for loss, weight in self.parts:
            must_compare(loss, "a mixture's loss")
            if not 0 <= weight < math.inf:
                raise ValueError(f"weight is {weight} for {loss}; it must be at least 0 and finite")
        if not any(weight for _, weight in self.parts):
            raise ValueError("every weight is 0, so nothing would be fitted; raise one of them")

    def against(self, measured: Measurements, where: Tensor) -> Distance:
        distances = [(prepared(loss, measured, where), weight) for loss, weight in self.parts]
        return lambda estimate: torch.stack([weight * distance(estimate) for distance, weight in distances]).sum(0)
