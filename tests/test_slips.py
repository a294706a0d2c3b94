"""Slips that would give a wrong answer without a word: a loss's network in training, pictures in [-1, 1]."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from solvers_support import linear, pictures
from torch import Tensor, nn

from priorsolve.losses import Mixture, l2
from priorsolve.operators.base import Identity
from priorsolve.solvers import Latent


class Compared(nn.Module):
    """A loss with a network in it."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 3, 1), layer)

    def forward(self, estimate: Tensor, measured: Tensor, where: Tensor) -> Tensor:
        return l2(self.features(estimate), self.features(measured), where)


@pytest.mark.parametrize("layer", [nn.BatchNorm2d(3), nn.Dropout(0.5)])
@pytest.mark.parametrize("given", [lambda net: net, lambda net: net.forward])
def test_a_network_in_training_is_no_loss(layer: nn.Module, given: Callable[[nn.Module], Any]) -> None:
    network, prior, y = Compared(layer), linear(torch.float32), pictures(2, torch.float32)
    message = r"loss, .*, is in training mode, where .* neighbours or on chance; call its eval\(\)$"
    with pytest.raises(ValueError, match=f"^{message}"):
        Latent(prior, loss=given(network))
    with pytest.raises(ValueError, match=f"^a mixture's {message}"):
        Mixture([(given(network), 1.0)])
    solver = Latent(prior, steps=2, restarts=1, candidates=2, loss=given(network.eval()))
    solver(y, Identity())
    before = {name: value.clone() for name, value in network.train().state_dict().items()}
    with pytest.raises(ValueError, match=f"^the {message}"):
        solver(y, Identity())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def smooth(count: int) -> Tensor:
    """Dark on the left, bright on the right, in [0, 1]."""
    return torch.linspace(0, 1, 8).expand(count, 3, 8, 8).double()


@pytest.mark.parametrize("operator", [Identity(), lambda x: x], ids=["ours", "theirs"])
def test_pictures_around_0_are_told(operator: Any) -> None:
    y = torch.cat([smooth(1), 2 * smooth(1) - 1])
    y[0, 0, 0, 0] = math.nan
    with pytest.raises(ValueError, match=r"^measurement 1 has values down to -1, and the operator .* give \(y \+ 1\) / 2$"):
        Latent(linear(), steps=2)(y, operator)


@pytest.mark.parametrize("sigma", [0.25, 0.5, 1.0])
def test_noise_on_dark_pictures_is_none_of_their_range(sigma: float) -> None:
    y = 0.1 * smooth(4) + sigma * torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1)).double()
    solution = Latent(linear(), steps=1)(y, Identity())
    torch.testing.assert_close(solution.misfit, (solution.images - y).square().mean((1, 2, 3)))
    around = Latent(linear(), steps=1)(2 * smooth(2) - 1, lambda x: 2 * x - 1)  # nor are values that the operator makes
    torch.testing.assert_close(around.misfit, 4 * (around.images - smooth(2)).square().mean((1, 2, 3)))
