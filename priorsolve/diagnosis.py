"""Diagnostics for people: does the picture fit the measurement, what stands in the way, and is the code one that the prior knows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from priorsolve.apart import exactly_ungraded
from priorsolve.counter_rng import LIMITS, generator_for
from priorsolve.operators.base import Operator
from priorsolve.priors.base import Prior
from priorsolve.showing import is_number, shown
from priorsolve.solvers import Solution, Solves
from priorsolve.solvers.base import must_be_solver
from priorsolve.solvers.checks import checked_seeds, must_be_prior, must_be_solution, unwrapped
from priorsolve.solvers.fit import solve_fitting
from priorsolve.solvers.layerwise import EXACT
from priorsolve.solvers.stopping import Stop
from priorsolve.solvers.target import beside
from priorsolve.types import AnyOperator
from priorsolve.typicality import Typicality

WITHIN = 0.1
"""A residual this near to the noise, relative to it, is the noise. Of few numbers that of the true picture scatters farther: `band`."""
NEAR = 2.0
"""A residual up to this many times the one on the prior's own picture says nothing against the prior."""


def diagnose(
    solution: Solution,
    prior: Prior,
    *,
    noise: float | Sequence[float] | Tensor | None = None,
    limit: float | Sequence[float] | Tensor | None = None,
    numbers: int | Sequence[int] | Tensor | None = None,
) -> list[tuple[str, ...]]:
    """What a record says of a photo, for each of the solution's images: sentences on its fit, what limits that, and its codes.

    Args:
        solution: a solver's answer, with its codes.
        prior: the solver's.
        noise: standard deviation of the measurements' noise, in their units, of all or of each; 0 where there is none, None where
            nobody knows.
        limit: what the solver reaches on pictures that the prior can draw: `find_limits`. Left out, nothing is said of what limits
            the fit.
        numbers: how many each measurement consists of, of all or of each; left out, at least 200.

    Raises:
        ValueError: that is no solution or no prior, its codes are another prior's, or not one number of at least 0 for all or for each
            image.
    """
    must_be_solution(solution, "diagnose")
    must_be_prior(prior, "prior")
    for space, codes in solution.codes.items():
        if space in prior.spaces and tuple(codes.shape[1:]) != tuple(prior.spaces[space]):
            raise ValueError(f"diagnose: {space!r} of the solution, {tuple(codes.shape)}, is no code of {prior}; give the solver's prior")
    typicality = Typicality(prior)
    noises, limits, counts = (
        _each(given, len(solution), name) for name, given in (("noise", noise), ("limit", limit), ("numbers", numbers))
    )
    return [sentences(solution, i, typicality, noise=noises[i], limit=limits[i], numbers=counts[i]) for i in range(len(solution))]


def find_limits(solver: Solves, operator: AnyOperator, seeds: Sequence[int] = (0,), *, batch_size: int | None = None) -> list[float]:
    """The residual that a solver reaches on noiseless measurements of a picture that its prior can draw, one for each seed.

    It costs a solve; where that diverges, what it reaches is not finite.
    No picture is one of those that the solver itself draws with that seed. The solver's `noise` and `stop_at` stop no search here: they
    are levels of other measurements. `langevin` keeps the noise that it needs.

    Args:
        solver: one solver, or `Staged` ones.
        operator: one of priorsolve's, or a physics that `to_physics` made of one; where it has parameters for each image, as many seeds
            as it is for.
        seeds: of the pictures.
        batch_size: the most to solve at once; left out, all of them.

    Raises:
        ValueError: `solver` or `operator` is none, or a seed is no whole number, or there are not as many as `operator` needs.
    """
    must_be_solver(solver, "find_limits: solver")
    operator = unwrapped(operator)
    if not isinstance(operator, Operator):
        raise ValueError(f"find_limits: operator is {shown(operator)}; it must be one of priorsolve's, such as Downsample(4)")
    if not isinstance(seeds, Sequence):
        raise ValueError(f"find_limits: seeds is {shown(seeds)}; give a list of whole numbers, one for each picture")
    if not seeds:
        return []
    seeds = checked_seeds(seeds, len(seeds))
    if operator.batch not in (None, len(seeds)):
        raise ValueError(
            f"find_limits: {operator} has parameters for {operator.batch} images, and seeds are {len(seeds)}; "
            f"give one for each: seeds=range({operator.batch})"
        )
    kind = next(solver.prior.parameters()).device.type
    with exactly_ungraded(kind):
        codes = [solver.prior.sample(1, generator_for(LIMITS, seed)) for seed in seeds]
        operator = beside(codes[0], operator)
        # one by one, since all may not fit
        y = torch.cat([operator.select(torch.tensor([i])).A(solver.prior.decode(code)) for i, code in enumerate(codes)])
    solution, _ = solve_fitting(solver.noiseless(), y, operator, seeds=seeds, batch_size=batch_size)
    found: list[float] = solution.residual.tolist()
    return found


