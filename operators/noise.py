"""Noise: what the world adds to `A(x)` to make a measurement. Never part of an operator, never inside a solver.

y = Gaussian(0.02)(A.A(x), rng=torch.Generator().manual_seed(0), where=A.support(torch.ones_like(x)))
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, final

import torch
from torch import Generator, Tensor

from priorsolve.counter_rng import normal
from priorsolve.showing import is_number, shown
from priorsolve.types import Measurements, PerImage

Generators: TypeAlias = Generator | Sequence[Generator]

MOST_PHOTONS = 1e15
"""At value 1. With more the noise is below float32's rounding, and from 1e19 on torch's counts overflow to negative light."""

_SHARE = "give a number such as 0.05, which is 5 of 100"


class Noise(ABC):
    """Makes measurements (B, ...) noisy. Immutable.

    Randomness is drawn on the CPU and in one precision, image by image, so that it is the same wherever `y` lies and of whatever type.
    A leaf is a frozen dataclass and supplies `_noisy` (one image) and `rms`.
    """

    def __call__(self, y: Measurements, *, rng: Generators, where: Tensor | None = None) -> Measurements:
        """`y` with noise, of its shape.

        `rng` is one CPU generator, used up image after image, or one per image, and then an image's noise does not depend on its
        neighbours. Where `where` (broadcastable to `y`) is 0 nothing was measured, and `y` stays as it is.

        Raises:
            ValueError: `y` is no float tensor, `where` is no tensor that fits it, or there is not one generator per image.
        """
        if not isinstance(y, Tensor) or not y.is_floating_point():
            given = y.dtype if isinstance(y, Tensor) else f"an object of type {type(y).__name__}"
            raise ValueError(f"{self}: expected measurements as a float tensor, got {given}; pictures are in [0, 1]")
        must_be_where(where, y, str(self))
        several = [rng] if isinstance(rng, Generator) else list(rng) if isinstance(rng, Iterable) else [rng]
        if not all(isinstance(each, Generator) for each in several):
            raise ValueError(f"{self}: rng is {rng!r}; give torch.Generator().manual_seed(0), or a list of one for each image")
        generators = several * len(y) if isinstance(rng, Generator) else several
        if len(generators) != len(y):
            raise ValueError(f"{self}: expected one generator per image, {len(y)}, got {len(generators)}")
        known = y if where is None else torch.where((where > 0) | y.isfinite(), y, 0)  # what is no number in a hole is no matter
        noisy = torch.stack([self._noisy(image, generator) for image, generator in zip(known, generators, strict=True)]) if len(y) else y
        return noisy if where is None else torch.where(where > 0, noisy, y)

    @abstractmethod
    def _noisy(self, y: Tensor, rng: Generator) -> Tensor:
        """One image's measurement, without batch, with noise."""

    @abstractmethod
    def rms(self, y: Measurements, where: Tensor | None = None) -> PerImage | None:
        """The root mean square to expect of the noise that is in `y` where something was measured, (B,); None if `y` alone cannot tell."""


def must_be_noise(noise: object, who: str, way: str = "") -> None:
    """Raises ValueError, with a further way out, unless it is a noise, or None."""
    if noise is not None and not isinstance(noise, Noise):
        raise ValueError(f"{who} needs a noise of priorsolve.noise, such as Gaussian(0.02), got {shown(noise)}{way}")


def must_be_where(where: object, y: Measurements, who: str) -> None:
    """Raises ValueError unless it is a tensor that is broadcastable to `y`, or None."""
    if where is None:
        return
    if not isinstance(where, Tensor):
        raise ValueError(f"{who}: where is {shown(where)}; give a tensor, 0 where nothing was measured, or None")
    sides = zip(reversed(where.shape), reversed(y.shape), strict=False)
    if where.ndim > y.ndim or not all(own in (1, side) for own, side in sides):
        raise ValueError(f"{who}: where is of shape {tuple(where.shape)}; the measurements are {tuple(y.shape)}, give one number for each")


@final
@dataclass(frozen=True)
class Gaussian(Noise):
    """`y + sigma·n` with n from a standard normal. `sigma` ≥ 0 is in units of the measurement: 0.02 is 5 of 255 grey levels."""

    sigma: float

    def __post_init__(self) -> None:
        if not is_number(self.sigma) or not 0 <= self.sigma < float("inf"):
            raise ValueError(
                f"Gaussian: sigma must be a number of at least 0, got {shown(self.sigma)}; "
                "pictures run from 0 to 1, so divide grey levels by 255"
            )

    def _noisy(self, y: Tensor, rng: Generator) -> Tensor:
        return y + self.sigma * normal(rng, *y.shape).to(y)

    def rms(self, y: Measurements, where: Tensor | None = None) -> PerImage:
        return y.new_full((len(y),), self.sigma)


@final
@dataclass(frozen=True)
class Poisson(Noise):
    """`Poisson(peak·max(y, 0)) / peak`: light counted photon by photon, `peak` > 0 of them at value 1. Its variance is y / peak."""

    peak: float

    def __post_init__(self) -> None:
        check_photons("Poisson", self.peak)

    def _noisy(self, y: Tensor, rng: Generator) -> Tensor:
        return (_counted(self, y, self.peak, rng) / self.peak).to(y)

    def rms(self, y: Measurements, where: Tensor | None = None) -> PerImage:
        # of single values the negative half of noise that was added later would be cut off, and the rest be taken for light
        return (_mean(y, where).clamp_min(0) / self.peak).sqrt()


