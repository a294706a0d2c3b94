"""Noise maps as codes: the checkpoint's own, given ones, and the space `noise`."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from prior_support import CHAINS, NOISY, made, sampled
from style_support import style2_state
from torch import Tensor

from priorsolve.operators.base import Identity
from priorsolve.priors import MobileStyleGAN, Prior, StyleGAN2
from priorsolve.solvers import Langevin, Layered, Projector, start_at
from priorsolve.solvers.drawing import carried, picture
from priorsolve.solvers.projector import standardised


def drawn(prior: Prior, n: int, seed: int = 3) -> Tensor:
    return prior.sample(n, torch.Generator().manual_seed(seed), "noise")


@pytest.mark.parametrize("name", NOISY)
def test_the_checkpoints_own_maps_are_const(name: str) -> None:
    prior = made(name)
    maps = prior.noise_maps()
    assert maps.shape == (1, prior.noise_size)
    assert tuple(prior.spaces["noise"]) == (prior.noise_size,)
    assert prior.noise_size == sum(height * width for height, width in prior.noise_shapes)
    z = sampled(prior)
    torch.testing.assert_close(prior.decode(z, noise=maps), prior.decode(z), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(prior.decode(z, noise=torch.zeros_like(maps)), prior.decode(z, noise="none"), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(prior.centre("noise"), maps)


@pytest.mark.parametrize("name", NOISY)
def test_maps_follow_the_order_of_the_layers(name: str) -> None:
    prior = made(name)
    last = max(prior.spaces, key=lambda space: int(space.partition("@")[2] or 0))
    side = prior.spaces[last][-1]
    early = sum(height * width for height, width in prior.noise_shapes if height < side)
    maps = drawn(prior, 2)
    other = torch.cat([drawn(prior, 2, seed=4)[:, :early], maps[:, early:]], 1)
    codes = prior.map(sampled(prior), source=prior.first_space, target=last)
    # the earlier layers are behind the features
    assert torch.equal(prior.decode(codes, last, noise=maps), prior.decode(codes, last, noise=other))
    assert not torch.allclose(prior.decode(sampled(prior), noise=maps), prior.decode(sampled(prior), noise=other), atol=1e-4)


@pytest.mark.parametrize("name", NOISY)
def test_every_picture_has_its_own_maps_and_no_neighbours(name: str) -> None:
    prior = made(name)
    z, maps = sampled(prior, 3), drawn(prior, 3)
    batch = prior.decode(z, noise=maps)
    singles = [prior.decode(code[None], noise=row[None]) for code, row in zip(z, maps, strict=True)]
    torch.testing.assert_close(batch, torch.cat(singles), atol=2e-5, rtol=1e-5)
    shared = prior.decode(z, noise=maps[:1])
    torch.testing.assert_close(shared, prior.decode(z, noise=maps[:1].expand(3, -1)), atol=2e-5, rtol=1e-5)
    assert not torch.allclose(shared[1:], batch[1:], atol=1e-3)


@pytest.mark.parametrize("name", NOISY)
def test_random_maps_are_drawn_for_each_layer_and_as_strong_as_those_given(name: str) -> None:
    """StyleGAN2's by one generator, layer after layer, and MobileStyleGAN's each by its own."""
    prior, rng, maps = made(name), torch.Generator().manual_seed(3), []
    assert isinstance(prior, StyleGAN2 | MobileStyleGAN)
    prior.noise_seed = 3
    for layer, shape in enumerate(prior.noise_shapes):
        rng = rng.manual_seed(3000 + layer) if isinstance(prior, MobileStyleGAN) else rng
        maps.append(torch.randn(shape, generator=rng).flatten())
    z = sampled(prior)
    for each in (prior, prior.folded()):
        torch.testing.assert_close(each.decode(z, noise="random"), each.decode(z, noise=torch.cat(maps)[None]), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", NOISY)
def test_features_are_made_with_the_maps_given(name: str) -> None:
    """By a prior as it is and folded, from styles and from features before, with a row for each code or one for all."""
    first = made(name).first_space
    for prior in (made(name), made(name).folded()):
        z, maps = sampled(prior, 3), drawn(prior, 3)
        layers = [space for space in prior.spaces if space.startswith("features@")]
        resumed = prior.resumed(z, first)
        for noise in (maps, maps[:1], "random"):
            whole = prior.decode(z, noise=noise)
            for space in layers:
                there = prior.map(z, source=first, target=space, noise=noise)
                torch.testing.assert_close(resumed.decode(there, space, noise=noise), whole, atol=2e-5, rtol=1e-5)
                early = prior.map(z, source=first, target=layers[0], noise=noise)
                torch.testing.assert_close(resumed.map(early, source=layers[0], target=space, noise=noise), there, atol=2e-5, rtol=1e-5)
            assert not torch.allclose(there, prior.map(z, source=first, target=layers[-1]), atol=1e-3)
        assert torch.equal(prior.map(z, source=first, target="w+", noise=maps), prior.map(z, source=first, target="w+"))


@pytest.mark.parametrize("name", NOISY)
def test_a_picture_stays_while_it_is_carried_deeper(name: str) -> None:
    prior = made(name)
    wplus, maps = sampled(prior, 2, "w+"), drawn(prior, 2)
    codes, whole = {"w+": wplus, "noise": maps}, prior.decode(wplus, "w+", noise=maps)
    for deep in [space for space in prior.spaces if space.startswith("features@")]:
        codes = carried(prior, codes, deep, "layered")
        torch.testing.assert_close(picture(prior, codes), whole, atol=1e-4, rtol=1e-4)


def test_the_projector_goes_on_with_the_maps_of_its_start() -> None:
    prior = made("stylegan2-skip")
    w, maps = sampled(prior, 1, "w"), drawn(prior, 1)
    start = replace(start_at(prior, w, "w"), codes={"w": w, "noise": maps})
    found = Projector(prior, steps=0)(prior.decode(w, "w"), Identity(), start=start)
    assert torch.equal(found.codes["noise"], maps)


@pytest.mark.parametrize("name", NOISY)
def test_the_projector_s_maps_are_white_around_0(name: str) -> None:
    prior = made(name)
    for part in torch.split(standardised(3 + 2 * drawn(prior, 2), prior), prior.noise_sizes, 1):
        torch.testing.assert_close(part.mean(1), torch.zeros(2), atol=1e-5, rtol=0)
        torch.testing.assert_close(part.square().mean(1), torch.ones(2))


def test_maps_that_layered_moves_keep_their_length() -> None:
    prior = made("stylegan2-skip")
    found = Layered(prior, 2, steps=3, moving_maps=3, lr=1)(prior.decode(sampled(prior)), Identity()).codes["noise"]
    for part in torch.split(found, prior.noise_sizes, 1)[:3]:
        torch.testing.assert_close(part.square().mean(1), torch.ones(2))


@pytest.mark.parametrize("name", NOISY)
def test_gradients_reach_the_maps(name: str) -> None:
    prior = made(name).double()
    z, maps = sampled(prior, 1), drawn(prior, 1).requires_grad_()
    (slope,) = torch.autograd.grad(prior.decode(z, noise=maps).square().mean(), maps)
    way = drawn(prior, 1, seed=9) * 1e-6
    with torch.no_grad():
        rise = prior.decode(z, noise=maps + way).square().mean() - prior.decode(z, noise=maps - way).square().mean()
    torch.testing.assert_close((slope * way).sum() * 2, rise, rtol=1e-3, atol=1e-13)
    assert bool((slope != 0).all())


@pytest.mark.parametrize("name", NOISY)
def test_the_space_of_maps(name: str) -> None:
    prior = made(name)
    maps = drawn(prior, 3)
    assert abs(float(maps.std()) - 1) < 0.1
    assert torch.equal(maps, drawn(prior, 3))
    middle = prior.centre("w+").expand(3, -1, -1)
    torch.testing.assert_close(prior.decode(maps, "noise"), prior.decode(middle, "w+", noise=maps), atol=2e-5, rtol=1e-5)
    w = sampled(prior, 3, "w")
    resumed = prior.resumed(w, "w")
    torch.testing.assert_close(resumed.decode(maps, "noise"), prior.decode(w, "w", noise=maps), atol=2e-5, rtol=1e-5)
    one = prior.resumed(w[:1], "w").decode(maps, "noise")
    torch.testing.assert_close(one, prior.decode(w[:1].expand(3, -1), "w", noise=maps), atol=2e-5, rtol=1e-5)


def test_what_does_not_fit_is_refused() -> None:
    prior = made("mobilestylegan")
    z, maps = sampled(prior, 3), drawn(prior, 3)
    for wrong in (maps[:2], maps[:, 1:], maps[0], maps[:, None]):
        with pytest.raises(ValueError, match=r"expected noise of shape \(3, 656\) or \(1, 656\), got \("):
            prior.decode(z, noise=wrong)
        with pytest.raises(ValueError, match=r"expected noise of shape \(3, 656\) or \(1, 656\), got \("):
            prior.map(z, source="z", target="features@2", noise=wrong)
    for other in (maps.double(), maps.long(), maps.to(torch.complex64)):
        with pytest.raises(ValueError, match=rf"noise maps are {other.dtype} on cpu, and the prior is torch.float32 on cpu; bring"):
            prior.decode(z, noise=other)
    for mode in ("Random", "foo", None):  # not taken for the third of three
        with pytest.raises(ValueError, match=f"noise is {mode!r}; it must be one of const, none, random, or codes of the space noise"):
            prior.decode(z, noise=mode)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=f"noise is {mode!r}"):
            prior.map(z, source="z", target="features@2", noise=mode)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="codes in 'noise' are the noise maps"):
        prior.decode(maps, "noise", noise=maps)
    with pytest.raises(ValueError, match=r"no map from 'z' to 'noise'; noise maps go beside a code"):
        prior.map(z, source="z", target="noise")
    with pytest.raises(ValueError, match="no map from 'noise' to 'features@2'"):
        prior.map(maps, source="noise", target="features@2")
    assert prior.map(maps, source="noise", target="noise") is maps


@pytest.mark.parametrize("name", [*CHAINS, "stylegan3"])
def test_priors_without_noise_inputs(name: str) -> None:
    prior = made(name)
    assert prior.noise_size == 0
    assert prior.noise_maps().shape == (1, 0)
    assert "noise" not in prior.spaces
    z = sampled(prior)
    with pytest.raises(ValueError, match="has no noise inputs"):
        prior.decode(z, noise=torch.zeros(2, 16))
    with pytest.raises(ValueError, match="has no noise inputs"):
        prior.map(z, source=prior.first_space, target="z", noise=torch.zeros(2, 16))
    with pytest.raises(ValueError, match="has no space 'noise'"):
        prior.sample(2, torch.Generator().manual_seed(0), "noise")
    assert torch.equal(prior.decode(z, noise="random"), prior.decode(z))


def test_a_chain_finds_its_steps_where_the_maps_are_those_it_draws_with() -> None:
    """Maps of zeros are no noise, and the chain is that of a prior without any."""
    state = style2_state()
    silent = StyleGAN2.from_state({key: value * (not key.endswith("noise_strength")) for key, value in state.items()})
    prior = StyleGAN2.from_state(state)
    begun = start_at(prior, sampled(prior, 1))
    still = replace(begun, codes={**begun.codes, "noise": torch.zeros(1, prior.noise_size)})
    y = silent.decode(sampled(silent, 1, seed=6))
    chains = [Langevin(each, noise=0.3, steps=3, lr=0.1) for each in (prior, silent)]
    found, expected = (chain(y, Identity(), start=start) for chain, start in zip(chains, (still, begun), strict=True))
    torch.testing.assert_close(found.codes["z"], expected.codes["z"], atol=1e-4, rtol=1e-4)
