"""Undo an operator part by part, the last damage first; a baseline says how holes are filled, pictures enlarged and blur sharpened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor

from priorsolve.baselines.base import Problem
from priorsolve.operators import JPEG, Blur, Clip, Downsample, FixedPhotons, Gray, Identity, PillowJPEG, PillowResize, Quantize
from priorsolve.operators.base import Operator, factors
from priorsolve.operators.mask import Masking
from priorsolve.operators.pillow import SMALLER

Fill: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""(picture (C, H, W), known (C, H, W) bool) -> the picture with its holes filled; known pixels as they were."""
Enlarge: TypeAlias = Callable[[Tensor, Downsample | PillowResize], Tensor]
"""(picture (C, h, w), what made it smaller) -> (C, H, W)."""
Sharpen: TypeAlias = Callable[[Tensor, Blur, float | None], Tensor]
"""(picture (C, H, W), what blurred it, noise as in `Problem`) -> (C, H, W)."""

HARD = (Masking, SMALLER, Blur)
EASY = (Gray, Identity, Clip, Quantize, JPEG, PillowJPEG, FixedPhotons)
"""Parts that are undone in one way only: grey is copied to three channels, the others are left as they are."""

MID_GREY = 0.5


def hard_parts(operator: Operator) -> list[Operator] | None:
    """The masks, blurs and downsamplings of an operator that is made of parts known here; None where another part is among them."""
    parts = factors(operator)
    return [part for part in parts if isinstance(part, HARD)] if all(isinstance(part, (HARD, EASY)) for part in parts) else None


def only(kind: type[Any] | tuple[type[Any], ...]) -> Callable[[Operator], bool]:
    """Whether all hard parts of an operator, at least one, are of this kind."""

    def applies(operator: Operator) -> bool:
        parts = hard_parts(operator) or []
        return bool(parts) and all(isinstance(part, kind) for part in parts)

    return applies


def grey_holes(y: Tensor, known: Tensor) -> Tensor:
    """Mid-grey where nothing is known."""
    return torch.where(known, y, MID_GREY)


def nearest(y: Tensor, smaller: Downsample | PillowResize) -> Tensor:
    """Each pixel as a square."""
    return y.repeat_interleave(smaller.factor, 1).repeat_interleave(smaller.factor, 2)


def as_it_is(y: Tensor, blur: Blur, noise: float | None) -> Tensor:
    """Blurred."""
    return y


def undo(problem: Problem, *, fill: Fill = grey_holes, enlarge: Enlarge = nearest, sharpen: Sharpen = as_it_is) -> Tensor:
    """The picture (C, H, W). A soft edge, where a mask lets less than all through, is divided by the mask's value first."""
    y = problem.y
    for part in reversed(factors(problem.operator)):
        if isinstance(part, Masking):
            y = fill(part.A_dagger(y[None])[0], part.support(torch.ones_like(y[None]))[0] > 0)
        elif isinstance(part, SMALLER):
            y = enlarge(y, part)
        elif isinstance(part, Blur):
            y = sharpen(y, part, problem.noise)
        elif isinstance(part, Gray):
            y = part.lift(y[None])[0]
    return y
