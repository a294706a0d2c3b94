"""The one loop: every image by itself, best seen kept, stopped by the same rules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextvars import copy_context
from dataclasses import dataclass

import torch
from torch import Tensor

from priorsolve.counter_rng import row_seeds
from priorsolve.losses import Loss
from priorsolve.penalties import total_variation
from priorsolve.priors.base import exactly
from priorsolve.rows import spread_over
from priorsolve.solvers.optimisers import Optimiser
from priorsolve.solvers.schedule import Schedule
from priorsolve.solvers.solution import OnStep, Solution, Step, tell
from priorsolve.solvers.stopping import RUNNING, STOPS, Rules, Stop, Watch
from priorsolve.solvers.target import Measured
from priorsolve.solvers.task import At, Task
from priorsolve.solvers.variables import Variables
from priorsolve.types import Images, Measurements, PerImage

CHECK_EVERY = 10
"""Steps between two looks at the device: verdicts are read back, finished images leave, `on_step` is called."""


@dataclass(frozen=True)
class LoopSettings:
    """What the loop must know of a solver."""

    steps: int
    loss: Loss
    total_variation: float
    schedule: Schedule
    rules: Rules
    halve_at: frozenset[int]
    keeps_last: bool
    exact_from: int
    """The first step that computes in as many bits as the pictures that are kept; if not 0, misfits are taken again at the end."""


class Loop:
    """The state of one solve. Rows are active images × restarts; `final…` and `history` are kept for all B images."""

    def __init__(self, settings: LoopSettings, task: Task, optimiser: Optimiser, measured: Measured, seeds: Sequence[int]) -> None:
        self.settings, self.task, self.optimiser, self.measured, self.restarts = settings, task, optimiser, measured, task.restarts
        variables, task.variables = task.variables, {}  # of which this has its own: a row may be a network's weights
        like = next(iter(variables.values()))
        count, device = measured.count, like.device
        # per row; optimisers return new tensors, so `best` may share them
        self.variables = {name: value.clone() for name, value in variables.items()}
        self.gradients: Variables = {}
        self.shaken = self.was_shaken = False
        self.best = dict(self.variables)
        unknown = (measured.y.new_full((count * self.restarts,), torch.inf) for _ in range(4))
        self.objective, self.misfit, self.residual, self.quality = unknown
        self.finite, self.moving = (torch.ones(count * self.restarts, dtype=torch.bool, device=device) for _ in range(2))
        self.seeds = row_seeds(seeds, self.restarts, device)
        # per active image
        self.images = torch.arange(count, device=device)
        self.target = measured.target(self.images, self.restarts)
        self.watch = Watch.start(count, measured.y)
        self.verdict = torch.full((count,), RUNNING, device=device)
        self.steps = torch.zeros_like(self.verdict)
        # per image
        self.own_seeds = row_seeds(seeds, 1, device)
        self.final = {name: self._by_image(value)[:, 0].clone() for name, value in variables.items()}
        self.final_objective, self.final_misfit = (measured.y.new_full((count,), torch.inf) for _ in range(2))
        self.final_verdict, self.final_steps = self.verdict.clone(), self.steps.clone()
        self.history: list[Tensor] = []

    def solved(self, on_step: OnStep | None) -> Solution:
        """Run to the end."""
        here = copy_context()  # `on_step` may ask for pictures from a thread of its own, which knows nothing of `singly`
        for step in range(self.settings.steps + 1):
            if self.measured.count:
                self.evaluate(step)
            if step in self.settings.halve_at:
                self.halve()
            if step % CHECK_EVERY == 0 or step == self.settings.steps:
                self.retire()
                if on_step is not None:
                    tell(on_step, self.report(step), lambda: here.copy().run(self.drawn))
                if not len(self.images):
                    break
            if step < self.settings.steps:
                self.move(step)
        return self.solution()

    def evaluate(self, step: int) -> None:
        """Draw, measure, compare; keep the best; judge. Leaves the gradients for `move`."""
        at = self._at(step)
        if self.shaken or 0 < step == self.settings.exact_from:
            self._forget_best()
        self.shaken = self.task.shaken(at)
        self.was_shaken |= self.shaken
        estimate, misfit, objective = self._compared(step, at)
        self.finite = objective.isfinite()
        self._keep_better(estimate, misfit, objective)
        self._judge(step)

    def _forget_best(self) -> None:
        """What was judged by other pictures than its own is no measure for what comes."""
        self.objective = torch.where(self.moving, torch.inf, self.objective)
        self.final_objective[self.images] = torch.where(self.verdict == RUNNING, torch.inf, self.final_objective[self.images])

    def _compared(self, step: int, at: At) -> tuple[Measurements, PerImage, PerImage]:
        """The estimate, the misfit and the objective of each row, without a graph; before the last step the gradients, too."""
        last = step == self.settings.steps
        with torch.set_grad_enabled(not last), exactly(step >= self.settings.exact_from):
            moved = [] if last else [name for name in self.variables if name not in self.task.held]
            leaves = {name: value.detach().requires_grad_(name in moved) for name, value in self.variables.items()}
            images = self.task.draw(leaves, at)
            estimate = self.target.estimate(images)
            misfit = self.target.misfit(estimate, self.settings.loss)
            objective = self.task.objective(misfit, leaves, at)
            if self.settings.total_variation:
                objective = objective + self.settings.total_variation * total_variation(images)
            if not last:
                # what a picture does not depend on, such as noise maps that act before its block only, has a gradient of 0
                gradients = torch.autograd.grad(objective.sum(), [leaves[name] for name in moved], materialize_grads=True)
                self.gradients = dict(zip(moved, gradients, strict=True))
        return estimate.detach(), misfit.detach(), objective.detach()

    def _keep_better(self, estimate: Measurements, misfit: PerImage, objective: PerImage) -> None:
        """Note the rows that are the best of theirs so far."""
        better = (self.finite if self.settings.keeps_last else objective < self.objective) & self.moving
        self.best = {name: _improved(best, self.variables[name], better) for name, best in self.best.items()}
        self.objective = torch.where(better, objective, self.objective)
        self.misfit = torch.where(better, misfit, self.misfit)
        rules = self.settings.rules
        if rules.noise is not None:  # else nobody asks before the end
            self.residual = torch.where(better, self.target.residual(estimate), self.residual)
        if rules.judge is not None:
            self.quality = torch.where(better, self.target.misfit(estimate, rules.judge), self.quality)

    def _judge(self, step: int) -> None:
        """Which images have come to an end."""
        rules = Rules() if self.shaken else self.settings.rules  # no rule is for a shaken picture, which is not the answer's
        best, place = self._by_image(self.objective).min(1)
        quality = best if rules.judge is None else self._pick(self.quality, place)
        alive = self._by_image(self.finite).any(1)
        judged = self.watch.verdict(rules, step, best, self._pick(self.residual, place), quality, alive)
        running = self.verdict == RUNNING
        self.steps = torch.where(running, step, self.steps)
        self.verdict = torch.where(running, judged, self.verdict)
        self.moving = self._rows(self.verdict == RUNNING)

    def move(self, step: int) -> None:
        """One step of the optimiser for the rows that have not stopped."""
        lr = self.settings.schedule.at(step, self.settings.steps)
        moved = self.optimiser.move(self.variables, self.gradients, step, lr, self.task.spread)
        moved = self.task.project(moved, self._at(step))
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
        return Step(step, self.settings.steps, self.final_misfit.clone(), self.final_verdict == RUNNING)

    @torch.inference_mode(False)
    @torch.no_grad()
    def drawn(self) -> Images:
        """The best of every image so far, drawn once more, in as many bits whoever asks."""
        return self.task.answer(self.final, At(self.settings.steps, self.settings.steps, self.own_seeds))

    def solution(self) -> Solution:
        """What was found."""
        images = self.drawn()
        target = self.measured.whole()
        estimate = target.estimate(images)
        verdicts = torch.where(self.final_verdict == RUNNING, STOPS.index(Stop.budget), self.final_verdict)
        redrawn = self.was_shaken or bool(self.settings.exact_from)
        checks = 1 + math.ceil(self.settings.steps / CHECK_EVERY)
        return Solution(
            images=images,
            codes=self.task.codes(self.final),
            misfit=target.final_misfit(estimate, self.settings.loss) if redrawn else self.final_misfit,
            residual=target.residual(estimate),
            steps=self.final_steps,
            stopped=tuple(STOPS[i] for i in verdicts.tolist()),
            history=torch.stack(self.history + self.history[-1:] * (checks - len(self.history))),
        )

    def _at(self, step: int) -> At:
        return At(step, self.settings.steps, self.seeds)

    def _note(self) -> None:
        """Write what the active images have reached to the results."""
        best, place = self._by_image(self.objective).min(1)
        better = best.isfinite() if self.settings.keeps_last else best < self.final_objective[self.images]
        for final, rows in [(self.final_objective, self.objective), (self.final_misfit, self.misfit)]:
            final[self.images] = _where(better, self._pick(rows, place), final[self.images])
        first = torch.arange(len(place), device=place.device) * self.restarts
        for name, rows in self.best.items():
            _copy(rows, first + place, self.final[name], self.images, better)
        self.final_verdict[self.images], self.final_steps[self.images] = self.verdict, self.steps

    def _keep(self, rows: Tensor) -> None:
        before = self.variables
        self.variables = {name: value[rows] for name, value in before.items()}
        self.gradients = {name: value[rows] for name, value in self.gradients.items()}
        self.best = {name: self.variables[name] if best is before[name] else best[rows] for name, best in self.best.items()}
        self.optimiser.keep(rows)
        self.objective, self.misfit = self.objective[rows], self.misfit[rows]
        self.residual, self.quality = self.residual[rows], self.quality[rows]
        self.finite, self.moving, self.seeds = self.finite[rows], self.moving[rows], self.seeds[rows]

    def _rows(self, per_image: Tensor) -> Tensor:
        return per_image.repeat_interleave(self.restarts)

    def _by_image(self, per_row: Tensor) -> Tensor:
        return per_row.reshape(len(self.images), self.restarts, *per_row.shape[1:])

    def _pick(self, per_row: Tensor, place: Tensor) -> Tensor:
        return self._by_image(per_row)[torch.arange(len(place), device=place.device), place]


def _where(condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Rows of `a` where the condition holds, else of `b`; what is the same either way, such as what is held, is not copied."""
    if a is b or (condition.device.type == "cpu" and bool(condition.numpy().all())):  # elsewhere looking would wait for the device
        return a
    return torch.where(spread_over(condition, a), a, b)


def _copy(rows: Tensor, of: Tensor, to: Tensor, at: Tensor, where: Tensor) -> None:
    """`to[at] = rows[of]` where the condition holds. On the CPU each is copied once: a row may be a network's weights."""
    if to.device.type != "cpu":
        to[at] = _where(where, rows[of], to[at])
        return
    for source, place in zip(*(index.numpy()[where.numpy()].tolist() for index in (of, at)), strict=True):
        to[place] = rows[source]


def _improved(best: Tensor, value: Tensor, better: Tensor) -> Tensor:
    """`best` with the rows of `value` that are better. On the CPU no others are copied: a row may be a network's weights."""
    if best is value or best.device.type != "cpu" or bool(better.numpy().all()):
        return _where(better, value, best)
    for row in better.numpy().nonzero()[0].tolist():  # in place: as it is not `value`, nobody else has it any more
        best[row] = value[row]
    return best
