"""Latent optimization: one code per image, moved until its picture explains the measurement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, final

from torch import Tensor

from priorsolve.counter_rng import row_seeds
from priorsolve.latents import stochastic_clip, to_sphere
from priorsolve.losses import Loss, l2
from priorsolve.penalties import Penalty, check_penalties, weighted
from priorsolve.priors.base import Prior
from priorsolve.priors.kept import spread_of
from priorsolve.solvers.base import CodeSolver, Keep
from priorsolve.solvers.checks import (
    must_be_at_least,
    must_be_class,
    must_be_decay_rate,
    must_be_positive,
    must_be_shares,
    must_be_space,
)
from priorsolve.solvers.domain import LinearEncoder
from priorsolve.solvers.drawing import carried, repeated
from priorsolve.solvers.optimisers import Optimiser, OptimiserName, make_optimiser
from priorsolve.solvers.regression import regressed
from priorsolve.solvers.schedule import Decay, Schedule
from priorsolve.solvers.shake import Shake, ShakenTask
from priorsolve.solvers.solution import Solution
from priorsolve.solvers.starts import best_sampled, of_class
from priorsolve.solvers.stopping import Rules
from priorsolve.solvers.target import Measured
from priorsolve.solvers.task import At, Task
from priorsolve.solvers.variables import Variables, copied
from priorsolve.types import Codes, Images, PerImage

Unit = Literal["spread", "raw"]
Begin = Literal["sampled", "centre", "regressed", "likely"]
_LEARNT = ("regressed", "likely")
_SPHERES = ("z", "z+c", "p_n", "p_n+", "noise")


@dataclass(frozen=True)
class Latent(CodeSolver):
    """Compressed sensing using generative models, and what the field added since: `min_z loss(A(G(z)), y) + Σ λ·penalty(z)`.

    Starts from the best of sampled codes, judged where it counts: in the measurement. Restarts run side by side as rows of one batch.
    After another solver it starts where that ended; in `noise` or `features@k` the styles found before are held.

    Args:
        prior: the generator.
        space: where the code lives, one of `prior.spaces`; the prior's first space if left out.
        steps: updates of the code; 0 keeps the best sampled code.
        restarts: codes followed for each image; the best one at the end is the answer.
        candidates: sampled codes from which the restarts start; at least as many.
        begin_at: `sampled`; `centre`: the middle of the prior (w̄ in w); `regressed`: the code that the measurement predicts, by ridge
            regression on `bank` pictures of the prior; or `likely`: that code, off by as much as such a prediction was off for one of those
            pictures. `centre` and `regressed` are one code, whatever the seed.
        label: the photo's class, where it is known: the code begins in it, wherever it begins, and moves from there. In z+c.
        bank: pictures drawn for `regressed`, `likely` and `in_domain`, once for a prior, and kept in the cache.
        halving: drop the worse half of the restarts at equal intervals until one is left (successive halving, Jamieson & Talwalkar 2016).
        optimiser: adam, sgd, momentum (0.9), rmsprop, normalised (each vector of n numbers moves by √n·`lr`), or lbfgs.
        beta1: Adam's first decay rate.
        lr: the learning rate, in units of the codes' spread under the prior; with `unit: raw` as it stands.
        unit: spread or raw.
        warmup: share of the steps over which the rate rises to `lr`.
        decay: how the rate falls to 0 afterwards: cosine, linear, cycle (PULSE's) or none.
        decay_share: share of the steps over which it falls.
        penalties: weights by name: gaussian ‖z‖² (CSGM's λ), mahalanobis, euclidean; for w+ geocross, colinearity, layer_spread;
            for noise noise_autocorrelation.
        total_variation: weight of the drawn pictures' total variation, against specks where the measurement leaves much open.
        in_domain: weight of mean (z − E(G(z)))², E being a linear encoder learnt from the bank (IDInvert's term, its network another).
        sphere: keep codes at length √n (PULSE), every vector and every noise map at its own, of z+c the z alone; in z, z+c, p_n, p_n+
            and noise. A centre that is 0 is no start then.
        clip: redraw a code's numbers that leave [-clip, clip] (stochastic clipping).
        jitter: noise added to the code while it is drawn, in units of the spread, fading to 0 over the first three quarters (projector).
        noise: known standard deviation of the measurement's noise: an image stops when its residual reaches it.
        plateau: an image stops after this many steps without 0.1 % gain.
        keep: the `best` state of all is the answer, or the `last`, as many published programs have it.
        loss: what compares A(G(z)) with y.
        seed: for images that are given none.

    Source: Bora, Jalal, Price & Dimakis, "Compressed Sensing using Generative Models", ICML 2017, eq. 3.
    """

    prior: Prior
    space: str | None = None
    steps: int = 300
    restarts: int = 4
    candidates: int = 64
    begin_at: Begin = "sampled"
    label: int | None = None
    bank: int = 512
    halving: bool = True
    optimiser: OptimiserName = "adam"
    beta1: float = 0.9
    lr: float = 0.3
    unit: Unit = "spread"
    warmup: float = 0.05
    decay: Decay = "cosine"
    decay_share: float = 1.0
    penalties: Mapping[str, float] | None = None
    total_variation: float = 0.0
    in_domain: float = 0.0
    sphere: bool = False
    clip: float | None = None
    jitter: float = 0.0
    noise: float | None = None
    plateau: int | None = None
    keep: Keep = "best"
    loss: Loss = l2
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.space is not None:
            must_be_space(self.prior, self.space)
        must_be_at_least(self, steps=0, restarts=1, candidates=1, bank=2, lr=0, jitter=0, in_domain=0, total_variation=0)
        must_be_positive(self, "clip", "noise", "plateau")
        must_be_shares(self, "warmup", "decay_share")
        must_be_decay_rate(self, "beta1")
        if self.begin_at in _LEARNT and self.code_space == "noise":
            raise ValueError(f"begin_at is {self.begin_at!r} in 'noise'; a measurement predicts no noise maps, so begin in another space")
        if self.in_domain and self.code_space == "noise":
            raise ValueError(f"in_domain is {self.in_domain} in 'noise'; a picture tells of no noise maps, so use it in another space")
        must_be_class(self.prior, self.code_space, self.label)
        check_penalties(self.prior, self.code_space, self.penalties)
        if self.sphere and self.code_space not in _SPHERES:
            have = ", ".join(name for name in self.prior.spaces if name in _SPHERES)
            raise ValueError(
                f"sphere is for standard normal codes, and those of {self.code_space!r} are none; "
                + (f"leave it out, or use {have}" if have else "leave it out")
            )
        if self.sphere and self.begin_at == "centre":
            normal = self.prior.centre(self.code_space)[:, : sum(self._normal_parts) or None]
            if not bool(normal.any()):
                raise ValueError(
                    f"begin_at is 'centre', which is 0 in {self.code_space!r}, and from 0 no way leads to a sphere; "
                    "begin at sampled, or leave sphere out"
                )

    @property
    def schedule(self) -> Schedule:
        return Schedule(self.lr, self.warmup, self.decay, self.decay_share)

    @property
    def rules(self) -> Rules:
        return Rules(noise=self.noise, plateau=self.plateau)

    @property
    def halve_at(self) -> Sequence[int]:
        rounds = (self.restarts - 1).bit_length() if self.halving else 0
        return [self.steps * (i + 1) // (rounds + 1) for i in range(rounds)]

    def fresh_optimiser(self) -> Optimiser:
        return make_optimiser(self.optimiser, self.beta1)

    @property
    def learns_from(self) -> int:
        return self.bank if self.begin_at in _LEARNT or self.in_domain else 0

    def passes(self, steps: int, *, started: bool = False) -> int:
        if started or self.begin_at != "sampled":
            return steps
        total, rows, halvings = self.judged(self.restarts), self.restarts, frozenset(self.halve_at)
        for step in range(steps):
            total += rows
            rows = (rows + 1) // 2 if step in halvings else rows
        return total

    def varied(self) -> Latent:
        others: dict[Begin, Begin] = {"centre": "sampled", "regressed": "likely"}
        return replace(self, begin_at=others.get(self.begin_at, self.begin_at))

    def begin(self, prior: Prior, measured: Measured, seeds: Sequence[int], start: Solution | None) -> Task:
        space = self.code_space
        scale = spread_of(prior, space)
        variables, restarts = self._begun(prior, measured, seeds, start)
        return LatentSearch(
            variables=variables,
            spread={space: scale if self.unit == "spread" else scale.new_ones(())},
            restarts=restarts,
            held=frozenset(variables) - {space},
            prior=prior,
            solver=self,
            space=space,
            shake=Shake(self.jitter, scale),
            unlikely=weighted(prior, space, self.penalties),
            encoder=LinearEncoder.learnt(self.prior, space, self.bank) if self.in_domain else None,
        )

    def _begun(self, prior: Prior, measured: Measured, seeds: Sequence[int], start: Solution | None) -> tuple[Variables, int]:
        """Where the code begins, with what is held beside it, and how many restarts an image has."""
        space, like = self.code_space, spread_of(prior, self.code_space)
        beside: Variables = {}
        if start is None and self.begin_at == "sampled":
            kept = partial(self._kept_start, prior)
            codes = best_sampled(prior, space, measured, seeds, self.loss, candidates=self.candidates, best=self.restarts, kept=kept)
            return {space: codes}, self.restarts
        if start is not None:
            beside = copied(carried(prior, start.codes, space, "latent"), like)
            codes = beside[space]
        elif self.begin_at == "centre":
            codes = repeated(of_class(prior, prior.centre(space), self.label), measured.count)
        else:
            codes = regressed(self.prior, space, measured, self.bank, seeds if self.begin_at == "likely" else None)
            codes = of_class(prior, codes, self.label)
        return {**beside, space: self.kept(codes, -1, row_seeds(seeds, 1, like.device))}, 1

    def kept(self, codes: Codes, step: int, seeds: Tensor) -> Codes:
        """The codes (rows, ...) where they must stay, after the `step` that moved them."""
        if self.clip is not None:
            codes = stochastic_clip(codes, self.clip, seeds, step)
        return to_sphere(codes, self._normal_parts) if self.sphere else codes

    @property
    def _normal_parts(self) -> Sequence[int]:
        """How many numbers each standard normal vector of a code has, from the first on; empty for a code that is one, or rows of them."""
        if self.code_space == "z+c":  # the class behind z is as long as it is
            return self.prior.spaces["z"]
        return self.prior.noise_sizes if self.code_space == "noise" else ()

    def _kept_start(self, prior: Prior, codes: Codes, seed: int) -> Codes:
        """Sampled codes of one image in the class asked for, where they must stay."""
        return self.kept(of_class(prior, codes, self.label), -1, row_seeds([seed], len(codes), codes.device))


@final
@dataclass(kw_only=True)
class LatentSearch(ShakenTask):
    """A code in `space`, and beside it what an earlier solver found and is held."""

    solver: Latent
    unlikely: Penalty
    """What a code costs for being so."""
    encoder: LinearEncoder | None = None
    drawn: Images | None = None
    """The pictures of this step, for the encoder, so that they need not be drawn again."""

    def draw(self, variables: Variables, at: At) -> Images:
        images = super().draw(variables, at)
        self.drawn = images if self.encoder else None
        return images

    def penalty(self, variables: Variables, at: At) -> PerImage:
        codes = variables[self.space]
        total = self.unlikely(codes)
        if self.encoder is not None and self.drawn is not None:
            total = total + self.solver.in_domain * self.encoder.distance(codes, self.drawn)
        return total

    def project(self, variables: Variables, at: At) -> Variables:
        return {**variables, self.space: self.solver.kept(variables[self.space], at.step, at.seeds)}
