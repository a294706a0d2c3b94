"""A solver that also looks at its measurements in a mirror."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import torch

from priorsolve.losses import Loss
from priorsolve.operators.base import Operator
from priorsolve.operators.blur import Blur
from priorsolve.operators.kernels import gaussian_kernel
from priorsolve.operators.mirror import Mirror
from priorsolve.priors.base import Prior
from priorsolve.showing import is_number, shown
from priorsolve.solvers.base import Solves, must_be_solver
from priorsolve.solvers.checks import must_be_callback, must_be_operator, unwrapped
from priorsolve.solvers.solution import OnStep, Solution, retold, shifted
from priorsolve.solvers.target import with_images
from priorsolve.types import AnyOperator, HasA, Images, Measurements, OnProgress


@final
@dataclass(frozen=True)
class Mirrored:
    """Self-ensemble of a solver: the mean of what it draws for the photo and for the photo's mirror image.

    x̄ = ½ G(c₁) + ½ M G(c₂)        c₁ explains y by A, c₂ by A∘M; M exchanges left and right
    x̂ = G(c₁) + B (x̄ − G(c₁))      B is a Gaussian blur of σ = own_detail; without one x̂ = x̄

    Another code explains the mirror image, and its picture errs in other places, so the mean has the smaller squared error. It is softer
    where the two disagree; detail finer than `own_detail` is therefore left as the first search drew it. Twice the steps and passes of
    the solver, in the memory of one.

    An image's steps are those of both searches, its history goes through the first and then the second, misfit and residual are x̂'s,
    and its codes and stop are the first search's, of the photo as it is. It takes no `start`: no code is known for the mirror image.

    Args:
        solver: one solver, or `Staged` ones.
        own_detail: σ in pixels, at most 128; 0 takes the mean of all detail.

    Raises:
        ValueError: `solver` is none, `own_detail` is no such number, or the call is given a `start`.

    Source: Timofte, Rothe & Van Gool, "Seven ways to improve example-based single image super resolution", CVPR 2016.
    """

    solver: Solves
    own_detail: float = 0.0
    samples = False  # a mean of two is none
    no_start = "Mirrored begins two searches, and a start has no code for the second; put all stages inside it: Mirrored(Staged([…]))"

    def __post_init__(self) -> None:
        must_be_solver(self.solver, "solver")
        if not is_number(self.own_detail) or not 0 <= self.own_detail <= 128:
            raise ValueError(f"own_detail is {shown(self.own_detail)}; give the σ of a blur in pixels, from 0 to 128")

    @property
    def prior(self) -> Prior:
        """The solver's own, as all that follows."""
        return self.solver.prior

    @property
    def seed(self) -> int:
        return self.solver.seed

    @property
    def loss(self) -> Loss:
        return self.solver.loss

    @property
    def steps(self) -> int:
        """Of both searches."""
        return 2 * self.solver.steps

    @property
    def descends(self) -> bool:
        return self.solver.descends

    @property
    def amplifies(self) -> bool:
        return self.solver.amplifies

    def prepare(self, on_progress: OnProgress | None = None) -> None:
        self.solver.prepare(on_progress)

    def passes(self, steps: int, *, started: bool = False) -> int:
        """Of both searches, taken to have spent half of their steps each."""
        return self.solver.passes(steps - steps // 2) + self.solver.passes(steps // 2)

    def varied(self) -> Mirrored:
        return replace(self, solver=self.solver.varied())

    def noisier(self, times: float) -> Mirrored:
        return replace(self, solver=self.solver.noisier(times))

    def noiseless(self) -> Mirrored:
        return replace(self, solver=self.solver.noiseless())

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
        if start is not None:
            raise ValueError(self.no_start)
        half = self.solver.steps
        first = self.solver(y, operator, seeds=seeds, on_step=shifted(on_step, 0, self.steps))
        second = self.solver(y, in_mirror(operator), seeds=seeds, on_step=_turned(shifted(on_step, half, self.steps)))
        both = replace(first, steps=first.steps + second.steps, history=torch.cat([first.history, second.history]))
        return with_images(both, first.images + self._coarse((second.images.flip(-1) - first.images) / 2), y, operator, self.loss)

    def _coarse(self, change: Images) -> Images:
        if not self.own_detail:
            return change
        with torch.autocast(change.device.type, enabled=False):  # a caller's
            return Blur(gaussian_kernel(self.own_detail), "replicate").A(change)


def _turned(on_step: OnStep | None) -> OnStep | None:
    """What is told of a search for mirror images, with its pictures the right way round."""
    return retold(on_step, lambda step: replace(step, draw=lambda: step.images().flip(-1)))


def in_mirror(operator: AnyOperator) -> AnyOperator:
    """What the operator measures of mirror images."""
    must_be_operator(operator)
    known = unwrapped(operator)
    if isinstance(known, Operator):
        return known @ Mirror()
    A = known.A if isinstance(known, HasA) else known
    return lambda x: A(x.flip(-1))
