"""Exact inversion, layer by layer: from the picture back to the code, each layer by a linear program or least squares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy
import torch
from torch import Tensor

from priorsolve.losses import Loss, l2
from priorsolve.operators.base import Identity, LinearOperator, Operator, factors
from priorsolve.operators.mask import Masking
from priorsolve.priors.base import Prior
from priorsolve.priors.kept import kept_of
from priorsolve.solvers.chain import Chain
from priorsolve.solvers.checks import (
    checked_seeds,
    must_be_callback,
    must_be_positive,
    must_be_searchable,
    must_be_settings,
    unwrapped,
)
from priorsolve.solvers.one_layer import Norm, estimated, inverted, value_range
from priorsolve.solvers.solution import OnStep, Solution, Step, tell
from priorsolve.solvers.stopping import Stop
from priorsolve.solvers.target import Measured
from priorsolve.types import AnyOperator, Measurements, OnProgress

EXACT = 1e-5
"""Root mean squared residual, in picture units, up to which only rounding is left."""


@final
@dataclass(frozen=True)
class Layerwise:
    """The code of a small ReLU or LeakyReLU generator without a search: the last layer is undone first, the first one last.

    For generators whose every layer makes more numbers than it takes (with random weights about twice as many are enough for a unique
    answer, with high probability), pictures as they are or with holes. What the prior can draw is found exactly; of noise each layer
    passes some on, so that a stage of `Latent` after this one can still help. A step is a layer, and the history holds the misfit of
    what the features found so far draw: it may rise toward the code.

    Args:
        prior: a chain of Linear, Conv2d, ConvTranspose2d and BatchNorm layers with ReLU, LeakyReLU, Tanh, Sigmoid or Softplus.
        norm: of the residual at each ReLU. linf: everywhere a little noise; l1: a few numbers that are quite wrong, pixels included.
        noise: known standard deviation of the measurement's noise: an image whose residual is no larger is told as stopped by the noise.
        largest: refuse layers with more unknowns × equations than this. A program of 4 million takes seconds to minutes, and with noise
            about ten are solved for a layer.
        seed: as every solver has one; nothing is drawn.

    Raises:
        ValueError: the prior has a block that cannot be inverted, or a layer that takes more than it makes or is too large.

    Source: Lei, Jalal, Dhillon & Dimakis, "Inverting Deep Generative Models, One Layer at a Time", NeurIPS 2019.
    """

    prior: Prior
    norm: Norm = "linf"
    noise: float | None = None
    largest: int = 4_000_000
    seed: int = 0

    def __post_init__(self) -> None:
        must_be_settings(self)
        must_be_positive(self, "noise", "largest")
        facts = [
            (layer, f"layerwise: block {layer.block} of {self.prior} makes {layer.outputs} numbers of {layer.inputs}")
            for layer in self._chain.layers
        ]
        for layer, fact in facts:
            if layer.outputs < layer.inputs:
                raise ValueError(f"{fact}, which leaves many inputs possible; use the solver latent")
        for layer, fact in facts:  # after what no size would mend
            if layer.outputs * layer.inputs > self.largest:
                raise ValueError(f"{fact}, a program with more than {self.largest} coefficients; raise largest, or use the solver latent")

    @property
    def steps(self) -> int:
        """One for each layer."""
        return len(self._chain.layers)

    descends = amplifies = samples = False
    """No gradient is asked of the operator, nothing goes from step to step, and there is one answer."""
    no_start = "layerwise: begins at the measurement, not at another solution; make it the first stage"

    @property
    def loss(self) -> Loss:
        """What misfits are told in; nothing is made small by it."""
        return l2

    def prepare(self, on_progress: OnProgress | None = None) -> None:
        """As a solver's own: nothing is drawn ahead."""

    def passes(self, steps: int, *, started: bool = False) -> int:
        """As a solver's own: a step draws one picture, to be compared."""
        return steps

    def varied(self) -> Layerwise:
        """As a solver's own: nothing varies."""
        return self

    def noisier(self, times: float) -> Layerwise:
        """As a solver's own."""
        return self if self.noise is None else replace(self, noise=times * self.noise)

    def noiseless(self) -> Layerwise:
        """As a solver's own: it stops at no level."""
        return self

    @torch.inference_mode(False)
    @torch.no_grad()
    def __call__(
        self,
        y: Measurements,
        operator: AnyOperator,
        *,
        seeds: Sequence[int] | None = None,
        start: Solution | None = None,
        on_step: OnStep | None = None,
    ) -> Solution:
        """As a solver's own call. The seeds change nothing.

        Raises:
            ValueError: the operator is neither the identity nor a mask, too little is left to see, or there is a start.
        """
        must_be_callback(on_step)
        must_be_searchable(self.prior)
        like = next(self.prior.parameters())
        with torch.autocast(like.device.type, enabled=False):  # in whose types nothing is exact
            mask = _mask(unwrapped(operator))
            measured = Measured(y, operator, tuple(self.prior.image_shape), like=like)
            if seeds is not None:
                checked_seeds(seeds, measured.count)
            if start is not None:
                raise ValueError(self.no_start)
            return self._solved(measured, mask, on_step)

    def _solved(self, measured: Measured, mask: LinearOperator, on_step: OnStep | None) -> Solution:
        chain = self._chain
        steps = len(chain.layers)
        features, known, alive = _output(chain, measured, mask)
        here = alive.to(measured.y.device)
        target = measured.whole()
        history: list[Tensor] = []
        failed: set[int] = set()
        for k in reversed(range(steps)):
            features, stuck = self._undo(chain, k, features, known, alive)
            failed |= stuck
            known = torch.ones_like(features)
            images = chain.picture(features, k).to(measured.y)
            history.append(target.misfit(target.estimate(images), l2).where(here, torch.inf))
            if on_step is not None:
                tell(on_step, Step(steps - k, steps, history[-1], here & (k > 0)), images.clone)
        space = self.prior.first_space
        codes = features.reshape(-1, *self.prior.spaces[space]).to(measured.y)
        images = self.prior.decode(codes, space)
        estimate = target.estimate(images)
        residual = target.residual(estimate)
        history[-1] = target.misfit(estimate, l2).where(here, torch.inf)
        return Solution(
            images=images,
            codes={space: codes},
            misfit=history[-1],
            residual=residual,
            steps=steps * here.long(),
            stopped=tuple(
                self._stop(value) if alive[i] and i not in failed else Stop.diverged for i, value in enumerate(residual.tolist())
            ),
            history=torch.stack(history),
        )

    @property
    def _chain(self) -> Chain:
        """The prior's layers, copied once for its weights, and anew when those have changed."""
        return kept_of(self.prior, Chain, lambda: _layers_of(self.prior))

    def _undo(self, chain: Chain, k: int, outputs: Tensor, known: Tensor, alive: Tensor) -> tuple[Tensor, set[int]]:
        """What entered layer `k`, (B, inputs), each image by itself; zeros where one is not alive.

        Beside it the images whose linear program failed for numerical reasons: they go on with an estimate.
        """
        layer = chain.layers[k]
        bounds = value_range(chain.layers[k - 1].activation if k else None)
        matrix, bias = layer.matrix()
        found, failed = torch.zeros(len(outputs), layer.inputs, dtype=torch.float64), set[int]()
        for i in alive.nonzero().flatten().tolist():
            given = matrix, bias, outputs[i], known[i].numpy(), layer.activation, bounds
            try:
                u = inverted(*given, self.norm)
            except ArithmeticError:
                failed.add(i)
                u = estimated(*given)
            found[i] = torch.from_numpy(numpy.array(u))
        return found, failed

    def _stop(self, residual: float) -> Stop:
        if residual <= EXACT:
            return Stop.exact
        return Stop.noise if self.noise is not None and residual <= self.noise else Stop.budget


