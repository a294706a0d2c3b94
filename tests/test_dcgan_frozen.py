"""Frozen DCGANs on the CPU: products in the place of convolutions draw the same and lead the same gradients back, row by row."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from prior_support import drawn, sampled, traced
from solvers_support import difference
from states_support import conditional_dcgan_state, dcgan_state
from torch import nn
from torch.autograd import gradcheck

from priorsolve.operators.gray import Gray
from priorsolve.priors import DCGAN, ConditionalDCGAN, Prior
from priorsolve.priors.dcgan_frozen import First, Last
from priorsolve.priors.frozen import FrozenLayer, Product
from priorsolve.priors.toom import Toom
from priorsolve.solvers import Multicode
from priorsolve.solvers.mixing import mixed

LAYERS: dict[str, tuple[type[FrozenLayer], Callable[[bool], nn.ConvTranspose2d], int]] = {
    "first": (First, lambda bias: nn.ConvTranspose2d(20, 24, 4, 1, 0, bias=bias), 1),
    "last": (Last, lambda bias: nn.ConvTranspose2d(20, 3, 4, 2, 1, bias=bias), 6),
    "toom": (Toom, lambda bias: nn.ConvTranspose2d(20, 24, 4, 2, 1, bias=bias), 4),
}
FAMILIES: dict[str, Callable[[], Prior]] = {
    "dcgan": lambda: DCGAN.from_state(dcgan_state(widths=(7, 40, 24, 8, 3))),
    "conditional": lambda: ConditionalDCGAN.from_state(conditional_dcgan_state()),
    "one doubling": lambda: DCGAN.from_state(dcgan_state(widths=(7, 40, 3))),
}


def layers(name: str, bias: bool = True) -> tuple[FrozenLayer, nn.ConvTranspose2d, int]:
    kind, make, side = LAYERS[name]
    torch.manual_seed(0)
    plain = make(bias).requires_grad_(False)
    return kind(plain), plain, side


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_and_its_gradient_are_torch_s(name: str, bias: bool) -> None:
    own, plain, side = layers(name, bias)
    for count in (1, 3, 20):
        x = drawn(count, 20, side, side)
        for there, back in zip(traced(own, x), traced(plain, x), strict=True):
            torch.testing.assert_close(there, back, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", LAYERS)
def test_in_bfloat16_it_is_nearly(name: str) -> None:
    own, plain, side = layers(name)
    x = drawn(20, 20, side, side)
    with torch.autocast("cpu", torch.bfloat16):
        found = traced(own, x)
        assert own(x).dtype == torch.bfloat16
    for value, exact in zip(found, traced(plain, x), strict=True):
        assert float((value - exact).square().mean().sqrt()) < 0.03 * float(exact.square().mean().sqrt())


@pytest.mark.parametrize("name", LAYERS)
def test_other_types_are_left_to_torch(name: str) -> None:
    own, plain, side = layers(name)
    x = drawn(2, 20, side, side).double()
    assert torch.equal(own.double()(x), plain(x))


@pytest.mark.parametrize("crowded", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_folded_priors_draw_the_same_whatever_rows_are_beside(family: str, crowded: bool) -> None:
    prior = FAMILIES[family]()
    folded = prior.crowded() if crowded else prior.folded()
    assert any(isinstance(part, Toom) for part in folded.modules()) is crowded
    for space in prior.spaces:
        if space == "z" and prior.n_classes:
            continue
        codes = sampled(prior, 20, space)
        picture, slope = traced(partial(folded.decode, space=space), codes)
        known, same = traced(partial(prior.decode, space=space), codes)
        torch.testing.assert_close(picture, known, atol=1e-5, rtol=0)
        torch.testing.assert_close(slope, same, atol=1e-5 * float(same.abs().max()), rtol=0)
        torch.testing.assert_close(folded.decode(codes[:1], space), picture[:1], atol=1e-5 if crowded else 1e-6, rtol=0)


def test_gradients_of_a_product_s_gradients() -> None:
    matrix, x = drawn(4, 3), drawn(2, 3, seed=2).requires_grad_()
    (slope,) = torch.autograd.grad(Product(matrix)(x).square().sum(), x, create_graph=True)
    (bend,) = torch.autograd.grad(slope.sum(), x)
    torch.testing.assert_close(bend, (2 * matrix.T @ matrix).sum(0).expand(2, 3), atol=1e-5, rtol=1e-5)


def test_a_mixture_is_a_weighted_sum() -> None:
    for inner in ((), (2, 1)):
        features, mix = (drawn(2, 3, 4, *shape).double().requires_grad_() for shape in (inner, ()))
        torch.testing.assert_close(mixed(features, mix), (features * mix.view(2, 3, 4, *[1] * len(inner))).sum(1))
        assert gradcheck(mixed, (features, mix))


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_many_codes_are_mixed_for_each_photo_by_itself(dtype: torch.dtype | None) -> None:
    prior, operator = FAMILIES["dcgan"](), Gray()
    y = operator.A(prior.decode(prior.sample(3, torch.Generator().manual_seed(8))))
    solver = Multicode(prior.computing(dtype), codes=16, block=2, steps=3, candidates=16)
    assert any(isinstance(part, Toom) for part in solver.ready().modules())
    whole = solver(y, operator, seeds=[3, 4, 5])
    alone = solver(y[1:2], operator, seeds=[4])
    assert difference(alone, whole[1]) < 1e-4
    assert bool((whole.misfit < whole.history[0]).all())


@pytest.mark.parametrize(("outputs", "inputs"), [(100, 8192), (512, 2048), (2048, 512), (48, 64)])
def test_a_row_in_bfloat16_does_not_depend_on_how_many_there_are(outputs: int, inputs: int) -> None:
    """AMX's kernels add rows up otherwise from 20, 31 or 40 on."""
    rng = torch.Generator().manual_seed(0)
    matrix, many = (torch.randn(count, inputs, generator=rng).bfloat16() for count in (outputs, 200))
    product = Product(matrix)
    whole = product(many)
    torch.testing.assert_close(whole.float(), many.float() @ matrix.float().T, atol=0.02 * inputs**0.5, rtol=0.01)
    for count in (1, 2, 20, 31, 32, 33, 40, 100):
        assert torch.equal(product(many[:count]), whole[:count]), count
