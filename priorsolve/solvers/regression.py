"""A start by regression: the code that a photo's measurement predicts, learnt from pictures of the prior measured in the same way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from priorsolve.priors.bank import Bank, bank_of
from priorsolve.priors.base import Prior
from priorsolve.solvers.target import Measured
from priorsolve.types import Codes

CHUNK = 16
"""Pictures measured at a time."""
MOST = 1 << 16
"""Numbers of a measurement that are looked at; of more, which only large pictures have, every n-th, n being odd."""
SHRINKAGES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""λ that are tried, in units of the mean variance along the pictures."""


@final
@dataclass(frozen=True)
class Ridge:
    """Linear regression from measurements to codes that shrinks towards the mean: `ĉ = c̄ + (y − ȳ) Ycᵀ (Yc Ycᵀ + λI)⁻¹ Cc`.

    With N examples of m ≫ N numbers the N×N matrix is the small one. λ is the one of `SHRINKAGES` that predicts each example best from
    all others and their mean, which for ridge regression has a closed form (Allen's PRESS, 1974).
    """

    measurements: Tensor
    mean: Tensor
    weights: Tensor
    middle: Tensor
    errors: Tensor
    """(N, d) by how much the code of each example is off where all others predict it."""

    @staticmethod
    def fit(measurements: Tensor, codes: Tensor) -> Ridge:
        """From N examples: measurements (N, m) and codes (N, d)."""
        mean, middle = measurements.mean(0), codes.mean(0)
        centred, spread = measurements - mean, (codes - middle).cpu().double()  # not every device has float64, or is quick in it
        values, vectors = torch.linalg.eigh((centred @ centred.T).cpu().double())
        values, turned = values.clamp_min(0), vectors.T @ spread
        # without the direction of the mean, which leaves with the one left out: a centred row is minus the sum of the others
        moving = (vectors - vectors.mean(0)).square()

        def shrunk(shrinkage: float) -> tuple[float, Tensor, Tensor]:
            """How far the examples' predictions are off, the weights and the errors."""
            inverse = 1 / (values + shrinkage * values.mean()).clamp_min(1e-30)
            weights = vectors @ (inverse[:, None] * turned)
            errors = weights / (moving @ inverse)[:, None]
            return float(errors.square().mean()), weights.to(measurements), errors.to(measurements)

        _, weights, errors = min(map(shrunk, SHRINKAGES), key=lambda one: one[0])  # one by one: they may be as large as features
        return Ridge(centred, mean, weights, middle, errors)

    def __call__(self, y: Tensor) -> Tensor:
        """The code (1, d) of one measurement (1, m)."""
        return self.middle + ((y - self.mean) @ self.measurements.T) @ self.weights


def regressed(prior: Prior, space: str, measured: Measured, count: int, seeds: Sequence[int] | None = None) -> Codes:
    """(B, ...): for each image the code in `space` that its measurement predicts, by regression on `count` pictures of the prior.

    With a seed for each image a code that may be as well: off by as much as the prediction of one of those pictures is from all others,
    the seed says which. Such errors are what the measurement leaves open (the residual bootstrap, Efron 1979).

    Drawing the pictures is done once for all images; a regression is fitted once for all images that are measured alike.
    """
    bank = bank_of(prior, count)
    codes = prior.map(bank.codes, source=prior.first_space, target=space)
    ridge: Ridge | None = None
    predicted = []
    for place in range(measured.count):
        if ridge is None or not measured.alike:
            ridge = Ridge.fit(_measure(bank, measured, place), codes.flatten(1))
        code = ridge(_thinned(measured.y[place : place + 1]))
        if seeds is not None:
            code = code + ridge.errors[torch.randint(count, (1,), generator=torch.Generator().manual_seed(seeds[place]), device="cpu")]
        predicted.append(code.view(1, *codes.shape[1:]))
    return torch.cat(predicted) if predicted else codes[:0]


def _measure(bank: Bank, measured: Measured, place: int) -> Tensor:
    """(N, m): what the operator of the image at `place` makes of the bank's pictures, 0 in holes."""
    rows = []
    for start in range(0, len(bank), CHUNK):
        images = bank.images(start, min(start + CHUNK, len(bank)))
        rows.append(_thinned(measured.others(images, place)))
    return torch.cat(rows)


def _thinned(measurements: Tensor) -> Tensor:
    flat = measurements.flatten(1)
    return flat[:, :: math.ceil(flat.shape[1] / MOST) | 1] if flat.shape[1] > MOST else flat
