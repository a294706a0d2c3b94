"""Overlapping tiles that cover a photo, and how much each counts where."""

from __future__ import annotations

import math

from priorsolve.framing.frame import Frame
from priorsolve.framing.paste import Patch
from priorsolve.framing.windows import Ramps


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


def _ramps(starts: list[int], index: int, part: int) -> tuple[float, float]:
    """Widths of the rise and the fall, in the frame's units, in which a tile is 2 wide."""
    before = 0 if index == 0 else starts[index - 1] + part - starts[index]
    after = 0 if index == len(starts) - 1 else starts[index] + part - starts[index + 1]
    return 2 * before / part, 2 * after / part
