"""Measurements that are refused for the numbers they have, and such as are not."""

from __future__ import annotations

import pytest
import torch
from solvers_support import linear, pictures, smooth
from torch import Tensor

from priorsolve.operators.base import Identity
from priorsolve.operators.mask import Mask
from priorsolve.priors import LinearPrior
from priorsolve.solvers import Latent


def test_measurements_of_no_range_that_is_known_are_let_in() -> None:
    """Beyond [-1, 1]; brighter than what is made of noise, which averages make grey; and negative ones of an operator that makes such."""
    y = 3 * (2 * smooth(2) - 1.2)
    wide = Latent(linear(), steps=1)(y, Identity())
    torch.testing.assert_close(wide.misfit, (wide.images - y).square().mean((1, 2, 3)))
    bright = torch.full((2, 3), 0.9 * 20, dtype=torch.float64)
    mean = Latent(linear(), steps=1)(bright, lambda x: 20 * x.mean((2, 3)))
    torch.testing.assert_close(mean.misfit, (20 * mean.images.mean((2, 3)) - bright).square().mean(1))
    negative = Latent(linear(), steps=5, restarts=2)(-255 * pictures(2), lambda x: -255 * x)
    torch.testing.assert_close(negative.images, Latent(linear(), steps=5, restarts=2)(pictures(2), Identity()).images)


def test_few_numbers_below_0_are_chance() -> None:
    """Four pairs in five agree: of 30 that may be chance, of 50 not."""
    y = torch.full((1, 3, 8, 8), 0.5, dtype=torch.float64)

    def dark(pairs: int) -> Tensor:
        low = y.clone()
        low.view(-1, 8)[: pairs // 4, :5] = -0.5  # four pairs in each row
        return low

    assert bool(Latent(linear(), steps=1)(dark(24), Identity()).misfit.isfinite().all())
    with pytest.raises(ValueError, match=r"give \(y \+ 1\) / 2$"):
        Latent(linear(), steps=1)(dark(40), Identity())


def test_pictures_around_0_need_not_be_dark_in_most_places() -> None:
    y = smooth(1) + 0.1
    y[:, :, :2] -= 1.2  # a quarter of all, and neighbours
    with pytest.raises(ValueError, match=r"down to -1.1, .* give \(y \+ 1\) / 2$"):
        Latent(linear(), steps=1)(y, Identity())


def test_where_little_was_measured_a_little_that_is_dark_is_most_of_it() -> None:
    known = torch.zeros(32, 32)
    known[:8, :6] = 1
    mask, black = Mask(known), torch.full((1, 3, 32, 32), -0.9)
    with pytest.raises(ValueError, match=r"down to -0.9, .* give \(y \+ 1\) / 2$"):
        Latent(LinearPrior.random(4, (3, 32, 32)), steps=1)(mask.A(black), mask)
