"""What real software makes of pictures: Pillow's resize and libjpeg's files. True to life, and without a gradient."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Literal, final, get_args

import numpy as np
import torch
from PIL import Image

from priorsolve.operators.base import Operator
from priorsolve.operators.downsample import Downsample, checked_factor
from priorsolve.showing import is_number, shown
from priorsolve.types import Images, Measurements, Shape

Filter = Literal["bilinear", "bicubic", "lanczos", "box"]


@final
class PillowResize(Operator):
    """Height and width divided by `factor` by Pillow, on 8-bit pictures: (B, 3, H, W) or (B, 1, H, W), values rounded to 1/255.

    For `degrade`, beside `surrogate: downsample` for the solver. It has no gradient.

    Raises:
        ValueError: `factor` is below 1, there is no such filter, or height or width cannot be divided by `factor`.
    """

    def __init__(self, factor: int, filter: Filter = "bicubic") -> None:
        super().__init__()
        self.factor = checked_factor(factor, "PillowResize")
        if filter not in get_args(Filter):
            raise ValueError(f"PillowResize: there is no filter {filter!r}; choose one of {', '.join(get_args(Filter))}")
        self.filter = filter

    @property
    def stand_in(self) -> str:
        kernel = {"bicubic": "", "box": ", kernel: area"}.get(self.filter, f", kernel: {self.filter}")
        return f"{{downsample: {{factor: {self.factor}{kernel}}}}}"

    def extra_repr(self) -> str:
        return f"factor={self.factor}, filter={self.filter}"

    def out_shape(self, in_shape: Shape) -> Shape:
        if len(in_shape) != 3 or in_shape[0] not in (1, 3) or in_shape[1] % self.factor or in_shape[2] % self.factor:
            raise self._refuse(f"(B, 3 or 1, H, W) with H and W divisible by {self.factor}", in_shape)
        channels, height, width = in_shape
        return channels, height // self.factor, width // self.factor

    def support(self, inside: Images) -> Measurements:
        """As of the stand-in: what the filter reaches, beyond the block of its own."""
        return Downsample(self.factor, "area" if self.filter == "box" else self.filter).support(inside)

    def _A(self, x: Images) -> Measurements:
        size = x.shape[3] // self.factor, x.shape[2] // self.factor
        return _each(x, lambda picture: picture.resize(size, Image.Resampling[self.filter.upper()]))


SMALLER = (Downsample, PillowResize)
"""What makes pictures smaller by a whole `factor`."""


@final
class PillowJPEG(Operator):
    """A real JPEG file of `quality`, written and read by Pillow's libjpeg with its defaults (4:2:0 colour).

    For `degrade`, beside `surrogate: jpeg` for the solver. It has no gradient. (B, 3, H, W), or (B, 1, H, W) in grey.
    """

    def __init__(self, quality: int = 50) -> None:
        super().__init__()
        if not is_number(quality) or not 1 <= quality <= 100 or quality % 1:
            raise ValueError(f"PillowJPEG: quality must be a whole number from 1 to 100, got {shown(quality)}")
        self.quality = int(quality)

    @property
    def stand_in(self) -> str:
        return f"{{jpeg: {{quality: {self.quality}}}}}"

    def extra_repr(self) -> str:
        return f"quality={self.quality}"

    def out_shape(self, in_shape: Shape) -> Shape:
        if len(in_shape) != 3 or in_shape[0] not in (1, 3):
            raise self._refuse("(B, 3, H, W) or (B, 1, H, W)", in_shape)
        return in_shape

    def support(self, inside: Images) -> Measurements:
        return inside

    def _A(self, x: Images) -> Measurements:
        return _each(x, self._file)

    def _file(self, picture: Image.Image) -> Image.Image:
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=self.quality)
        return Image.open(stream)


def _each(x: Images, change: Callable[[Image.Image], Image.Image]) -> Measurements:
    """What `change` makes of every picture as 8 bits; NaN for one with NaN in it, of which there are no 8 bits."""
    made = []
    for image in x.detach().clamp(0, 1).nan_to_num(0).mul(255).round().to("cpu", torch.uint8):
        picture = Image.fromarray(image[0].numpy() if len(image) == 1 else image.permute(1, 2, 0).numpy())
        pixels = torch.from_numpy(np.array(change(picture))).to(x) / 255
        made.append(pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1))
    return torch.where(x.detach().isnan().flatten(1).any(1).view(-1, 1, 1, 1), torch.nan, torch.stack(made))
