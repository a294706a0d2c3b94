"""How much a frame's picture counts at each of its points (u, v), from 0 to 1. Beyond the frame it never counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

import torch
from torch import Tensor


class Window(Protocol):
    """(…, 2) points of a frame to (…) weights."""

    def __call__(self, points: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Whole:
    """1 everywhere."""

    def __call__(self, points: Tensor) -> Tensor:
        return _inside(points)


@dataclass(frozen=True)
class Rounded:
    """1 in the middle, falling smoothly to 0 along a square with round corners."""

    feather: float = 0.3
    """The share of the way from the middle to the edge along which it falls."""

    def __call__(self, points: Tensor) -> Tensor:
        away = points.abs().pow(4).sum(-1).pow(0.25)
        t = ((1 - away) / self.feather).clamp(0, 1)
        return t * t * (3 - 2 * t)


Ramp: TypeAlias = tuple[float, float] | None
"""How far from the edge it begins, and its width; None for no ramp."""


@dataclass(frozen=True)
class Ramps:
    """1 in the middle, and straight ramps towards the edges: a neighbour's ramp is the rest to 1."""

    left: Ramp
    right: Ramp
    top: Ramp
    bottom: Ramp

    def __call__(self, points: Tensor) -> Tensor:
        u, v = points.unbind(-1)
        weight = _inside(points)
        for reach, ramp in ((1 + u, self.left), (1 - u, self.right), (1 + v, self.top), (1 - v, self.bottom)):
            if ramp is not None and ramp[1]:
                weight = weight * ((reach - ramp[0]) / ramp[1]).clamp(0, 1)
        return weight


def _inside(points: Tensor) -> Tensor:
    return (points.abs().amax(-1) <= 1 + torch.finfo(points.dtype).eps * 8).to(points)
