"""Samples of the posterior: many codes that all explain the measurement, as far as its noise lets one tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor

from priorsolve.counter_rng import normal_like
from priorsolve.losses import Loss, l2
from priorsolve.penalties import gaussian_penalty
from priorsolve.priors.base import Prior
from priorsolve.solvers.base import CodeSolver, Keep
from priorsolve.solvers.checks import must_be_at_least, must_be_positive, must_be_space
from priorsolve.solvers.drawing import carried, maps_of, picture
from priorsolve.solvers.fit import is_out_of_memory
from priorsolve.solvers.optimisers import Descent, Optimiser
from priorsolve.solvers.schedule import Schedule
from priorsolve.solvers.solution import Solution
from priorsolve.solvers.starts import best_sampled
from priorsolve.solvers.target import Measured
from priorsolve.solvers.task import At, Task
from priorsolve.solvers.variables import Variables
from priorsolve.types import Images, PerImage

_NORMAL = ("z", "p_n", "p_n+")
_ONCE = (
    "langevin: finds its step by gradients of gradients, and the operator (or the prior) has none ({}); "
    "write it with torch functions that can be differentiated twice, or use the solver latent"
)


@final
@dataclass(frozen=True)
class Langevin(CodeSolver):
    """Unadjusted Langevin sampling of `p(z | y) ∝ exp(−U)`, `U = ‖A(G(z)) − y‖²/2σ² + ‖z‖²/2`: `z ← z − η·∇U + √(2ηT)·ξ`.

    The last state is the sample; another seed gives another one. It starts at a solution, which saves the way to the posterior's bulk, or
    at the best of sampled codes. The step η must be small against the posterior's narrowest direction; too large a one diverges.

    Args:
        prior: the generator.
        noise: σ, the known standard deviation of the measurement's noise, in the measurement's units.
        space: one of standard normal codes: z or p_n; the prior's first if left out.
        steps: moves.
        lr: η in units of 1/λ, λ being the largest curvature of U at the start, found by power iteration; below 2 is stable near there.
        temperature: T; 1 is the posterior's own, less is more certain.
        candidates: sampled codes of which the best is the start.
        seed: for images that are given none.

    Source: Welling & Teh, "Bayesian Learning via Stochastic Gradient Langevin Dynamics", ICML 2011, eq. 4 with full gradients.
    """

    prior: Prior
    noise: float
    space: str | None = None
    steps: int = 300
    lr: float = 0.3
    temperature: float = 1.0
    candidates: int = 64
    seed: int = 0
    loss: Loss = field(default=l2, init=False)
    keep: Keep = field(default="last", init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        must_be_at_least(self, steps=0, lr=0, temperature=0, candidates=1)
        must_be_positive(self, "noise")
        must_be_space(self.prior, self.code_space)
        if self.code_space not in _NORMAL:
            raise ValueError(f"space is {self.code_space!r}; langevin needs one of standard normal codes: {', '.join(_NORMAL)}")

    @property
    def schedule(self) -> Schedule:
        return Schedule(1.0, 0.0, "none")

    @property
    def samples(self) -> bool:
        return True

    def fresh_optimiser(self) -> Optimiser:
        return Descent()

    def begin(self, prior: Prior, measured: Measured, seeds: Sequence[int], start: Solution | None) -> Task:
        space = self.code_space
        if start is not None:
            begun = carried(prior, start.codes, space)
            codes, maps = begun[space].to(measured.y, copy=True), {name: value.to(measured.y) for name, value in maps_of(begun).items()}
        else:
            maps = {}
            codes = best_sampled(prior, space, measured, seeds, self.loss, candidates=self.candidates)
        search = _LangevinSearch(
            variables={space: codes, **maps},
            spread={space: codes.new_ones(())},
            held=frozenset({"eta", "m", *maps}),
            prior=prior,
            space=space,
            variance=self.noise**2,
            temperature=self.temperature,
        )
        steepest = codes.new_zeros(len(codes))
        if self.steps:  # without any, no gradient is asked of the operator
            everyone = measured.target(torch.arange(measured.count, device=codes.device), 1)
            steepest = largest_curvature(lambda z: everyone.estimate(picture(prior, {space: z, **maps})) * everyone.where, codes)
        search.variables |= {"eta": self.lr / (1 + steepest / search.variance), "m": measured.where.flatten(1).sum(1)}
        return search


@dataclass(kw_only=True)
class _LangevinSearch(Task):
    """A code, noise maps that an earlier solver moved, and beside them each row's step `eta` and its count of measured numbers `m`."""

    prior: Prior
    space: str
    variance: float
    temperature: float

    def draw(self, variables: Variables, at: At) -> Images:
        return picture(self.prior, self.codes(variables))

    def objective(self, misfit: PerImage, variables: Variables, at: At) -> PerImage:
        """η·U, so that a plain descent moves each row by its own η."""
        energy = misfit * variables["m"] / (2 * self.variance) + gaussian_penalty(variables[self.space]) / 2
        return variables["eta"] * energy

    def project(self, variables: Variables, at: At) -> Variables:
        codes = variables[self.space]
        shake = normal_like(codes, at.seeds, at.step)
        size = (2 * self.temperature * variables["eta"]).sqrt().view(-1, *[1] * (codes.ndim - 1))
        return {**variables, self.space: codes + size * shake}

    def codes(self, variables: Variables) -> Variables:
        return {self.space: variables[self.space], **maps_of(variables)}


def largest_curvature(function: Callable[[Tensor], Tensor], codes: Tensor, iterations: int = 12) -> PerImage:
    """The largest eigenvalue of JᵀJ for each row, J being the derivative of `function` there: power iteration, from below.

    J·vector is the derivative of Jᵀ·probe by the probe. Raises ValueError where a gradient has none.
    """
    with torch.enable_grad():
        leaf = codes.detach().requires_grad_()
        made = function(leaf)
        probe = torch.zeros_like(made, requires_grad=True)
        (pulled,) = torch.autograd.grad(made, leaf, probe, create_graph=True)  # Jᵀ·probe, linear in the probe
    vector = torch.ones_like(codes)
    size = vector.flatten(1).norm(dim=1)
    for _ in range(iterations):
        vector = vector / size.clamp_min(1e-30).view(-1, *[1] * (codes.ndim - 1))
        try:
            (pushed,) = torch.autograd.grad(pulled, probe, vector, retain_graph=True)
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            raise ValueError(_ONCE.format(str(error).partition("\n")[0])) from error
        (vector,) = torch.autograd.grad(made, leaf, pushed, retain_graph=True)
        size = vector.flatten(1).norm(dim=1)
    largest: PerImage = size
    return largest
