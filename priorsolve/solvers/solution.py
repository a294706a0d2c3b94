"""What a solve gives, and what it tells on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor

from priorsolve.solvers.stopping import Stop
from priorsolve.types import Images, PerImage


@dataclass(frozen=True)
class Step:
    """How far a solve is, for a progress bar or a picture of the way. Detached."""

    index: int
    steps: int
    misfit: PerImage
    """(B,) best so far."""
    active: Tensor
    """(B,) bool: the images that have not stopped yet."""


@dataclass(frozen=True)
class Solution:
    """The best seen for each image, and why it stopped there."""

    images: Images
    """(B, C, H, W) as the prior drew them: in [0, 1], not clamped."""
    codes: Mapping[str, Tensor]
    """What the solver moved, by name: `{"z": (B, 100)}` for one code in z."""
    misfit: PerImage
    """(B,) the loss between A(images) and y."""
    residual: PerImage
    """(B,) root mean squared residual, in the measurement's units."""
    steps: Tensor
    """(B,) how many steps each image took before it stopped."""
    stopped: tuple[Stop, ...]
    history: Tensor
    """(k, B) best misfit at the start, after every 10 steps and at the end; its last value goes on once an image has stopped."""


OnStep: TypeAlias = Callable[[Step], None]
