"""What every operator does: it tells which pixels it sees, and gives the same bits in any batch, nothing of no images, and no window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import pytest
import torch
from torch import Tensor

from priorsolve.consistency import put_back
from priorsolve.operators.base import Identity, LinearOperator, Operator
from priorsolve.operators.blur import Blur, disk_blur, gaussian_blur, motion_blur
from priorsolve.operators.clip import Clip
from priorsolve.operators.downsample import Downsample
from priorsolve.operators.gray import Gray
from priorsolve.operators.holes import Holes
from priorsolve.operators.jpeg import JPEG
from priorsolve.operators.laws import check_laws
from priorsolve.operators.lines import Lines
from priorsolve.operators.mask import Mask
from priorsolve.operators.photons import FixedPhotons
from priorsolve.operators.pillow import PillowJPEG
from priorsolve.operators.quantize import Quantize
from priorsolve.operators.sensing import FastSensing, GaussianSensing
from priorsolve.priors import LinearPrior
from priorsolve.solvers import Latent
from priorsolve.types import Images, Measurements, Shape


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


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch 2.5 warns of what it does with constants
@pytest.mark.parametrize("operator", [Downsample(3), Holes(half="left"), Lines(2), FixedPhotons(50, dead=0.1)], ids=repr)
def test_what_is_made_in_a_trace_serves_outside_of_it(operator: Operator) -> None:
    x = torch.rand(1, 3, 21, 27, generator=torch.Generator().manual_seed(0))  # a size that no other test takes
    traced = torch.export.export(operator, (x,), strict=False).module()(x)
    measured = operator.A(x)
    assert type(measured) is Tensor
    torch.testing.assert_close(traced, measured)


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


TRANSFORMS: Sequence[Literal["hadamard", "dct", "fft"]] = ("hadamard", "dct", "fft")
ROUNDED: Sequence[Operator] = (
    JPEG(10),
    JPEG(10) @ Downsample(2),
    GaussianSensing(m=50, shape=[3, 32, 32]),
    *(FastSensing(m=50, transform=name, shape=[3, 32, 32]) for name in TRANSFORMS),
    *(blur @ Gray() for blur in (disk_blur(1.2), gaussian_blur(2), motion_blur(3))),
    gaussian_blur(2),
    Downsample(16),
)


@pytest.mark.parametrize("operator", ROUNDED, ids=repr)
def test_numbers_and_gradients_are_to_the_last_bit_the_same_in_any_batch(operator: Operator) -> None:
    x = torch.rand(17, 3, 32, 32, generator=torch.Generator().manual_seed(0))  # from 16 rows on MKL adds up in another order

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


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")  # which torch calls for a jvp
@pytest.mark.parametrize("operator", ROUNDED, ids=repr)
def test_torch_func_goes_through(operator: Operator) -> None:
    """As deepinv's physics ask for a derivative, and others for many at once."""
    x, v = torch.rand(2, 2, 3, 32, 32, generator=torch.Generator().manual_seed(0)).unbind()
    y = operator.A(x)
    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(operator.A(leaf), leaf, y)
    made = torch.func.vjp(operator.A, x)
    torch.testing.assert_close(made[0], y)
    torch.testing.assert_close(made[1](y)[0], expected)
    torch.testing.assert_close(torch.func.vmap(lambda row: operator.A(row[None])[0])(x), y)
    if isinstance(operator, LinearOperator):
        torch.testing.assert_close(torch.func.jvp(operator.A, (x,), (v,))[1], operator.A(v))
        torch.testing.assert_close(torch.func.vmap(lambda row: operator.A_adjoint(row[None])[0])(y), operator.A_adjoint(y))
