"""Every operator keeps the laws, alone and composed. Each strategy draws an operator and a shape of images for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from laws_support import check_everywhere, few

from priorsolve.operators.base import Identity, LinearOperator, Operator
from priorsolve.operators.blur import Blur, Padding, disk_blur, gaussian_blur, motion_blur
from priorsolve.operators.clip import Clip
from priorsolve.operators.downsample import Downsample
from priorsolve.operators.gray import Gray
from priorsolve.operators.holes import Holes
from priorsolve.operators.jpeg import JPEG
from priorsolve.operators.laws import check_laws, pseudo_inverse
from priorsolve.operators.mask import Mask, join_masks
from priorsolve.operators.quantize import Quantize
from priorsolve.operators.resample import Kernel
from priorsolve.operators.sensing import FastSensing, GaussianSensing
from priorsolve.types import Shape

Case = tuple[Operator, Shape]

sides = st.integers(4, 13)
factors = st.sampled_from([1, 2, 3, 4])
kernels: SearchStrategy[Kernel] = st.sampled_from(get_args(Kernel))
seeds = st.integers(0, 2**31)


def known(shape: Shape, seed: int, *, soft: bool) -> torch.Tensor:
    """About half of the pixels known; soft ones have 8-bit levels from a quarter up."""
    rng = torch.Generator().manual_seed(seed)
    level = torch.randint(64, 256, shape, generator=rng) / 255 if soft else torch.ones(shape)
    return level * (torch.rand(shape, generator=rng) < 0.5)


@st.composite
def masks(draw: DrawFn) -> Case:
    shape = (draw(st.sampled_from([1, 3])), draw(sides), draw(sides))
    own = draw(st.sampled_from([shape[1:], (1, *shape[1:]), shape, (1, *shape)]))
    return Mask(known(own, draw(seeds), soft=draw(st.booleans()))), shape


@st.composite
def masks_per_image(draw: DrawFn) -> Case:
    shape = (draw(st.sampled_from([1, 3])), draw(sides), draw(sides))
    own = draw(st.sampled_from([(1, *shape[1:]), shape]))
    return Mask(known((draw(st.integers(2, 4)), *own), draw(seeds), soft=draw(st.booleans()))), shape


@st.composite
def holes(draw: DrawFn) -> Case:
    described: dict[str, SearchStrategy[Any]] = {
        "boxes": st.just([[0.2, 0.1, 0.6, 0.7]]),
        "strokes": st.sampled_from(["thin", "medium", "thick"]),
        "pixels": st.floats(0.1, 0.9),
        "half": st.sampled_from(["left", "right", "top", "bottom"]),
    }
    chosen = draw(st.sets(st.sampled_from(sorted(described)), min_size=1))
    return Holes(**{name: draw(described[name]) for name in sorted(chosen)}, seed=draw(seeds)), (3, draw(sides), draw(sides))


@st.composite
def joined(draw: DrawFn) -> Case:
    shape = (3, draw(sides), draw(sides))
    own = draw(st.sampled_from([shape[1:], shape]))
    return join_masks([Mask(known(own, draw(seeds), soft=True)), Holes(half="left"), Holes(pixels=0.3)], shape), shape


@st.composite
def downsamples(draw: DrawFn) -> Case:
    factor = draw(factors)
    shape = (draw(st.sampled_from([1, 3])), factor * draw(st.integers(1, 7)), factor * draw(st.integers(1, 7)))
    return Downsample(factor, draw(kernels)), shape


@st.composite
def grays(draw: DrawFn) -> Case:
    named: SearchStrategy[Any] = st.sampled_from(["rec601", "rec709", "mean"])
    custom: SearchStrategy[Any] = st.lists(st.floats(0.1, 2) | st.floats(-2, -0.1), min_size=3, max_size=3)
    return Gray(draw(named | custom)), (3, draw(sides), draw(sides))


@st.composite
def gray_small_and_holed(draw: DrawFn) -> Case:
    shape = (3, 2 * draw(sides), 2 * draw(sides))
    batch = draw(st.sampled_from([(), (2,)]))
    mask = Mask(known((*batch, 1, *shape[1:]) if batch else shape[1:], draw(seeds), soft=draw(st.booleans())))
    return Gray() @ Downsample(2, draw(kernels)) @ mask, shape


@st.composite
def holed_after_downsampling(draw: DrawFn) -> Case:
    factor = draw(factors)
    small = (draw(sides), draw(sides))
    mask = Mask(known((draw(st.sampled_from([1, 3])), 1, *small), draw(seeds), soft=draw(st.booleans())))
    return mask @ Downsample(factor, draw(kernels)), (3, factor * small[0], factor * small[1])


@st.composite
def downsampled_twice(draw: DrawFn) -> Case:
    return Downsample(2, draw(kernels)) @ Downsample(3, draw(kernels)) @ Gray(), (
        3,
        6 * draw(st.integers(1, 4)),
        6 * draw(st.integers(1, 4)),
    )


@st.composite
def masked_twice(draw: DrawFn) -> Case:
    shape = (3, draw(sides), draw(sides))
    return Gray() @ Mask(known((3, 1, *shape[1:]), draw(seeds), soft=True)) @ Holes(strokes="thin", seed=draw(seeds)), shape


LEAVES = [masks, masks_per_image, holes, joined, downsamples, grays]
COMPOSITIONS = [gray_small_and_holed, holed_after_downsampling, downsampled_twice, masked_twice]


def cases(strategies: Sequence[Callable[[], SearchStrategy[Case]]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("strategy", [pytest.param(strategy(), id=strategy.__name__) for strategy in strategies])


@cases(LEAVES + COMPOSITIONS)
@given(data=st.data())
@few
def test_every_operator_keeps_the_laws(strategy: SearchStrategy[Case], data: st.DataObject) -> None:
    operator, in_shape = data.draw(strategy)
    check_everywhere(operator, in_shape)


@cases(LEAVES)
@given(data=st.data())
@few
def test_a_closed_pseudo_inverse_is_moore_and_penrose_s(strategy: SearchStrategy[Case], data: st.DataObject) -> None:
    """`A† A A† = A†`, and `A† A` and `A A†` are symmetric: with `A A† A = A` there is only one such A†. `check_laws` has not
    the first, which rounding may undo where `A` erases much, and has the others less exactly."""
    operator, in_shape = data.draw(strategy)
    assert isinstance(operator, LinearOperator)
    operator, batch, rng = operator.double(), operator.batch or 2, torch.Generator().manual_seed(0)
    u, v = torch.randn(2, batch, *in_shape, generator=rng, dtype=torch.float64)
    y, z = torch.randn(2, batch, *operator.out_shape(in_shape), generator=rng, dtype=torch.float64)
    A, dagger = operator.A, operator.A_dagger
    torch.testing.assert_close(dagger(A(dagger(y))), dagger(y), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close((dagger(A(u)) * v).sum(), (u * dagger(A(v))).sum(), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close((A(dagger(y)) * z).sum(), (y * A(dagger(z))).sum(), rtol=1e-9, atol=1e-9)


# -- blur, sensing, JPEG, quantisation and clipping ----------------------------------------------------------------------------------------


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
