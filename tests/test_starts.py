"""Where a search begins: apart from the pictures that people draw to test it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from solvers_support import linear

from priorsolve.operators import Identity
from priorsolve.priors import Prior
from priorsolve.solvers import Langevin, Latent, Solves, Tuned

SOLVERS: dict[str, Callable[[Prior], Solves]] = {
    "latent": lambda prior: Latent(prior, steps=0),
    "every start kept": lambda prior: Latent(prior, steps=0, restarts=16, candidates=16),
    "tuned": lambda prior: Tuned(prior, steps=0),
    "langevin": lambda prior: Langevin(prior, noise=0.01, steps=1, lr=1e-9),
}


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("count", [1, 2, 16, 64])
def test_a_picture_drawn_to_test_a_solver_is_not_among_its_starts(solver: str, count: int) -> None:
    """Its code was the best of the candidates, and exact: PSNR of 80 after three steps."""
    prior = linear()
    y = prior.decode(prior.sample(count, torch.Generator().manual_seed(0)))
    assert float(SOLVERS[solver](prior)(y, Identity()).residual.min()) > 1e-5
