"""StyleGAN2's projector: one style and the noise maps, found together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from priorsolve.counter_rng import normal_hash, row_seeds
from priorsolve.losses import Loss, l2
from priorsolve.penalties import noise_autocorrelation
from priorsolve.priors.base import Prior
from priorsolve.priors.kept import spread_of
from priorsolve.solvers.base import Keep, Solver
from priorsolve.solvers.checks import must_be_at_least, must_be_positive, must_be_shares, must_be_space
from priorsolve.solvers.drawing import carried, must_be_without_features, repeated
from priorsolve.solvers.schedule import Schedule
from priorsolve.solvers.shake import Shake, ShakenTask
from priorsolve.solvers.solution import Solution
from priorsolve.solvers.stopping import Rules
from priorsolve.solvers.target import Measured
from priorsolve.solvers.task import At, Task
from priorsolve.solvers.variables import Variables, copied
from priorsolve.types import PerImage

_STYLES = ("w", "w+", "w++")


@final
@dataclass(frozen=True)
class Projector(Solver):
    """A code and the noise maps together, the code shaken at first, the maps kept white.

    Args:
        prior: a generator with noise maps.
        space: the code's: w, w+ for rosinality's variant, or w++; it begins in the middle of the prior.
        steps: updates.
        lr: Adam's learning rate, raw: it is the same for the code and the maps.
        warmup: share of the steps over which the rate rises.
        decay_share: share of the steps, at the end, over which it falls to 0 as a cosine.
        jitter: noise added to the code while it is drawn, in units of σ_w = √E‖w − w̄‖², fading over the first three quarters.
        whiteness: weight of the maps' autocorrelation, beside a data term of weight 1.
        noise: known standard deviation of the measurement's noise: an image stops when its residual reaches it, once nothing shakes it.
        plateau: an image stops after this many steps without 0.1 % gain, counted from then on.
        keep: the `best` state of all is the answer, or the `last`.
        loss: what compares A(x) with y.
        seed: for images that are given none.

    Source: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020, appendix D.
    """

    prior: Prior
    space: str = "w"
    steps: int = 1000
    lr: float = 0.1
    warmup: float = 0.05
    decay_share: float = 0.25
    jitter: float = 0.05
    whiteness: float = 1e5
    noise: float | None = None
    plateau: int | None = None
    keep: Keep = "best"
    loss: Loss = l2
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        must_be_at_least(self, steps=0, lr=0, jitter=0, whiteness=0)
        must_be_positive(self, "noise", "plateau")
        must_be_shares(self, "warmup", "decay_share")
        must_be_space(self.prior, self.space)
        if self.space not in _STYLES:
            raise ValueError(f"space is {self.space!r}; it must be one of {', '.join(_STYLES)}")
        if not self.prior.noise_size:
            raise ValueError(f"{self.prior}: has no noise maps; use latent in {self.space!r}")

    @property
    def schedule(self) -> Schedule:
        return Schedule(self.lr, self.warmup, "cosine", self.decay_share)

    @property
    def rules(self) -> Rules:
        return Rules(noise=self.noise, plateau=self.plateau)

    def begin(self, prior: Prior, measured: Measured, seeds: Sequence[int], start: Solution | None) -> Task:
        one = spread_of(prior, self.space)
        if start is None:
            codes = {self.space: repeated(prior.centre(self.space), measured.count)}
        else:
            must_be_without_features(start.codes, self.space, "projector")
            codes = copied(carried(prior, start.codes, self.space, "projector"), one)
        samples = prior.sample(4096, torch.Generator().manual_seed(0), "w")
        sigma = (samples - samples.mean(0)).square().sum(1).mean().sqrt()
        drawn = normal_hash(row_seeds(seeds, 1, one.device), 0, prior.noise_size).to(one)
        return _Shaken(
            variables={self.space: codes[self.space], "noise": codes.get("noise", drawn)},
            spread={self.space: one.new_ones(()), "noise": one.new_ones(())},
            prior=prior,
            space=self.space,
            shake=Shake(self.jitter, sigma),
            whiteness=self.whiteness,
        )


@final
@dataclass(kw_only=True)
class _Shaken(ShakenTask):
    """A code and `noise` (rows, N), all maps end to end."""

    whiteness: float

    def penalty(self, variables: Variables, at: At) -> PerImage:
        return self.whiteness * noise_autocorrelation(variables["noise"], self.prior.noise_shapes)

    def project(self, variables: Variables, at: At) -> Variables:
        return {**variables, "noise": standardised(variables["noise"], self.prior)}


def standardised(maps: Tensor, prior: Prior) -> Tensor:
    """Each map with mean 0 and variance 1."""
    parts = torch.split(maps, prior.noise_sizes, 1)
    centred = [part - part.mean(1, keepdim=True) for part in parts]
    return torch.cat([part / part.square().mean(1, keepdim=True).sqrt().clamp_min(1e-12) for part in centred], 1)
