"""What a solver is, and the one loop: every image by itself, best seen kept, stopped by the same rules."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from priorsolve.latents import row_seeds
from priorsolve.losses import Loss
from priorsolve.priors.base import Prior
from priorsolve.solvers.steps import Adam, Schedule, Variables
from priorsolve.solvers.stopping import RUNNING, STOPS, Rules, Stop, Watch
from priorsolve.solvers.target import Measured
from priorsolve.types import HasA, Images, Measurements, PerImage

CHECK_EVERY = 10
"""Steps between two looks at the device: verdicts are read back, finished images leave, `on_step` is called."""


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


OnStep = Callable[[Step], None]


class Solver(ABC):
    """Immutable hyper-parameters and a call: `solver(y, A) -> Solution`.

    A leaf is a frozen dataclass that says what it moves (`begin`), how that draws pictures (`draw`), what it costs beside the misfit
    (`penalty`) and where it must stay (`project`). Rows are image-major: image 0's restarts, then image 1's, and so on.
    """

    prior: Prior
    steps: int
    loss: Loss
    seed: int

    @property
    @abstractmethod
    def schedule(self) -> Schedule:
        """The learning rate over time."""

    @property
    @abstractmethod
    def rules(self) -> Rules:
        """When to stop before the steps are spent."""

    @property
    @abstractmethod
    def halve_at(self) -> Sequence[int]:
        """Steps at which the worse half of each image's restarts is dropped."""

    @abstractmethod
    def begin(self, prior: Prior, measured: Measured, seeds: Sequence[int], start: Solution | None) -> tuple[Variables, Variables, int]:
        """First values of the variables (B·R rows), their spread under the prior (the unit of the learning rate), and R."""

    @abstractmethod
    def draw(self, prior: Prior, variables: Variables) -> Images:
        """The rows' pictures."""

    @abstractmethod
    def penalty(self, variables: Variables) -> PerImage:
        """What the rows cost beside their misfit."""

    @abstractmethod
    def project(self, variables: Variables, step: int, seeds: Tensor) -> Variables:
        """The rows back where they must stay. `seeds` has one for each row."""

    def __call__(
        self,
        y: Measurements,
        operator: HasA | Callable[[Images], Measurements],
        *,
        seeds: Sequence[int] | None = None,
        start: Solution | None = None,
        on_step: OnStep | None = None,
    ) -> Solution:
        """Solve `y ≈ A(G(code))` for each measurement of the batch by itself.

        Args:
            y: (B, ...) what was measured.
            operator: one of `priorsolve.operators`, any object with a noiseless `.A` (every deepinv physics), or a callable.
            seeds: one for each image; left out, every image uses the solver's own, so that a batch equals its singles.
            start: begin at this solution instead of at sampled codes.
            on_step: called at the start, after every 10 steps and at the end.

        Raises:
            ValueError: the measurements do not fit the operator and the prior, or the seeds or the start do not fit the measurements.
        """
        prior = self.prior.folded()
        with torch.inference_mode(False), torch.no_grad():
            measured = Measured(y, operator, tuple(prior.image_shape), like=next(prior.parameters()))
            seeds = _checked([self.seed] * measured.count if seeds is None else seeds, measured.count)
            if start is not None and len(start.images) != measured.count:
                raise ValueError(f"the start holds {len(start.images)} images, got {measured.count} measurements")
            variables, spread, restarts = self.begin(prior, measured, seeds, start)
            run = _Run(self, prior, measured, variables, spread, restarts, seeds)
            halve_at = set(self.halve_at)
            for step in range(self.steps + 1):
                run.evaluate(step)
                if step in halve_at:
                    run.halve()
                if step % CHECK_EVERY == 0 or step == self.steps:
                    run.retire()
                    if on_step is not None:
                        on_step(run.report(step))
                    if not len(run.images):
                        break
                if step < self.steps:
                    run.move(step)
            return run.solution()


