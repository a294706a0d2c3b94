"""Multi-code inversion: several codes for one image, their features mixed channel by channel inside the generator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

from torch import Tensor

from priorsolve.losses import Loss, l2
from priorsolve.penalties import Penalty, check_penalties, weighted
from priorsolve.priors.base import Noise, Prior, singly
from priorsolve.priors.kept import run_form, spread_of
from priorsolve.priors.spaces import depth, features_of, is_features
from priorsolve.solvers.base import CodeSolver, Keep
from priorsolve.solvers.checks import Block, features_at, must_be_at_least, must_be_positive, must_be_shares, must_be_space
from priorsolve.solvers.drawing import carried, maps_of, must_be_without_features, needs_style
from priorsolve.solvers.mixing import mixed
from priorsolve.solvers.optimisers import Optimiser, OptimiserName, make_optimiser
from priorsolve.solvers.schedule import Decay, Schedule
from priorsolve.solvers.solution import Solution
from priorsolve.solvers.starts import best_sampled
from priorsolve.solvers.stopping import Rules
from priorsolve.solvers.target import Measured
from priorsolve.solvers.task import At, Task
from priorsolve.solvers.variables import Variables, copied
from priorsolve.types import Codes, PerImage

_NAMES = ("codes", "mix", "share")
_STYLES = ("z", "z+c", "p_n", "w", "w+")
_SAME = 0.01
"""How far, of their own length, features may be from those found before and be the same: codes may be of another precision."""
_CROWD = 16
"""Codes of one image that are many rows, however few images there are."""


@final
@dataclass(frozen=True)
class Multicode(CodeSolver):
    """mGANprior: `x = G₂(Σ_n α_n ⊙ G₁(z_n))`, the generator cut before block k, one weight α for each code and channel.

    On generators with styles the later blocks follow the mean of the codes' styles, or after another solver the style of the code found
    there, so that the picture begins as it was. Everything moves together.

    Args:
        prior: the generator.
        codes: N, how many codes draw one image.
        block: k, where their features are mixed, or `{side: 16}` for the last block that features of that side enter; left out, the
            middle of the features that the prior has.
        space: where the codes live; the prior's first space if left out.
        steps: updates.
        candidates: sampled codes from which the N that explain the measurement best are taken.
        optimiser: adam, sgd, momentum, rmsprop, normalised or lbfgs.
        lr: the codes' learning rate, in units of their spread under the prior.
        mix_lr: the weights' learning rate, in units of 1/N.
        warmup: share of the steps over which the rates rise.
        decay: how they fall to 0: cosine, linear, cycle or none.
        penalties: weights by name, as in `latent`; of every code, averaged.
        total_variation: as in `latent`.
        noise: known standard deviation of the measurement's noise: an image stops when its residual reaches it.
        plateau: an image stops after this many steps without 0.1 % gain.
        divide_again: divide the sum by N once more, as the published program does, although α begins at 1/N: a generator that normalises
            behind block k (PGGAN) hides it, others begin almost without features.
        keep: the `best` state of all is the answer, or the `last`, as many published programs have it.
        loss: what compares A(x) with y.
        seed: for images that are given none.

    Source: Gu, Shen & Zhou, "Image Processing Using Multi-Code GAN Prior", CVPR 2020, eq. 2.
    """

    prior: Prior
    codes: int = 20
    block: Block | None = None
    space: str | None = None
    steps: int = 300
    candidates: int = 64
    optimiser: OptimiserName = "adam"
    lr: float = 0.1
    mix_lr: float = 0.1
    warmup: float = 0.05
    decay: Decay = "cosine"
    penalties: Mapping[str, float] | None = None
    total_variation: float = 0.0
    divide_again: bool = False
    noise: float | None = None
    plateau: int | None = None
    keep: Keep = "best"
    loss: Loss = l2
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        must_be_at_least(self, steps=0, codes=1, candidates=1, lr=0, mix_lr=0, total_variation=0)
        if not self.lr and not self.mix_lr:
            raise ValueError("lr and mix_lr are both 0, so nothing would move; raise one of them")
        must_be_positive(self, "noise", "plateau")
        must_be_shares(self, "warmup")
        must_be_space(self.prior, self.code_space)
        deep = self._deep
        if not self._mixes(self.code_space):
            served = ", ".join(name for name in self.prior.spaces if self._mixes(name))
            raise ValueError(f"multicode: codes of {self.code_space!r} cannot be mixed at {deep!r} of {self.prior}; use {served}")
        check_penalties(self.prior, self.code_space, self.penalties)

    @property
    def schedule(self) -> Schedule:
        return Schedule(1.0, self.warmup, self.decay)

    @property
    def rules(self) -> Rules:
        return Rules(noise=self.noise, plateau=self.plateau)

    def passes(self, steps: int, *, started: bool = False) -> int:
        return self.judged(self.codes) + steps  # the others beside a start's code are sampled too

    def ready(self) -> Prior:
        return run_form(self.prior, crowded=self.codes >= _CROWD)

    def fresh_optimiser(self) -> Optimiser:
        return make_optimiser(self.optimiser)

    def begin(self, prior: Prior, measured: Measured, seeds: Sequence[int], start: Solution | None) -> Task:
        n = self.codes
        space = self.code_space
        deep = self._deep
        unit = spread_of(prior, space)
        maps = {} if start is None else copied(maps_of(start.codes), unit)
        drawn = best_sampled(prior, space, measured, seeds, self.loss, candidates=self.candidates, best=n)
        drawn = drawn.view(measured.count, n, *prior.spaces[space])
        mix = unit.new_full((measured.count, n, prior.spaces[deep][0]), 1 / n)
        share = unit.new_full((measured.count, n), 1 / n)
        rates = {"codes": self.lr, "mix": self.mix_lr}
        search = _Mixture(
            variables={"codes": drawn, "mix": mix, "share": share, **maps},
            spread={"codes": self.lr * unit, "mix": unit.new_full((), self.mix_lr / n)},
            held=frozenset({"share", *maps} | {name for name, rate in rates.items() if not rate}),
            prior=prior,
            space=space,
            deep=deep,
            unlikely=weighted(prior, space, self.penalties),
            divisor=n if self.divide_again else 1,
        )
        if start is not None and search.made(start.codes):  # another round of the same
            search.variables |= copied({name: start.codes[name] for name in _NAMES}, unit)
        elif start is not None:  # its code first, the others ready to help
            drawn[:, 0] = self._first(prior, start)
            mix[:, 0], mix[:, 1:] = n if self.divide_again else 1, 0
            share[:, 0], share[:, 1:] = 1, 0
        return search

    def _first(self, prior: Prior, start: Solution) -> Codes:
        """The code of the start. Raises ValueError where that alone does not draw the start's pictures."""
        space = self.code_space
        if not is_features(space):
            way = "after another multicode keep its space, block and number of codes"
            must_be_without_features(start.codes, space, "multicode", way)
        return carried(prior, start.codes, space, "multicode")[space]

    def _mixes(self, space: str) -> bool:
        """Whether codes of this space lead to the features that are mixed, and to the styles of the later blocks where there are any."""
        if space == "z" and self.prior.n_classes:
            return False
        if needs_style(self.prior):
            return space in _STYLES
        return depth(space) <= depth(self._deep)

    @property
    def _deep(self) -> str:
        """The space where the codes are mixed. Raises ValueError where the prior has no features inside, or none that enter the block."""
        deep = features_of(self.prior.spaces)
        if not deep:
            raise ValueError(f"{self.prior}: has no features inside, so codes cannot be mixed there; use latent")
        return deep[len(deep) // 2] if self.block is None else features_at(self.prior, self.block)


@final
@dataclass(kw_only=True)
class _Mixture(Task):
    """`codes` (rows, N, ...), `mix` (rows, N, C), and held: each style's `share` (rows, N), and `noise` maps that moved before."""

    space: str
    deep: str
    unlikely: Penalty
    """What a code costs for being so."""
    divisor: int

    def penalty(self, variables: Variables, at: At) -> PerImage:
        codes = variables["codes"]
        rows, n = codes.shape[:2]
        return self.unlikely(codes.flatten(0, 1)).view(rows, n).mean(1)

    def codes(self, variables: Variables) -> Variables:
        return {**self.mixed(variables), **variables}

    def made(self, codes: Mapping[str, Tensor]) -> bool:
        """Whether a search like this one found these: mixed in the same way, they make the features that are beside them."""
        shapes = [codes[name].shape if name in codes else None for name in _NAMES]
        if self.deep not in codes or shapes != [self.variables[name].shape for name in _NAMES]:
            return False
        before, again = codes[self.deep].flatten(1), self.mixed(codes)[self.deep].flatten(1)
        far = (again - before).norm(dim=1) > _SAME * before.norm(dim=1)  # not so where an image diverged, which decides for no other
        return not bool(far.any())

    def mixed(self, variables: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The features Σ α ⊙ F of every row, over what they are divided by, and the style for the blocks after them."""
        codes, mix = variables["codes"], variables["mix"]
        rows, n = codes.shape[:2]
        flat: Codes = codes.flatten(0, 1)
        styles: dict[str, Tensor] = {}
        if needs_style(self.prior):
            space = "w+" if self.space == "w+" else "w"
            with singly():  # the mapping network rounds by how many rows there are
                flat = flat if self.space == space else self.prior.map(flat, source=self.space, target=space)
            each = flat.view(rows, n, *flat.shape[1:])
            styles = {space: (each * variables["share"].view(rows, n, *[1] * (each.ndim - 2))).sum(1)}
        maps = maps_of(variables)
        noise: Noise = maps["noise"].repeat_interleave(n, 0) if maps else "const"
        features = self.prior.map(flat, source=space if styles else self.space, target=self.deep, noise=noise)
        return {self.deep: mixed(features.view(rows, n, *features.shape[1:]), mix / self.divisor), **styles, **maps}
