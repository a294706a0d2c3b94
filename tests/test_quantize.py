"""Quantize and Clip: the values exactly, the gradient straight through."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from laws_support import few

from priorsolve.operators.base import Identity, Operator
from priorsolve.operators.clip import Clip
from priorsolve.operators.quantize import Quantize
from priorsolve.types import Images, Measurements, Shape


@given(levels=st.integers(2, 300), seed=st.integers(0, 99))
@few
def test_values_are_levels(levels: int, seed: int) -> None:
    x = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(seed))
    y = Quantize(levels).A(x)
    steps = (levels - 1) * y
    torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-4)
    assert float((y - x).abs().max()) <= 0.5 / (levels - 1) + 1e-6
    assert Quantize(levels).A(y).equal(y)


def test_eight_bits_are_a_files() -> None:
    file = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert Quantize().A(file / 255).equal(file / 255)


def test_infinity_stays_infinite() -> None:
    x = torch.tensor([-math.inf, 0.5, math.inf], requires_grad=True)
    y = Quantize(3).A(x)
    assert y.tolist() == x.tolist()


def test_clip_values() -> None:
    x = torch.tensor([-0.5, 0.1, 0.4, 0.9, 1.5]).view(1, 1, 1, 5)
    assert Clip(0.1, 0.9).A(x).equal(x.clamp(0.1, 0.9))
    assert Clip().A(x).equal(x.clamp(0, 1))


def test_clip_holds_what_is_infinite_too() -> None:
    x = torch.tensor([math.inf, -math.inf, 0.5, math.nan]).view(1, 1, 1, 4).requires_grad_(True)
    y = Clip().A(x)
    assert y[..., :3].flatten().tolist() == [1, 0, 0.5]
    assert y[..., 3].isnan()
    assert torch.autograd.grad(y[..., :3].sum(), x)[0].isfinite().all()


@pytest.mark.parametrize("operator", [Quantize(3), Clip(0.4, 0.6)])
def test_gradient_goes_straight_through(operator: Operator) -> None:
    x = torch.linspace(-1, 2, 12).view(1, 1, 3, 4).requires_grad_(True)
    weights = torch.arange(12.0).view(1, 1, 3, 4)
    (weights * operator.A(x)).sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert x.grad.equal(weights)


@pytest.mark.parametrize("operator", [Quantize(2), Clip(0.2, 0.6)])
def test_support_is_that_of_the_picture(operator: Operator) -> None:
    inside = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2)
    assert operator.support(inside).equal(inside)


@pytest.mark.parametrize("operator", [Quantize(3), Clip(0.4, 0.6), Identity()], ids=str)
def test_what_works_number_by_number_takes_any_shape(operator: Operator) -> None:
    """Measurements too, such as an own operator's means of rows: so a picture without its batch is not refused, and comes out as in one."""
    picture = torch.rand(3, 6, 4, generator=torch.Generator().manual_seed(0))
    assert operator.A(picture).equal(operator.A(picture[None])[0])
    means = operator @ RowMeans()
    assert means.A(picture[None]).equal(operator.A(picture.mean(2)[None]))
    assert means.out_shape((3, 6, 4)) == (3, 6)


class RowMeans(Operator):
    """The mean of every row: (B, C, H)."""

    def out_shape(self, in_shape: Shape) -> Shape:
        return in_shape[:2]

    def _A(self, x: Images) -> Measurements:
        return x.mean(3)


def test_errors_name_the_value() -> None:
    with pytest.raises(ValueError, match="Quantize: levels must be a whole number of 2 or more, got 1"):
        Quantize(1)
    for levels in (2.5, math.nan):
        with pytest.raises(ValueError, match=f"whole number of 2 or more, got {levels}"):
            Quantize(levels)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"Clip: low must be below high, got low=1.0 and high=0.5"):
        Clip(1.0, 0.5)
