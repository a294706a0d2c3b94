"""Why a solver stopped, as a value with a sentence, and the rules that decide it for each image by itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

from priorsolve.losses import Loss
from priorsolve.types import PerImage


class Stop(Enum):
    """Why an image stopped moving. A best effort always comes out."""

    budget = "ran all of its steps; more may still help"
    noise = "the residual reached the known noise level"
    plateau = "no progress for a while"
    diverged = "the loss became infinite or not a number; try a smaller learning rate, and look for such numbers in the measurement"
    exact = "inverted exactly, layer by layer"
    quality = "misfit and penalties fell below the level that was asked for"


STOPS = tuple(Stop)
RUNNING = -1
GAIN = 1e-3
"""The smallest relative gain in the objective that counts as progress."""


@dataclass(frozen=True)
class Rules:
    """When to stop an image before its budget is spent.

    Args:
        noise: known standard deviation of the measurement's noise, in the measurement's units: stop when the root mean squared
            residual reaches it (Morozov's discrepancy principle); fitting further would fit the noise.
        plateau: stop after this many steps without a relative gain of `GAIN` in the objective.
        target: stop when the objective, misfit and penalties, is at or below this: good enough.
        judge: the loss that `target` is about, in the objective's place.
    """

    noise: float | None = None
    plateau: int | None = None
    target: float | None = None
    judge: Loss | None = None


@dataclass
class Watch:
    """What the rules remember about each image: the best objective that counted as progress, and when it was."""

    reference: Tensor
    since: Tensor

    @staticmethod
    def start(count: int, like: Tensor) -> Watch:
        """A fresh memory for `count` images."""
        reference = torch.full((count,), torch.inf, device=like.device, dtype=like.dtype)
        return Watch(reference, torch.zeros(count, dtype=torch.long, device=like.device))

    def keep(self, index: Tensor) -> None:
        """Forget all images but `index`."""
        self.reference, self.since = self.reference[index], self.since[index]

    def verdict(self, rules: Rules, step: int, objective: PerImage, residual: PerImage, quality: PerImage, alive: Tensor) -> Tensor:
        """(B,) places in `STOPS`, or `RUNNING`. No host synchronisation.

        Args:
            objective: best so far.
            residual: root mean squared residual of the best so far.
            quality: what `target` is about, of the best so far.
            alive: (B,) bool, whether any of the image's restarts still has a finite objective.
        """
        verdict = torch.full_like(self.since, RUNNING)
        if rules.plateau is not None:
            enough = torch.minimum(self.reference * (1 - GAIN), self.reference * (1 + GAIN))  # of either sign
            progress = objective < enough
            self.since = torch.where(progress, step, self.since)
            self.reference = torch.where(progress, objective, self.reference)
            verdict = torch.where(step - self.since >= rules.plateau, STOPS.index(Stop.plateau), verdict)
        if rules.noise is not None:
            verdict = torch.where(residual <= rules.noise, STOPS.index(Stop.noise), verdict)
        if rules.target is not None:
            verdict = torch.where(quality <= rules.target, STOPS.index(Stop.quality), verdict)
        return torch.where(alive, verdict, STOPS.index(Stop.diverged))
