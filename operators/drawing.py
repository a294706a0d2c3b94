"""Drawing holes for a picture of any size: pure functions of the height, the width and a seed.

Each returns (H, W) float32 on the CPU: 1 in a hole, 0 where the picture is known, between the two on a soft edge.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import interpolate

Half: TypeAlias = Literal["left", "right", "top", "bottom"]
Thickness: TypeAlias = Literal["thin", "medium", "thick"]
Point: TypeAlias = tuple[float, float]


def draw_boxes(height: int, width: int, *, boxes: Sequence[Sequence[float]]) -> Tensor:
    """Rectangles [left, top, right, bottom]: fractions of width and height, or pixels if any value of any box is above 1.

    Edges go to the nearest pixel; a box is at least one pixel wide and tall.
    """
    x_unit, y_unit = (1, 1) if in_pixels(boxes) else (width, height)
    holes = torch.zeros(height, width, dtype=torch.float32, device="cpu")
    for left, top, right, bottom in boxes:
        x = min(round(left * x_unit), width - 1)
        y = min(round(top * y_unit), height - 1)
        holes[y : max(round(bottom * y_unit), y + 1), x : max(round(right * x_unit), x + 1)] = 1
    return holes


def in_pixels(boxes: Sequence[Sequence[float]]) -> bool:
    """Whether boxes are given in pixels rather than in fractions of the picture."""
    return any(value > 1 for box in boxes for value in box)


def draw_half(height: int, width: int, *, side: Half) -> Tensor:
    """One half of the picture; of an odd number of rows or columns the middle one stays known."""
    holes = torch.zeros(height, width, dtype=torch.float32, device="cpu")
    part = {
        "left": holes[:, : width // 2],
        "right": holes[:, (width + 1) // 2 :],
        "top": holes[: height // 2],
        "bottom": holes[(height + 1) // 2 :],
    }
    part[side].fill_(1)
    return holes


def draw_pixels(height: int, width: int, *, fraction: float, seed: int) -> Tensor:
    """`fraction` of the pixels, to the nearest whole number of them, chosen at random."""
    order = torch.randperm(height * width, generator=torch.Generator().manual_seed(seed), device="cpu")
    return (order < round(fraction * height * width)).float().view(height, width)


def draw_picture(height: int, width: int, *, picture: Tensor) -> Tensor:
    """A picture of the holes, (h, w), stretched to the size: each pixel takes the value nearest to its centre."""
    return interpolate(picture[None, None], size=(height, width), mode="nearest-exact")[0, 0]


class Brush(NamedTuple):
    """How strokes of one thickness are made; lengths are fractions of the picture's side, √(height × width)."""

    strokes: int
    joints: tuple[int, int]
    step: tuple[float, float]
    radius: tuple[float, float]


BRUSHES: dict[Thickness, Brush] = {
    "thin": Brush(strokes=12, joints=(3, 7), step=(0.06, 0.16), radius=(0.008, 0.016)),
    "medium": Brush(strokes=6, joints=(3, 6), step=(0.08, 0.22), radius=(0.025, 0.05)),
    "thick": Brush(strokes=3, joints=(3, 5), step=(0.10, 0.30), radius=(0.06, 0.11)),
}


def draw_strokes(height: int, width: int, *, thickness: Thickness, seed: int) -> Tensor:
    """Free-form brush strokes with round joints, as people scribble over what is to be filled in.

    The lines are planned on a unit square and measured in pixels only at the end, so a seed gives the same picture at any size.
    """
    y, x = torch.meshgrid(centres(height), centres(width), indexing="ij")
    side = math.sqrt(height * width)
    holes = torch.zeros(height, width, dtype=torch.bool, device="cpu")
    for start, end, radius in _segments(BRUSHES[thickness], Random(seed)):
        a, b = (start[0] * width, start[1] * height), (end[0] * width, end[1] * height)
        holes |= squared_distance(x, y, a, b) <= (radius * side) ** 2
    return holes.float()


def _segments(brush: Brush, rng: Random) -> list[tuple[Point, Point, float]]:
    """The pieces of all strokes: from, to and radius. A stroke keeps its brush, sways about a direction and stays on the square."""
    segments = []
    for _ in range(brush.strokes):
        point, heading, radius = (rng.random(), rng.random()), rng.uniform(0, math.tau), rng.uniform(*brush.radius)
        for _ in range(rng.randint(*brush.joints)):
            angle, step = heading + rng.uniform(-1.2, 1.2), rng.uniform(*brush.step)
            end = (_fold(point[0] + step * math.cos(angle)), _fold(point[1] + step * math.sin(angle)))
            segments.append((point, end, radius))
            point = end
    return segments


def _fold(value: float) -> float:
    """Back into [0, 1], as a ball from a wall."""
    return min(abs(value), 2 - abs(value))


def centres(count: int) -> Tensor:
    """Of a row of pixels, where they lie: 0.5, 1.5, … (float32, on the CPU)."""
    return torch.arange(count, dtype=torch.float32, device="cpu") + 0.5


def squared_distance(x: Tensor, y: Tensor, a: Point, b: Point) -> Tensor:
    """From each (x, y) to the nearest point of the line from a to b."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    along = (((x - a[0]) * dx + (y - a[1]) * dy) / max(dx * dx + dy * dy, 1e-12)).clamp(0, 1)
    return (x - a[0] - along * dx) ** 2 + (y - a[1] - along * dy) ** 2
