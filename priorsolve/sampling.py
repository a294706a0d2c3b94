"""Several solutions of the same photos: where they agree the answer is known, where they differ it is guessed; their mean errs least."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from priorsolve.counter_rng import SAMPLES, seed_at
from priorsolve.operators.base import Operator, support_of
from priorsolve.operators.noise import Noise, must_be_noise, must_be_where
from priorsolve.showing import is_whole, shown
from priorsolve.solvers import OnStep, Solution, Solves
from priorsolve.solvers.base import must_be_solver
from priorsolve.solvers.checks import checked_seeds, must_be_callback, must_be_measurements, unwrapped
from priorsolve.solvers.fit import solve_fitting
from priorsolve.solvers.solution import shifted
from priorsolve.solvers.target import with_images
from priorsolve.types import AnyOperator, Images, Measurements, PerImage

Finish: TypeAlias = Callable[[Solution, Measurements], Images]
"""From a solution and a measurement to the pictures that are kept."""
_ROUNDING = 1e-4
"""Values that are no further apart are one value: what was put back is the same in all pictures but for rounding."""


class AllAlikeError(ValueError):
    """Several solutions are all one, since nothing is drawn."""


@dataclass(frozen=True, eq=False)
class Samples:
    """k pictures of each photo. Equal to itself only: compare its tensors.

    Each solves the measurement with its noise drawn once more, from another start.

    Source: Bardsley et al., "Randomize-then-optimize", 2014.
    """

    images: Tensor
    """(B, k, C, H, W)"""
    around_first: bool = False
    """Whether the others scatter around the first, which had no noise drawn or began at the likeliest code, and are not all alike."""
    mean: bool = False
    """Whether the answer is the mean of all k, and not the first."""

    def __repr__(self) -> str:
        count, k, *shape = self.images.shape
        return (
            f"Samples({k} of each of {count} × {'×'.join(map(str, shape))}{'; the others around the first' if self.around_first else ''})"
        )

    @property
    def spread(self) -> Tensor:
        """(B, H, W) the standard deviation of each pixel over the k pictures, root mean square of the channels."""
        spread: Tensor = self._variance.mean(1).sqrt()
        return spread

    @property
    def _variance(self) -> Tensor:
        """(B, C, H, W) without bias."""
        return (self.images[:, 1:] - self.images[:, :1]).square().mean(1) if self.around_first else self.images.var(1)

    def calibration(self, clean: Images) -> dict[str, PerImage]:
        """How honest the spread is against the `clean` pictures (B, C, H, W): three numbers of each photo, (B,) by name.

        `coverage` is the share of values that are within two standard deviations of the answer (the first picture, or the mean, also of
        pictures that are all alike): where honest 0.95 for many pictures, less for few (0.82 of three, 0.86 of four, 0.91 of eight:
        Student's t with k − 1 degrees of freedom). `spread_to_error` is the spread's root mean square over that of the answer's error:
        1 where honest, below where the pictures agree on something false; `guessed_error` is the latter. Of several photos the ratio is
        the root of the mean squares' (a mean of ratios is above 1 where they are honest: each photo's values err together). The mean of
        k errs by √(1 + 1/k) standard deviations where all are alike, and by √(1 + (k − 1)/k²) where k − 1 scatter around the first;
        that is allowed for. Only guessed values count: not those that are the clean picture's in all k, such as what was measured
        without noise and put back. With noise they count, and are honest where each picture has a measurement of its own put back. All
        are NaN where nothing was guessed.

        Raises:
            ValueError: `clean` is no float tensor of one picture for each photo.
        """
        expected = (len(self.images), *self.images.shape[2:])
        if not isinstance(clean, Tensor) or not clean.is_floating_point() or tuple(clean.shape) != expected:
            told = tuple(clean.shape) if isinstance(clean, Tensor) else shown(clean)
            raise ValueError(f"calibration takes clean pictures as a float tensor of shape {expected}, one for each photo, not {told}")
        k = self.images.shape[1]
        around_mean = self.mean or not self.around_first
        centre = self.images.mean(1) if around_mean else self.images[:, 0]
        scattered = k - 1 if self.around_first else k
        allowed = (1 + scattered / k**2) ** 0.5 if around_mean else 1.0
        spread = self._variance.sqrt()
        guessed = (self.images - clean[:, None]).abs().amax(1) > _ROUNDING
        error = (clean - centre).abs() / allowed
        within = ((error <= 2 * spread) & guessed).flatten(1).sum(1)
        count = guessed.flatten(1).sum(1)
        apart, off = (((value.square() * guessed).flatten(1).sum(1) / count).sqrt() for value in (spread, error))
        return {"coverage": within / count, "spread_to_error": apart / off, "guessed_error": off}


class Several(NamedTuple):
    """What `solve_several` finds; a tuple of its fields in their order."""

    answer: Solution
    """The first solution, which is what k = 1 gives; with `mean` its pictures are the mean of all."""
    samples: Samples | None
    """All k pictures, which scatter around the answer; None for k = 1."""
    batch_size: int
    """How many images fitted in memory at once."""


def _as_drawn(solution: Solution, measured: Measurements) -> Images:
    return solution.images


def solve_several(
    solver: Solves,
    y: Measurements,
    operator: AnyOperator,
    k: int,
    *,
    noise: Noise | None = None,
    where: Tensor | None = None,
    seeds: Sequence[int] | None = None,
    finish: Finish = _as_drawn,
    on_step: OnStep | None = None,
    batch_size: int | None = None,
    mean: bool = False,
) -> Several:
    """k solutions of the same measurements.

    Args:
        solver, y, operator, seeds, batch_size: as in `solve_fitting`.
        k: how many, at least 1.
        noise: drawn once more for each solution but the first, where something was measured; None leaves `y` as it is. What the solver
            knows as the noise is then √2 times as strong. A solver that ends in samples of p(x | y) itself is given `y` each time, since
            the noise is in them; only `finish` then meets it.
        where: (B, ...) 1 where something was measured; left out, the operator says so where it is one of priorsolve's.
        finish: from a solution and a measurement, which may be put back into it, to the pictures that are kept. The measurement is `y`
            for the first, and for the others `y` with its noise drawn once more: if all had `y` in them they would call its noise
            certain. Samples of p(x | y) are all alike, so that the first, too, meets noise drawn once more.
        mean: the answer's pictures are the mean of the k as they were drawn, and misfit and residual are the mean's; the rest stays the
            first's. No other picture has less squared error on average over samples of p(x | y), which these are as far as the
            solver's are. Of noise that was drawn once more a part stays in it.

    Raises:
        ValueError: without noise the second solution is the first one again, `k` is below 1, `noise` is not a noise, `where` does not fit
            the measurements, or `finish` gives no pictures; and as the solver's own call.
    """
    must_be_solver(solver, "solve_several: solver")
    if not callable(finish):
        raise ValueError(f"finish is {shown(finish)}; give a function of a solution and a measurement")
    if not is_whole(k) or k < 1:
        raise ValueError(f"k is {shown(k)}; give a whole number of solutions, at least 1")
    must_be_noise(noise, "solve_several")
    must_be_callback(on_step)
    must_be_measurements(y)
    must_be_where(where, y, "solve_several")
    first, batch_size = solve_fitting(
        solver, y, operator, seeds=seeds, on_step=shifted(on_step, 0, k * solver.steps), batch_size=batch_size
    )
    if k == 1:
        return Several(first, None, batch_size)
    varied = solver.varied()
    apart = not solver.samples and (noise is not None or varied != solver or not mean)
    solver = varied if solver.samples or noise is None else varied.noisier(math.sqrt(2))  # that of `y`, and as much again
    where = _measured(solver, y, operator) if where is None and noise is not None else where
    seeds = checked_seeds([solver.seed] * len(y) if seeds is None else seeds, len(y))

    def own(i: int) -> list[int]:
        return [seed_at(seed, i, SAMPLES) for seed in seeds]

    def again(i: int) -> Measurements:
        return y if noise is None else noise(y, rng=[torch.Generator().manual_seed(seed) for seed in own(i)], where=where)

    drawn = first.images.clone()
    pictures = [_finished(finish, first, again(k) if solver.samples else y)]  # again(0) may be the noise that is in y
    for i in range(1, k):
        measured = again(i)
        solution, batch_size = solve_fitting(
            solver,
            y if solver.samples else measured,
            operator,
            seeds=own(i),
            on_step=shifted(on_step, i * solver.steps, k * solver.steps),
            batch_size=batch_size,
        )
        if noise is None and len(y) and torch.equal(solution.images, first.images):
            raise AllAlikeError(
                "solve_several: the solver draws nothing and there is no noise, so that all solutions are one; "
                "begin at sampled or likely codes, give noise=, or k=1"
            )
        drawn += solution.images
        pictures.append(_finished(finish, solution, measured))
        del solution  # its codes may be networks' weights, which need not lie beside the next search
    answer = with_images(first, drawn / k, y, operator, solver.loss) if mean else first
    return Several(answer, Samples(torch.stack(pictures, 1), around_first=apart, mean=mean), batch_size)


def _finished(finish: Finish, solution: Solution, measured: Measurements) -> Images:
    """What it gives. Raises ValueError where that is no picture for each photo."""
    images = finish(solution, measured)
    if not isinstance(images, Tensor) or images.ndim != 4 or len(images) != len(solution):
        given = f"a tensor of shape {tuple(images.shape)}" if isinstance(images, Tensor) else f"a {type(images).__name__}"
        raise ValueError(f"finish gives {given} for {len(solution)} photos; it must give a picture for each, ({len(solution)}, C, H, W)")
    return images


def _measured(solver: Solves, y: Measurements, operator: AnyOperator) -> Tensor:
    operator = unwrapped(operator)
    if not isinstance(operator, Operator):
        return torch.ones_like(y)
    return support_of(operator, solver.prior.image_shape, y).expand_as(y)
