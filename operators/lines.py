"""Inpainting behind straight strokes, as many as asked for."""

from __future__ import annotations

from functools import lru_cache
from random import Random
from typing import final

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from priorsolve.apart import apart
from priorsolve.operators.drawing import centres, squared_distance
from priorsolve.operators.mask import Masking
from priorsolve.showing import checked_seed, is_number, is_whole, shown

_FINE = 4
_MOST = 1000
"""Strokes are drawn one by one, and far fewer hide any picture."""


@final
class Lines(Masking):
    """Holes along straight strokes from one corner region of the picture to another (Poirier-Ginter & Lalonde 2023, benchmark).

    y = m·x          Aᵀ y = m·y          A† y = y / m where m > 0, else 0

    Each coordinate of an end lies in the outer thirds, [0, ⅓] or [⅔, 1]. Drawn four times finer and averaged, so that edges are soft.
    The lines are planned on a unit square: a seed gives the same picture at any size.

    Args:
        count: how many strokes, 1 to 1000; published levels are 1, 5, 9, 13 and 17.
        width: a stroke's, as a fraction of the picture's side √(height × width).
        seed: of the random ends.

    Raises:
        ValueError: `count` is below 1 or above 1000, or `width` is not above 0 and below 1.
    """

    made_up = True
    """Drawn at random, as no photo is damaged by itself: to demonstrate with."""

    def __init__(self, count: int, width: float = 0.08, seed: int = 0) -> None:
        super().__init__()
        if not is_whole(count) or not 1 <= count <= _MOST:
            raise ValueError(f"Lines: count is how many strokes there are, a whole number from 1 to {_MOST}, got {shown(count)}")
        if not is_number(width) or not 0 < width < 1:
            raise ValueError(f"Lines: width is a fraction of the picture's side, between 0 and 1, got {shown(width)}")
        self.count, self.width, self.seed = int(count), width, checked_seed(seed, "Lines")

    def extra_repr(self) -> str:
        return f"count={self.count}, width={self.width}, seed={self.seed}"

    def _known_for(self, like: Tensor) -> Tensor:
        height, across = like.shape[-2:]
        return _known(self.count, self.width, self.seed, height, across, like.dtype, like.device)


@lru_cache(maxsize=64)
@apart()
def _known(count: int, width: float, seed: int, height: int, across: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """1 where no stroke passes, (1, 1, H, W). Drawn once per description, size, type and place."""
    rng = Random(seed)
    y, x = torch.meshgrid(centres(_FINE * height), centres(_FINE * across), indexing="ij")
    x, y = x / (_FINE * across), y / (_FINE * height)
    side = (height * across) ** 0.5
    holes = torch.zeros(1, 1, _FINE * height, _FINE * across)
    for _ in range(count):
        a, b = ([rng.choice((0, 2 / 3)) + rng.random() / 3 for _ in range(2)] for _ in range(2))
        end = ((b[0] - a[0]) * across, (b[1] - a[1]) * height)
        distance = squared_distance((x - a[0]) * across, (y - a[1]) * height, (0, 0), end)
        holes[0, 0][distance <= (width * side / 2) ** 2] = 1
    return (1 - avg_pool2d(holes, _FINE)).to(device, dtype)
