"""The holes of one photo, in its own pixels, seen from whatever part and size of it is worked on."""

from __future__ import annotations

from functools import lru_cache
from typing import final

import torch
from torch import Tensor

from priorsolve.apart import apart
from priorsolve.framing import Frame, cut_known
from priorsolve.operators.mask import Masking
from priorsolve.types import Shape


@final
class PhotoHoles(Masking):
    """Inpainting with holes that belong to a photo's pixels: they are cropped and resized as the photo is.

    y = m·x          Aᵀ y = m·y          A† y = y / m where m > 0, else 0

    A picture of the photo's shape shows all of it; of another shape, the middle (as photos are cropped). Where the photo is resampled,
    a pixel is known if no hole is near enough to have a part in it.

    Args:
        holes: (H, W) in [0, 1], or boolean; 1 in a hole of the upright photo.
        others: further holes, described for pictures of any size.
        notes: what a record should say of them.
        clear: whether what is transparent in the photo is a hole.
        made_up: whether some of the holes are to demonstrate with.
    """

    def __init__(
        self, holes: Tensor, others: Masking | None = None, notes: tuple[str, ...] = (), *, clear: bool = False, made_up: bool = False
    ) -> None:
        super().__init__()
        self.register_buffer("holes", (holes.float() * 255).round().to(torch.uint8))
        self.others, self.notes, self.clear, self.made_up = others, notes, clear, made_up

    holes: Tensor

    def out_shape(self, in_shape: Shape) -> Shape:
        in_shape = super().out_shape(in_shape)
        return in_shape if self.others is None else self.others.out_shape(in_shape)

    def _known_for(self, like: Tensor) -> Tensor:
        rows, columns = like.shape[-2:]
        known: Tensor = _known(self.holes, rows, columns, like.dtype, like.device)
        return known if self.others is None else known * self.others._known_for(like)

    def extra_repr(self) -> str:
        height, width = self.holes.shape
        return f"of a photo of {width}×{height}, {100 * float((self.holes > 0).double().mean()):.2g}% missing"


@lru_cache(maxsize=4)
@apart()
def _known(holes: Tensor, rows: int, columns: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """1 where a picture of that many rows and columns is known, (1, 1, rows, columns). Resampled once per operator (holes compare by
    identity), size, type and place: of a large photo it takes a second."""
    height, width = holes.shape
    scale = min(height / rows, width / columns)
    across, down = min(columns * scale, width), min(rows * scale, height)
    left, top = (width - across) / 2, (height - down) / 2
    if (rows, columns) == (round(down), round(across)):
        left, top, across, down = left // 1, top // 1, float(columns), float(rows)
    frame = Frame.of_box(left, top, left + across, top + down)
    return cut_known(1 - holes[None].float() / 255, frame, (rows, columns))[None].to(device, dtype)
