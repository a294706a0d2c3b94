"""The laws, for masks, downsampling, gray and what they compose to. Each strategy draws an operator and a shape of images for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from laws_support import check_everywhere, few
from torch import Tensor

from priorsolve.consistency import put_back
from priorsolve.operators.base import LinearOperator, Operator
from priorsolve.operators.blur import gaussian_blur
from priorsolve.operators.downsample import Downsample
from priorsolve.operators.gray import Gray
from priorsolve.operators.holes import Holes
from priorsolve.operators.jpeg import JPEG
from priorsolve.operators.laws import check_laws
from priorsolve.operators.mask import Mask, join_masks
from priorsolve.operators.pillow import PillowJPEG
from priorsolve.operators.resample import Kernel
from priorsolve.operators.sensing import FastSensing, GaussianSensing
from priorsolve.priors import LinearPrior
from priorsolve.solvers import Latent
from priorsolve.types import Images, Measurements, Shape

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
    """`A† A A† = A†`, and `A† A` and `A A†` are symmetric: with `A A† A = A` there is only one such A†."""
    operator, in_shape = data.draw(strategy)
    assert isinstance(operator, LinearOperator)
    operator, batch, rng = operator.double(), operator.batch or 2, torch.Generator().manual_seed(0)
    u, v = torch.randn(2, batch, *in_shape, generator=rng, dtype=torch.float64)
    y, z = torch.randn(2, batch, *operator.out_shape(in_shape), generator=rng, dtype=torch.float64)
    A, dagger = operator.A, operator.A_dagger
    torch.testing.assert_close(dagger(A(dagger(y))), dagger(y), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close((dagger(A(u)) * v).sum(), (u * dagger(A(v))).sum(), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close((A(dagger(y)) * z).sum(), (y * A(dagger(z))).sum(), rtol=1e-9, atol=1e-9)


class WrongAdjoint(Gray):
    def _A_adjoint(self, y: Measurements) -> Images:
        return super()._A_adjoint(y).flip(1)


class WrongDagger(Gray):
    def _A_dagger(self, y: Measurements) -> Images:
        return self._A_adjoint(y)


class WithoutGradient(Gray):
    def _A_dagger(self, y: Measurements) -> Images:
        return super()._A_dagger(y.detach())


class NotLinear(Gray):
    def _A(self, x: Images) -> Measurements:
        return super()._A(x) + 1


class Leaky(Gray):
    def _A(self, x: Images) -> Measurements:
        return super()._A(x - x.mean(0))


class WrongHoles(Gray):
    def support(self, inside: Images) -> Measurements:
        return super().support(inside).index_fill(-1, torch.tensor([0]), 0.0)


class Fourier(LinearOperator):
    """Of a white picture it keeps one number."""

    def out_shape(self, in_shape: Shape) -> Shape:
        return 2, *in_shape[1:]

    def in_shape(self, out_shape: Shape) -> Shape:
        return 1, *out_shape[1:]

    def _A(self, x: Images) -> Measurements:
        parts: Tensor = torch.view_as_real(torch.fft.fft2(x[:, 0], norm="ortho"))
        return parts.permute(0, 3, 1, 2)

    def _A_adjoint(self, y: Measurements) -> Images:
        x: Tensor = torch.fft.ifft2(torch.complex(y[:, 0], y[:, 1]), norm="ortho")
        return x.real[:, None]


class Film(Operator):
    """Of a white picture it keeps nothing."""

    def out_shape(self, in_shape: Shape) -> Shape:
        return in_shape

    def _A(self, x: Images) -> Measurements:
        return 1 - x


class Absorbed(Film):
    def _A(self, x: Images) -> Measurements:
        return -x.log()


class Dark(Film):
    def _A(self, x: Images) -> Measurements:
        return 1e-7 * (x < 0.5).to(x)


def test_what_an_operator_makes_of_white_does_not_tell_what_it_measures() -> None:
    half = torch.ones(2, 1, 8, 8)
    half[..., :4] = 0
    for operator in (Film(), Absorbed(), Dark(), Film() @ Mask(torch.ones(1, 1, 8, 8))):
        assert torch.equal(operator.support(half), half), operator
    assert float(Fourier().support(torch.ones(1, 1, 8, 8)).sum()) == 2 * 64 - 4, "what is imaginary of four frequencies is always 0"
    check_laws(Fourier(), (1, 8, 8))
    for operator in (Fourier(), Film()):
        prior = LinearPrior.random(4, (1, 8, 8), seed=1)
        x = prior.decode(torch.tensor([[0.5, -1.0, 0.3, 0.8]]))
        found = Latent(prior, steps=300, restarts=1, lr=0.3)(operator.A(x), operator)
        torch.testing.assert_close(found.images, x, atol=1e-3, rtol=0)


TRANSFORMS: Sequence[Literal["hadamard", "dct", "fft"]] = ("hadamard", "dct", "fft")
ROUNDED: Sequence[Operator] = (
    JPEG(10),
    JPEG(10) @ Downsample(2),
    GaussianSensing(m=50, shape=[3, 32, 32]),
    *(FastSensing(m=50, transform=name, shape=[3, 32, 32]) for name in TRANSFORMS),
)


@pytest.mark.parametrize("operator", ROUNDED, ids=repr)
def test_numbers_and_gradients_are_to_the_last_bit_the_same_in_any_batch(operator: Operator) -> None:
    x = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))

    def looked_at(rows: Images) -> tuple[Measurements, Images]:
        rows = rows.clone().requires_grad_()
        y = operator.A(rows)
        back = operator.A_adjoint(y) if isinstance(operator, LinearOperator) else y
        return torch.cat([y.flatten(1), back.flatten(1)], 1).detach(), torch.autograd.grad(y.square().sum(), rows)[0]

    for whole, single in zip(looked_at(x), zip(*[looked_at(row[None]) for row in x], strict=True), strict=True):
        assert torch.equal(whole, torch.cat(single))


NOBODY = torch.zeros(0, dtype=torch.long)
PER_IMAGE = Mask(torch.ones(3, 1, 32, 32))


@pytest.mark.parametrize(
    "operator",
    [*ROUNDED, gaussian_blur(3), Gray() @ gaussian_blur(3), PillowJPEG(50), PER_IMAGE.select(NOBODY), Gray() @ PER_IMAGE.select(NOBODY)],
    ids=repr,
)
def test_no_images_make_no_measurements(operator: Operator) -> None:
    x = torch.zeros(0, 3, 32, 32, requires_grad=True)
    y = operator.A(x)
    assert y.shape == (0, *operator.out_shape((3, 32, 32)))
    back = y
    if isinstance(operator, LinearOperator):
        back = operator.A_adjoint(y) + operator.A_dagger(y) + put_back(x, y, operator) + put_back(x, y, operator, damping=0.1)
        assert back.shape == x.shape
    back.sum().backward()  # type: ignore[no-untyped-call]
    assert operator.support(x.detach()).shape == y.shape
    prior = LinearPrior.random(4, (3, 32, 32))
    assert Latent(prior, steps=0)(y.detach(), operator).images.shape == x.shape


@pytest.mark.parametrize(
    ("operator", "law"),
    [
        (WrongAdjoint(), "dot test"),
        (WrongDagger(), "A A† A = A"),
        (WithoutGradient(), "gradient of A†"),
        (NotLinear(), "dot test"),
        (Leaky(), "independence"),
        (WrongHoles(), "support"),
    ],
)
def test_a_broken_law_is_named(operator: LinearOperator, law: str) -> None:
    with pytest.raises(AssertionError, match=rf"^{type(operator).__name__}\(.*\): {law} is off by .* allowed 1e-04$"):
        check_laws(operator, (3, 8, 8))


class Masks(Operator):
    """A mask for each image, of which nothing is said."""

    def __init__(self, known: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("known", known)

    def out_shape(self, in_shape: Shape) -> Shape:
        return in_shape

    def _A(self, x: Images) -> Measurements:
        return x * self.get_buffer("known")


class Counted(Masks):
    """One that says how many, and gives none of them."""

    @property
    def batch(self) -> int | None:
        return len(self.get_buffer("known"))


class Changing(Masks):
    def _A(self, x: Images) -> Measurements:
        numbers = x.detach().numpy()  # through which torch does not see what is written
        numbers *= 0.5
        return x.clone()


@pytest.mark.parametrize(("kind", "count"), [(Masks, 2), (Masks, 3), (Counted, 3)])
def test_parameters_for_each_image_that_are_not_told_of_are_one_line(kind: type[Masks], count: int) -> None:
    operator = kind(torch.linspace(0.1, 1, count).view(-1, 1, 1, 1))
    with pytest.raises(AssertionError, match="; an operator with parameters for each image says for how many by `batch`, and takes some"):
        check_laws(operator, (3, 8, 8))
    with pytest.raises(ValueError, match="parameters for"):
        Latent(LinearPrior.random(4, (3, 8, 8)), steps=2)(torch.rand(count, 3, 8, 8), operator)


def test_an_operator_that_changes_what_it_is_given_is_told() -> None:
    with pytest.raises(AssertionError, match=r"^Changing\(\): unchanged is off by"):
        check_laws(Changing(torch.ones(1, 1, 1, 1)), (3, 8, 8))
