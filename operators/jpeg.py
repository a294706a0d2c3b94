"""JPEG compression, made differentiable."""

from __future__ import annotations

from contextlib import nullcontext
from typing import final

import torch

from priorsolve.alike import in_pairs
from priorsolve.operators.base import Operator
from priorsolve.operators.gray import WEIGHTS
from priorsolve.showing import is_number, shown
from priorsolve.types import Images, Measurements, Shape


@final
class JPEG(Operator):
    """What is left of a picture after JPEG at `quality`: kornia's codec, by a surrogate of rounding that has a gradient.

    y = decode(⌊encode(x) / Q⌉ Q),   ⌊v⌉ = round(v) + (v − round(v))³          (Shin and Song 2017; Reich et al. 2024)

    The standard tables, scaled by `quality` as libjpeg does, and colour at half resolution (4:2:0), the usual defaults of cameras
    and of Pillow. The surrogate keeps a little of what rounding would erase, so y is close to the real file and not equal to it:
    on a portrait the two agree to 37 dB at quality 10, 43 dB at 50 and 46 dB at 95 (tests/test_jpeg.py), where the loss itself is
    27, 32 and 38 dB. Sizes that are no multiple of 16 are continued by their border pixels and cut again.
    (B, 3, H, W), or (B, 1, H, W) in grey.

    Args:
        quality: 1 (worst) to 100 (best).
    """

    def __init__(self, quality: int = 50) -> None:
        super().__init__()
        if not is_number(quality) or not 1 <= quality <= 100:
            raise ValueError(f"JPEG: quality must be from 1 to 100, got {shown(quality)}")
        self.quality = quality

    def extra_repr(self) -> str:
        return f"quality={self.quality}"

    @property
    def jumps(self) -> bool:
        return True

    def out_shape(self, in_shape: Shape) -> Shape:
        if len(in_shape) != 3 or in_shape[0] not in (1, 3):
            raise self._refuse("(B, 3, H, W) or (B, 1, H, W)", in_shape)
        return in_shape

    def support(self, inside: Images) -> Measurements:
        return inside  # a block that is only partly known still says something everywhere

    def _A(self, x: Images) -> Measurements:
        y = in_pairs(self._coded, x)
        r, g, b = WEIGHTS["rec601"]
        return y if x.shape[1] == 3 else r * y[:, :1] + g * y[:, 1:2] + b * y[:, 2:]

    def _coded(self, x: Images) -> Images:
        from kornia.enhance import jpeg_codec_differentiable  # here because it takes seconds to import

        # kornia reads the quality's range, so it is given on the host; from 0.9 on it then copies it to CUDA without waiting
        quality = torch.tensor([float(self.quality)], dtype=torch.float32, device="cpu")
        # it makes numbers of its own on the caller's default device; where that is the CPU anyway a context would only slow each call
        with nullcontext() if torch.get_default_device().type == "cpu" else torch.device("cpu"):
            coded: Images = jpeg_codec_differentiable(x.expand(-1, 3, -1, -1), quality)
        return coded
