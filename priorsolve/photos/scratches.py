"""Scratches and dust found in a photo: lines and specks that are lighter or darker than what is around them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np
import scipy
import skimage
import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor
from torch.nn.functional import interpolate, max_pool2d, pad

LINE = 21
"""Pixels of a level along which a scratch has to be seen."""
THIN = 7
"""Pixels of a level across which it has to end."""
DIRECTIONS = 16
BLOCK = 32
"""Pixels of a level over which the picture's own texture is judged."""
TEXTURE = 5.0
"""A scratch stands out from the texture around it so many times."""


class Scratches(BaseModel):
    """What counts as a scratch. Lengths are fractions of the photo's shorter side."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)

    kind: Literal["light", "dark", "both"] = "light"
    """Lighter than what is around them, as on prints, darker, or both."""
    contrast: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """How much lighter or darker, of 1: lower finds fainter ones, and more that are none."""
    width: Annotated[float, Field(gt=0, lt=0.2)] = 0.008
    """The widest."""
    length: Annotated[float, Field(gt=0, lt=1)] = 0.06
    """The shortest; what is shorter is dust or none."""
    dust: bool = True
    """Specks too."""
    grow: Annotated[int, Field(ge=0, le=32)] = 1
    """Pixels that are added around each."""

    @model_validator(mode="before")
    @classmethod
    def _switched_on(cls, given: Any) -> Any:
        return {} if given is True else given


def find_scratches(grey: Tensor, how: Scratches) -> Tensor:
    """(H, W), boolean: where the photo, (H, W) in [0, 1], has scratches or dust.

    A scratch is what an opening along a line keeps and one by a square does not (sup of linear openings, a top-hat), above `contrast`
    and above the texture around it; it is looked for at every halving of the photo, as long as `width` is wider.
    """
    side = min(grey.shape)
    found = torch.zeros(grey.shape, dtype=torch.bool)
    for level, scale in _levels(grey, how.width * side):
        for picture in [level] * (how.kind != "dark") + [1 - level] * (how.kind != "light"):
            marks = _marks(picture, how, side / scale, finest=scale == 1)
            large = marks if scale == 1 else interpolate(marks[None, None].float(), size=grey.shape, mode="nearest-exact")[0, 0] > 0
            found |= large
    return grown(found, how.grow)


def grown(found: Tensor, by: int) -> Tensor:
    """The (H, W) mask with `by` pixels more all around."""
    for _ in range(by):
        found = max_pool2d(found[None].float(), 3, stride=1, padding=1)[0] > 0
    return found


def _levels(grey: Tensor, width: float) -> Iterator[tuple[Tensor, int]]:
    """The photo and its halvings, until the widest scratch is thin; each with how many times smaller it is."""
    scale = 1
    while True:
        yield grey, scale
        if width / scale <= THIN / 2 or min(grey.shape) < 4 * LINE:
            return
        scale *= 2
        grey = interpolate(grey[None, None], scale_factor=0.5, mode="area")[0, 0]


def _marks(picture: Tensor, how: Scratches, side: float, *, finest: bool) -> Tensor:
    """The light ones of one level, whose shorter side is `side`."""
    length, width = how.length * side, max(how.width * side, 2.0)
    thin = picture - _opened(picture, min(THIN, 2 * round(width / 2) + 3))
    wide = max_pool2d(thin[None], 3, stride=1, padding=1)[0]  # a line of single pixels is not quite straight
    lines = torch.zeros_like(wide)
    for i in range(DIRECTIONS):  # one at a time: a large scan would not fit in memory sixteen times
        torch.maximum(lines, _along(wide, math.pi * i / DIRECTIONS), out=lines)
    lines = lines.minimum(thin)
    texture = TEXTURE * _typical(lines)
    found = _kept(lines, how.contrast + texture, lambda size, reach, thick: (reach >= length) & (thick <= width / 4 + 0.8))
    if how.dust:
        specks = thin - lines
        texture = TEXTURE * _typical(specks)
        found |= _kept(
            specks, 2 * how.contrast + texture, lambda size, reach, thick: (reach <= 2.5 * width) & (size >= 4 if finest else size >= 2)
        )
    return found


def _kept(strength: Tensor, above: Tensor, wanted: Any) -> Tensor:
    """Connected places where the strength is above half of what is asked for, and above all of it somewhere, of a wanted size."""
    marks: Any = skimage.filters.apply_hysteresis_threshold((strength / above).numpy(), 0.5, 1.0)  # type: ignore[no-untyped-call]
    labels, count = scipy.ndimage.label(marks, np.ones((3, 3)))
    size = np.bincount(labels.ravel(), minlength=count + 1)
    boxes = scipy.ndimage.find_objects(labels)
    reach = np.array([0.0, *(math.hypot(rows.stop - rows.start, columns.stop - columns.start) for rows, columns in boxes)])
    thick = np.bincount(labels.ravel(), scipy.ndimage.distance_transform_edt(marks).ravel(), count + 1) / size
    keep = wanted(size, reach, thick)
    keep[0] = False
    return torch.from_numpy(keep[labels])


def _opened(picture: Tensor, side: int) -> Tensor:
    """Opening by a square."""
    low = -max_pool2d(-picture[None], side, stride=1, padding=side // 2)
    return max_pool2d(low, side, stride=1, padding=side // 2)[0]


def _along(picture: Tensor, angle: float) -> Tensor:
    """Opening by a line of `LINE` pixels."""
    reach = LINE // 2
    steps = [(round(i * math.sin(angle)), round(i * math.cos(angle))) for i in range(-reach, reach + 1)]
    low = -_shifted(-picture, steps)
    return _shifted(low, [(-y, -x) for y, x in steps])


def _shifted(picture: Tensor, steps: list[tuple[int, int]]) -> Tensor:
    """The highest of the picture moved by each step."""
    (height, width), reach = picture.shape, LINE // 2
    wide = pad(picture[None, None], (reach,) * 4, mode="replicate")[0, 0]
    highest = picture.clone()
    for y, x in steps:
        torch.maximum(highest, wide[reach + y : reach + y + height, reach + x : reach + x + width], out=highest)
    return highest


def _typical(strength: Tensor) -> Tensor:
    """The median around each pixel, block by block."""
    height, width = strength.shape
    rows, columns = math.ceil(height / BLOCK), math.ceil(width / BLOCK)
    wide = pad(strength[None, None], (0, columns * BLOCK - width, 0, rows * BLOCK - height), mode="replicate")
    blocks = wide.view(rows, BLOCK, columns, BLOCK).transpose(1, 2).reshape(rows, columns, -1)
    medians = blocks.median(-1).values[None, None]
    return interpolate(medians, size=(rows * BLOCK, columns * BLOCK), mode="bilinear", align_corners=False)[0, 0, :height, :width]