def _layers_of(prior: Prior) -> Chain:
    with torch.autocast(next(prior.parameters()).device.type, enabled=False):
        return Chain.of(prior, "layerwise")


def _mask(operator: object) -> LinearOperator:
    """The operator, if all it does is to leave pixels out. Raises ValueError otherwise."""
    if isinstance(operator, Operator) and all(isinstance(part, Identity | Masking) for part in factors(operator)):
        assert isinstance(operator, LinearOperator)
        return operator
    raise ValueError(
        f"layerwise: cannot look through {operator}: it mixes pixels behind the last activation, or nothing is known of it; "
        "only the identity and masks can be undone, so use the solver latent"
    )


def _output(chain: Chain, measured: Measured, mask: LinearOperator) -> tuple[Tensor, Tensor, Tensor]:
    """What left the last layer, as far as it was seen, and how strongly it was (0 in holes): (B, outputs) each, float64 on the CPU.

    Beside them (B,) which of the images are finite; others cannot be undone.
    """
    strength = mask.A(torch.ones(measured.count, *chain.image_shape, device=measured.y.device, dtype=measured.y.dtype))
    seen = torch.where(strength > 0, mask.A_dagger(measured.y), 0)
    output = (seen.cpu().double() - chain.offset) / chain.scale
    known = strength.cpu().double().flatten(1)
    fewest, unknowns = min((known > 0).sum(1).tolist(), default=None), chain.layers[-1].inputs
    if fewest is not None and fewest < unknowns:
        raise ValueError(
            f"layerwise: only {fewest} numbers of a picture were measured, for {unknowns} unknowns of the prior's last layer; "
            "use the solver latent"
        )
    return output.flatten(1), known, output.flatten(1).isfinite().all(1)
