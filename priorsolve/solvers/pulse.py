"""PULSE: the measurement's pictures on the sphere where the prior's codes lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

from priorsolve.counter_rng import normal_hash, row_seeds
from priorsolve.latents import sized
from priorsolve.losses import Loss, l2
from priorsolve.penalties import geocross
from priorsolve.priors.base import Prior
from priorsolve.solvers.base import Keep, Solver
from priorsolve.solvers.checks import must_be_at_least, must_be_positive, must_be_shares
from priorsolve.solvers.drawing import carried, joined_maps, maps_from, must_be_without_features, must_lead_to_wplus, split_maps
from priorsolve.solvers.proxy import Proxy
from priorsolve.solvers.schedule import Decay, Schedule
from priorsolve.solvers.solution import Solution
from priorsolve.solvers.stopping import Rules
from priorsolve.solvers.target import Measured
from priorsolve.solvers.task import At, Task
from priorsolve.solvers.variables import Variables
from priorsolve.types import PerImage

Crossed = Literal["w", "z"]


@final
@dataclass(frozen=True)
class Pulse(Solver):
    """Photo upsampling via latent space exploration: a standard normal code for each layer, kept at its length, and the first noise maps.

    Args:
        prior: a generator with styles w+.
        steps: updates.
        lr: Adam's learning rate; codes and maps are standard normal.
        decay: how the rate goes: `cycle` is PULSE's "linear1cycledrop".
        warmup, decay_share: of the other decays, as in `latent`; ILO's first round is `cosine` with 0.05 and 0.75.
        geocross: weight of the angle between the layers' styles; the data term's weight is 1 (PULSE: 100 and 0.05, which is 1 and 0.0005).
        cross_on: whether that angle is between the styles, w, or between the codes that they are made of, z (ILO).
        moving_maps: how many of the noise maps move, from the first on; the others keep the values drawn for them.
        same_code: one code for all layers ("tile latent"): that of layer one as drawn, or the mean of a start's.
        noise: known standard deviation of the measurement's noise: an image stops when its residual reaches it. PULSE stops pulling at
            a mean squared residual of 0.002, which is a noise of 0.0447.
        plateau: an image stops after this many steps without 0.1 % gain.
        keep: the `best` state of all is the answer, or the `last`.
        loss: what compares A(x) with y.
        seed: for images that are given none.

    Source: Menon et al., "PULSE: Self-Supervised Photo Upsampling via Latent Space Exploration of Generative Models", CVPR 2020, §3. There
    the last picture is given; here the best, and one always comes out.
    """

    prior: Prior
    steps: int = 100
    lr: float = 0.4
    decay: Decay = "cycle"
    warmup: float = 0.0
    decay_share: float = 1.0
    geocross: float = 0.0005
    cross_on: Crossed = "w"
    moving_maps: int = 5
    same_code: bool = False
    noise: float | None = None
    plateau: int | None = None
    keep: Keep = "best"
    loss: Loss = l2
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        must_be_at_least(self, steps=0, lr=0, geocross=0, moving_maps=0)
        must_be_positive(self, "noise", "plateau")
        must_be_shares(self, "warmup", "decay_share")
        if "w+" not in self.prior.spaces:
            raise ValueError(f"{self.prior}: has no styles w+, only {', '.join(self.prior.spaces)}; use latent with sphere: true")

    @property
    def schedule(self) -> Schedule:
        return Schedule(self.lr, self.warmup, self.decay, self.decay_share)

    @property
    def rules(self) -> Rules:
        return Rules(noise=self.noise, plateau=self.plateau)

    def begin(self, prior: Prior, measured: Measured, seeds: Sequence[int], start: Solution | None) -> Task:
        own = row_seeds(seeds, 1, measured.y.device)
        proxy = Proxy.of(prior)
        if start is None:
            layers, width = prior.spaces["w+"]
            drawn = normal_hash(own, 0, layers * width).view(-1, layers, width).to(measured.y)
            drawn = drawn[:, :1] if self.same_code else drawn
            maps = normal_hash(own, 1, prior.noise_size).to(drawn)
        else:
            must_be_without_features(start.codes, "w+", "pulse")
            must_lead_to_wplus(prior, start.codes, "pulse")
            codes = carried(prior, start.codes, "w+", "pulse")
            drawn = proxy.whitened(codes["w+"].to(measured.y))
            drawn = drawn.mean(1, keepdim=True) if self.same_code else drawn
            maps = maps_from(codes, prior, measured.count).to(drawn)
        one = drawn.new_ones(())
        sizes = prior.noise_sizes[: self.moving_maps]
        variables = {"z+": drawn, **split_maps(maps, sum(sizes))}
        search = _Sphere(
            variables=variables,
            spread={"z+": one, "maps": one},
            held=frozenset({"rest"} & set(variables)),
            prior=prior,
            proxy=proxy,
            weight=self.geocross,
            cross_on=self.cross_on,
            sizes=sizes,
        )
        search.variables = search.project(variables, At(0, self.steps, own))
        return search


@final
@dataclass(kw_only=True)
class _Sphere(Task):
    """`z+` (rows, L, n), or (rows, 1, n) where all layers have one code, `maps`, those noise maps that move, and `rest`, the others."""

    proxy: Proxy
    weight: float
    cross_on: Crossed
    sizes: list[int]

    def penalty(self, variables: Variables, at: At) -> PerImage:
        return self.weight * geocross(self.proxy.coloured(variables["z+"]) if self.cross_on == "w" else variables["z+"])

    def project(self, variables: Variables, at: At) -> Variables:
        moved = {**variables, "z+": sized(variables["z+"])}
        if "maps" in moved:
            moved["maps"] = sized(variables["maps"], self.sizes)
        return moved

    def codes(self, variables: Variables) -> Variables:
        styles = self.proxy.coloured(variables["z+"])
        return {"w+": styles.expand(-1, *self.prior.spaces["w+"]).contiguous(), **joined_maps(variables)}
