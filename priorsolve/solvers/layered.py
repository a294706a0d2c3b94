"""Intermediate layer optimization: the search goes on deeper in the network, near what the layers before it can make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from priorsolve.latents import sized, to_l1_ball
from priorsolve.losses import Loss, l2
from priorsolve.penalties import geocross
from priorsolve.priors.base import Prior, singly
from priorsolve.priors.kept import spread_of
from priorsolve.solvers.base import Keep, Solver
from priorsolve.solvers.checks import Block, features_at, must_be_at_least, must_be_positive, must_be_shares
from priorsolve.solvers.drawing import carried, joined_maps, maps_from, must_lead_to_wplus, needs_style, repeated, split_maps, style_of
from priorsolve.solvers.latent import Unit
from priorsolve.solvers.optimisers import Optimiser, OptimiserName, make_optimiser
from priorsolve.solvers.proxy import Proxy
from priorsolve.solvers.schedule import Decay, Schedule
from priorsolve.solvers.solution import Solution
from priorsolve.solvers.stopping import Rules
from priorsolve.solvers.target import Measured
from priorsolve.solvers.task import At, Task
from priorsolve.solvers.variables import Variables
from priorsolve.types import PerImage


@dataclass(frozen=True)
class Layered(Solver):
    """One round of ILO (and of generator surgery): what enters block k moves, with it the styles of the later blocks where there are any.

    A recipe lists the rounds: `latent` first, then `layered` at block 1, 2, 3 …, each starting where the last one ended. Without a
    start the features are those of the middle of the prior.

    Args:
        prior: the generator.
        block: k, or `{side: 16}` for the last block that features of that side enter; the variable is a code of `features@k`.
        steps: updates.
        optimiser: adam, sgd, momentum, rmsprop, normalised or lbfgs (generator surgery).
        lr: the learning rate, in units of the features' spread (and of each style's); with `unit: raw` as it stands.
        unit: spread or raw.
        style_lr: the later styles' rate as a share of `lr`; 0 holds them.
        radius: keep the features within this ℓ1 distance of where the round began, in units of their spread; left out, anywhere. A
            ball as large as a tenth of their count lets each move by a tenth of the spread on average.
        sphere: keep every style's code, whitened as PULSE does, at its own length.
        geocross: weight of the angle between the layers' whitened styles (ILO: 0.01).
        total_variation: as in `latent`.
        moving_maps: how many of the noise maps move, from the first on, each kept at length √n; 0 holds all.
        drop_picture: begin the picture anew at this block, as ILO's program does, which forgets what the blocks before had drawn: for
            StyleGAN2's skip architecture, where that is part of the features. The round then begins at another picture.
        hold_picture: keep the picture drawn so far as it came, where it is part of the features, and move the others alone: ILO's search
            moves no picture. What `drop_picture` emptied stays empty in any case.
        warmup: share of the steps over which the rate rises.
        decay: how it falls to 0: cosine, linear, cycle or none.
        decay_share: share of the steps over which it falls.
        noise: known standard deviation of the measurement's noise: an image stops when its residual reaches it.
        plateau: an image stops after this many steps without 0.1 % gain.
        keep: the `best` state of all is the answer, or the `last`, as many published programs have it.
        loss: what compares A(x) with y.
        seed: for images that are given none.

    Source: Daras, Dean, Jalal & Dimakis, "Intermediate Layer Optimization for Inverse Problems using Deep Generative Models", ICML 2021,
    Algorithm 1; Park et al., "Generator Surgery for Compressed Sensing", 2020.
    """

    prior: Prior
    block: Block
    steps: int = 100
    optimiser: OptimiserName = "adam"
    lr: float = 0.05
    unit: Unit = "spread"
    style_lr: float = 1.0
    radius: float | None = None
    sphere: bool = True
    geocross: float = 0.0
    total_variation: float = 0.0
    moving_maps: int = 0
    drop_picture: bool = False
    hold_picture: bool = False
    warmup: float = 0.05
    decay: Decay = "cosine"
    decay_share: float = 0.75
    noise: float | None = None
    plateau: int | None = None
    keep: Keep = "best"
    loss: Loss = l2
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        must_be_at_least(self, steps=0, lr=0, style_lr=0, geocross=0, total_variation=0, moving_maps=0)
        must_be_positive(self, "radius", "noise", "plateau")
        must_be_shares(self, "warmup", "decay_share")
        features_at(self.prior, self.block)
        if self.geocross and not needs_style(self.prior):
            raise ValueError(f"geocross compares layers' styles, and {self.prior} has none; leave it out")
        if self.drop_picture and not self.prior.drawn_channels:
            raise ValueError(f"drop_picture: features of {self.prior} carry no picture that could be dropped; leave it out")

    @property
    def schedule(self) -> Schedule:
        return Schedule(self.lr, self.warmup, self.decay, self.decay_share)

    @property
    def rules(self) -> Rules:
        return Rules(noise=self.noise, plateau=self.plateau)

    def fresh_optimiser(self) -> Optimiser:
        return make_optimiser(self.optimiser)

    def begin(self, prior: Prior, measured: Measured, seeds: Sequence[int], start: Solution | None) -> Task:
        deep = self._deep
        unit = spread_of(prior, deep)
        codes = {deep: repeated(prior.centre(deep), measured.count)} if start is None else self.resumed(prior, start.codes)
        dropped = prior.drawn_channels if self.drop_picture else 0
        codes[deep] = _with_last(codes[deep], torch.zeros_like(codes[deep]), dropped)
        variables: Variables = {deep: codes[deep].to(unit, copy=True), "from": codes[deep].to(unit, copy=True)}
        one = unit.new_ones(())
        held = {"from", "lengths", "rest"}
        spreads = {deep: unit if self.unit == "spread" else one, "maps": one}
        proxy = None
        if needs_style(prior):
            wplus = prior.centre("w+").expand(measured.count, -1, -1) if start is None else codes["w+"]
            proxy = Proxy.of(prior)
            variables["z+"] = proxy.whitened(wplus)
            variables["lengths"] = variables["z+"].norm(dim=-1, keepdim=True)
            spreads["z+"] = unit.new_full((), self.style_lr)
            held |= set() if self.style_lr else {"z+"}
        sizes = prior.noise_sizes[: self.moving_maps]
        if "noise" in codes or sizes:
            maps = maps_from(codes, prior, measured.count).to(unit, copy=True)
            variables |= split_maps(maps, sum(sizes))
        radius = None if self.radius is None else self.radius * unit
        return _Round(
            variables=variables,
            spread=spreads,
            held=frozenset(held & variables.keys()),
            prior=prior,
            deep=deep,
            proxy=proxy,
            radius=radius,
            sphere=self.sphere,
            weight=self.geocross,
            sizes=sizes,
            kept=prior.drawn_channels if self.hold_picture or self.drop_picture else 0,
        )

    def resumed(self, prior: Prior, codes: Mapping[str, Tensor]) -> Variables:
        """What the round begins with, of an earlier solution's codes by space: features, `w+` for the later blocks where the prior has
        styles, and the noise maps that are there. Raises ValueError where no way leads there."""
        deep = self._deep
        found = carried(prior, codes, deep, "layered")
        style = {"w+": _wplus(prior, found)} if needs_style(prior) else {}
        return {name: code for name, code in found.items() if name in (deep, "noise")} | style

    @property
    def _deep(self) -> str:
        return features_at(self.prior, self.block)


@final
@dataclass(kw_only=True)
class _Round(Task):
    """`features@k`, `from`, where they began, `z+`, whitened styles, `lengths`, theirs at the start, noise `maps` that move, `rest`."""

    deep: str
    proxy: Proxy | None
    radius: Tensor | None
    sphere: bool
    weight: float
    sizes: list[int]
    kept: int

    def penalty(self, variables: Variables, at: At) -> PerImage:
        return self.weight * geocross(variables["z+"]) if self.weight else super().penalty(variables, at)

    def project(self, variables: Variables, at: At) -> Variables:
        moved = dict(variables)
        if "maps" in moved:
            moved["maps"] = sized(moved["maps"], self.sizes)
        moved[self.deep] = _with_last(moved[self.deep], moved["from"], self.kept)
        if self.radius is not None:
            moved[self.deep] = moved["from"] + to_l1_ball(moved[self.deep] - moved["from"], self.radius)
        if self.sphere and "z+" in moved and "z+" not in self.held:
            moved["z+"] = moved["z+"] * (moved["lengths"] / moved["z+"].norm(dim=-1, keepdim=True).clamp_min(1e-12))
        return moved

    def codes(self, variables: Variables) -> Variables:
        found = {self.deep: variables[self.deep], **joined_maps(variables)}
        return found if self.proxy is None else {**found, "w+": self.proxy.coloured(variables["z+"])}


def _with_last(features: Tensor, others: Tensor, channels: int) -> Tensor:
    """The features (rows, C, ...) with so many of the last channels of `others`."""
    place = features.shape[1] - channels
    return torch.cat([features[:, :place], others[:, place:]], 1) if channels else features


def _wplus(prior: Prior, codes: Variables) -> Tensor:
    """The styles (rows, L, n) with which the later blocks draw: those of the middle where there is no code of them beside the features."""
    must_lead_to_wplus(prior, codes, "layered")
    style = style_of(prior, codes)
    if style is None:
        return prior.centre("w+").expand(len(next(iter(codes.values()))), -1, -1)
    with singly():  # the mapping network rounds several rows otherwise than one
        return codes[style] if style == "w+" else prior.map(codes[style], source=style, target="w+")
