"""Pictures moved between a photo and a frame of it, without aliasing."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample, interpolate, max_pool2d

from priorsolve.framing.frame import Frame, centres

STRICT = 1e-3
"""A pixel with a larger share of a hole among its sources is not known."""


def cut(photo: Tensor, frame: Frame, size: tuple[int, int]) -> Tensor:
    """The frame's picture, (C, *size), from the photo, (C, H, W); beyond the photo's edges it is mirrored, as FFHQ's are.

    A frame that lies pixel on pixel is copied, not resampled.
    """
    if (corner := _on_pixels(frame, size)) is not None:
        return _mirrored(photo, *corner, size[1], size[0])
    return _resampled(photo, Frame.of_box(0, 0, size[1], size[0]), frame, size, 0, 0)


def cut_known(known: Tensor, frame: Frame, size: tuple[int, int]) -> Tensor:
    """The frame's mask, (1, *size): 1 where all that `cut` looks at is known in the photo's mask (1, H, W), else 0.

    Where `cut` copies, soft edges stay soft.
    """
    if (corner := _on_pixels(frame, size)) is not None:
        return _mirrored(known, *corner, size[1], size[0])
    hole, picture = (known < 1).to(torch.float32), Frame.of_box(0, 0, size[1], size[0])
    if _scale(picture, frame) <= 1:  # enlarging is bicubic, one pixel wider than linear
        hole = max_pool2d(hole, 3, stride=1, padding=1)
    return (_resampled(hole, picture, frame, size, 0, 0, cubic=False) < STRICT).to(known)


def lay(image: Tensor, frame: Frame, size: tuple[int, int], *, left: int = 0, top: int = 0) -> Tensor:
    """The part of the photo from (left, top) on, (C, *size), as the frame's picture (C, h, w) has it; the inverse of `cut`.

    Beyond the frame's edges the picture is mirrored.
    """
    height, width = image.shape[-2:]
    return _resampled(image, frame, Frame.of_box(0, 0, width, height), size, left, top)


def _resampled(source: Tensor, of: Frame, to: Frame, size: tuple[int, int], left: int, top: int, *, cubic: bool = True) -> Tensor:
    """(C, *size): the pixels from (left, top) on of the picture that holds the frame `of`, looked up at the same point of `to` in `source`.

    Enlarging is bicubic. Shrinking first brings the source to twice the resolution asked for, by a triangle, then averages 2 × 2.
    """
    scale = _scale(of, to)
    fine = 2 if scale > 1 else 1
    at = centres(size[0] * fine, size[1] * fine) / fine + torch.tensor([left, top], dtype=torch.float64)
    points = to.to_photo(of.from_photo(at))
    low, high = points.flatten(0, 1).amin(0), points.flatten(0, 1).amax(0)
    margin = 3 + math.ceil(scale)
    x, y = (math.floor(float(value)) - margin for value in low)
    columns, rows = (math.ceil(float(value)) + margin - first for value, first in zip(high, (x, y), strict=True))
    part = _mirrored(source, x, y, columns, rows)[None]
    if fine == 2:
        shrunk = tuple(max(1, math.ceil(side * 2 / scale)) for side in (rows, columns))
        part = interpolate(part, size=shrunk, mode="bilinear", antialias=True)
    grid = (points - points.new_tensor([x, y])) * 2 / points.new_tensor([columns, rows]) - 1
    how = "bicubic" if cubic and fine == 1 else "bilinear"
    looked_up = grid_sample(part, grid[None].to(part), mode=how, padding_mode="border", align_corners=False)
    return (avg_pool2d(looked_up, 2) if fine == 2 else looked_up)[0]


def _on_pixels(frame: Frame, size: tuple[int, int]) -> tuple[int, int] | None:
    """(left, top) of a frame whose pixels are the photo's own."""
    left, top, _, _ = frame.box
    on = frame == Frame.of_box(left, top, left + size[1], top + size[0]) and left == int(left) and top == int(top)
    return (int(left), int(top)) if on else None


def _scale(of: Frame, to: Frame) -> float:
    """How many of the source's pixels lie along one that is asked for."""
    return math.sqrt(math.prod(to.size) / math.prod(of.size))


def _mirrored(picture: Tensor, left: int, top: int, width: int, height: int) -> Tensor:
    """A box of the picture that may reach beyond its edges, where it is mirrored."""
    rows, columns = _folded(top, height, picture.shape[-2]), _folded(left, width, picture.shape[-1])
    if 0 <= top <= picture.shape[-2] - height and 0 <= left <= picture.shape[-1] - width:
        return picture[..., top : top + height, left : left + width]
    return picture.index_select(-2, rows.to(picture.device)).index_select(-1, columns.to(picture.device))


def _folded(first: int, count: int, size: int) -> Tensor:
    index = torch.arange(first, first + count).remainder(2 * size)
    return torch.where(index < size, index, 2 * size - 1 - index)
