"""Latent optimization: one code per image, moved until its picture explains the measurement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor

from priorsolve.latents import gaussian_penalty, row_seeds, stochastic_clip, to_sphere
from priorsolve.losses import Loss, l2
from priorsolve.priors.base import Prior
from priorsolve.solvers.base import Solution, Solver
from priorsolve.solvers.steps import Decay, Schedule, Variables
from priorsolve.solvers.stopping import Rules
from priorsolve.solvers.target import Measured
from priorsolve.types import Codes, Images, PerImage

CHUNK = 16
"""Sampled codes drawn at a time while the best are looked for."""


@dataclass(frozen=True)
class Latent(Solver):
    """Compressed sensing using generative models, and what the field added since: `min_z loss(A(G(z)), y) + λ·‖z‖²`.

    Starts from the best of sampled codes, judged where it counts: in the measurement. Restarts run side by side as rows of one batch.

    Args:
        prior: the generator.
        space: where the code lives, one of `prior.spaces`; the prior's first space if left out.
        steps: updates of the code; 0 keeps the best sampled code.
        restarts: codes followed for each image; the best one at the end is the answer.
        candidates: sampled codes from which the restarts start; at least as many.
        halving: drop the worse half of the restarts at equal intervals until one is left (successive halving, Jamieson & Talwalkar 2016).
        lr: Adam's learning rate, in units of the codes' spread under the prior.
        warmup: share of the steps over which the rate rises to `lr`.
        decay: how the rate falls to 0 afterwards.
        penalty_weight: weight λ of ‖z‖² (CSGM uses 0.001 on a misfit in [-1, 1] units).
        sphere: keep codes at length √n (PULSE); for spaces of standard normal codes.
        clip: redraw a code's numbers that leave [-clip, clip] (stochastic clipping).
        noise: known standard deviation of the measurement's noise: an image stops when its residual reaches it.
        plateau: an image stops after this many steps without 0.1 % gain.
        loss: l2, l1 or huber.
        seed: for images that are given none.

    Source: Bora, Jalal, Price & Dimakis, "Compressed Sensing using Generative Models", ICML 2017, eq. 3.
    """

    prior: Prior
    space: str | None = None
    steps: int = 300
    restarts: int = 4
    candidates: int = 64
    halving: bool = True
    lr: float = 0.3
    warmup: float = 0.05
    decay: Decay = "cosine"
    penalty_weight: float = 0.0
    sphere: bool = False
    clip: float | None = None
    noise: float | None = None
    plateau: int | None = None
    loss: Loss = l2
    seed: int = 0

    def __post_init__(self) -> None:
        if self.space is not None and self.space not in self.prior.spaces:
            raise ValueError(f"space {self.space!r} is not one of the prior's: {', '.join(self.prior.spaces)}")
        for name, least in {"steps": 0, "restarts": 1, "candidates": 1, "lr": 0, "penalty_weight": 0}.items():
            if not getattr(self, name) >= least:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least {least}")
        for name in ("clip", "noise", "plateau"):
            if getattr(self, name) is not None and not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be above 0")
        if self.decay not in get_args(Decay):
            raise ValueError(f"decay is {self.decay!r}; it must be one of {', '.join(get_args(Decay))}")
        if not 0 <= self.warmup <= 1:
            raise ValueError(f"warmup is {self.warmup}; it is a share of the steps, from 0 to 1")

    @property
    def schedule(self) -> Schedule:
        return Schedule(self.lr, self.warmup, self.decay)

    @property
    def rules(self) -> Rules:
        return Rules(noise=self.noise, plateau=self.plateau)

    @property
    def halve_at(self) -> Sequence[int]:
        rounds = (self.restarts - 1).bit_length() if self.halving else 0
        return [self.steps * (i + 1) // (rounds + 1) for i in range(rounds)]

    def begin(self, prior: Prior, measured: Measured, seeds: Sequence[int], start: Solution | None) -> tuple[Variables, Variables, int]:
        space = self._space
        spread = prior.sample(64, torch.Generator().manual_seed(0), space).std().clamp_min(1e-12)
        if start is not None:
            codes = _codes_of(prior, start, space).to(spread, copy=True)
            return self.project({space: codes}, -1, row_seeds(seeds, 1, codes.device)), {space: spread}, 1
        return {space: self._best_candidates(prior, measured, seeds)}, {space: spread}, self.restarts

    def draw(self, prior: Prior, variables: Variables) -> Images:
        return prior.decode(variables[self._space], self._space)

    def penalty(self, variables: Variables) -> PerImage:
        codes = variables[self._space]
        return self.penalty_weight * gaussian_penalty(codes) if self.penalty_weight else codes.new_zeros(len(codes))

    def project(self, variables: Variables, step: int, seeds: Tensor) -> Variables:
        codes = variables[self._space]
        if self.clip is not None:
            codes = stochastic_clip(codes, self.clip, seeds, step)
        if self.sphere:
            codes = to_sphere(codes)
        return {self._space: codes}

    @property
    def _space(self) -> str:
        return self.space or next(iter(self.prior.spaces))

    def _best_candidates(self, prior: Prior, measured: Measured, seeds: Sequence[int]) -> Codes:
        """(B·R, ...): for each image the R sampled codes whose pictures explain its measurement best."""
        count = max(self.candidates, self.restarts)
        samples = {seed: self._sample(prior, seed, count) for seed in dict.fromkeys(seeds)}
        if not samples:
            return self._sample(prior, self.seed, 1)[:0]
        everyone = torch.arange(measured.count, device=measured.y.device)
        misfit = []
        for first in range(0, count, CHUNK):
            drawn = {seed: self.draw(prior, {self._space: codes[first : first + CHUNK]}) for seed, codes in samples.items()}
            images = torch.cat([drawn[seed] for seed in seeds])
            target = measured.target(everyone, len(images) // measured.count)
            misfit.append(target.misfit(target.estimate(images), self.loss).view(measured.count, -1))
        places = torch.cat(misfit, dim=1).argsort(dim=1, stable=True)[:, : self.restarts]  # not a number counts as worst
        return torch.cat([samples[seed][place] for seed, place in zip(seeds, places, strict=True)])

    def _sample(self, prior: Prior, seed: int, count: int) -> Codes:
        """`count` codes of the prior's that are where codes must stay."""
        codes = prior.sample(count, torch.Generator().manual_seed(seed), self._space)
        return self.project({self._space: codes}, -1, row_seeds([seed], count, codes.device))[self._space]


def _codes_of(prior: Prior, solution: Solution, space: str) -> Codes:
    """The solution's code, carried to `space`."""
    if space in solution.codes:
        return solution.codes[space]
    for source, codes in solution.codes.items():
        if source in prior.spaces:
            return prior.map(codes, source=source, target=space)
    raise ValueError(f"a start has {', '.join(solution.codes)}, from which there is no way to {space!r}")
