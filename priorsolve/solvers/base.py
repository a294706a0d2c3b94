"""What a solver is: immutable hyper-parameters and a call."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, ClassVar, Literal, Protocol, cast, runtime_checkable

from priorsolve.apart import exactly_ungraded
from priorsolve.losses import Loss
from priorsolve.operators.base import Operator
from priorsolve.priors.bank import bank_of
from priorsolve.priors.base import Prior, singly
from priorsolve.priors.kept import run_form
from priorsolve.showing import shown
from priorsolve.solvers.checks import (
    checked_seeds,
    checked_start,
    must_be_callback,
    must_be_searchable,
    must_be_settings,
    must_have_an_end,
    unwrapped,
)
from priorsolve.solvers.frozen_mapping import freeze_settings
from priorsolve.solvers.loop import Loop, LoopSettings
from priorsolve.solvers.optimisers import Adam, Optimiser
from priorsolve.solvers.schedule import Schedule
from priorsolve.solvers.solution import OnStep, Solution
from priorsolve.solvers.stopping import Rules
from priorsolve.solvers.target import Measured
from priorsolve.solvers.task import Task
from priorsolve.types import AnyOperator, Measurements, OnProgress

Keep = Literal["best", "last"]


@runtime_checkable
class Solves(Protocol):
    """What may be asked of whatever solves: of a `Solver`, of `Layerwise`, of `Staged` and `Mirrored` ones. Each is told at `Solver`."""

    @property
    def prior(self) -> Prior: ...
    @property
    def steps(self) -> int: ...
    @property
    def seed(self) -> int: ...
    @property
    def loss(self) -> Loss: ...
    @property
    def samples(self) -> bool: ...
    @property
    def no_start(self) -> str: ...
    @property
    def descends(self) -> bool: ...
    @property
    def amplifies(self) -> bool: ...
    def prepare(self, on_progress: OnProgress | None = None) -> None: ...
    def varied(self) -> Solves: ...
    def noisier(self, times: float) -> Solves: ...
    def noiseless(self) -> Solves: ...
    def passes(self, steps: int, *, started: bool = False) -> int: ...
    def __call__(
        self,
        y: Measurements,
        operator: AnyOperator,
        *,
        seeds: Sequence[int] | None = None,
        start: Solution | None = None,
        on_step: OnStep | None = None,
    ) -> Solution: ...


def must_be_solver(value: object, name: str) -> None:
    """Raises ValueError unless it solves."""
    if isinstance(value, type) or not isinstance(value, Solves):  # a solver's class has all of these attributes, too
        raise ValueError(f"{name} is {shown(value)}; it must be a solver, such as Latent(prior){_missing(value)}")


def _missing(value: object) -> str:
    """What an own solver lacks, in words; nothing of what is none at all."""
    if isinstance(value, type):
        return ""
    asked = (name for name in vars(Solves) if name == "__call__" or not name.startswith("_"))
    missing = [name for name in asked if not hasattr(value, name)]
    return f", and has no {', '.join(missing)}" if missing and hasattr(value, "prior") else ""


class Solver(ABC):
    """Immutable hyper-parameters and a call: `solver(y, A) -> Solution`.

    A leaf is a frozen dataclass whose `begin` makes a `Task`: what moves, how that draws pictures, what it costs beside the misfit
    and where it must stay. The loop (`solvers/loop.py`) is the same for all.
    """

    prior: Prior
    steps: int
    loss: Loss
    seed: int
    keep: Keep = "best"
    """Which state is the answer: the best of all, or the last."""
    total_variation: float = 0.0
    """What the pictures' total variation weighs beside the misfit."""
    samples: ClassVar[bool] = False
    """Whether its answers are samples of p(x | y)."""
    no_start: ClassVar[str] = ""
    """Why it cannot begin at another's solution, and the way out; empty where it can."""

    def __post_init__(self) -> None:
        """What all solvers check alike; a leaf with checks of its own calls this first."""
        must_be_settings(self)
        must_have_an_end(self)
        freeze_settings(self)

    @property
    @abstractmethod
    def schedule(self) -> Schedule:
        """The learning rate over time."""

    @abstractmethod
    def begin(self, prior: Prior, measured: Measured, seeds: Sequence[int], start: Solution | None) -> Task:
        """The search for these measurements, from `start` where there is one."""

    @property
    def rules(self) -> Rules:
        """When to stop before the steps are spent."""
        return Rules()

    @property
    def halve_at(self) -> Sequence[int]:
        """Steps at which the worse half of each image's restarts is dropped."""
        return ()

    @property
    def descends(self) -> bool:
        """Whether it goes by gradients through the operator. Without steps the best candidate is taken, which needs none."""
        return self.steps > 0

    def fresh_optimiser(self) -> Optimiser:
        """What moves the variables."""
        return Adam()

    @property
    def amplifies(self) -> bool:
        """Whether its optimiser does: it, and stages before it, draw `singly`."""
        return self.fresh_optimiser().amplifies

    @property
    def rounds_by_batch(self) -> bool:
        """Whether a batch rounds otherwise than a photo alone: with an operator that jumps, which makes much of that, it draws `singly`."""
        return self.prior.row_by_row  # where rows are drawn so anyway, maps are too

    @property
    def learns_from(self) -> int:
        """How many pictures of the prior it predicts from."""
        return 0

    def prepare(self, on_progress: OnProgress | None = None) -> None:
        """Have those pictures drawn, which is done once for a prior, so that the first call need not."""
        if self.learns_from:
            bank_of(self.prior, self.learns_from, on_progress)

    def varied(self) -> Solver:
        """The solver for one more solution of the same photo: where this one begins at one code whatever the seed, it draws one."""
        return self

    def noisier(self, times: float) -> Solver:
        """The solver for measurements whose noise, where it knows that, is so many times as strong."""
        noise: float | None = getattr(self, "noise", None)
        return self if noise is None else replace(cast(Any, self), noise=times * noise)

    def noiseless(self) -> Solver:
        """The solver for measurements without noise: one that stops at no level of the residual or the loss, where it can do without."""
        levels = ("noise", "stop_at", "stop_loss")
        spare = [field.name for field in fields(cast(Any, self)) if field.name in levels and field.default is None]
        solver: Solver = replace(cast(Any, self), **dict.fromkeys(spare))
        return solver

    def passes(self, steps: int, *, started: bool = False) -> int:
        """Generator passes for one photo that took `steps` steps; `started`, where it went on from another's solution.

        One for each restart still followed at each step, forward and backward, and one for each sampled candidate, forward only: so that
        what a search costs does not depend on the machine. A pass is a picture: the several codes that multicode mixes into one count as
        one, though each goes through the layers before the mixing by itself. The pictures from which `begin_at: regressed` predicts are
        drawn once for a prior and serve every photo ever after, so they are no photo's own and not counted; nor are the products by which
        langevin finds its curvature.
        """
        return steps

    def ready(self) -> Prior:
        """The prior as it is run: folded, since its weights stay as they are."""
        return run_form(self.prior)

    def __call__(
        self,
        y: Measurements,
        operator: AnyOperator,
        *,
        seeds: Sequence[int] | None = None,
        start: Solution | None = None,
        on_step: OnStep | None = None,
    ) -> Solution:
        """Solve `y ≈ A(G(code))` for each measurement of the batch by itself.

        Args:
            y: (B, ...) what was measured, float, in the range that the operator makes of pictures in [0, 1]. It is brought to the
                prior's device and type, and no gradient flows into it.
            operator: one of `priorsolve.operators`, of which a copy is brought there too, any object with a noiseless `.A` (deepinv physics
                of real pictures), or a callable.
            seeds: one for each image; left out, every image uses the solver's own, so that a batch equals its singles.
            start: begin at this solution instead of at sampled codes; `start_at` makes one of codes from elsewhere.
            on_step: called at the start, after every 10 steps and at the end; `step.images()` draws the pictures so far.

        Raises:
            ValueError: the measurements do not fit the operator and the prior, the seeds or the start do not fit the measurements, or the
                prior can no longer be searched, such as in training mode.
        """
        must_be_callback(on_step)
        must_be_searchable(self.prior)  # as it is now, whatever it was when the solver was made
        like = next(self.prior.parameters())
        known = unwrapped(operator)
        jumps = isinstance(known, Operator) and known.jumps
        alone = singly(self.amplifies or (jumps and self.rounds_by_batch))
        with exactly_ungraded(like.device.type), alone:  # `computing` says in what a network computes
            prior = self.ready()
            measured = Measured(y, operator, tuple(prior.image_shape), like=like)
            seeds = checked_seeds([self.seed] * measured.count if seeds is None else seeds, measured.count)
            start = None if start is None else checked_start(start, measured.count, like)
            task = self.begin(prior, measured, seeds, start)
            settings = LoopSettings(
                steps=self.steps,
                loss=self.loss,
                total_variation=self.total_variation,
                schedule=self.schedule,
                rules=self.rules,
                halve_at=frozenset(self.halve_at),
                keeps_last=self.keep == "last",
                exact_from=0 if prior.computes is None else self._exact_from(prior.polish),
            )
            return Loop(settings, task, self.fresh_optimiser(), measured, seeds).solved(on_step)

    def _exact_from(self, polish: float) -> int:
        """The step after which the last `polish` of all are taken; beyond the end where there are none."""
        last = round(polish * self.steps)
        return self.steps - last if last else self.steps + 1


class CodeSolver(Solver):
    """A solver of codes in one of the prior's spaces, which begins at the best of sampled candidates."""

    space: str | None
    candidates: int

    def passes(self, steps: int, *, started: bool = False) -> int:
        return steps if started else self.judged() + steps

    def judged(self, best: int = 1) -> int:
        """How many of the candidates are drawn to find the `best` of them: none where all are taken."""
        return self.candidates if self.candidates > best else 0

    @property
    def code_space(self) -> str:
        """Where its codes live: in `space`, or where that is left out in the prior's first one."""
        return self.prior.first_space if self.space is None else self.space
