"""A frame: where a picture of the prior lies in a photo."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

Point: TypeAlias = tuple[float, float]
"""(x, y) in pixels: the top left pixel reaches from 0 to 1, and its centre is at 0.5."""


@dataclass(frozen=True)
class Frame:
    """A parallelogram in a photo, as its centre and half of its sides: `right` from the centre to the middle of the right edge, `down` too.

    Points of the frame are (u, v), from −1 at the left and upper edges to 1 at the right and lower ones.
    """

    centre: Point
    right: Point
    down: Point

    @classmethod
    def of_box(cls, left: float, top: float, right: float, bottom: float) -> Frame:
        """An upright one."""
        return cls(((left + right) / 2, (top + bottom) / 2), ((right - left) / 2, 0.0), (0.0, (bottom - top) / 2))

    @property
    def size(self) -> tuple[float, float]:
        """(height, width) in the photo's pixels."""
        return 2 * math.hypot(*self.down), 2 * math.hypot(*self.right)

    @property
    def degrees(self) -> float:
        """How far it is turned clockwise."""
        return math.degrees(math.atan2(self.right[1], self.right[0]))

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(left, top, right, bottom) of the upright box around it."""
        across, along = (abs(self.right[i]) + abs(self.down[i]) for i in range(2))
        x, y = self.centre
        return x - across, y - along, x + across, y + along

    def to_photo(self, points: Tensor) -> Tensor:
        """(…, 2): (u, v) of the frame to (x, y) of the photo."""
        centre, right, down = (points.new_tensor(each) for each in (self.centre, self.right, self.down))
        return centre + points[..., :1] * right + points[..., 1:] * down

    def from_photo(self, points: Tensor) -> Tensor:
        """(…, 2): (x, y) of the photo to (u, v) of the frame; the inverse of `to_photo`."""
        (a, c), (b, d) = self.right, self.down
        area = a * d - b * c
        inverse = points.new_tensor([[d / area, -c / area], [-b / area, a / area]])
        away = points - points.new_tensor(self.centre)
        return away[..., :1] * inverse[0] + away[..., 1:] * inverse[1]

    def scaled(self, factor: float) -> Frame:
        """The same frame in the photo enlarged by `factor`."""
        return Frame(_times(self.centre, factor), _times(self.right, factor), _times(self.down, factor))

    def grown(self, factor: float) -> Frame:
        """A frame around the same centre, with sides `factor` times as long."""
        return Frame(self.centre, _times(self.right, factor), _times(self.down, factor))

    def sentence(self) -> str:
        """Where it is, for a record."""
        (height, width), (x, y) = self.size, self.centre
        turned = f", turned by {self.degrees:.0f}°" if abs(self.degrees) >= 0.5 else ""
        return f"{width:.0f}×{height:.0f} pixels around ({x:.0f}, {y:.0f}){turned}"


def centres(height: int, width: int, *, top: int = 0, left: int = 0) -> Tensor:
    """(height, width, 2): the centres of a photo's pixels from (left, top) on, as (x, y), float64."""
    y, x = torch.meshgrid(
        torch.arange(height, dtype=torch.float64) + (top + 0.5), torch.arange(width, dtype=torch.float64) + (left + 0.5), indexing="ij"
    )
    return torch.stack([x, y], -1)


def _times(point: Point, factor: float) -> Point:
    return point[0] * factor, point[1] * factor


def same_shape(one: Sequence[int], other: Sequence[int]) -> bool:
    """Whether one size (height, width) is the other scaled and rounded to whole pixels, so half a pixel off along each side at most."""
    (h, w), (height, width) = one, other
    return abs(w * height - h * width) <= max(h + w, height + width) / 2
