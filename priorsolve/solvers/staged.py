"""Solvers one after another, each starting where the last one ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import torch

from priorsolve.losses import Loss
from priorsolve.priors.base import Prior, singly
from priorsolve.showing import must_be_switch, shown
from priorsolve.solvers.base import Solves, must_be_solver
from priorsolve.solvers.checks import must_be_callback
from priorsolve.solvers.solution import OnStep, Solution, shifted
from priorsolve.solvers.target import with_images
from priorsolve.types import AnyOperator, Measurements, OnProgress


@final
@dataclass(frozen=True)
class Staged:
    """A list of solvers, such as z first and features@1 after it: each begins at the solution of the one before.

    An image's steps are those of all stages together, its history goes through all of them, and its stop is the last stage's.

    Args:
        stages: the solvers.
        mean: the pictures are the mean of those that the stages drew, each of its own, and misfit (by the last one's loss) and residual are
            the mean's; the rest, such as codes and history, stays the last's. What is not measured errs in each stage in another way,
            so the mean errs less: of pictures along one search, Ulyanov et al. ("Deep Image Prior", 2018, §3) average for the same
            reason. Softer than any of them.
    """

    stages: Sequence[Solves]
    mean: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.stages, Sequence) or isinstance(self.stages, str):
            raise ValueError(f"stages is {shown(self.stages)}; give a list of solvers")
        object.__setattr__(self, "stages", tuple(self.stages))  # hashable, and the caller's list may change
        if not self.stages:
            raise ValueError("a staged solver needs at least one stage")
        for stage in self.stages:
            must_be_solver(stage, "a stage")
            if not _draw_alike(self.prior, stage.prior):
                raise ValueError(
                    f"the stages have two priors, {self.prior} and {stage.prior}; one goes on with the codes of the one before"
                )
        for later in self.stages[1:]:
            if later.no_start:
                raise ValueError(later.no_start)
        must_be_switch(self.mean, "mean")

    @property
    def prior(self) -> Prior:
        """The first stage's."""
        return self.stages[0].prior

    @property
    def seed(self) -> int:
        """The first stage's."""
        return self.stages[0].seed

    @property
    def loss(self) -> Loss:
        """The last stage's, in whose units misfits are told."""
        return self.stages[-1].loss

    @property
    def steps(self) -> int:
        """Steps of all stages together."""
        return sum(stage.steps for stage in self.stages)

    @property
    def descends(self) -> bool:
        """Whether any stage does."""
        return any(stage.descends for stage in self.stages)

    @property
    def amplifies(self) -> bool:
        """Whether any stage does."""
        return any(stage.amplifies for stage in self.stages)

    def prepare(self, on_progress: OnProgress | None = None) -> None:
        """As a solver's own."""
        for stage in self.stages:
            stage.prepare(on_progress)

    @property
    def no_start(self) -> str:
        """The first stage's."""
        return self.stages[0].no_start

    @property
    def samples(self) -> bool:
        """The last stage's; a mean of several is none."""
        return self.stages[-1].samples and not (self.mean and len(self.stages) > 1)

    def passes(self, steps: int, *, started: bool = False) -> int:
        """Of all stages, taken to have spent their steps in order: one that stopped before its budget lends what it left to the next."""
        total, left = 0, steps
        for place, stage in enumerate(self.stages):
            spent = min(left, stage.steps) if place < len(self.stages) - 1 else left
            left -= spent
            total += stage.passes(spent, started=started or place > 0)
        return total

    def varied(self) -> Staged:
        """With a first stage that is."""
        return replace(self, stages=(self.stages[0].varied(), *self.stages[1:]))

    def noisier(self, times: float) -> Staged:
        """With stages that are."""
        return replace(self, stages=tuple(stage.noisier(times) for stage in self.stages))

    def noiseless(self) -> Staged:
        """With stages that are."""
        return replace(self, stages=tuple(stage.noiseless() for stage in self.stages))

    @torch.inference_mode(False)
    def __call__(
        self,
        y: Measurements,
        operator: AnyOperator,
        *,
        seeds: Sequence[int] | None = None,
        start: Solution | None = None,
        on_step: OnStep | None = None,
    ) -> Solution:
        """As a solver's own call."""
        must_be_callback(on_step)
        solutions: list[Solution] = []
        before = 0
        # up to here starts must be the same to the last bit, whatever the batch
        delicate = max((i for i, stage in enumerate(self.stages) if stage.amplifies), default=0)
        for i, stage in enumerate(self.stages):
            with singly(i < delicate):
                start = stage(y, operator, seeds=seeds, start=start, on_step=shifted(on_step, before, self.steps))
            codes = start.codes
            solutions.append(replace(start, codes={}))  # codes, which may be networks' weights, are for the next stage alone
            before += stage.steps
        steps = torch.stack([solution.steps for solution in solutions]).sum(0)
        whole = replace(solutions[-1], codes=codes, steps=steps, history=torch.cat([solution.history for solution in solutions]))
        if not self.mean or len(solutions) == 1:
            return whole
        return with_images(whole, torch.stack([solution.images for solution in solutions]).mean(0), y, operator, self.loss)


def _draw_alike(one: Prior, other: Prior) -> bool:
    """Whether they are of one kind and hold the same numbers, wherever these are and of whatever type, or one is a folded form."""
    if repr(one) != repr(other) or one.spaces != other.spaces:
        return False
    own, others = ([*prior.parameters(), *prior.buffers()] for prior in (one, other))
    if [a.shape for a in own] != [b.shape for b in others]:
        return True  # folded: its numbers are others, and cannot be compared
    return all(a is b or torch.equal(a.to(b), b) or torch.equal(a, b.to(a)) for a, b in zip(own, others, strict=True))
