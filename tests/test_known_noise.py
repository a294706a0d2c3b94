"""The noise level that a record judges by is that of what was measured."""

from __future__ import annotations

import pytest
import run_support as run
import torch
from torch import Tensor

from priorsolve.operators.noise import Chain, Gaussian, Noise, Poisson, SaltPepper
from priorsolve.run.diagnosis import known_noise

RECIPE = run.quick(operator="gray", noise=[])


def true_and_told(noise: Noise, x: Tensor, *, written: bool) -> tuple[float, float]:
    """What the true picture leaves of a measurement, which may have gone through a file of 8 bits, and what is known of it."""
    y = noise(x, rng=torch.Generator().manual_seed(0))
    y = (y.clamp(0, 1) * 255).round() / 255 if written else y
    (told,) = known_noise(RECIPE, noise, y, torch.ones(1))
    assert told is not None
    return float((y - x).square().mean().sqrt()), told


@pytest.mark.parametrize(("value", "level"), [(0.0, 0.2 / 2**0.5), (0.5, 0.2), (1.0, 0.2 / 2**0.5)])
def test_what_a_file_cuts_off_at_black_and_white_is_no_noise_any_more(value: float, level: float) -> None:
    """Of white half of the noise is cut off, and the true picture was told to fit better than the noise."""
    left, told = true_and_told(Gaussian(0.2), torch.full((1, 3, 128, 128), value), written=True)
    assert [left, told] == pytest.approx([level] * 2, rel=0.02)


@pytest.mark.parametrize("noise", [Gaussian(0.1), Gaussian(0.2), Poisson(10), Poisson(30), Chain([Poisson(30), Gaussian(0.1)])], ids=repr)
def test_a_picture_in_a_file_is_known_to_a_twentieth(noise: Noise) -> None:
    """Of every value as much: the level was up to a fifth too high."""
    x = torch.linspace(0, 1, 128**2).view(1, 1, 128, 128).expand(1, 3, 128, 128)
    left, told = true_and_told(noise, x, written=True)
    assert told == pytest.approx(left, rel=0.05)
    left, told = true_and_told(noise, x, written=False)
    assert told == pytest.approx(left, rel=0.02), "what goes beyond black and white was not cut off"


def test_nothing_is_taken_off_for_salt_and_pepper_nor_where_nothing_else_is_left() -> None:
    x = torch.linspace(0, 1, 128**2).view(1, 1, 128, 128)
    left, told = true_and_told(SaltPepper(0.1), x, written=True)
    assert told == pytest.approx(left, rel=0.02)
    black = torch.zeros(1, 3, 8, 8)
    assert known_noise(RECIPE, Gaussian(0.2), black, torch.ones(1)) == [pytest.approx(0.2)]


def test_holes_are_not_black() -> None:
    x, hole = torch.full((1, 3, 128, 128), 0.5), torch.ones(128, 128)
    hole[:, :64] = 0
    y = Gaussian(0.05)(x, rng=torch.Generator().manual_seed(0)) * hole
    assert known_noise(RECIPE, Gaussian(0.05), y, hole[None, None]) == [pytest.approx(0.05)]
