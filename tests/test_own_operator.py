"""Operators of users, and what is told where one is not as it must be."""

from __future__ import annotations

import pytest
import torch
from device_support import DEVICE, another_device
from solvers_support import linear, pictures
from torch import Tensor, nn

from priorsolve.operators.base import LinearOperator, Operator
from priorsolve.operators.laws import check_laws
from priorsolve.solvers import Latent
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
