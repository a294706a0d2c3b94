"""What one layer is inverted by, beside what it is for in `layerwise`."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import sparse
from torch import nn

from priorsolve.solvers.programs import inverted


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
