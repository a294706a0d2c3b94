"""Pivotal tuning: the code stays where an earlier solver found it, and all weights move until the picture is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from priorsolve.counter_rng import uniform_hash
from priorsolve.losses import Loss, l2, prepared
from priorsolve.penalties import weighted
from priorsolve.priors.base import Prior
from priorsolve.rows import spread_over
from priorsolve.solvers.base import Keep, Solver
from priorsolve.solvers.checks import must_be_at_least, must_be_decay_rate, must_be_positive
from priorsolve.solvers.drawing import style_of
from priorsolve.solvers.instance_norm import instance_normed, twin
from priorsolve.solvers.lean_adam import LeanAdam
from priorsolve.solvers.optimisers import Optimiser
from priorsolve.solvers.schedule import Schedule
from priorsolve.solvers.solution import Solution
from priorsolve.solvers.stopping import Rules
from priorsolve.solvers.target import Measured
from priorsolve.solvers.task import At, Task
from priorsolve.solvers.tuned import TunedSearch
from priorsolve.solvers.variables import WEIGHTS, Variables, copied, is_weight
from priorsolve.solvers.weights import carried_weights, copies, parted, tunable, tuned_picture
from priorsolve.types import Codes, PerImage

_POOL = 256
_HALF = 0.5
"""ψ: sampled codes are moved so far from the prior's middle."""


@final
@dataclass(frozen=True)
class Pivotal(Solver):
    """Pivotal tuning inversion: `min loss(A(G_θ(c)), y)` over all weights θ, around a code c that stays; a later stage of a list.

    Each photo has its own weights, as in `tuned`. The prior itself is never changed.

    Args:
        prior: the generator.
        steps: updates of the weights.
        lr: their learning rate, as it stands (Adam).
        beta1: Adam's first decay rate.
        stop_at: an image stops once its loss (locality included) is at or below this; 0.06 was published for LPIPS alone.
        stop_loss: what `stop_at` is about, in place of the loss. Not without it.
        locality: weight of keeping pictures of nearby codes as the prior draws them; 0 leaves it out, which nearly halves the time.
        distance: how far from the pivot those codes are, over all layers' styles, towards one of 256 codes sampled with ψ = 0.5
            at each step; their pictures have no noise maps.
        locality_loss: compares those pictures.
        total_variation: as in `latent`.
        noise, plateau: as in `latent`.
        keep: the `best` state of all is the answer, or the `last`, as many published programs have it.
        loss: what compares A(G(c)) with y.
        seed: for images that are given none; draws the nearby codes.

    Source: Roich, Mokady, Bermano & Cohen-Or, "Pivotal Tuning for Latent-based Editing of Real Images", ACM TOG 2022, §3.2 and §3.3.
    """

    prior: Prior
    steps: int = 350
    lr: float = 3e-4
    beta1: float = 0.9
    stop_at: float | None = None
    stop_loss: Loss | None = None
    locality: float = 0.0
    distance: float = 30.0
    locality_loss: Loss = l2
    total_variation: float = 0.0
    noise: float | None = None
    plateau: int | None = None
    keep: Keep = "best"
    loss: Loss = l2
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        must_be_at_least(self, steps=0, locality=0, total_variation=0)
        must_be_positive(self, "lr", "stop_at", "distance", "noise", "plateau")
        must_be_decay_rate(self, "beta1")
        if self.stop_loss is not None and self.stop_at is None:
            raise ValueError("pivotal: stop_loss says what stop_at is about; give stop_at too")

    @property
    def schedule(self) -> Schedule:
        return Schedule(self.lr, 0.0, "none")

    @property
    def rules(self) -> Rules:
        return Rules(noise=self.noise, plateau=self.plateau, target=self.stop_at, judge=self.stop_loss)

    @property
    def rounds_by_batch(self) -> bool:
        return True  # as convolutions with weights of their own do

    def fresh_optimiser(self) -> Optimiser:
        return LeanAdam(self.beta1)

    def ready(self) -> Prior:
        return twin(self.prior, {})  # while it draws its tensors are exchanged, which no other thread must see

    def begin(self, prior: Prior, measured: Measured, seeds: Sequence[int], start: Solution | None) -> Task:
        if start is None:
            raise ValueError("pivotal: needs a code to stay at; make it a later stage, after latent, or pass start")
        like = next(prior.parameters())
        codes = copied({name: code for name, code in start.codes.items() if name in prior.spaces}, like)
        space = style_of(prior, codes)
        if space is None:
            raise ValueError(
                f"pivotal: the start has {', '.join(codes) or 'no codes of this prior'}, and no code to stay at; start from latent"
            )
        earlier = carried_weights(prior, start.codes)
        drawing = instance_normed(prior, parted(earlier)[1])
        moved = tunable(drawing, codes)
        weights = copies(prior, moved, measured.count) | earlier
        unit = like.new_ones(())
        nearby = None
        if self.locality:
            sampled = prior.sample(_POOL, torch.Generator().manual_seed(0), space)
            nearby = Nearby(self, prior, space, torch.lerp(prior.centre(space), sampled, _HALF))
        return PivotalSearch(
            variables=codes | weights,
            spread={WEIGHTS + name: unit for name in moved},
            held=frozenset({*codes, *weights} - {WEIGHTS + name for name in moved}),
            prior=drawing,
            space=space,
            unlikely=weighted(prior, space, None),
            nearby=nearby,
        )


@dataclass(frozen=True)
class Nearby:
    """What pictures of codes near the pivot should stay like. `sampled` are codes of `space`, ψ from its middle."""

    solver: Pivotal
    prior: Prior
    space: str
    sampled: Codes

    def cost(self, variables: Variables, at: At) -> PerImage:
        """How far the tuned generator is from the prior at one code for each row, which depends on its seed and the step alone."""
        pivot = variables[self.space]
        place = (uniform_hash(at.seeds, at.step, 1)[:, 0] * len(self.sampled)).long()
        away = self.sampled[place] - pivot
        # one style is every layer's: published of all of them
        layers = self.prior.spaces["w+"][0] if self.space == "w" and "w+" in self.prior.spaces else 1
        length = layers**0.5 * spread_over(away.flatten(1).norm(dim=1).clamp_min(1e-12), pivot)
        there = pivot + self.solver.distance * away / length
        codes = {self.space: there}
        if self.prior.noise_size:
            codes["noise"] = pivot.new_zeros(len(pivot), self.prior.noise_size)
        weights = {name: value for name, value in variables.items() if is_weight(name)}
        own = [name for name, _ in self.prior.named_parameters() if WEIGHTS + name in weights]
        # drawn in the same way, so that weights that have not moved differ by nothing: Adam makes whole steps of what is only rounding
        before = tuned_picture(self.prior, codes | copies(self.prior, own, len(pivot))).detach()
        after = tuned_picture(self.prior, codes | weights)
        return prepared(self.solver.locality_loss, before, torch.ones_like(before))(after)


@final
@dataclass(kw_only=True)
class PivotalSearch(TunedSearch):
    """As `TunedSearch`, with the cost of leaving the prior near the pivot."""

    nearby: Nearby | None

    def penalty(self, variables: Variables, at: At) -> PerImage:
        total: Tensor = super().penalty(variables, at)
        return total if self.nearby is None else total + self.nearby.solver.locality * self.nearby.cost(variables, at)
