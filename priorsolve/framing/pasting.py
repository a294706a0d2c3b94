"""Frames' pictures laid back into a photo, a strip at a time, so that a large scan fits in memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from priorsolve.framing.frame import Frame, centres
from priorsolve.framing.windows import Whole, Window

STRIP = 1 << 20
"""Pixels that are worked on at once."""


class Box(NamedTuple):
    """A part of a photo, in whole pixels."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.bottom - self.top, self.right - self.left

    def of(self, photo: Tensor) -> Tensor:
        """That part of it."""
        return photo[..., self.top : self.bottom, self.left : self.right]

    def grown(self, by: int, height: int, width: int) -> Box:
        """With a margin, within the photo."""
        return Box(max(self.left - by, 0), max(self.top - by, 0), min(self.right + by, width), min(self.bottom + by, height))


class Patch(NamedTuple):
    """A frame of a photo, and how much it counts where."""

    frame: Frame
    window: Window

    def strips(self, height: int, width: int) -> list[Box]:
        """What the frame covers of a photo of this size, from top to bottom."""
        left, top, right, bottom = self.frame.box
        whole = Box(max(math.floor(left), 0), max(math.floor(top), 0), min(math.ceil(right), width), min(math.ceil(bottom), height))
        rows = max(1, STRIP // max(1, whole.right - whole.left))
        starts = range(whole.top, whole.bottom, rows) if whole.left < whole.right else ()
        return [Box(whole.left, row, whole.right, min(row + rows, whole.bottom)) for row in starts]


def covered(patches: Sequence[Patch], height: int, width: int) -> Tensor:
    """(1, height, width): 1 where a patch lies, whatever its window."""
    whole = [patch._replace(window=Whole()) for patch in patches]
    return paste(torch.zeros(1, height, width), whole, lambda _, box: torch.ones(1, *box.size))


def paste(base: Tensor, patches: Sequence[Patch], draw: Callable[[int, Box], Tensor], *, holes: Tensor | None = None) -> Tensor:
    """The photo, (C, H, W), with `draw(i, box)`, (C, height, width), blended in as the window of patch i says.

    Where windows overlap and add up to more than 1 they share. Where none reaches, the photo stays as it is to the last bit.

    Args:
        holes: (1, H, W) where the photo shows nothing, 1, a patch counts in full up to its edges.
    """
    height, width = base.shape[-2:]
    total = base.new_zeros(height, width)

    def weights(patch: Patch, box: Box) -> Tensor:
        at = patch.frame.from_photo(centres(*box.size, top=box.top, left=box.left))
        weight = patch.window(at).to(base)
        return weight if holes is None else torch.maximum(weight, box.of(holes)[0] * Whole()(at).to(base))

    for patch in patches:
        for box in patch.strips(height, width):
            box.of(total).add_(weights(patch, box))
    result = base.clone()
    for index, patch in enumerate(patches):
        for box in patch.strips(height, width):
            share = weights(patch, box) / box.of(total).clamp_min(1)
            if bool(torch.any(share > 0)):
                box.of(result).add_(share * (draw(index, box) - box.of(base)))
    return result