@final
@dataclass(frozen=True)
class SaltPepper(Noise):
    """Each value is lost with probability `amount` (0 to 1) and reads 0 or 1, as likely either way."""

    amount: float

    def __post_init__(self) -> None:
        if not is_number(self.amount) or not 0 <= self.amount <= 1:
            raise ValueError(f"SaltPepper: amount is the fraction of values lost, 0 to 1, got {shown(self.amount)}; {_SHARE}")

    def _noisy(self, y: Tensor, rng: Generator) -> Tensor:
        u = torch.rand(y.shape, generator=rng, device="cpu", dtype=torch.float32).to(y.device)
        return torch.where(u < self.amount / 2, 0, torch.where(u < self.amount, 1, y))

    def rms(
        self, y: Measurements, where: Tensor | None = None, before: Tensor | float = 0.0, after: Tensor | float = 0.0
    ) -> PerImage | None:
        """As of any noise; `before` and `after` are the mean squares of other noise in `y`, added before values were lost and after."""
        if self.amount == 1:
            return None
        # mean square of what 0 or 1 differs from a value: of a lost one it is ½, and of none less than ¼
        off = _mean(y.square() + (1 - y).square(), where) / 2 - after
        return (self.amount * ((off - self.amount / 2) / (1 - self.amount) - before).clamp_min(0.25)).sqrt()


@final
@dataclass(frozen=True)
class Photons(Noise):
    """`clamp(b · Poisson(peak·y) / peak)` to [0, 1]: light counted photon by photon, and pixels that are dead, b = 0, in every channel.

    `peak` > 0 photons stand for value 1, `dead` is the share of pixels lost. For pictures (C, H, W).

    Source: Poirier-Ginter & Lalonde, "Robust Unsupervised StyleGAN Image Restoration", CVPR 2023, benchmark.
    """

    peak: float
    dead: float = 0.0

    def __post_init__(self) -> None:
        check_photons("Photons", self.peak, self.dead)

    def _noisy(self, y: Tensor, rng: Generator) -> Tensor:
        counted = _counted(self, y, self.peak, rng) / self.peak
        alive = torch.rand(y.shape[-2:], generator=rng, device="cpu", dtype=torch.float32) >= self.dead
        return (counted * alive).clamp(0, 1).to(y)

    def rms(self, y: Measurements, where: Tensor | None = None) -> None:
        return None  # how much of the noise the clamp takes away hangs on how bright each pixel was


@final
@dataclass(frozen=True)
class Chain(Noise):
    """Several noises, one after the other: `Chain([Poisson(100), Gaussian(0.01)])` is a camera's. None at all is no noise."""

    noises: Sequence[Noise]

    def __post_init__(self) -> None:
        if not isinstance(self.noises, Sequence) or not all(isinstance(noise, Noise) for noise in self.noises):
            raise ValueError(f"Chain: noises is {shown(self.noises)}; give a list of noises, such as [Poisson(100), Gaussian(0.01)]")
        object.__setattr__(self, "noises", tuple(self.noises))  # the caller's list may change

    def _noisy(self, y: Tensor, rng: Generator) -> Tensor:
        for noise in self.noises:
            y = noise._noisy(y, rng)
        return y

    def rms(self, y: Measurements, where: Tensor | None = None) -> PerImage | None:
        total = y.new_zeros(len(y))
        for place, noise in enumerate(self.noises, 1):
            if isinstance(noise, SaltPepper):
                after = Chain([other for other in self.noises[place:] if not isinstance(other, SaltPepper)]).rms(y, where)
                part = None if after is None else noise.rms(y, where, total, after**2)
                total = total * (1 - noise.amount)  # what is lost has lost its noise, too
            else:
                part = noise.rms(y, where)
            if part is None:
                return None
            total = total + part**2
        return total.sqrt()

    def __repr__(self) -> str:
        return f"Chain({', '.join(map(repr, self.noises))})"


def _counted(noise: Noise, y: Tensor, peak: float, rng: Generator) -> Tensor:
    """How many photons arrive, on the CPU. Raises ValueError for light that is no number."""
    photons = peak * y.detach().clamp_min(0).to("cpu", torch.float64)
    if not bool(photons.isfinite().all()):
        raise ValueError(f"{noise}: cannot count NaN or infinite values of the measurement; say by `where` what was measured")
    return torch.poisson(photons, generator=rng)


def check_photons(name: str, peak: float, dead: float = 0.0) -> None:
    """Raises ValueError for a number of photons or a share of dead pixels that cannot be."""
    if not is_number(peak) or not 0 < peak < float("inf"):
        raise ValueError(f"{name}: peak, the photons at value 1, must be above 0, got {shown(peak)}; give a number such as 100")
    if peak > MOST_PHOTONS:
        raise ValueError(f"{name}: with peak={shown(peak)} no noise is left; leave it out, or give at most {MOST_PHOTONS:g}")
    if not is_number(dead) or not 0 <= dead < 1:
        raise ValueError(f"{name}: dead is the share of pixels lost, at least 0 and below 1, got {shown(dead)}; {_SHARE}")


def _mean(y: Measurements, where: Tensor | None) -> PerImage:
    """Over what was measured, of each image; 0 where that is nothing."""
    counts = torch.ones_like(y) if where is None else (where > 0).to(y).expand_as(y)
    return (y * counts).flatten(1).sum(1) / counts.flatten(1).sum(1).clamp_min(1)
