"""The laws, for blur, sensing, JPEG, quantisation and clipping, alone and composed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from laws_support import check_everywhere, few

from priorsolve.operators.base import Identity, LinearOperator, Operator
from priorsolve.operators.blur import Blur, Padding, disk_blur, gaussian_blur, motion_blur
from priorsolve.operators.clip import Clip
from priorsolve.operators.downsample import Downsample
from priorsolve.operators.gray import Gray
from priorsolve.operators.holes import Holes
from priorsolve.operators.jpeg import JPEG
from priorsolve.operators.laws import check_laws, pseudo_inverse
from priorsolve.operators.quantize import Quantize
from priorsolve.operators.sensing import FastSensing, GaussianSensing

PADDINGS: list[Padding] = ["reflect", "replicate", "circular", "zero"]
SHAPE = (3, 12, 17)


def peaked(h: int, w: int, seed: int) -> torch.Tensor:
    """A random kernel that keeps something of every frequency: three quarters of its weight are on one entry."""
    kernel = torch.rand(h, w, generator=torch.Generator().manual_seed(seed))
    kernel[h // 2, w // 2] += 3 * kernel.sum()
    return kernel


@pytest.mark.parametrize("padding", PADDINGS)
def test_moderate_blurs(padding: Padding) -> None:
    """Every padding, odd and even kernels, direct and by FFT."""
    for operator in (
        gaussian_blur(0.6, padding),
        gaussian_blur(0.4, padding),
        Blur(peaked(4, 3, 0), padding),
        Blur(peaked(11, 10, 1), padding),
    ):
        check_everywhere(operator, SHAPE)


@pytest.mark.parametrize("padding", PADDINGS)
@given(h=st.integers(1, 7), w=st.integers(1, 7), height=st.integers(7, 13), channels=st.integers(1, 4), batch=st.integers(1, 3))
@few
def test_any_kernel_and_image(padding: Padding, h: int, w: int, height: int, channels: int, batch: int) -> None:
    check_everywhere(Blur(peaked(h, w, seed=h + 8 * w), padding), (channels, height, 9), batch)


@pytest.mark.parametrize(
    "make", [lambda: gaussian_blur(3, "circular"), lambda: motion_blur(9, 30, "circular"), lambda: disk_blur(4, "circular")]
)
def test_strong_circular_blurs(make: Callable[..., Operator]) -> None:
    check_everywhere(make(), (3, 24, 27))


@pytest.mark.parametrize("padding", ["reflect", "replicate", "zero"])
def test_how_far_conjugate_gradients_come_for_strong_blurs(padding: Padding) -> None:
    """What the docstring of Blur says: 2e-4 of the measurement of noise, the worst case, in either type."""
    for operator in (gaussian_blur(1.6, padding), motion_blur(5, 30, padding), disk_blur(2, padding)):
        for dtype in (torch.float32, torch.float64):
            assert pseudo_inverse(operator, SHAPE, dtype=dtype) < 2e-4


@pytest.mark.parametrize("make", [GaussianSensing, FastSensing])
@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 5, 7), (4, 3, 10)])
def test_sensing(make: Callable[..., Operator], shape: tuple[int, int, int]) -> None:
    for amount in ({"m": 1}, {"ratio": 0.3}, {"ratio": 0.8}):
        check_everywhere(make(**amount, shape=shape), shape, batch=3)


@given(
    transform=st.sampled_from(["hadamard", "dct", "fft"]),
    shape=st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9)),
    ratio=st.floats(0.01, 1),
    seed=st.integers(0, 99),
)
@few
def test_fast_sensing_of_any_shape(transform: Any, shape: tuple[int, int, int], ratio: float, seed: int) -> None:
    check_everywhere(FastSensing(ratio=ratio, transform=transform, seed=seed, shape=list(shape)), shape)


@pytest.mark.parametrize("operator", [JPEG(20), JPEG(95), Quantize(8), Quantize(), Clip(), Clip(0.3, 0.6)], ids=repr)
@pytest.mark.parametrize("shape", [(3, 16, 16), (3, 19, 24), (1, 9, 8)])
def test_nonlinear(operator: Operator, shape: tuple[int, int, int]) -> None:
    check_everywhere(operator, shape, batch=3)


LINEAR = [Identity(), gaussian_blur(0.5), gaussian_blur(0.6, "circular")]
SENSING = [FastSensing(ratio=0.3, shape=list(SHAPE)), GaussianSensing(ratio=0.3, shape=list(SHAPE))]
NONLINEAR = [JPEG(60), Quantize(16), Clip(0.1, 0.9)]


@pytest.mark.parametrize("inner", LINEAR, ids=repr)
@pytest.mark.parametrize("outer", [*LINEAR, *SENSING], ids=repr)
def test_linear_compositions(outer: Operator, inner: Operator) -> None:
    check_everywhere(outer @ inner, SHAPE)


@pytest.mark.parametrize("first", [*LINEAR, *NONLINEAR], ids=repr)
@pytest.mark.parametrize("then", NONLINEAR, ids=repr)
def test_compositions_with_nonlinear(first: Operator, then: Operator) -> None:
    check_laws(then @ first, SHAPE, batch=3)
    check_laws(SENSING[0] @ then @ first, SHAPE)


@pytest.mark.parametrize(
    "operator",
    [
        Identity(),
        Downsample(1),
        Downsample(2, "nearest"),
        Blur(torch.ones(1, 1)),
        Holes(half="left"),
        Clip(-9, 9),
        Quantize(256),
        Gray([1.0, 0.0, 0.0]),
    ],
    ids=str,
)
def test_a_measurement_is_no_window_to_the_picture(operator: Operator) -> None:
    """`y = A.A(x); y += noise` left its noise in the caller's picture."""
    x = torch.rand(1, 3, 8, 8)
    before = x.clone()
    operator.A(x).fill_(7)
    assert torch.equal(x, before)
    if isinstance(operator, LinearOperator):
        y = operator.A(x)
        kept = y.clone()
        operator.A_adjoint(y).add_(7)
        operator.A_dagger(y).add_(7)
        assert torch.equal(y, kept)