class _Run:
    """The state of one solve. Rows are active images × restarts; `final…` and `history` are kept for all B images."""

    def __init__(
        self,
        solver: Solver,
        prior: Prior,
        measured: Measured,
        variables: Variables,
        spread: Variables,
        restarts: int,
        seeds: Sequence[int],
    ) -> None:
        self.solver, self.prior, self.measured, self.spread, self.restarts = solver, prior, measured, spread, restarts
        like = next(iter(variables.values()))
        count, device = measured.count, like.device
        # one per row
        self.variables, self.adam = variables, Adam.start(variables)
        self.gradients: Variables = {}
        self.best = {name: value.clone() for name, value in variables.items()}
        self.objective, self.misfit, self.residual = (like.new_full((count * restarts,), torch.inf) for _ in range(3))
        self.finite, self.moving = (torch.ones(count * restarts, dtype=torch.bool, device=device) for _ in range(2))
        self.seeds = row_seeds(seeds, restarts, device)
        # one per active image
        self.images = torch.arange(count, device=device)
        self.target = measured.target(self.images, restarts)
        self.watch = Watch.start(count, like)
        self.verdict = torch.full((count,), RUNNING, device=device)
        self.steps = torch.zeros_like(self.verdict)
        # one per image
        self.final = {name: self._by_image(value)[:, 0].clone() for name, value in variables.items()}
        self.final_objective, self.final_misfit = (like.new_full((count,), torch.inf) for _ in range(2))
        self.final_verdict, self.final_steps = self.verdict.clone(), self.steps.clone()
        self.history: list[Tensor] = []

    def evaluate(self, step: int) -> None:
        """Draw, measure, compare; keep the best; judge. Leaves the gradients for `move`."""
        last = step == self.solver.steps
        with torch.set_grad_enabled(not last):
            leaves = {name: value.detach().requires_grad_(not last) for name, value in self.variables.items()}
            estimate = self.target.estimate(self.solver.draw(self.prior, leaves))
            misfit = self.target.misfit(estimate, self.solver.loss)
            objective = misfit + self.solver.penalty(leaves)
            if not last:
                self.gradients = dict(zip(leaves, torch.autograd.grad(objective.sum(), list(leaves.values())), strict=True))
        misfit, objective = misfit.detach(), objective.detach()
        self.finite = objective.isfinite()
        better = (objective < self.objective) & self.moving
        self.best = {name: _where(better, self.variables[name], best) for name, best in self.best.items()}
        self.objective = torch.where(better, objective, self.objective)
        self.misfit = torch.where(better, misfit, self.misfit)
        rules = self.solver.rules
        if rules.noise is not None:  # else nobody asks before the end
            self.residual = torch.where(better, self.target.residual(estimate.detach()), self.residual)
        best, place = self._by_image(self.objective).min(1)
        alive = self._by_image(self.finite).any(1)
        judged = self.watch.verdict(rules, step, best, self._pick(self.residual, place), alive)
        running = self.verdict == RUNNING
        self.steps = torch.where(running, step, self.steps)
        self.verdict = torch.where(running, judged, self.verdict)
        self.moving = self._rows(self.verdict == RUNNING)

    def move(self, step: int) -> None:
        """One step of the optimiser for the rows that have not stopped."""
        lr = self.solver.schedule.at(step, self.solver.steps)
        moved = self.adam.move(self.variables, self.gradients, step, lr, self.spread)
        moved = self.solver.project(moved, step, self.seeds)
        self.variables = {name: _where(self.moving, moved[name], value) for name, value in self.variables.items()}

    def halve(self) -> None:
        """Drop the worse half of each image's restarts, diverged ones first; the order of those that stay is kept."""
        if self.restarts == 1:
            return
        self._note()
        left = (self.restarts + 1) // 2
        ranking = self._by_image(self.objective.masked_fill(~self.finite, torch.inf)).argsort(dim=1, stable=True)
        first = torch.arange(len(self.images), device=ranking.device)[:, None] * self.restarts
        self._keep((first + ranking[:, :left].sort(1).values).flatten())
        self.restarts = left
        self.target = self.measured.target(self.images, left)

    def retire(self) -> None:
        """Note the results so far; finished images leave the batch, unless the operator must see all of them."""
        self._note()
        self.history.append(self.final_misfit.clone())
        running = self.verdict == RUNNING
        if bool(running.all()) or (not self.measured.divisible and bool(running.any())):
            return
        stay = running.nonzero().squeeze(1)
        self._keep(self._rows(running).nonzero().squeeze(1))
        self.watch.keep(stay)
        self.images, self.verdict, self.steps = self.images[stay], self.verdict[stay], self.steps[stay]
        if len(stay):
            self.target = self.measured.target(self.images, self.restarts)

    def report(self, step: int) -> Step:
        """What a progress bar wants to know."""
        return Step(step, self.solver.steps, self.final_misfit.clone(), self.final_verdict == RUNNING)

    def solution(self) -> Solution:
        """The best of every image, drawn once more."""
        images = self.solver.draw(self.prior, self.final)
        target = self.measured.target(torch.arange(self.measured.count, device=images.device), 1)
        verdicts = torch.where(self.final_verdict == RUNNING, STOPS.index(Stop.budget), self.final_verdict)
        checks = 1 + math.ceil(self.solver.steps / CHECK_EVERY)
        return Solution(
            images=images,
            codes=self.final,
            misfit=self.final_misfit,
            residual=target.residual(target.estimate(images)),
            steps=self.final_steps,
            stopped=tuple(STOPS[i] for i in verdicts.tolist()),
            history=torch.stack(self.history + self.history[-1:] * (checks - len(self.history))),
        )

    def _note(self) -> None:
        """Write what the active images have reached to the results."""
        best, place = self._by_image(self.objective).min(1)
        better = best < self.final_objective[self.images]
        for final, rows in [(self.final_objective, self.objective), (self.final_misfit, self.misfit)]:
            final[self.images] = _where(better, self._pick(rows, place), final[self.images])
        for name, rows in self.best.items():
            self.final[name][self.images] = _where(better, self._pick(rows, place), self.final[name][self.images])
        self.final_verdict[self.images], self.final_steps[self.images] = self.verdict, self.steps

    def _keep(self, rows: Tensor) -> None:
        self.variables = {name: value[rows] for name, value in self.variables.items()}
        self.gradients = {name: value[rows] for name, value in self.gradients.items()}
        self.best = {name: value[rows] for name, value in self.best.items()}
        self.adam.keep(rows)
        self.objective, self.misfit, self.residual = self.objective[rows], self.misfit[rows], self.residual[rows]
        self.finite, self.moving, self.seeds = self.finite[rows], self.moving[rows], self.seeds[rows]

    def _rows(self, per_image: Tensor) -> Tensor:
        return per_image.repeat_interleave(self.restarts)

    def _by_image(self, per_row: Tensor) -> Tensor:
        return per_row.reshape(len(self.images), self.restarts, *per_row.shape[1:])

    def _pick(self, per_row: Tensor, place: Tensor) -> Tensor:
        return self._by_image(per_row)[torch.arange(len(place), device=place.device), place]


def _where(condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.where(condition.view(-1, *[1] * (a.ndim - 1)), a, b)


def _checked(seeds: Sequence[int], count: int) -> list[int]:
    if len(seeds) != count:
        raise ValueError(f"got {len(seeds)} seeds for {count} measurements; give one each, or none")
    seeds = [int(seed) for seed in seeds]
    for seed in seeds:
        if not 0 <= seed < 2**64:
            raise ValueError(f"a seed is {seed}; it must be at least 0 and below 2^64")
    return seeds
