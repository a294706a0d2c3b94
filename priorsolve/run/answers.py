"""What the solver finds for jobs, side by side, and what is to be said of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from priorsolve.consistency import put_back, put_back_within
from priorsolve.diagnosis import sentences
from priorsolve.operators.base import LinearOperator
from priorsolve.operators.noise import Chain, Noise
from priorsolve.photos.greys import grey
from priorsolve.recipe.components import RecipeError
from priorsolve.recipe.operators import Operators
from priorsolve.recipe.recipe import Recipe
from priorsolve.run.diagnosis import Limits, NoiseInFrames, draws_noise, known_noise, surrogate_notes
from priorsolve.run.jobs import Job
from priorsolve.run.measuring import measured_where
from priorsolve.run.records import thinned
from priorsolve.sampling import AllAlikeError, Samples, solve_several
from priorsolve.solvers import OnStep, Solution, Solves
from priorsolve.solvers.variables import forgotten
from priorsolve.typicality import Typicality


@dataclass(frozen=True)
class Tools:
    """What the recipe names, built; `solving` are the operators that the solver uses, `limits` is None where nobody asks for them."""

    recipe: Recipe
    solver: Solves
    operators: Operators
    solving: Operators
    noise: Noise | None
    typicality: Typicality
    limits: Limits | None


@dataclass(frozen=True)
class Answer:
    """One job's: the picture, (C, H, W), `drawn` as the prior alone draws it, and how it was found. `spread` (H, W) where several
    solutions were compared, and how honest it is where the original is known. `solution` holds the codes, where they are kept."""

    image: Tensor
    drawn: Tensor
    misfit: float
    residual: float
    history: tuple[float, ...]
    steps: int
    stopped: str
    diagnosis: tuple[str, ...]
    note: str
    spread: Tensor | None
    calibration: Mapping[str, float]
    solution: Solution | None = None

    def in_grey(self) -> Answer:
        """Without colours, in as many channels."""
        image, drawn = (grey(each).expand_as(each) for each in (self.image, self.drawn))
        return replace(self, image=image, drawn=drawn)

    def checked(self) -> Answer:
        """Itself. Raises RecipeError where no picture was found, or none that could be compared with the measurement."""
        if not self.image.isfinite().all():
            raise RecipeError(f"no finite picture was found: {self.stopped}")
        if not math.isfinite(self.misfit):
            raise RecipeError(f"no picture of finite misfit was found: {self.stopped}")
        return self


def solve_jobs(tools: Tools, jobs: Sequence[Job], on_step: OnStep | None, *, batch: int) -> tuple[list[Answer], int]:
    """An answer for each job, with what was measured put back, and how many of at most `batch` fitted in memory at once."""
    y, seeds = torch.stack([job.y for job in jobs]), [job.seed for job in jobs]
    operator = tools.solving.join([job.solving for job in jobs])
    where = measured_where(operator, y.new_empty(len(y), *tools.operators.image_shape))
    damage = operator if tools.solving is tools.operators else tools.operators.join([job.parts for job in jobs])
    clean, noise = [job.clean for job in jobs if job.clean is not None], tools.noise
    degraded = len(clean) == len(jobs)
    if noise is not None and degraded and tools.recipe.frame.kind in ("aligned", "faces"):  # got by the whole photo, before it was resized
        noise = NoiseInFrames(damage, torch.stack(clean), y, where)

    def finish(solution: Solution, measured: Tensor) -> Tensor:
        output = tools.recipe.output
        if not (output.consistency and isinstance(operator, LinearOperator)):
            return solution.images
        if output.damping or noise is not None:
            return put_back(solution.images, measured, operator, damping=output.damping)
        return put_back_within(solution.images, measured, operator)

    try:
        solution, samples, batch = solve_several(
            tools.solver,
            y,
            operator,
            tools.recipe.samples,
            noise=noise,
            where=where,
            seeds=seeds,
            finish=finish,
            on_step=on_step,
            batch_size=batch,
            mean="samples" in tools.recipe.output.mean,
        )
    except AllAlikeError:
        raise RecipeError(
            "samples: the solver draws nothing and the recipe has no noise, so that all solutions are one; "
            "begin at sampled or likely codes, add noise, or leave samples out"
        ) from None
    images = finish(solution, y)
    notes = [""] * len(jobs) if damage is operator else surrogate_notes(images, damage, operator)
    calibration = _calibration(samples, jobs)
    # what a clean photo is made into has the recipe's noise alone
    bare = noise is None and not draws_noise(damage) and degraded
    levels = known_noise(tools.recipe, Chain([]) if bare else noise, y, where)
    numbers = (where.expand_as(y) > 0).flatten(1).sum(1).tolist()
    limits = [None] * len(jobs) if tools.limits is None else tools.limits.of(operator, seeds, batch)
    answers = [
        Answer(
            image=images[index],
            drawn=solution.images[index],
            misfit=float(solution.misfit[index]),
            residual=float(solution.residual[index]),
            history=thinned(solution.history[:, index].tolist()),
            steps=int(solution.steps[index]),
            stopped=solution.stopped[index].value,
            diagnosis=sentences(solution, index, tools.typicality, noise=levels[index], limit=limits[index], numbers=numbers[index]),
            note=notes[index],
            spread=None if samples is None else samples.spread[index],
            calibration=calibration[index],
            solution=_kept(solution, index) if tools.recipe.output.codes else None,
        )
        for index in range(len(jobs))
    ]
    return answers, batch


def _kept(solution: Solution, index: int) -> Solution:
    """One image's, to be written: without what Adam remembers, which is twice as large as what it moved."""
    return replace(solution, codes=forgotten(solution.codes))[index].to("cpu")


def _calibration(samples: Samples | None, jobs: Sequence[Job]) -> list[Mapping[str, float]]:
    """Of each job whose original is known."""
    clean = [job.clean for job in jobs if job.clean is not None]
    if samples is None or len(clean) < len(jobs):
        return [{}] * len(jobs)
    found = samples.calibration(torch.stack(clean))
    return [{name: float(values[index]) for name, values in found.items()} for index in range(len(jobs))]
