"""How much a frame's picture counts at each of its points (u, v), from 0 to 1. Beyond the frame it never counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

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
    """1 in the middle, falling smoothly to 0 along a square with round corners; `feather` is the fall's share of the way."""

    feather: float = 0.3

    def __call__(self, points: Tensor) -> Tensor:
        away = points.abs().pow(4).sum(-1).pow(0.25)
        t = ((1 - away) / self.feather).clamp(0, 1)
        return t * t * (3 - 2 * t)


@dataclass(frozen=True)
class Ramps:
    """1 in the middle, and straight ramps of these widths at the edges: a neighbour's ramp is the rest to 1."""

    left: float
    right: float
    top: float
    bottom: float

    def __call__(self, points: Tensor) -> Tensor:
        u, v = points.unbind(-1)
        weight = _inside(points)
        for reach, width in ((1 + u, self.left), (1 - u, self.right), (1 + v, self.top), (1 - v, self.bottom)):
            if width:
                weight = weight * (reach / width).clamp(0, 1)
        return weight


def _inside(points: Tensor) -> Tensor:
    return (points.abs().amax(-1) <= 1 + torch.finfo(points.dtype).eps * 8).to(points)
