"""Operators of users, and what is told where one is not as it must be."""

from __future__ import annotations

import pytest
import torch
from solvers_support import linear, pictures

from priorsolve.operators.base import Operator
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
