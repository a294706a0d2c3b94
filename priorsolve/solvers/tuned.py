"""Tuning: beside the code the generator's weights move too, each photo's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, final

from torch import Tensor

from priorsolve.losses import Loss, l2
from priorsolve.penalties import Penalty, check_penalties, weighted
from priorsolve.priors.base import Prior
from priorsolve.priors.kept import run_form
from priorsolve.solvers.base import CodeSolver, Keep
from priorsolve.solvers.carried_adam import CarriedAdam
from priorsolve.solvers.checks import (
    must_be_at_least,
    must_be_class,
    must_be_decay_rate,
    must_be_positive,
    must_be_shares,
    must_be_space,
)
from priorsolve.solvers.instance_norm import batch_norms, instance_normed, twin
from priorsolve.solvers.lean_adam import LeanAdam
from priorsolve.solvers.optimisers import Optimiser, make_optimiser
from priorsolve.solvers.schedule import Decay, Schedule
from priorsolve.solvers.solution import Solution
from priorsolve.solvers.starts import best_sampled, of_class
from priorsolve.solvers.stopping import Rules
from priorsolve.solvers.target import Measured
from priorsolve.solvers.task import At, Task
from priorsolve.solvers.variables import WEIGHTS, Variables, copied, forgotten
from priorsolve.solvers.weights import (
    answered_picture,
    beginning_norms,
    carried_weights,
    copies,
    parted,
    tunable,
    tuned_carried,
    tuned_picture,
)
from priorsolve.types import Codes, Images, PerImage

Mover = Literal["adam", "sgd", "momentum", "rmsprop"]
_NORMAL = ("z", "z+c")


@final
@dataclass(frozen=True)
class Tuned(CodeSolver):
    """Deep generative prior: `min loss(A(G_θ(z)), y)` over the code z and the weights θ of G's leading blocks, for each photo its own.

    One stage of it; a list of them unfreezes the blocks front to back, each stage going on where the one before ended: weights that
    it does not unfreeze itself stay as they were tuned. The prior itself is never changed: every photo begins at its weights, and what
    became of them is in `solution.codes` as `weights:<parameter>`. Memory: six copies of the tuned weights for every photo, of BigGAN's
    seven.

    Args:
        prior: the generator, in eval mode, normalising with its stored statistics; not folded, so that rates mean what was published:
            BigGAN's weights move as they were trained, before they are divided by their spectral norm.
        space: where the code lives; the prior's first space if left out.
        steps: updates.
        blocks: how many leading blocks of `prior.blocks` move. Left out, every parameter of the prior does.
        weights_lr: the weights' learning rate, as it stands.
        block_ratio: block i moves at weights_lr · block_ratioⁱ.
        lr: the code's learning rate, as it stands; 0 holds the code.
        tune_class: in z+c, move the class too, and not z alone, at the code's rate.
        tune_embedding: in z+c, move the class at the weights' rate: as the row of the class embedding, one of the first block's weights.
        label: the photo's class, where it is known: the candidates are of it, and not each of a class of its own. In z+c.
        instance_norm: replace BatchNorm by instance normalisation, which begins where that is and keeps its scale and shift for good;
            BigGAN's last one stays. What only told BatchNorm its gain and bias, such as BigGAN's class, moves no picture any more.
        unsigned_gain: with it, begin at the deviations of what BatchNorm makes, by n − 1 pixels of n, as DGP's program does: where a gain
            is negative a channel begins at its mirror image, and so the picture at another.
        optimiser: adam, sgd, momentum (0.9) or rmsprop.
        beta1: Adam's first decay rate; DGP's has no momentum.
        carry_moments: Adam goes on with the moments that the stage before left, where that carries them too, and has some of the blocks'
            weights that do not move yet as well, as the one Adam of DGP's program. They are in `solution.codes`, as `adam:…`.
        warmup, decay, decay_share: the shape of both rates over the steps.
        candidates: sampled codes of which the best begins, judged in the measurement with the weights as they are in the prior.
        start_loss: judges the candidates; `loss` if left out.
        sample_std: the standard deviation of the sampled z, in z and z+c.
        restarts: so many of the candidates are followed, each with its own weights.
        nll: weight of mean z²/2, in z and z+c (where the class is no part of it).
        penalties: of the code, weights by name, as in `latent`.
        total_variation: as in `latent`.
        noise, plateau: as in `latent`.
        stop_at: an image stops once its loss (penalties included) is at or below this.
        keep: the `best` state of all is the answer, or the `last`, as many published programs have it.
        loss: what compares A(G(z)) with y.
        seed: for images that are given none.

    Source: Pan et al., "Exploiting Deep Generative Prior for Versatile Image Restoration and Manipulation", ECCV 2020, §3.2.
    """

    prior: Prior
    space: str | None = None
    steps: int = 200
    blocks: int | None = None
    weights_lr: float = 5e-5
    block_ratio: float = 1.0
    lr: float = 1e-3
    tune_class: bool = False
    tune_embedding: bool = False
    label: int | None = None
    instance_norm: bool = False
    unsigned_gain: bool = False
    optimiser: Mover = "adam"
    beta1: float = 0.0
    carry_moments: bool = False
    warmup: float = 0.0
    decay: Decay = "none"
    decay_share: float = 1.0
    candidates: int = 500
    start_loss: Loss | None = None
    sample_std: float = 1.0
    restarts: int = 1
    nll: float = 0.0
    penalties: Mapping[str, float] | None = None
    total_variation: float = 0.0
    noise: float | None = None
    plateau: int | None = None
    stop_at: float | None = None
    keep: Keep = "best"
    loss: Loss = l2
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.space is not None:
            must_be_space(self.prior, self.space)
        must_be_at_least(self, steps=0, restarts=1, candidates=1, weights_lr=0, lr=0, block_ratio=0, nll=0, total_variation=0)
        must_be_positive(self, "noise", "plateau", "stop_at", "sample_std")
        must_be_shares(self, "warmup", "decay_share")
        must_be_decay_rate(self, "beta1")
        must_be_class(self.prior, self.code_space, self.label)
        check_penalties(self.prior, self.code_space, self.penalties)
        if self.blocks is not None and not 1 <= self.blocks <= len(self.prior.blocks):
            raise ValueError(f"blocks is {self.blocks}; {self.prior} has {len(self.prior.blocks)}: give 1 to {len(self.prior.blocks)}")
        if not self.weights_lr and not self.lr:
            raise ValueError("weights_lr and lr are both 0, so nothing would move; raise one of them")
        for name, value, neutral in (("nll", self.nll, 0.0), ("sample_std", self.sample_std, 1.0)):
            if value != neutral and self.code_space not in _NORMAL:
                raise ValueError(f"{name} is {value}, which is for codes of z and z+c; leave it out in {self.code_space!r}")
        for name in ("tune_class", "tune_embedding"):
            if getattr(self, name) and self.code_space != "z+c":
                raise ValueError(f"{name}: codes of {self.code_space!r} have no class; leave it out, or use the space 'z+c'")
        if self.tune_class and self.tune_embedding:
            raise ValueError("tune_class and tune_embedding both move the class, at the code's rate and at the weights'; leave one out")
        if self.tune_embedding and not self.weights_lr:
            raise ValueError("tune_embedding moves the class at weights_lr, which is 0; raise that, or leave it out")
        if self.instance_norm and not batch_norms(self.prior):
            raise ValueError(f"instance_norm: {self.prior} has no BatchNorm over pixels that it could replace; leave it out")
        if self.unsigned_gain and not self.instance_norm:
            raise ValueError("unsigned_gain is about how instance_norm begins, which is off; switch that on, or leave it out")
        if self.carry_moments and self.optimiser != "adam":
            raise ValueError(f"carry_moments is about adam's moments; leave it out with {self.optimiser}")

    @property
    def schedule(self) -> Schedule:
        """Of both rates; the rates themselves are the variables' units."""
        return Schedule(1.0, self.warmup, self.decay, self.decay_share)

    @property
    def rules(self) -> Rules:
        return Rules(noise=self.noise, plateau=self.plateau, target=self.stop_at)

    @property
    def rounds_by_batch(self) -> bool:
        return True  # as convolutions with weights of their own do

    def fresh_optimiser(self) -> Optimiser:
        if self.carry_moments:
            return CarriedAdam(self.beta1)
        return LeanAdam(self.beta1) if self.optimiser == "adam" else make_optimiser(self.optimiser, self.beta1)

    def passes(self, steps: int, *, started: bool = False) -> int:
        return steps if started else self.judged(self.restarts) + self.restarts * steps

    def ready(self) -> Prior:
        return twin(self.prior, {})  # while it draws its tensors are exchanged, which no other thread must see

    def begin(self, prior: Prior, measured: Measured, seeds: Sequence[int], start: Solution | None) -> Task:
        codes, restarts = self._codes(prior, measured, seeds, start)
        earlier = {} if start is None else carried_weights(prior, start.codes)
        if self.instance_norm:
            earlier |= beginning_norms(prior, codes | earlier, self.unsigned_gain)
        drawing = instance_normed(prior, parted(earlier)[1])
        shares = tunable(drawing, codes, self.blocks, self.block_ratio) if self.weights_lr else {}
        if self.carry_moments and self.blocks is not None:
            shares = dict.fromkeys(tunable(drawing, codes, len(prior.blocks)), 0.0) | shares
        weights = copies(prior, shares, len(codes[self.code_space])) | earlier
        like = codes[self.code_space]
        units = {WEIGHTS + name: like.new_full((), self.weights_lr * share) for name, share in shares.items()}
        variables = codes | weights
        moving = set(units) | ({self.code_space} if self.lr or self.tune_embedding else set())
        if self.carry_moments:
            variables |= CarriedAdam(self.beta1).remembered(variables, sorted(moving), {} if start is None else start.codes)
        return TunedSearch(
            variables=variables,
            spread=units | {self.code_space: self._code_unit(like)},
            restarts=restarts,
            held=frozenset(set(variables) - moving),
            prior=drawing,
            space=self.code_space,
            nll=self.nll,
            unlikely=weighted(prior, self.code_space, self.penalties),
        )

    def _codes(self, prior: Prior, measured: Measured, seeds: Sequence[int], start: Solution | None) -> tuple[Variables, int]:
        """Where the codes begin, (rows, ...) by space, and how many rows an image has."""
        like = next(prior.parameters())
        if start is not None:
            return copied(tuned_carried(prior, start.codes, self.code_space, "tuned"), like), 1
        judge = self.loss if self.start_loss is None else self.start_loss
        folded, space = run_form(self.prior), self.code_space
        codes = best_sampled(folded, space, measured, seeds, judge, candidates=self.candidates, best=self.restarts, kept=self._narrowed)
        return {space: codes}, self.restarts

    def _narrowed(self, codes: Codes, seed: int) -> Codes:
        """Sampled codes with the class and the spread asked for."""
        codes = of_class(self.prior, codes, self.label)
        return codes if self.sample_std == 1 else codes * self._z(codes, inside=self.sample_std, outside=1.0)

    def _code_unit(self, like: Tensor) -> Tensor:
        if self.code_space == "z+c" and not self.tune_class:
            return self._z(like, inside=self.lr, outside=self.weights_lr if self.tune_embedding else 0.0)
        return like.new_full((), self.lr)

    def _z(self, like: Tensor, inside: float, outside: float) -> Tensor:
        """A factor for each of a code's numbers: one for those of z, one for the class."""
        factor = like.new_full(like.shape[1:], outside)
        factor[: self.prior.spaces["z"][0]] = inside
        return factor


@dataclass(kw_only=True)
class TunedSearch(Task):
    """A code in `space`, what an earlier solver found beside it, and weights, (rows, *shape), by `weights:<parameter>`."""

    space: str
    unlikely: Penalty
    """What a code costs for being so."""
    nll: float = 0.0

    def draw(self, variables: Variables, at: At) -> Images:
        return tuned_picture(self.prior, forgotten(variables))

    def answer(self, variables: Variables, at: At) -> Images:
        return answered_picture(self.prior, forgotten(variables))

    def penalty(self, variables: Variables, at: At) -> PerImage:
        codes = variables[self.space]
        total = self.unlikely(codes)
        if self.nll:
            total = total + self.nll * codes[:, : self.prior.spaces["z"][0]].square().mean(1) / 2
        return total
