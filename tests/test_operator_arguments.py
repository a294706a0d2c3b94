"""What operators are made of, measure and are composed with, and what is told where that cannot be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import pytest
import torch
from torch import nn

import priorsolve as ps
from priorsolve.operators.base import Identity, LinearOperator
from priorsolve.operators.blur import gaussian_blur

ours: Any = ps.operators  # what follows gives its classes what their types do not allow


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ours.Downsample("2"), "^Downsample: factor must be a whole number of at least 1, got '2'$"),
        (lambda: ours.PillowResize("2"), "^PillowResize: factor must be a whole number of at least 1, got '2'$"),
        (lambda: ours.JPEG("a"), "^JPEG: quality must be from 1 to 100, got 'a'$"),
        (lambda: ours.PillowJPEG("a"), "^PillowJPEG: quality must be a whole number from 1 to 100, got 'a'$"),
        (lambda: ours.Quantize("a"), "^Quantize: levels must be a whole number of 2 or more, got 'a'$"),
        (lambda: ours.Clip("a", 1), "^Clip: low must be below high, got low='a' and high=1$"),
        (lambda: ours.Gray(["a", 1, 2]), r"^Gray: weights are three finite numbers .*, got \['a', 1, 2\]$"),
        (lambda: ours.Gray(3), "^Gray: weights are three finite numbers .*, got 3$"),
        (lambda: ours.gaussian_blur("a"), "^gaussian_kernel: sigma must be above 0 pixels, got 'a'$"),
        (lambda: ours.disk_blur(None), "^disk_kernel: radius must be above 0 pixels, got None$"),
        (lambda: ours.motion_blur(3, "a"), "^motion_kernel: angle must be a number of degrees, got 'a'$"),
        (lambda: ours.gaussian_blur(1, []), r"^Blur: padding must be one of .*, got \[\]$"),
        (lambda: ours.file_blur(3), "^file_blur: file is 3; give the path"),
        (lambda: ours.Blur([[1.0]]), r"^Blur: expected a kernel as a real tensor \(h, w\), got a list; torch.as_tensor\(...\) makes one$"),
        (lambda: ours.Blur(torch.ones(3, 3) * 1j), r"^Blur: expected a kernel as a real tensor \(h, w\), got complex numbers"),
        (lambda: ours.GaussianSensing(m=3.5), "^GaussianSensing: m must be a whole number of 1 or more, got 3.5$"),
        (lambda: ours.GaussianSensing(m=True), "^GaussianSensing: m must be a whole number of 1 or more, got True$"),
        (lambda: ours.GaussianSensing(m="3"), "^GaussianSensing: m must be a whole number of 1 or more, got '3'$"),
        (lambda: ours.GaussianSensing(m=3, limit_gb="a"), "^GaussianSensing: limit_gb is 'a'; it must be a number$"),
        (lambda: ours.FastSensing(ratio="a"), "^FastSensing: ratio must be above 0, got 'a'$"),
        (lambda: ours.FastSensing(m=3, seed="a"), "^FastSensing: seed must be a whole number of 64 bits, got 'a'$"),
        (lambda: ours.FastSensing(m=3, seed=2**64), "^FastSensing: seed must be a whole number of 64 bits, got 1844"),
        (lambda: ours.FastSensing(m=3, transform=[]), r"^FastSensing: transform must be one of hadamard, dct, fft, got \[\]$"),
        (lambda: ours.FastSensing(m=3, shape=[3, 8, 8.5]), r"^FastSensing: shape must be \[C, H, W\], .*, got \[3, 8, 8.5\]$"),
        (lambda: ours.Holes(alpha=1), "^Holes: alpha is 1; it must be True or False$"),
        (lambda: ours.Holes(alpha="false"), "^Holes: alpha is 'false'; it must be True or False$"),
        (lambda: ours.Holes(scratches=5), "^Holes: scratches is 5: Input should be .*; give True, or settings such as {'kind': 'dark'}$"),
        (lambda: ours.Holes(scratches={"width": "x"}), "^Holes: scratches.width is 'x': Input should be a valid number; give True, or .*$"),
        (lambda: ours.Holes(scratches={"wide": 3}), "^Holes: scratches.wide is 3: Extra inputs are not permitted; give True, or .*$"),
        (lambda: ours.FastSensing(m=3, shape=8), r"^FastSensing: shape must be \[C, H, W\], .*, got 8$"),
    ],
)
def test_what_is_no_number_of_an_operator_is_told(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("alpha", [True, numpy.bool_(True)])
def test_a_switch_of_an_operator_may_be_numpys(alpha: Any) -> None:
    assert ours.Holes(alpha=alpha).of_photo
    assert ours.Holes(alpha=alpha, scratches=True).of_photo
    assert not ours.Holes(alpha=numpy.bool_(False), half="left").of_photo


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_fast_sensing_has_transforms_in_some_types(dtype: torch.dtype) -> None:
    x = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert ours.FastSensing(m=9, shape=[1, 8, 8]).A(x.to(dtype)).dtype == dtype
    for operator, rows in (
        (ours.FastSensing(m=9, shape=[1, 8, 8], transform="dct"), x),
        (ours.FastSensing(m=9, shape=[1, 8, 7]), x[..., :7]),
    ):
        for call, given in ((operator.A, rows), (operator.A_adjoint, x.new_ones(2, 9))):
            with pytest.raises(ValueError, match=rf"\): computes in float32 and float64, got {dtype}; give it .float\(\)$"):
                call(given.to(dtype))


@pytest.mark.parametrize("method", ["A", "A_adjoint", "A_dagger"])
@pytest.mark.parametrize("operator", [Identity(), gaussian_blur(1.0), Identity() @ gaussian_blur(1.0)], ids=repr)
def test_operators_measure_floats(operator: LinearOperator, method: str) -> None:
    """A blur of bytes was bytes, rounded at every step."""
    x = torch.rand(2, 3, 8, 8)
    what = "images" if method == "A" else "measurements"
    with pytest.raises(ValueError, match=f"expected float {what}, got torch.uint8; pictures are in .*, so divide 8-bit values by 255$"):
        getattr(operator, method)((x * 255).to(torch.uint8))
    with pytest.raises(ValueError, match=rf"expected float {what}, got torch.bool; convert it with .float\(\)$"):
        getattr(operator, method)(x > 0.5)
    with pytest.raises(ValueError, match=f"expected {what} as a float tensor, got an object of type ndarray$"):
        getattr(operator, method)(x.numpy())


@pytest.mark.parametrize(
    ("inner", "message"),
    [
        (
            lambda x: x,
            "^an object of type function is not one of priorsolve's operators and cannot be composed .*; give the solver a function",
        ),
        (nn.Identity(), "^an object of type Identity is not one"),
        (Identity, "^the class Identity is not one"),
        ("gray", "^an object of type str is not one"),
        (3, "^an object of type int is not one"),
    ],
)
def test_what_is_no_operator_is_not_composed(inner: Any, message: str) -> None:
    """A module, which every deepinv physics is, was left out without a word."""
    with pytest.raises(ValueError, match=message):
        Identity() @ inner
    with pytest.raises(ValueError, match=message):
        inner @ Identity()
