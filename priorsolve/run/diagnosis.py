"""Diagnostics for people: does the picture fit the measurement, what stands in the way, and is the code one that the prior knows."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from priorsolve.counter_rng import LIMITS, generator_for
from priorsolve.operators.base import Operator, support_of
from priorsolve.operators.noise import Noise
from priorsolve.priors.base import Prior
from priorsolve.recipe.recipe import Recipe
from priorsolve.solvers import Solution, Solves
from priorsolve.solvers.fit import solve_fitting
from priorsolve.types import Images, Measurements
from priorsolve.typicality import Typicality

WITHIN = 0.1
"""A residual this near to the noise, relative to it, is the noise."""
NEAR = 2.0
"""A residual up to this many times the one on the prior's own picture says nothing against the prior."""


def diagnose(
    solution: Solution, index: int, typicality: Typicality, *, noise: float | None = None, limit: float | None = None
) -> tuple[str, ...]:
    """One sentence each: fit, what limits it (where `limit` is given), and how far each code is from what the prior draws.

    Args:
        index: which of the solution's images.
        typicality: the prior's.
        noise: known standard deviation of the measurement's noise, in its units: `known_noise`.
        limit: what the same solver reaches on a picture that the prior can draw: `Limits`.
    """
    residual = float(solution.residual[index])
    sentences = [fit(residual, noise, solution.stopped[index].value)]
    if limit is not None:
        sentences.append(bottleneck(residual, limit, noise))
    for space, codes in solution.codes.items():
        if typicality.knows(space):
            sentences.append(typicality.distance(codes[index : index + 1], space).sentence(space))
    return tuple(sentences)


def fit(residual: float, noise: float | None, stopped: str) -> str:
    """The root mean square of A(x̂) − y against the known noise. `stopped` is why the solver ended, as it says it."""
    left, level = f"residual {residual:.3g}", f"noise {noise or 0:.3g}"
    if not math.isfinite(residual):
        return f"no fit: the residual is {residual}; {stopped}"
    if noise is None:
        return f"{left}, and no noise level is known to judge it by; set noise in the solver where you know it"
    if residual > noise * (1 + WITHIN):
        times = residual / noise if noise else math.inf
        why = f"the prior cannot draw this picture, or the search stopped short ({stopped})"
        return f"fits worse than the noise ({left}, {times:{'.2g' if times < 10 else '.0f'}} times): {why}"
    if residual < noise * (1 - WITHIN):
        return f"fits better than the noise ({left}, {level}): it is fitting the noise; set noise: {noise:.3g} in the solver"
    return f"fits to the noise ({left}, {level})"


def bottleneck(residual: float, limit: float, noise: float | None = None) -> str:
    """Whether noise, solver or prior keeps the residual where it is; `limit` is what the solver reaches on the prior's own picture."""
    if noise is not None and residual <= noise * (1 + WITHIN):
        return "the noise is the limit: neither the prior nor the solver stands in the way"
    here = f"here even {residual:.3g}" if residual < limit else f"here {residual:.3g}"
    facts = f"on a picture that the prior can draw this solver reaches {limit:.3g}, {here}"
    if residual <= NEAR * limit:
        return f"the solver is the limit: {facts}; more steps or restarts may help"
    return f"the prior is the limit: {facts}; a larger space or another prior may help"


class Limits:
    """What a solver reaches on noiseless measurements of pictures that the prior can draw; costs a solve.

    Args:
        solver, prior: the solver and its prior.
        seed: of the picture that stands for all photos.
        shared: whether all photos have one operator, so that one solve serves all.
    """

    def __init__(self, solver: Solves, prior: Prior, seed: int, *, shared: bool) -> None:
        self._solver, self._prior, self._seed = solver, prior, seed
        self._shared = shared
        self._known: float | None = None

    def of(self, operator: Operator, seeds: Sequence[int], batch: int | None = None) -> list[float]:
        """The residuals for photos measured by `operator`, whose seeds these are, at most `batch` of them at once."""
        if not self._shared:
            return self._reached(operator, seeds, batch)
        if self._known is None:
            (self._known,) = self._reached(operator, [self._seed], 1)
        return [self._known] * len(seeds)

    def _reached(self, operator: Operator, seeds: Sequence[int], batch: int | None) -> list[float]:
        """Pictures are drawn apart from what the solver draws, or it would find the code among its candidates."""
        codes = [self._prior.sample(1, generator_for(LIMITS, seed)) for seed in seeds]
        with torch.no_grad():  # one by one, since all may not fit
            y = torch.cat([operator.select(torch.tensor([i])).A(self._prior.decode(code)) for i, code in enumerate(codes)])
        solution, _ = solve_fitting(self._solver, y, operator, seeds=seeds, batch_size=batch)
        found: list[float] = solution.residual.tolist()
        return found


def surrogate_notes(x: Images, true: Operator, surrogate: Operator) -> list[str]:
    """A sentence for each picture: how far a solver's stand-in is from the operator that it stands for, there."""
    where = support_of(true, x.shape[1:], x)
    squares = ((true.A(x) - surrogate.A(x)).square() * where).flatten(1).sum(1)
    off = (squares / where.expand(len(x), *where.shape[1:]).flatten(1).sum(1).clamp_min(1e-30)).sqrt().tolist()
    return [f"the surrogate is off by {size:.2g} (root mean square) from the operator, on the restored picture" for size in off]


def known_noise(recipe: Recipe, noise: Noise | None, y: Measurements, where: Tensor) -> list[float | None]:
    """Each measurement's noise level: that of a solver, the last first, or what is to be expected of the recipe's noise in it; None where
    neither tells, or where there is none to judge by.

    Args:
        noise: the recipe's, built.
        y: (B, ...) with that noise in it.
        where: 1 where something was measured, 0 elsewhere; broadcast to `y`.
    """
    for _, given, _ in reversed(list(recipe.components("solver"))):
        if given.get("noise") is not None:
            return [float(given["noise"])] * len(y)
    told = None if noise is None else noise.rms(torch.where(where > 0, y, 0), where)
    levels: list[float] = [0.0] * len(y) if told is None else told.tolist()
    return [level if level > 0 else None for level in levels]
