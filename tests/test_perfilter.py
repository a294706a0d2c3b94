"""w++: a style for each output filter, against the convolutions written out, filter by filter."""

from __future__ import annotations

import pytest
import torch
from prior_support import STYLED, made, mobile, sampled, stylegan3
from states_support import mobilestylegan_state
from style_support import W, style2_picture, style2_state
from torch import Tensor
from torch.nn import functional as F

from priorsolve.priors import Prior, StyleGAN2
from priorsolve.priors.mobilestylegan_layers import haar
from priorsolve.priors.styled import Styled
from priorsolve.priors.stylegan3_layers import Layer
from priorsolve.typicality import Typicality


def scattered(prior: Prior, n: int = 2, seed: int = 1) -> Tensor:
    """Codes of w++ whose rows all differ."""
    rng = torch.Generator().manual_seed(seed)
    codes = prior.sample(n, rng, "w++")
    return codes + 0.3 * torch.randn(codes.shape, generator=rng)


@pytest.mark.parametrize("name", STYLED)
def test_repeated_styles_draw_what_one_style_draws(name: str) -> None:
    prior = made(name)
    wplus = sampled(prior, 2, "w+")
    wplus = wplus + 0.1 * torch.randn(wplus.shape, generator=torch.Generator().manual_seed(6))
    codes = prior.map(wplus, source="w+", target="w++")
    assert codes.shape == (2, *prior.spaces["w++"])
    torch.testing.assert_close(prior.decode(codes, "w++"), prior.decode(wplus, "w+"), atol=1e-4, rtol=0)
    for later in [space for space in prior.spaces if space.startswith("features@")]:
        torch.testing.assert_close(
            prior.map(codes, source="w++", target=later), prior.map(wplus, source="w+", target=later), atol=1e-4, rtol=1e-4
        )


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
@pytest.mark.parametrize("clamp", [None, 1.5])
def test_stylegan2_is_what_the_equations_say(architecture: str, clamp: float | None) -> None:
    state = style2_state(architecture)
    prior = StyleGAN2.from_state(state, {"conv_clamp": clamp})
    assert tuple(prior.spaces["w++"]) == (6, 4, W)
    codes = scattered(prior)
    expected = torch.cat([style2_picture(state, row, architecture, clamp) for row in codes])
    torch.testing.assert_close(2 * prior.decode(codes, "w++") - 1, expected, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("outputs", [3, 12])
def test_mobilestylegan_is_its_convolutions_written_out(outputs: int) -> None:
    prior, state = mobile(outputs), mobilestylegan_state(outputs=outputs)
    codes = scattered(prior, 1)
    sizes = prior.styles.sizes
    affines = list(zip(torch.split(state["styles.weight"], sizes), torch.split(state["styles.bias"], sizes), strict=True))

    def styles(slot: int, filters: int) -> Tensor:
        """(filters, inputs), one filter at a time."""
        weight, bias = affines[slot]
        return torch.stack([weight @ codes[0, slot, o] + bias for o in range(filters)])

    def finished(x: Tensor, name: str) -> Tensor:
        return F.leaky_relu(x + state[f"{name}.finish.bias"][:, None, None] + state[f"{name}.finish.noise"], 0.2)

    first = state["first.weight"]
    x = F.conv2d(state["first.input"][None], first * styles(0, len(first))[:, :, None, None], padding=1)
    x = finished(x, "first")
    for k in range(2):
        inputs = x.shape[1]
        up = torch.zeros(inputs // 4, inputs)
        for c in range(inputs // 4):
            for i in (c, *range(inputs // 4 + 3 * c, inputs // 4 + 3 * c + 3)):
                up[c, i] = styles(1 + 3 * k, c + 1)[c, i]
        x = haar(x * up.sum(0)[:, None, None])
        for part, slot in (("conv1", 2 + 3 * k), ("conv2", 3 + 3 * k)):
            dense = state[f"layers.{k}.{part}.pointwise"] * state[f"layers.{k}.{part}.depthwise"].transpose(0, 1)
            x = finished(F.conv2d(x, dense * styles(slot, len(dense))[:, :, None, None], padding=1), f"layers.{k}.{part}")
    weight = state["head.weight"] * styles(7, outputs)[:, :, None, None]
    raw = F.conv2d(x, weight, state["head.bias"])
    expected = haar(raw) if outputs == 12 else raw
    torch.testing.assert_close(2 * prior.decode(codes, "w++") - 1, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("number", [0, -1])
def test_a_filter_of_stylegan3_is_as_if_all_had_its_style(number: int) -> None:
    prior = stylegan3()
    layer = [block for block in prior.blocks if isinstance(block, Layer)][number]
    rng = torch.Generator().manual_seed(3)
    x = torch.randn(2, layer.inputs, layer.plan.in_size, layer.plan.in_size, generator=rng)
    styles = torch.randn(2, layer.channels, layer.inputs, generator=rng)
    together = layer(x, styles)
    for o in range(layer.channels):
        torch.testing.assert_close(together[:, o], layer(x, styles[:, o])[:, o], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", STYLED)
def test_codes_have_gradients_and_no_neighbours(name: str) -> None:
    prior = made(name)
    codes = scattered(prior, 3).requires_grad_()
    batch = prior.decode(codes, "w++")
    singles = torch.cat([prior.decode(code[None], "w++") for code in codes])
    torch.testing.assert_close(batch, singles, atol=2e-5, rtol=1e-5)
    (slope,) = torch.autograd.grad(batch[0].square().sum(), codes)
    assert float(slope[1:].abs().max()) == 0
    used = slope[0].abs().sum(2) > 0
    # the first rows, as many as the layer has filters
    assert bool((used[:, :-1] >= used[:, 1:]).all())
    if name == "mobilestylegan":
        assert used.sum(1).tolist() == [16, 4, 12, 12, 3, 8, 8, 12]
    elif name == "stylegan2-skip":
        # the colours of 4² and 8² read the first three rows of the next convolution's
        assert used.sum(1).tolist() == [4, 3, 3, 3, 2, 3]
    elif name == "stylegan3":
        # the waves read one row
        assert used.sum(1).tolist()[0] == 1


@pytest.mark.parametrize("name", STYLED)
def test_rows_that_no_layer_takes_count_neither_in_the_picture_nor_as_unusual(name: str) -> None:
    """A search leaves them where they began, which hid how far the others went."""
    prior = made(name)
    assert isinstance(prior, Styled)
    codes = scattered(prior, 1).requires_grad_()
    (slope,) = torch.autograd.grad(prior.decode(codes, "w++").square().sum(), codes)
    moved = slope.abs().sum(3) > 0
    assert torch.equal(moved, torch.arange(prior.filters) < torch.tensor(prior.filter_counts)[:, None].expand(1, -1, -1))
    known, far = Typicality(prior), codes.detach() + 4 * prior.spread("w")
    begun = torch.where(moved[..., None], far, codes.detach())
    assert torch.equal(prior.decode(begun, "w++"), prior.decode(far, "w++"))
    assert known.distance(begun, "w++") == known.distance(far, "w++")
    every = [known.distance(row[None], "w").value for row in far[moved]]
    assert known.distance(far, "w++").value == pytest.approx(torch.tensor(every).square().mean().sqrt().item(), rel=1e-4)


@pytest.mark.parametrize("name", STYLED)
def test_truncation_resumption_and_what_there_is_no_map_to(name: str) -> None:
    prior = made(name)
    codes, there = scattered(prior), prior.sample(2, torch.Generator().manual_seed(9), "features@2")
    centre = prior.centre("w++")
    torch.testing.assert_close(
        prior.map(codes, source="w++", target="features@2", truncation=0.5),
        prior.map(torch.lerp(centre, codes, 0.5), source="w++", target="features@2"),
    )
    pictures = prior.resumed(codes, "w++").decode(there, "features@2")
    one = prior.resumed(codes[:1], "w++").decode(there, "features@2")
    torch.testing.assert_close(one[0], pictures[0], atol=2e-5, rtol=1e-5)
    assert not torch.allclose(one[1], pictures[1], atol=1e-3)
    with pytest.raises(ValueError, match=r"no map from 'w\+\+' to 's', where all filters of a layer have one style"):
        prior.map(codes, source="w++", target="s")
    for source, target in (("w++", "w+"), ("s", "w++")):
        with pytest.raises(ValueError, match="no map from"):
            prior.map(prior.sample(1, torch.Generator().manual_seed(0), source), source=source, target=target)
