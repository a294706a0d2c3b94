"""What one layer is inverted by, beside what it is for in `layerwise`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse
from torch import nn

from priorsolve.solvers import one_layer
from priorsolve.solvers.one_layer import estimated, inverted, undone, value_range


@pytest.mark.parametrize("activation", [None, nn.Sigmoid()])
def test_a_residual_of_least_squares_counts_its_importance_times_the_activations_slope(activation: nn.Module | None) -> None:
    rng = np.random.default_rng(0)
    matrix, bias, h, importance = rng.normal(size=(12, 3)), rng.normal(size=12), rng.uniform(0.1, 0.9, 12), rng.uniform(0.1, 1, 12)
    before, slope = (h, 1.0) if activation is None else (np.log(h / (1 - h)), h * (1 - h))
    weight = slope * importance
    expected = np.linalg.lstsq(weight[:, None] * matrix, weight * (before - bias), rcond=None)[0]
    everywhere = (-math.inf, math.inf)
    found = inverted(sparse.csr_array(matrix), bias, torch.from_numpy(h), importance, activation, everywhere, "linf")
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_a_residual_below_zero_counts_by_the_slope_there() -> None:
    """Of what a LeakyReLU of slope 0.1 made: 1 and -1 for one number u, so that (u − 1)² + 0.1² (u + 1)² is to be small."""
    h = torch.tensor([1.0, -0.1], dtype=torch.float64)
    everywhere = (-math.inf, math.inf)
    found = inverted(sparse.csr_array(np.ones((2, 1))), np.zeros(2), h, np.ones(2), nn.LeakyReLU(0.1), everywhere, "linf")
    np.testing.assert_allclose(found, [0.99 / 1.01], atol=1e-6)


def rectified(size: float, seed: int = 0) -> tuple[Any, Any, torch.Tensor, Any]:
    """W, b, max(W u + b, 0) of which a fifth is wrong by about `size`, and u."""
    rng = np.random.default_rng(seed)
    matrix, bias, u = rng.normal(size=(200, 20)), 0.3 * rng.normal(size=200), rng.normal(size=20)
    h = np.maximum(matrix @ u + bias, 0)
    wrong = rng.choice(200, 40, replace=False)
    h[wrong] = np.abs(h[wrong] + size * np.abs(rng.normal(size=40)))
    return sparse.csr_array(matrix), bias, torch.from_numpy(h), u


@pytest.mark.parametrize("size", [3.0, 30.0, 3000.0])
def test_wrong_numbers_behind_a_relu_are_no_noise_however_large_they_are(size: float) -> None:
    matrix, bias, h, u = rectified(size)
    found = inverted(matrix, bias, h, np.ones(200), nn.ReLU(), (-math.inf, math.inf), "l1")
    np.testing.assert_allclose(found, u, atol=1e-6)


def test_where_a_later_program_fails_the_one_before_it_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix, bias, h, _ = rectified(0.1)
    noisy = h + 0.01 * torch.rand(200, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    given = matrix, bias, noisy, np.ones(200), nn.ReLU(), (-math.inf, math.inf)
    real, answers = one_layer._program, list[Any]()

    def failing(*given: Any) -> Any:
        if len(answers) == 2:
            raise ArithmeticError
        answers.append(real(*given))
        return answers[-1]

    monkeypatch.setattr(one_layer, "_program", failing)
    assert inverted(*given, "linf") is answers[1][0]


def test_an_estimate_keeps_within_the_bounds() -> None:
    h, ones = torch.tensor([-1.0, -1.0], dtype=torch.float64), np.ones(2)
    for bounds, expected in (((0.0, math.inf), 0.0), ((-0.5, 0.5), -0.5), ((-math.inf, math.inf), -1.0)):
        found = estimated(sparse.csr_array(np.ones((2, 1))), np.zeros(2), h, ones, None, bounds)
        np.testing.assert_allclose(found, [expected], atol=1e-12)


def test_an_estimate_takes_the_zeros_of_a_relu_for_no_equations() -> None:
    rng = np.random.default_rng(0)
    matrix, bias, u = rng.normal(size=(40, 5)), rng.normal(size=40), rng.normal(size=5)
    h = torch.from_numpy(np.maximum(matrix @ u + bias, 0))
    assert 5 < int((h == 0).sum()) < 35
    found = estimated(sparse.csr_array(matrix), bias, h, np.ones(40), nn.ReLU(), (-math.inf, math.inf))
    np.testing.assert_allclose(found, u, atol=1e-9)


@pytest.mark.parametrize("activation", [nn.Softplus(), nn.Sigmoid(), nn.Tanh(), nn.LeakyReLU(0.2), nn.ReLU()])
def test_an_activations_range_is_what_leaves_it(activation: nn.Module) -> None:
    """And what enters the layer after it: a bound that is lacking there would let noise in, one too many would keep answers out."""
    made = activation(torch.tensor([-1e4, 1e4], dtype=torch.float64)).tolist()
    assert value_range(activation) == tuple(end if abs(end) < 100 else math.copysign(math.inf, end) for end in made)
    assert value_range(None) == (-math.inf, math.inf)


@pytest.mark.parametrize("activation", [nn.Softplus(), nn.Sigmoid(), nn.Tanh(), nn.LeakyReLU(0.2), nn.ReLU()])
def test_what_noise_brings_beyond_an_activations_range_is_undone_as_its_edge(activation: nn.Module) -> None:
    values, slopes = undone(activation, torch.tensor([-1.5, 0.0, 1.5], dtype=torch.float64))
    assert bool(values.isfinite().all())
    assert bool((slopes > 0).all())


@pytest.mark.parametrize("seed", range(3))
def test_a_little_noise_behind_a_relu_that_lets_little_through_stays_little(seed: int) -> None:
    """A fifth of the numbers is not 0, and what these need tells how strong the noise is, not what the others do."""
    rng = np.random.default_rng(seed)
    matrix, bias, u = rng.normal(size=(400, 20)), np.full(400, -4.0), rng.normal(size=20)
    h = torch.from_numpy(np.abs(np.maximum(matrix @ u + bias, 0) + 0.05 * rng.normal(size=400)))
    found = inverted(sparse.csr_array(matrix), bias, h, np.ones(400), nn.ReLU(), (-math.inf, math.inf), "l1")
    assert np.abs(found - u).max() < 0.03
