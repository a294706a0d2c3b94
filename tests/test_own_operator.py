"""Operators of users, and what is told where one is not as it must be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from device_support import DEVICE, another_device
from solvers_support import linear, pictures
from torch import Tensor, nn

from priorsolve.consistency import put_back
from priorsolve.losses import LaplacianPyramid, Loss, Mixture, MultiResolution, l2
from priorsolve.operators.base import Identity, LinearOperator, Operator
from priorsolve.operators.laws import check_laws
from priorsolve.solvers import (
    Langevin,
    Latent,
)
from priorsolve.types import Images, Measurements, Shape


class Writes(Operator):
    """Halves what it is given, in place."""

    def out_shape(self, in_shape: Shape) -> Shape:
        return in_shape

    def _A(self, x: Images) -> Measurements:
        return x.mul_(0.5)


class Normalised(Writes):
    """By its lightest value: of a black picture it makes 0 / 0."""

    def _A(self, x: Images) -> Measurements:
        return x / x.amax((1, 2, 3), keepdim=True)


class Matrix(LinearOperator):
    """Five numbers of a picture of 3×4×4, by a matrix that may be trained."""

    def __init__(self, *, trained: bool) -> None:
        super().__init__()
        matrix = torch.randn(5, 48, generator=torch.Generator().manual_seed(0))
        self.matrix: Tensor
        if trained:
            self.matrix = nn.Parameter(matrix)
        else:
            self.register_buffer("matrix", matrix)

    def out_shape(self, in_shape: Shape) -> Shape:
        return (5,)

    def in_shape(self, out_shape: Shape) -> Shape:
        return (3, 4, 4)

    def _A(self, x: Images) -> Measurements:
        return x.flatten(1) @ self.matrix.T

    def _A_adjoint(self, y: Measurements) -> Images:
        return (y @ self.matrix).view(-1, 3, 4, 4)


class Bare(Writes):
    def __init__(self) -> None:
        """Without that of its parent."""


def test_an_operator_that_writes_into_the_images_is_told() -> None:
    with pytest.raises(ValueError, match=r"^Writes\(\): its _A writes into the images that it is given; make new ones"):
        Writes().A(torch.ones(1, 3, 4, 4))
    with pytest.raises(ValueError, match="its _A writes into the images"):
        Latent(linear(), steps=2)(pictures(2), Writes())


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        (torch.fft.fft2, r"makes complex numbers of images; it must make .*, such as torch.view_as_real gives"),
        (lambda x: x.detach().numpy(), r"makes a ndarray of images; it must make a real tensor of measurements \(B, \.\.\.\)"),
        (lambda x: [x], "makes a list of images; .*"),
        (lambda x: None, "makes a NoneType of images; .*"),
    ],
)
def test_an_operator_that_makes_no_real_tensor_is_told(formula: Callable[[Tensor], Any], message: str) -> None:
    class Makes(Identity):
        support = Operator.support

        def _A(self, x: Images) -> Measurements:
            made: Measurements = formula(x)
            return made

    y, told = pictures(2), rf"^Makes\(\): its _A {message}$"
    for tried in (lambda: Makes().A(y), lambda: Latent(linear(), steps=2)(y, Makes()), lambda: check_laws(Makes(), (3, 4, 4))):
        with pytest.raises(ValueError, match=told):
            tried()


def test_an_operator_whose_parent_was_not_made_is_told() -> None:
    with pytest.raises(AttributeError, match=r"^Bare: its __init__ does not call super\(\).__init__\(\); call it first$"):
        Latent(linear(), steps=2)(pictures(2), Bare())


def test_what_is_no_number_for_some_pictures_is_measured_all_the_same() -> None:
    assert bool((Normalised().support(torch.ones(1, 3, 8, 8)) == 1).all())


@pytest.mark.parametrize("trained", [False, True])
def test_an_operator_is_tried_where_its_numbers_lie_and_in_their_type(trained: bool) -> None:
    operator = Matrix(trained=trained)
    check_laws(operator, (3, 4, 4))
    with another_device():
        check_laws(operator.to(DEVICE), (3, 4, 4))
        assert operator.follows((3, 4, 4))
    assert Matrix(trained=trained).double().follows((3, 4, 4))


@pytest.mark.parametrize("restarts", [1, 2])
@pytest.mark.parametrize(
    ("operator", "message"),
    [
        (lambda x: x[0], r"of shape \(3, 8, 8\) from images of shape \(\d+, 3, 8, 8\); it must make one for each image"),
        (lambda x: x.mean(0, keepdim=True), r"of shape \(1, 3, 8, 8\) from images of shape \(\d+, 3, 8, 8\)"),
        (lambda x: x.mean(), r"of shape \(\) from images"),
        (lambda x: x.detach().numpy(), "^the operator makes a ndarray of images; it must make a real tensor"),
        (lambda x: torch.from_numpy(x.numpy()), "^the operator makes numpy arrays of pictures, which let no gradient through; write it"),
        (lambda x: (x, x), "^the operator makes a tuple of images"),
        (lambda x: None, "^the operator makes a NoneType of images"),
        (lambda x: torch.fft.fft2(x), "^the operator makes complex numbers of images; .*, such as torch.view_as_real gives$"),
    ],
)
def test_an_operator_gives_one_measurement_for_each_image(operator: Any, message: str, restarts: int) -> None:
    with pytest.raises(ValueError, match=message):
        Latent(linear(), steps=2, restarts=restarts)(pictures(2), operator)


def test_an_operator_that_does_not_make_what_it_says_is_told() -> None:
    class Lying(Identity):
        def out_shape(self, in_shape: Shape) -> Shape:
            return (1, *in_shape[1:])

    with pytest.raises(ValueError, match=r"^Lying\(\): makes measurements of shape \(3, 8, 8\), and its out_shape says \(1, 8, 8\)$"):
        Latent(linear(), steps=2)(pictures(2)[:, :1], Lying())


@pytest.mark.parametrize("outer", [None, Identity()])
def test_a_shape_that_is_not_returned_is_told(outer: Operator | None) -> None:
    class Forgetful(Identity):
        def out_shape(self, in_shape: Shape) -> Shape:
            return None  # type: ignore[return-value]

    operator = Forgetful() if outer is None else outer @ Forgetful()
    said = r"^Forgetful\(\): its out_shape gives None; it must return a shape without batch, such as \(3, 32, 32\)$"
    for tried in (
        lambda: operator.A(pictures(2)),
        lambda: Latent(linear(), steps=2)(pictures(2), operator),
        lambda: check_laws(operator, (3, 8, 8)),
    ):
        with pytest.raises(ValueError, match=said):
            tried()


def test_nor_is_that_of_the_images() -> None:
    class Forgetful(Identity):
        def in_shape(self, out_shape: Shape) -> Shape:
            return None  # type: ignore[return-value]

    for tried in (lambda: Forgetful().A_adjoint(pictures(2)), lambda: check_laws(Forgetful(), (3, 8, 8))):
        with pytest.raises(ValueError, match=r"^Forgetful\(\): its in_shape gives None; it must return a shape"):
            tried()


class Left(Identity):
    """Of which only the left half is measured, as a mask of bool says."""

    def support(self, inside: Images) -> Measurements:
        return inside.bool() & (torch.arange(inside.shape[-1]) < inside.shape[-1] // 2)


@pytest.mark.parametrize("loss", [l2, MultiResolution(), LaplacianPyramid(), Mixture([(LaplacianPyramid(1), 2.0)])])
def test_a_support_of_bool_is_that_of_ones(loss: Loss) -> None:
    class OfOnes(Left):
        def support(self, inside: Images) -> Measurements:
            return super().support(inside).to(inside)

    prior, y = linear(), pictures(2)
    solver = Latent(prior, steps=2, loss=loss)
    assert torch.equal(solver(y, Left()).images, solver(y, OfOnes()).images)
    assert torch.equal(put_back(pictures(2) / 2, y, Left()), put_back(pictures(2) / 2, y, OfOnes()))
    known = Left().support(y)
    assert torch.equal(loss(y / 2, y, known), loss(y / 2, y, known.to(y)))


def test_a_support_of_another_shape_is_told_as_one() -> None:
    class OneChannel(Left):
        def support(self, inside: Images) -> Measurements:
            return super().support(inside)[:, :1]

    with pytest.raises(ValueError, match=r"^OneChannel\(\): has a support of shape \(1, 8, 8\), and its out_shape says \(3, 8, 8\)$"):
        Latent(linear(), steps=2)(pictures(2), OneChannel())


def test_an_operator_without_a_gradient_is_told_with_both_ways_out() -> None:
    with pytest.raises(ValueError, match=r"^the operator lets no gradient .*, such as JPEG for PillowJPEG \(in a recipe: `surrogate`\)$"):
        Latent(linear(), steps=2)(pictures(1), lambda x: x.detach())


class Cut(Writes):
    """A gain that is trained, of pictures to which it lets no gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))

    def _A(self, x: Images) -> Measurements:
        return self.gain * x.detach()


