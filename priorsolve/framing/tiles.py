"""Overlapping tiles that cover a photo, and how much each counts where."""

from __future__ import annotations

import math

from priorsolve.framing.frame import Frame
from priorsolve.framing.pasting import Patch
from priorsolve.framing.windows import Ramp, Ramps


def tile_frames(photo: tuple[int, int], tile: tuple[int, int], overlap: float = 0.25) -> list[Patch]:
    """Frames of `tile` (height, width) over a photo of (height, width), row by row, at whole pixels, with windows that add up to 1.

    Args:
        overlap: the least share of a tile that its neighbour covers too, below a half. A photo smaller than a tile gets one all the same.
    """
    rows, columns = (_starts(whole, part, overlap) for whole, part in zip(photo, tile, strict=True))
    height, width = tile
    return [
        Patch(Frame.of_box(x, y, x + width, y + height), Ramps(*_ramps(columns, i, width), *_ramps(rows, j, height)))
        for j, y in enumerate(rows)
        for i, x in enumerate(columns)
    ]


def _starts(whole: int, part: int, overlap: float) -> list[int]:
    if whole <= part:
        return [(whole - part) // 2]
    steps = math.ceil((whole - part) / max(1, math.floor(part * (1 - overlap))))
    return [round(i * (whole - part) / steps) for i in range(steps + 1)]


def _ramps(starts: list[int], index: int, part: int) -> tuple[Ramp, Ramp]:
    """The rise and the fall, in the frame's units, in which a tile is 2 wide. Neighbours change over in the middle of what they share."""
    before = None if index == 0 else _ramp(starts[index - 1], starts[index], part)
    after = None if index == len(starts) - 1 else _ramp(starts[index], starts[index + 1], part)
    return before, after


def _ramp(first: int, second: int, part: int) -> tuple[float, float]:
    """Where the ramp begins, from the edge on, and its width: no wider than a step, so that no third tile is in it."""
    shared = first + part - second
    width = min(shared, second - first)
    return (shared - width) / part, 2 * width / part
