"""What a recipe's operators do to a whole photo, and to a frame of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from priorsolve.framing import Frame, cut_known
from priorsolve.operators.base import Identity, Operator, compose
from priorsolve.operators.clip import Clip
from priorsolve.operators.downsample import Downsample
from priorsolve.operators.gray import Gray
from priorsolve.operators.mask import Mask, Masking
from priorsolve.operators.noise import Noise
from priorsolve.operators.photo_holes import PhotoHoles
from priorsolve.operators.pillow import SMALLER
from priorsolve.operators.quantize import Quantize
from priorsolve.photos.greys import LUMA
from priorsolve.recipe.components import RecipeError
from priorsolve.run.measuring import measure
from priorsolve.types import Shape

ANY_SIZE = (Masking, *SMALLER, Gray, Identity, Clip, Quantize)
"""Operators that do the same to a photo of any size; others, such as a blur, count in pixels of the prior's picture."""


@dataclass(frozen=True)
class Damage:
    """The operators' parts for one photo, in order; `image_shape` is that of the prior's pictures."""

    parts: Sequence[Operator]
    image_shape: Shape

    @property
    def factor(self) -> int:
        """How many times larger than the photo the picture was."""
        return math.prod(part.factor for part in self.parts if isinstance(part, SMALLER))

    @property
    def grey(self) -> Gray | None:
        """What took the colours, if anything did."""
        return next((part for part in self.parts if isinstance(part, Gray)), None)

    @property
    def luma(self) -> Sequence[float]:
        """Shares of red, green and blue in what is measured of a photo in colours, where that is grey."""
        return LUMA if self.grey is None else self.grey.w

    @property
    def for_any_size(self) -> bool:
        """Whether it does the same to a photo of any size, and so can be done to a whole one."""
        return all(isinstance(part, ANY_SIZE) for part in self.parts)

    @property
    def only_holes(self) -> bool:
        """Whether nothing happened to the pixels that are left."""
        return all(isinstance(part, Masking | Identity) for part in self.parts)

    @property
    def only_smaller(self) -> bool:
        """Whether the picture was made smaller and nothing else."""
        return self.factor > 1 and all(isinstance(part, Downsample | Identity) for part in self.parts)

    @property
    def transparent_is_hole(self) -> bool:
        """Whether what is transparent in the photo is a hole."""
        return any(isinstance(part, PhotoHoles) and part.clear for part in self.parts)

    def known(self, size: tuple[int, int]) -> Tensor | None:
        """(1, *size): the masks of a picture of this (height, width), before it was made smaller; None where there are none."""
        known: Tensor | None = None
        scale = 1
        for part in self.parts:
            if isinstance(part, SMALLER):
                scale *= part.factor
            elif isinstance(part, Masking):
                mask = _drawn(part, (size[0] // scale, size[1] // scale))
                mask = mask.repeat_interleave(scale, -1).repeat_interleave(scale, -2)
                known = mask if known is None else known * mask
        return known

    def where(self, size: tuple[int, int]) -> Tensor:
        """(1, h, w): 1 where something is measured of a picture of this (height, width), 0 in the holes; of parts for any size."""
        where = torch.ones(1, *size)
        for part in self.parts:
            if isinstance(part, SMALLER):
                where = max_pool2d(max_pool2d(where, part.factor), 3, stride=1, padding=1)  # filters reach beyond the block
            elif isinstance(part, Masking):
                where = where * (_drawn(part, (where.shape[-2], where.shape[-1])) > 0)
        return where

    def framed(self, frames: Sequence[Frame], size: tuple[int, int]) -> list[list[Operator]]:
        """The parts for each frame of a picture of this (height, width): the masks cut out, the others as they are."""
        parts: list[list[Operator]] = [[] for _ in frames]
        scale, shape = 1, self.image_shape
        for part in self.parts:
            if isinstance(part, Masking):
                mask = _drawn(part, (size[0] // scale, size[1] // scale))
                for frame, own in zip(frames, parts, strict=True):
                    own.append(Mask(cut_known(mask, frame.scaled(1 / scale), (shape[1], shape[2]))))
            else:
                for own in parts:
                    own.append(part)
                scale *= part.factor if isinstance(part, SMALLER) else 1
                shape = part.out_shape(shape)
        return parts

    def measure(self, photo: Tensor, noise: Noise | None, seed: int) -> Tensor:
        """A clean photo, (C, H, W), degraded at its own size. Height and width are multiples of `factor`.

        Raises:
            RecipeError: an operator counts in pixels of the prior's picture, and would mean something else here.
        """
        for part in self.parts:
            if not isinstance(part, ANY_SIZE):
                raise RecipeError(f"operator: {part} is for the prior's size, not a whole photo's; degrade it with frame: center")
        operator = compose(list(self.parts)).to(photo.device, photo.dtype)
        return measure(photo[None], operator, noise, [seed])[0]


def _drawn(mask: Masking, size: tuple[int, int]) -> Tensor:
    """(1, *size). Masks of recipes are alike in all colours."""
    try:
        return mask.known_of((1, *size))[0]
    except ValueError as error:
        raise RecipeError(f"operator: {error}") from None