def test_a_gradient_to_the_operators_own_numbers_is_none_to_the_pictures() -> None:
    operator = Cut()
    for tried in (operator, operator.A):
        with pytest.raises(ValueError, match=r"^the operator lets no gradient through"):
            Latent(linear(), steps=2)(pictures(1), tried)
    assert not operator.follows((3, 4, 4))
    with pytest.raises(AssertionError, match=r"^Cut\(\): vjp is off by 1.00e\+00"):
        check_laws(operator, (3, 4, 4))


class Once(torch.autograd.Function):
    """Twice its input, with a gradient that has none."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return 2 * gradients[0]


def test_langevin_tells_of_an_operator_without_second_derivatives() -> None:
    twice: Callable[[Tensor], Tensor] = Once.apply
    with pytest.raises(ValueError, match=r"^langevin: finds its step by gradients of gradients, and the operator .* has none"):
        Langevin(linear(), noise=0.1, steps=2)(pictures(2), twice)
    assert len(Latent(linear(), steps=2)(pictures(2), twice)) == 2


class Holder:
    """An operator that keeps its network, and measures with it."""

    def __init__(self, network: torch.nn.Module) -> None:
        self.A = network


@pytest.mark.parametrize("layer", [torch.nn.BatchNorm2d(3), torch.nn.Dropout(0.5)])
@pytest.mark.parametrize("given", [lambda net: net, Holder, lambda net: net.forward, lambda net: Holder(net.forward)])
def test_a_network_in_training_is_no_operator(layer: torch.nn.Module, given: Callable[[torch.nn.Module], Any]) -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 1), layer).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(ValueError, match=r"^the operator, .*, is in training mode, where .* neighbours or on chance; call its eval\(\)$"):
        Latent(linear(torch.float32), steps=2)(pictures(2, torch.float32), given(network))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    Latent(linear(torch.float32), steps=2)(pictures(2, torch.float32), given(network.eval()))


@pytest.mark.parametrize("restarts", [1, 3])
def test_a_function_may_change_the_pictures_it_is_given(restarts: int) -> None:
    def halved(x: Tensor) -> Tensor:
        return x.mul_(0.5)

    solver, y = Latent(linear(), steps=5, restarts=restarts), pictures(2) / 2
    found, expected = solver(y, halved), solver(y, lambda x: 0.5 * x)
    assert torch.equal(found.images, expected.images)
    assert torch.equal(found.misfit, expected.misfit)


def test_operators_and_losses_may_compute_in_another_precision() -> None:
    prior, y = linear(torch.float32), pictures(2, torch.float32)
    plain = Latent(prior, steps=12, restarts=2)(y, Identity())
    for loss, operator in [(lambda e, y, where: l2(e.double(), y.double(), where), Identity()), (l2, lambda x: x.double())]:
        found = Latent(prior, steps=12, restarts=2, loss=loss)(y, operator)  # type: ignore[arg-type]
        assert found.misfit.dtype == found.images.dtype == torch.float32
        torch.testing.assert_close(found.images, plain.images, atol=1e-3, rtol=0)


class Exposed(Operator):
    """Each image by a light of its own."""

    def __init__(self, light: Tensor) -> None:
        super().__init__()
        self.register_buffer("light", light)

    @property
    def batch(self) -> int:
        return len(self.get_buffer("light"))

    def out_shape(self, in_shape: Shape) -> Shape:
        return in_shape

    def _A(self, x: Tensor) -> Tensor:
        return x * self.get_buffer("light").view(-1, 1, 1, 1)


def test_a_dark_image_is_measured_beside_a_bright_one() -> None:
    assert bool((Exposed(torch.tensor([1.0, 1e-7])).support(torch.ones(2, 3, 8, 8)) == 1).all())
