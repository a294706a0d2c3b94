"""Measurements as a network wants to see them: three channels, holes filled, at one size or several."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor
from torch.nn import functional as F

from priorsolve.counter_rng import normal
from priorsolve.losses.base import Distance
from priorsolve.losses.pyramid import halved
from priorsolve.types import Images, Measurements, PerImage

Resize = Literal["smooth", "shrink", "area", "nearest"]
"""`smooth`: means of areas to shrink, bilinear to grow; `shrink`: means of areas, and what is smaller stays as it is; `area`: means of
areas both ways; `nearest`: the nearest pixel."""

SMALLEST = 64
"""Smaller pictures are enlarged to this where no size is asked for: networks trained on photos see little in fewer pixels."""
_COARSEST = 16
"""A coarser picture of this size or less says nothing new (Poirier-Ginter & Lalonde 2023)."""


@final
@dataclass(frozen=True)
class View:
    """How a loss looks at pictures.

    Args:
        name: the loss's, for messages.
        size: pixels of the smaller side to which pictures are brought first; left out, they stay as they are.
        resolutions: how many sizes are looked at, each half the last; none of 16 pixels or less but the first.
        least: pixels below which the network cannot work; a coarse picture is enlarged to that.
        resize: how `size` is reached, or with `shrink` only if pictures are larger.
        fill: the value that holes show; left out, a random pattern.
    """

    name: str
    size: int | None = None
    resolutions: int = 1
    least: int = 1
    resize: Resize = "smooth"
    fill: float | None = None

    def check(self) -> None:
        """Raises ValueError for numbers with which nothing can be looked at."""
        if self.resolutions < 1:
            raise ValueError(f"resolutions is {self.resolutions}; it must be at least 1")
        if self.size is not None and self.size < self.least:
            raise ValueError(f"size is {self.size}; this network needs pictures of at least {self.least} pixels")
        if self.fill is not None and not 0 <= self.fill <= 1:
            raise ValueError(f"fill is {self.fill}; it must be from 0 to 1, or left out for a random pattern")

    @property
    def first(self) -> int:
        """Pixels of the smaller side to which pictures are enlarged before anything else sees them."""
        if self.size is None:
            return SMALLEST
        return min(SMALLEST, self.size) if self.resize == "shrink" else self.least

    def through(self, where: Tensor) -> Lens:
        """The view of pictures that were measured where `where` (B, C, h, w) is 1. Raises ValueError for what is no picture."""
        if where.ndim != 4 or where.shape[1] not in (1, 3):
            shape = tuple(where.shape[1:])
            raise ValueError(f"{self.name} compares pictures (1 or 3, h, w), and the measurement is {shape}; use l2 for it")
        return Lens(self, where)

    def sized(self, pictures: Tensor) -> Tensor:
        """(B, C, H, W) of which the smaller side is `size`."""
        return pictures if self.size is None else _resized(pictures, self.size, self.resize)

    def levels(self, pictures: Tensor) -> Iterator[Tensor]:
        """The pictures at every resolution."""
        yield pictures
        for _ in range(self.resolutions - 1):
            pictures = halved(pictures)
            if min(pictures.shape[-2:]) <= _COARSEST:
                return
            yield pictures


@final
class Lens:
    """A view of pictures with these holes, which show `fill` or the same random pattern, whatever the picture or the batch.

    The pattern is (n + ½)/2 with standard normal n, as in Poirier-Ginter & Lalonde 2023: a plain grey would look like something.
    """

    def __init__(self, view: View, where: Tensor) -> None:
        self._view, self._where = view, where
        with torch.no_grad():
            holes = view.sized(1 - where.expand(-1, 3, -1, -1)) if bool((where < 1).any()) else None
            self._fills = None if holes is None else [hole * self._shown_in(hole) for hole in view.levels(holes)]

    def __call__(self, pictures: Measurements) -> list[Tensor]:
        """(B, 3, H, W) in the pictures' own range, one for each resolution."""
        if self._fills is None:
            levels = list(self._view.levels(self._view.sized(pictures.expand(-1, 3, -1, -1))))
        else:
            known = self._view.sized((pictures * self._where).expand(-1, 3, -1, -1))
            levels = [level + fill for level, fill in zip(self._view.levels(known), self._fills, strict=True)]
        return [_at_least(level, self._view.least if number else self._view.first) for number, level in enumerate(levels)]

    def _shown_in(self, hole: Tensor) -> Tensor | float:
        return _pattern(hole) if self._view.fill is None else self._view.fill


def compared(
    lens: Lens,
    features: Callable[[Images], list[Tensor]],
    measured: Measurements,
    differences: Callable[[list[Tensor], list[Tensor]], list[PerImage]],
) -> Distance:
    """The sum of what `differences` tells of an estimate's features and the measurement's, one for each layer, at every resolution."""
    with torch.no_grad():
        wanted = [features(picture) for picture in lens(measured)]

    def distance(estimate: Measurements) -> PerImage:
        each = [differences(features(picture), known) for picture, known in zip(lens(estimate), wanted, strict=True)]
        return torch.stack([value for values in each for value in values]).sum(0)

    return distance


def _pattern(like: Tensor) -> Tensor:
    """(1, 3, H, W), the same for every image; made on the CPU, so the same on every device."""
    drawn = normal(torch.Generator().manual_seed(0), 1, *like.shape[1:])
    return ((drawn + 0.5) / 2).to(like)


def _at_least(pictures: Tensor, size: int) -> Tensor:
    return _resized(pictures, size, "smooth") if min(pictures.shape[-2:]) < size else pictures


def _resized(pictures: Tensor, size: int, how: Resize) -> Tensor:
    height, width = pictures.shape[-2:]
    if min(height, width) == size or (how == "shrink" and min(height, width) < size):
        return pictures
    target = [max(size, round(side * size / min(height, width))) for side in (height, width)]
    if how == "nearest":
        return F.interpolate(pictures, target, mode="nearest")
    if how == "area" or size < min(height, width):
        return F.interpolate(pictures, target, mode="area")
    return F.interpolate(pictures, target, mode="bilinear", align_corners=False)
