"""What a solve gives, and what it tells on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor

from priorsolve.solvers.stopping import Stop
from priorsolve.types import Images, PerImage


@dataclass(frozen=True, eq=False)
class Step:
    """How far a solve is, for a progress bar or a picture of the way. Detached."""

    index: int
    steps: int
    misfit: PerImage
    """(B,) best so far."""
    active: Tensor
    """(B,) bool: the images that have not stopped yet."""


@dataclass(frozen=True, eq=False)
class Solution:
    """The best seen for each image, and why it stopped there. Equal to itself only: compare its tensors."""

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

    def __repr__(self) -> str:
        count, *shape = self.images.shape
        tuned = sum(name.startswith("weights:") for name in self.codes)
        codes = [f"{name} {tuple(code.shape[1:])}" for name, code in self.codes.items() if not name.startswith("weights:")]
        codes += [f"{tuned} tuned weights"] if tuned else []
        stops = ", ".join(f"{self.stopped.count(stop)} {stop.name}" for stop in dict.fromkeys(self.stopped))
        return f"Solution({count} × {'×'.join(map(str, shape))}; codes: {', '.join(codes)}; stopped: {stops or 'none'})"


OnStep: TypeAlias = Callable[[Step], None]
