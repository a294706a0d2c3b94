"""What a run knows of its measurements when it says how well they are met: their noise, what the solver is the limit of, stand-ins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Generator, Tensor

from priorsolve.counter_rng import SAMPLES, seed_at
from priorsolve.diagnosis import find_limits
from priorsolve.operators.base import Operator, compose, factors, support_of
from priorsolve.operators.noise import Chain, Gaussian, Generators, Noise, Poisson
from priorsolve.operators.photons import FixedPhotons
from priorsolve.recipe.recipe import Recipe
from priorsolve.rows import spread_over
from priorsolve.solvers import Solves
from priorsolve.types import Images, Measurements, PerImage

PICTURES = 5
"""What a solver reaches on one picture is easily half or twice what it reaches on another, so where one number is to serve all photos it is
the median of so many."""


class Limits:
    """What a solver reaches on noiseless measurements of pictures that the prior can draw; costs a solve of each.

    Args:
        solver: with its prior.
        seed: of the pictures that stand for all photos.
        shared: whether all photos have one operator, so that `PICTURES` serve all; else each photo has a picture of its own.
    """

    def __init__(self, solver: Solves, seed: int, *, shared: bool) -> None:
        self._solver, self._seed = solver, seed
        self._shared = shared
        self._known: float | None = None

    def of(self, operator: Operator, seeds: Sequence[int], batch: int | None = None) -> list[float]:
        """The residuals for photos measured by `operator`, whose seeds these are, at most `batch` of them at once."""
        if not self._shared:
            return find_limits(self._solver, operator, seeds, batch_size=batch)
        if self._known is None:
            found = find_limits(self._solver, operator, [seed_at(self._seed, i, SAMPLES) for i in range(PICTURES)], batch_size=batch)
            self._known = float(torch.tensor(found).nanmedian())
        return [self._known] * len(seeds)


@final
class NoiseInFrames(Noise):
    """The noise of whole photos as their frames have it: made smaller, a frame keeps a part of it, 0.022 at 128² of 0.1 at 512².

    Drawn once more it is Gaussian, as strong in each frame as it is there, but independent from pixel to pixel.

    Args:
        operator: what measures a frame.
        clean: (B, C, H, W) the frames of the photos without noise.
        y: (B, ...) what was measured of them.
        where: 1 where something was measured, 0 elsewhere; broadcast to `y`.
    """

    def __init__(self, operator: Operator, clean: Images, y: Measurements, where: Tensor) -> None:
        self._levels = _rms(operator.A(clean) - y, where)

    def __call__(self, y: Measurements, *, rng: Generators, where: Tensor | None = None) -> Measurements:
        return y + spread_over(self._levels, y) * (super().__call__(y, rng=rng, where=where) - y)

    def _noisy(self, y: Tensor, rng: Generator) -> Tensor:
        return Gaussian(1.0)._noisy(y, rng)

    def rms(self, y: Measurements, where: Tensor | None = None) -> PerImage:
        return self._levels


def draws_noise(operator: Operator) -> bool:
    """Whether noise is a part of what it does."""
    return any(isinstance(part, FixedPhotons) for part in factors(operator))


def surrogate_notes(x: Images, true: Operator, surrogate: Operator) -> list[str]:
    """A sentence for each picture: how far a solver's stand-in is from the operator that it stands for, there.

    Noise that either draws is left out: two draws differ, however well one stands for the other.
    """
    plain, stand_in = (compose([part for part in factors(each) if not isinstance(part, FixedPhotons)]) for each in (true, surrogate))
    where = support_of(plain, x.shape[1:], x)
    off = _rms(plain.A(x) - stand_in.A(x), where).tolist()
    end = "on the restored picture, the noise that it draws left out" if draws_noise(surrogate) else "on the restored picture"
    return [f"the surrogate is off by {size:.2g} (root mean square) from the operator, {end}" for size in off]


def known_noise(recipe: Recipe, noise: Noise | None, y: Measurements, where: Tensor) -> list[float | None]:
    """Each measurement's noise level: what was measured of it in frames, that of a solver, the last first, or what is to be expected of
    `noise` in it; None where none tells.

    Args:
        noise: what was added to the measurements, as the recipe says it; None where nobody knows.
        y: (B, ...) with that noise in it.
        where: 1 where something was measured, 0 elsewhere; broadcast to `y`.
    """
    for _, given, _ in reversed(list(recipe.components("solver"))):
        if given.get("noise") is not None and not isinstance(noise, NoiseInFrames):
            return [float(given["noise"])] * len(y)
    y = torch.where(where > 0, y, 0)
    told = None if noise is None else noise.rms(y, where)
    if noise is None or told is None:
        return [None] * len(y)
    return _as_clipped(noise, told, y, where).tolist()


def _as_clipped(noise: Noise, told: PerImage, y: Measurements, where: Tensor) -> PerImage:
    """What is left of the noise `told` in pictures that were clipped to [0, 1], as files are: a value that reads 0 or 1 has lost its own.

    Of a true value of 1 or 0 that is exact. Salt and pepper read 0 and 1, too, and nothing is known of others' noises.
    """
    if not all(isinstance(part, Gaussian | Poisson) for part in (noise.noises if isinstance(noise, Chain) else [noise])):
        return told
    inside = (y > 0) & (y < 1) & (where > 0)
    kept = inside.flatten(1).sum(1) / (where > 0).expand_as(y).flatten(1).sum(1)
    left = noise.rms(y, inside)
    clipped = ((y >= 0) & (y <= 1)).flatten(1).all(1) & (kept > 0)
    return told if left is None else torch.where(clipped, left * kept.sqrt(), told)


def _rms(off: Measurements, where: Tensor) -> PerImage:
    """Each image's root mean square over what was measured: 1 in `where`, which is broadcast, and 0 elsewhere."""
    squares = (off.square() * where).flatten(1).sum(1)
    return (squares / where.expand(len(off), *where.shape[1:]).flatten(1).sum(1).clamp_min(1e-30)).sqrt()
