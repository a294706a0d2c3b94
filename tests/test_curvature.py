"""How steep a function may be in the directions that Lanczos' iteration did not reach."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from priorsolve.operators.base import Identity
from priorsolve.priors.linear import LinearPrior
from priorsolve.solvers import Langevin, start_at
from priorsolve.solvers.curvature import curvatures

SPECTRA: dict[str, Callable[[int], Tensor]] = {
    "even": lambda n: torch.linspace(6, 0.5, n),
    "flat": lambda n: torch.full((n,), 3.0),
    "falling": lambda n: 6 * torch.exp(-torch.arange(n) / 8),
    "few": lambda n: (torch.arange(n) < 10) * 3.0,
}
"""Singular values."""
SHAPE = (3, 16, 16)


def turned(kind: str, n: int) -> Tensor:
    """(768, n) with these singular values."""
    rng = torch.Generator().manual_seed(n)
    left, right = (torch.linalg.qr(torch.randn(rows, n, generator=rng, dtype=torch.float64))[0] for rows in (768, n))
    W: Tensor = (left * SPECTRA[kind](n).double()) @ right.mT
    return W


@pytest.mark.parametrize("kind", SPECTRA)
@pytest.mark.parametrize("n", [33, 64, 200])
def test_what_was_not_looked_at_is_bounded_and_not_far_above(kind: str, n: int) -> None:
    W = turned(kind, n)
    found = curvatures(lambda z: z @ W.mT, torch.zeros(1, n, dtype=torch.float64), 32)
    outside = torch.eye(n, dtype=torch.float64) - found.directions[0] @ found.directions[0].mT
    largest = float(torch.linalg.eigvalsh(outside @ W.mT @ W @ outside)[-1])
    steepest = float(found.values[0, -1])
    assert 0.8 * largest - 1e-12 <= float(found.across) <= 1.1 * steepest
    if kind in ("falling", "few"):
        assert float(found.across) <= largest + 0.01 * steepest


def test_with_every_direction_nothing_is_across() -> None:
    W = turned("even", 20)
    assert curvatures(lambda z: z @ W.mT, torch.zeros(1, 20, dtype=torch.float64), 32).across.tolist() == [0.0]


@pytest.mark.parametrize("kind", ["even", "flat"])
def test_langevin_stays_near_where_it_begins_with_more_directions_than_it_looks_at(kind: str) -> None:
    """At the posterior's mean, where the eigenvalues found say nothing of how steep the others are."""
    n, noise = 100, 0.05
    prior = LinearPrior(0.6 * turned(kind, n), torch.full((768,), 0.5, dtype=torch.float64), SHAPE)
    truth, error = (torch.randn(1, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64) for size in (n, 768))
    y = prior.decode(truth) + noise * error.view(1, *SHAPE)
    precision = torch.eye(n, dtype=torch.float64) + prior.weight.mT @ prior.weight / noise**2
    mean = torch.linalg.solve(precision, prior.weight.mT @ (y - 0.5).flatten() / noise**2)
    code = Langevin(prior, noise=noise)(y, Identity(), seeds=[1], start=start_at(prior, mean[None])).codes["z"][0] - mean
    assert 0.5 * n < float(code @ precision @ code) < 2 * n  # χ² of n, at most 1 / (1 − η/2) too large
