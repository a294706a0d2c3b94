"""Losses of users, alone and in those that are made of losses, and what is told where one is not as it must be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from prior_support import made
from solvers_support import linear, pictures
from torch import Tensor, nn
from torch.nn import functional as F

from priorsolve.losses import Mixture, MultiResolution, l2
from priorsolve.losses.base import Distance
from priorsolve.operators.base import Identity
from priorsolve.solvers import Latent, Pivotal

GAIN = nn.Parameter(torch.ones(()))
"""Of a loss of which something is trained, too."""


def windowed(one: Tensor, other: Tensor, window: int) -> Tensor:
    return (one - other).flatten(1).mean(1) / window


@pytest.mark.parametrize(
    "loss",
    ["l1", None, {"huber": {}}, ["l1"], nn.MSELoss(), nn.MSELoss, F.l1_loss, F.huber_loss, windowed, lambda estimate, measured: estimate],
)
def test_a_loss_that_is_none_is_told_at_once(loss: Any) -> None:
    message = "is .*; it must be a function of estimate, measurement and mask that gives one number per image, .*names are for recipes$"
    with pytest.raises(ValueError, match=f"^loss {message}"):
        Latent(linear(), loss=loss)
    with pytest.raises(ValueError, match=f"^locality_loss {message}"):
        Pivotal(linear(), locality_loss=loss)
    if loss is not None:
        with pytest.raises(ValueError, match=f"^stop_loss {message}"):
            Pivotal(linear(), stop_at=0.1, stop_loss=loss)


class Settled:
    """A loss of `against` alone, by what it makes of the measurement and the mask, and by its distance."""

    def __init__(self, far: Callable[[Tensor, Tensor, Tensor], Tensor] = l2, first: Callable[[Tensor, Tensor], object] = torch.mul) -> None:
        self.far, self.first = far, first

    def against(self, measured: Tensor, where: Tensor) -> Distance:
        self.first(measured, where)
        return lambda estimate: self.far(estimate, measured, where)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda e, y, where: (e - y).square().mean(), r"^the loss gives a tensor of shape \(\) for \d+ images; .* one number per image"),
        (lambda e, y, where: (e - y).square(), r"^the loss gives a tensor of shape \(\d+, 3, 8, 8\)"),
        (lambda e, y, where: (e - y).flatten(1).mean(1, keepdim=True), r"^the loss gives a tensor of shape \(\d+, 1\)"),
        (lambda e, y, where: 0.5, r"^the loss gives a float"),
        (lambda e, y, where: y.sub_(e).square().flatten(1).mean(1), r"^the loss changes the measurement, .*; write e - m, not e\.sub_"),
        (lambda e, y, where: (e - y.nan_to_num_()).square().flatten(1).mean(1), r"^the loss changes the measurement"),
        (lambda e, y, where: e.sub_(y).square().flatten(1).mean(1), r"^the loss changes the estimate"),
        (lambda e, y, where: ((e - y) * where.div_(2)).square().flatten(1).mean(1), r"^the loss changes the mask"),
        (Mixture([(lambda e, y, where: e.sub_(y).square().flatten(1).mean(1), 1.0)]), r"^the loss changes the estimate"),
        (Settled(lambda e, y, where: e.sub_(y).square().flatten(1).mean(1)), r"^the loss changes the estimate"),
        (Settled(lambda e, y, where: y.sub_(e.detach()).square().flatten(1).mean(1)), r"^the loss changes the measurement"),
        (Settled(first=lambda y, where: y.sub_(0.5)), r"^the loss changes the measurement"),
        (Settled(first=lambda y, where: where.div_(2)), r"^the loss changes the mask"),
        (lambda e, y, where: (e - y).detach().flatten(1).mean(1), r"^the loss lets no gradient through"),
        (lambda e, y, where: GAIN * (e.detach() - y).flatten(1).mean(1), r"^the loss lets no gradient through"),
        (Settled(lambda e, y, where: GAIN * (e.detach() - y).flatten(1).mean(1)), r"^the loss lets no gradient through"),
        (Mixture([(lambda e, y, where: (e - y).square().mean(), 1.0)]), r"^the loss gives a tensor of shape \(\)"),
    ],
)
@pytest.mark.parametrize("restarts", [1, 2])
def test_a_loss_gives_one_number_for_each_image(loss: Any, message: str, restarts: int) -> None:
    for count in (1, 2):
        with pytest.raises(ValueError, match=message):
            Latent(linear(), steps=2, restarts=restarts, loss=loss)(pictures(count), Identity())


def test_a_distance_that_is_not_returned_is_told() -> None:
    """It was Python's word of an object that is not callable."""

    class Forgetful:
        def against(self, measured: Tensor, where: Tensor) -> None:
            """No distance."""

    loss: Any = Forgetful()
    for count in (1, 2):
        with pytest.raises(ValueError, match=r"^the loss's against gives None; it must return a function of the estimate, one number per"):
            Latent(linear(), steps=2, loss=loss)(pictures(count), Identity())


def test_so_does_the_loss_of_the_pivots_neighbourhood() -> None:
    prior = made("mobilestylegan")
    y = torch.rand(2, *prior.image_shape, generator=torch.Generator().manual_seed(0))
    start = Latent(prior, space="w", steps=0, candidates=1)(y, Identity())
    solver = Pivotal(prior, steps=2, locality=0.1, locality_loss=lambda e, y, where: (e - y).square().mean())
    with pytest.raises(ValueError, match=r"^the loss gives a tensor of shape \(\) for 2 images"):
        solver(y, Identity(), start=start)


def test_a_loss_that_settles_its_measurement_looks_at_the_neighbourhood_too() -> None:
    prior = made("mobilestylegan")
    y = torch.rand(2, *prior.image_shape, generator=torch.Generator().manual_seed(0))
    start = Latent(prior, space="w", steps=0, candidates=1)(y, Identity())
    losses: list[Any] = [l2, Settled()]
    one, other = (Pivotal(prior, steps=3, locality=0.5, locality_loss=loss)(y, Identity(), start=start) for loss in losses)
    assert torch.equal(one.images, other.images)
    assert torch.equal(one.misfit, other.misfit)


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


@pytest.mark.parametrize(
    ("make", "given", "message"),
    [
        (Mixture, [("l1", 1.0)], "^a mixture's loss is 'l1'; it must be a function of estimate, measurement and mask"),
        (Mixture, iter([l2]), r"^a part of a mixture is L2\(\); give pairs of a loss and its weight, such as \(l1, 0.5\)$"),
        (Mixture, [(l2, "half")], r"^a part of a mixture is \(L2\(\), 'half'\); give pairs"),
        (MultiResolution, "l1", "^loss is 'l1'; it must be a function"),
        (MultiResolution, nn.MSELoss(), r"^loss is MSELoss\(\); it must be a function"),
    ],
)
def test_losses_of_losses_say_what_they_take(make: Callable[[Any], object], given: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(given)


def test_a_mixture_takes_its_parts_from_anything_that_can_be_gone_through() -> None:
    assert Mixture(pair for pair in [(l2, 1.0)]) == Mixture([(l2, 1.0)])  # type: ignore[arg-type]
