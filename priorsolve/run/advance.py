"""How far a run is, in photos: of each photo, the share of its jobs that are solved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from priorsolve.solvers import OnStep, Step


@dataclass(frozen=True)
class Advance(Step):
    """A step of a batch, and how far the whole run is with it."""

    photos: float
    """How many photos are solved, or failed, the parts that are solved of others counted."""


OnAdvance: TypeAlias = Callable[[Advance], None]


class Odometer:
    """Adds up what is solved. A photo's jobs count the same, and 1 together."""

    def __init__(self) -> None:
        self._photos = 0.0

    def add(self, photos: float) -> None:
        """Something more is solved, or has failed."""
        self._photos += photos

    def during(self, worths: Sequence[float], tell: OnAdvance) -> OnStep:
        """What is told of the steps of a batch of jobs that are worth these parts of their photos.

        A solver tells of several solutions one after another, and, where not all jobs fit in memory, of some jobs and then of others:
        the steps begin anew then, with those that were made before still counted.
        """
        share, last = 0.0, 0

        def on_step(step: Step) -> None:
            nonlocal share, last
            share += max(step.index - last, 0) / max(step.steps, 1) * len(step.misfit) / len(worths)
            last = step.index
            tell(Advance(**vars(step), photos=self._photos + min(share, 1) * sum(worths)))

        return on_step