def sentences(
    solution: Solution,
    index: int,
    typicality: Typicality,
    *,
    noise: float | None = None,
    limit: float | None = None,
    numbers: float | None = None,
) -> tuple[str, ...]:
    """As `diagnose`, of the image `index`, by its prior's `typicality`."""
    residual, stopped = float(solution.residual[index]), solution.stopped[index].value
    within = band(numbers)
    said = [fit(residual, noise, stopped, within)]
    if limit is not None:
        said.append(bottleneck(residual, limit, noise, within, stopped))
    for space, codes in solution.codes.items():
        if typicality.knows(space):
            said.append(typicality.distance(codes[index : index + 1], space).sentence(space))
    return tuple(said)


def band(numbers: float | None) -> float:
    """How far a residual may be from the noise, relative to it, and still be that: of m numbers it scatters by 1/√(2m), allowed twice."""
    return WITHIN if not numbers else max(WITHIN, 2 / math.sqrt(2 * numbers))


def fit(residual: float, noise: float | None, stopped: str, within: float = WITHIN) -> str:
    """The root mean square of A(x̂) − y against the known noise. `stopped` is why the solver ended, as it says it."""
    left, level = f"residual {residual:.3g}", f"noise {noise or 0:.3g}"
    if not math.isfinite(residual):
        return f"no fit: the residual is {residual}; {stopped}"
    if noise is None:
        return f"{left}, and no noise level is known to judge it by; set noise in the solver where you know it"
    if noise == 0 and residual <= EXACT:
        return f"fits exactly, up to rounding ({left})"
    if noise == 0:
        return f"{left}, and no noise was added: the prior cannot draw this picture, or the search stopped short ({stopped})"
    if residual > noise * (1 + within):
        times = residual / noise
        why = f"the prior cannot draw this picture, or the search stopped short ({stopped})"
        return f"fits worse than the noise ({left}, {times:{'.2g' if times < 10 else '.0f'}} times): {why}"
    if residual < noise * (1 - within):
        better = f"fits better than the noise ({left}, {level}): it is fitting the noise"
        if stopped == Stop.noise.value:
            return f"{better}; the solver stops there, but the search had gone past it; set noise: {noise:.3g} in every stage"
        return f"{better}; set noise: {noise:.3g} in the solver"
    return f"fits to the noise ({left}, {level})"


def bottleneck(residual: float, limit: float, noise: float | None = None, within: float = WITHIN, stopped: str = "") -> str:
    """Whether noise, solver or prior keeps the residual where it is; `limit` is what the solver reaches on the prior's own picture, and
    `stopped` why it ended here."""
    if not math.isfinite(limit):
        return f"what limits the fit cannot be told: on a picture that the prior can draw the residual is {limit}"
    if noise and residual <= noise * (1 + within):
        return "the noise is the limit: neither the prior nor the solver stands in the way"
    if residual <= EXACT:
        return f"nothing limits the fit: it is exact, up to rounding (residual {residual:.3g})"
    if stopped in (Stop.noise.value, Stop.quality.value):
        return f"the solver is the limit: it stopped where it was told to ({stopped})"
    own = math.sqrt(max(residual**2 - (noise or 0) ** 2, 0))  # the limit has no noise in it
    here = f"{'here even' if own < limit else 'here'} {own:.3g}" + (" beyond the noise" if noise else "")
    facts = f"on a picture that the prior can draw this solver reaches {limit:.3g}, {here}"
    if own <= NEAR * max(limit, EXACT):
        return f"the solver is the limit: {facts}; more steps or restarts may help"
    return f"the prior is the limit: {facts}; a larger space or another prior may help"


def _each(given: float | Sequence[float] | Tensor | None, count: int, name: str) -> list[float | None]:
    """One number for each of `count` images. Raises ValueError."""
    if given is None:
        return [None] * count
    values = given.tolist() if isinstance(given, Tensor) else given
    numbers = list(values) if isinstance(values, Iterable) and not isinstance(values, str) else [values] * count
    # a limit is nan where the search for it diverged
    fine = [is_number(number) and (number >= 0 or (name == "limit" and math.isnan(number))) for number in numbers]
    if len(numbers) != count or not all(fine):
        raise ValueError(f"diagnose: {name} is {shown(given)}; give a number of at least 0, or one for each of {count} images")
    return [float(number) for number in numbers]
