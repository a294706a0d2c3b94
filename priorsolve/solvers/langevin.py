"""Samples of the posterior: many codes that all explain the measurement, as far as its noise lets one tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor

from priorsolve.counter_rng import normal_like
from priorsolve.losses import Loss, l2
from priorsolve.out_of_memory import is_out_of_memory
from priorsolve.penalties import gaussian_penalty
from priorsolve.priors.base import Prior
from priorsolve.solvers.base import CodeSolver, Keep
from priorsolve.solvers.checks import must_be_at_least, must_be_positive, must_be_shares, must_be_space
from priorsolve.solvers.curvature import by_row, curvatures
from priorsolve.solvers.drawing import carried, maps_of, must_be_without_features, picture
from priorsolve.solvers.optimisers import Descent, Optimiser
from priorsolve.solvers.schedule import Schedule
from priorsolve.solvers.solution import Solution
from priorsolve.solvers.starts import best_sampled
from priorsolve.solvers.target import Measured
from priorsolve.solvers.task import At, Task
from priorsolve.solvers.variables import Variables, copied
from priorsolve.types import Codes, PerImage

_NORMAL = ("z", "p_n", "p_n+")
_BEGUN, _WHERE, _ALONG, _ACROSS, _COUNT = "begun", "directions", "along", "across", "count"
_MOVES = "langevin:moves"
"""(rows,) how many moves a chain has taken, which its noise is drawn by: in solutions, so that one that goes on draws other noise."""
_ONCE = (
    "langevin: finds its step by gradients of gradients, and the operator (or the prior) has none ({}); "
    "write it with torch functions that can be differentiated twice, or use the solver latent"
)


@final
@dataclass(frozen=True)
class Langevin(CodeSolver):
    """Unadjusted Langevin sampling of `p(z | y) ∝ exp(−U)`, `U = ‖A(G(z)) − y‖²/2σ² + ‖z‖²/2`: `z ← z − η·P∇U + √(2ηT)·P^½ξ`.

    The last state is the sample; another seed gives another one. It starts at a solution, which saves the way to the posterior's bulk, or
    at the best of sampled codes. P is the inverse of U's curvature there, `I + JᵀJ/σ²`, to which a share of its largest is added: by one
    step for all directions, which the steepest allows, those that the measurement hardly tells of would hardly move. Too large a step
    diverges. From a solution of its own kind a chain goes on with new noise: `solution.codes` has the number of its moves,
    `langevin:moves`.

    The prior's own codes are standard normal in z, but only roughly in p_n and p_n+, where what is sampled is therefore not quite its
    pictures' posterior.

    Args:
        prior: the generator.
        noise: σ, the known standard deviation of the measurement's noise, in the measurement's units.
        space: one of standard normal codes: z, p_n or p_n+; the prior's first if left out.
        steps: moves.
        lr: η; below about 2 is stable near the start. A variance comes out 1 / (1 − η/2) times too large in the steepest directions.
        directions: how many steps of Lanczos' iteration find the curvature: as many directions have steps of their own. Each costs two
            to three passes, once.
        flattest: the share of the largest curvature that is added. With less of it flat directions move further; where the prior
            bends, too little of it diverges.
        temperature: T; 1 is the posterior's own, less is more certain.
        candidates: sampled codes of which the best is the start.
        seed: for images that are given none.

    Source: Welling & Teh, "Bayesian Learning via Stochastic Gradient Langevin Dynamics", ICML 2011, eq. 4 with full gradients; Girolami
    & Calderhead, "Riemann Manifold Langevin and Hamiltonian Monte Carlo Methods", JRSS B 2011, §5, with the metric of the start.
    """

    prior: Prior
    noise: float
    space: str | None = None
    steps: int = 300
    lr: float = 0.3
    directions: int = 32
    flattest: float = 0.01
    temperature: float = 1.0
    candidates: int = 64
    seed: int = 0
    loss: Loss = field(default=l2, init=False)
    keep: Keep = field(default="last", init=False)
    samples = amplifies = True  # what is rounded otherwise soon goes another way

    def __post_init__(self) -> None:
        super().__post_init__()
        must_be_at_least(self, steps=0, lr=0, temperature=0, candidates=1, directions=1)
        must_be_positive(self, "noise")
        must_be_shares(self, "flattest")
        must_be_space(self.prior, self.code_space)
        if self.code_space not in _NORMAL:
            have = [name for name in self.prior.spaces if name in _NORMAL and not (name == "z" and "z+c" in self.prior.spaces)]
            way = f"use {', '.join(have)}" if have else f"{self.prior} has none, so use latent"
            raise ValueError(f"space is {self.code_space!r}; langevin needs one of standard normal codes; {way}")

    @property
    def schedule(self) -> Schedule:
        return Schedule(1.0, 0.0, "none")

    def fresh_optimiser(self) -> Optimiser:
        return Descent()

    def begin(self, prior: Prior, measured: Measured, seeds: Sequence[int], start: Solution | None) -> Task:
        space = self.code_space
        if start is None:
            codes = best_sampled(prior, space, measured, seeds, self.loss, candidates=self.candidates)
            maps: Variables = {}
        else:
            must_be_without_features(start.codes, space, "langevin")
            begun = copied(carried(prior, start.codes, space, "langevin"), measured.y)
            codes, maps = begun[space], maps_of(begun)
        steps: Variables = {}
        if self.steps:  # without any, no gradient is asked of the operator
            everyone = measured.whole()
            steps = self._steps(lambda z: everyone.estimate(picture(prior, {space: z, **maps})) * everyone.where, codes)
        # of 32 bits, since fewer do not count far
        moves = (codes.new_zeros(len(codes)) if start is None or _MOVES not in start.codes else start.codes[_MOVES]).float()
        held = {_BEGUN: codes, **maps, _COUNT: measured.where.flatten(1).sum(1), _MOVES: moves, **steps}
        return _LangevinSearch(
            variables={space: torch.zeros_like(codes), **held},
            spread={space: codes.new_ones(())},
            held=frozenset(held),
            prior=prior,
            space=space,
            variance=self.noise**2,
            temperature=self.temperature,
            lr=self.lr,
        )

    def _steps(self, function: Callable[[Tensor], Tensor], codes: Codes) -> Variables:
        """P^½ by its eigenvectors, and its eigenvalues along them and across."""
        try:
            found, where, off, rest = curvatures(function, codes, self.directions)
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            raise ValueError(_ONCE.format(str(error).partition("\n")[0])) from error
        found, off, rest = (each / self.noise**2 for each in (found, off, rest[:, None]))
        added = 1 + self.flattest * found[:, -1:]
        across = torch.maximum(added, 1 + rest)
        # what is not known closely is taken for steeper
        return {_WHERE: where, _ALONG: (found + added + off).rsqrt(), _ACROSS: across.rsqrt()}


@dataclass(kw_only=True)
class _LangevinSearch(Task):
    """The way `u` from where a code began, in the units of P^½: plain Langevin moves of u are the code's with P.

    Beside it noise maps that an earlier solver moved, and each row's P^½, count of measured numbers and count of moves.
    """

    space: str
    variance: float
    temperature: float
    lr: float

    def objective(self, misfit: PerImage, variables: Variables, at: At) -> PerImage:
        """η·U, for a plain descent."""
        energy = misfit * variables[_COUNT] / (2 * self.variance) + gaussian_penalty(self._code(variables)) / 2
        return self.lr * energy

    def project(self, variables: Variables, at: At) -> Variables:
        moved, moves = variables[self.space], variables[_MOVES]
        noise = normal_like(moved, at.seeds, moves.long()[:, None])
        return {**variables, self.space: moved + (2 * self.lr * self.temperature) ** 0.5 * noise, _MOVES: moves + 1}

    def codes(self, variables: Variables) -> Variables:
        return {self.space: self._code(variables), **maps_of(variables), _MOVES: variables[_MOVES]}

    def _code(self, variables: Variables) -> Codes:
        """`z = z₀ + P^½ u`."""
        begun = variables[_BEGUN]
        if _WHERE not in variables:
            return begun
        moved, where, along, across = (variables[name] for name in (self.space, _WHERE, _ALONG, _ACROSS))
        flat = moved.flatten(1)
        steps = across * flat + by_row(where, (along - across) * by_row(where.mT, flat))
        return begun + steps.view_as(begun)
