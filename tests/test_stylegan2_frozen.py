"""Frozen StyleGAN2: folded, it draws the same and leads the same gradients back."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from prior_support import NOISY, drawn, made, sampled, traced
from style_support import style2_state
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from priorsolve.priors import StyleGAN2
from priorsolve.priors.base import Noise
from priorsolve.priors.stylegan2_frozen import FrozenConvolution
from priorsolve.solvers.curvature import curvatures

CODES = ("w", "w+", "w++", "s", "features@2", "features@3")
SPACES = ("z", *CODES, "noise")


def small(architecture: str = "skip", clamp: float | None = None) -> StyleGAN2:
    """16×16; the last layers have more features than weights."""
    return StyleGAN2.from_state(style2_state(architecture), {"conv_clamp": clamp})


def same(found: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor]) -> None:
    """Pictures and gradients, to 1e-5 of the largest number."""
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5 * float(other.abs().max()), rtol=0)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
@pytest.mark.parametrize("clamp", [None, 1.5])
def test_a_folded_network_is_the_same(architecture: str, clamp: float | None, space: str) -> None:
    prior = small(architecture, clamp)
    folded, codes = prior.folded(), sampled(prior, 2, "w" if space.startswith("features") else space)
    if space.startswith("features"):
        codes = prior.map(codes, source="w", target=space)
    codes = codes + 0.1 * drawn(*codes.shape, seed=6)
    same(*(traced(partial(each.decode, space=space), codes) for each in (folded, prior)))


@pytest.mark.parametrize("name", [name for name in NOISY if name.startswith("stylegan2")])
@pytest.mark.parametrize("noise", ["const", "none", "random", "one", "each"])
def test_noise_is_the_same(name: str, noise: str) -> None:
    prior = made(name)
    codes = sampled(prior, 2, "w+")
    maps: dict[str, Noise] = {"const": "const", "none": "none", "random": "random"}
    maps |= {"one": drawn(1, prior.noise_size, seed=1), "each": drawn(2, prior.noise_size, seed=1)}
    same(*(traced(partial(each.decode, space="w+", noise=maps[noise]), codes) for each in (prior.folded(), prior)))


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_features_and_what_goes_on_from_them_are_the_same(architecture: str) -> None:
    prior = small(architecture)
    folded, w = prior.folded(), sampled(prior, 2, "w")
    for target in ("s", "features@2", "features@3"):
        there = prior.map(w, source="w", target=target)
        torch.testing.assert_close(folded.map(w, source="w", target=target), there, atol=1e-5 * float(there.abs().max()), rtol=0)
        same(*(traced(partial(each.resumed(w, "w").decode, space=target), there) for each in (folded, prior)))
    assert folded.state_dict().keys() == prior.state_dict().keys()
    assert torch.equal(folded.folded().decode(w, "w"), folded.decode(w, "w"))


@pytest.mark.parametrize("space", CODES)
def test_a_batch_draws_what_singles_draw(space: str) -> None:
    folded = small().folded()
    codes = folded.map(sampled(folded, 3), source="z", target=space)
    assert torch.equal(folded.decode(codes, space), torch.cat([folded.decode(code[None], space) for code in codes]))


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("space", ["w+", "features@2"])
def test_blocks_take_several_rows_at_once(rows: int, space: str) -> None:
    prior = small()
    folded, wplus = prior.folded(), sampled(prior, rows, "w+")
    features = prior.map(wplus, source="w+", target="features@2") if space != "w+" else None
    start = 1 if features is None else 2
    found = folded._run(folded._styled(wplus), features, start, len(prior.blocks), "const")
    expected = torch.cat([prior.decode(row[None], "w+") for row in wplus])
    torch.testing.assert_close((found + 1) / 2, expected, atol=1e-5 * float(expected.abs().max()), rtol=0)


@pytest.mark.parametrize("name", ["conv0", "conv1"])
@pytest.mark.parametrize("clamp", [None, 1.5])
def test_gradients_of_gradients(name: str, clamp: float | None) -> None:
    layer = getattr(small(clamp=clamp).double().synthesis["b16"], name)
    frozen, side = FrozenConvolution(layer, 1.0), 8 if name == "conv0" else 16
    x, style = drawn(1, layer.weight.shape[1], side, side).double(), drawn(1, layer.weight.shape[1], seed=1).double()
    assert frozen.weight.numel() < x.numel()  # so styles scale the weights
    for leaf, function in ((style, lambda style: frozen(x, style, None)), (x, lambda x: frozen(x, style, None))):
        assert gradcheck(function, (leaf.clone().requires_grad_(),))
        assert gradgradcheck(function, (leaf.clone().requires_grad_(),))


def test_curvature_is_the_same() -> None:
    prior = small()
    codes = sampled(prior, 2, "w")
    found, expected = (curvatures(partial(each.decode, space="w"), codes, 4)[0] for each in (prior.folded(), prior))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=0)


@pytest.mark.parametrize("space", ["w+", "features@2", "features@3"])
def test_in_bfloat16_it_is_nearly_the_same(space: str) -> None:
    prior = small()
    codes = prior.map(sampled(prior, 1, "w+"), source="w+", target=space)
    (rough, slope), (exact, true) = (
        traced(partial(each.decode, space=space), codes) for each in (prior.folded().computing(torch.bfloat16), prior)
    )
    assert not torch.equal(rough, exact)
    assert (rough - exact).abs().max() < 0.05 * exact.abs().max()
    assert torch.nn.functional.cosine_similarity(slope.flatten(), true.flatten(), 0) > 0.99
