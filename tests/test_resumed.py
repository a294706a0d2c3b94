"""Features that go on with given styles, and what priors tell of their spaces: classes, centres, spreads."""

from __future__ import annotations

import pytest
import torch
from prior_support import CHAINS, CLASSES, STYLED, made, sampled

from priorsolve.priors import Prior


def features(prior: Prior) -> list[str]:
    return [space for space in prior.spaces if space.startswith("features@")]


@pytest.mark.parametrize("name", STYLED)
def test_features_go_on_with_the_styles_of_any_space(name: str) -> None:
    prior = made(name)
    first = prior.first_space
    start = sampled(prior)
    whole = prior.decode(start)
    for space in ("w", "w+", *({"w++"} & prior.spaces.keys()), "s", first):
        codes = prior.map(start, source=first, target=space)
        resumed = prior.resumed(codes, space)
        for later in features(prior):
            there = prior.map(start, source=first, target=later)
            torch.testing.assert_close(resumed.decode(there, later), whole, atol=5e-5, rtol=1e-5)
            assert not torch.allclose(prior.decode(there, later), whole, atol=1e-3)
    assert torch.equal(resumed.decode(start), whole)
    assert next(resumed.parameters()) is next(prior.parameters())


@pytest.mark.parametrize("name", STYLED)
def test_gradients_reach_the_styles_that_features_go_on_with(name: str) -> None:
    prior = made(name).double()
    later = features(prior)[0]
    there, wplus = sampled(prior, 1, later).requires_grad_(), sampled(prior, 1, "w+", seed=8).clone().requires_grad_()
    loss = prior.resumed(wplus, "w+").decode(there, later).square().mean()
    slopes = torch.autograd.grad(loss, [there, wplus])
    for code, slope in zip((there, wplus), slopes, strict=True):
        rng = torch.Generator().manual_seed(1)
        way = torch.randn(code.shape, generator=rng).double() * 1e-6
        with torch.no_grad():
            ends = [
                prior.resumed(wplus + sign * way if code is wplus else wplus, "w+")
                .decode(there + sign * way if code is there else there, later)
                .square()
                .mean()
                for sign in (1, -1)
            ]
        torch.testing.assert_close((slope * way).sum() * 2, ends[0] - ends[1], rtol=1e-3, atol=1e-13)
        assert float(slope.abs().sum()) > 0


@pytest.mark.parametrize("name", STYLED)
def test_every_row_goes_on_with_its_own_styles(name: str) -> None:
    prior = made(name)
    for later in features(prior):
        there, w = sampled(prior, 3, later), sampled(prior, 3, "w", seed=8)
        batch = prior.resumed(w, "w").decode(there, later)
        singles = [prior.resumed(w[i : i + 1], "w").decode(there[i : i + 1], later) for i in range(3)]
        torch.testing.assert_close(batch, torch.cat(singles), atol=2e-5, rtol=1e-5)
        one = prior.resumed(w[:1], "w").decode(there, later)
        torch.testing.assert_close(one, prior.resumed(w[:1].expand(3, -1), "w").decode(there, later), atol=2e-5, rtol=1e-5)
        with pytest.raises(ValueError, match="3 codes, but resumed from 2"):
            prior.resumed(w[:2], "w").decode(there, later)
    for space in ("noise", later):
        if space in prior.spaces:
            with pytest.raises(ValueError, match="no styles to go on with"):
                prior.resumed(sampled(prior, space=space), space)


@pytest.mark.parametrize("name", CHAINS)
def test_the_features_of_a_chain_carry_everything(name: str) -> None:
    prior = made(name)
    assert prior.resumed(sampled(prior), prior.first_space) is prior
    with pytest.raises(ValueError, match="expected codes of shape"):
        prior.resumed(torch.zeros(2, 1), "z")


@pytest.mark.parametrize("name", [*STYLED, *CHAINS])
def test_the_centre_of_every_space_draws_one_picture(name: str) -> None:
    prior = made(name)
    first = prior.first_space
    centres = {space: prior.centre(space) for space in prior.spaces}
    for space, centre in centres.items():
        assert centre.shape == (1, *prior.spaces[space])
        assert not centre.requires_grad
    assert float(centres["z"].abs().max()) == 0
    if name in STYLED:
        middle = prior.decode(centres["w"], "w")
        same = prior.spaces.keys() - {"z", "z+c", "p_n", "p_n+"}
    else:
        middle, same = prior.decode(centres[first]), prior.spaces.keys() - {"z"}
    for space in same:
        torch.testing.assert_close(prior.decode(centres[space], space), middle, atol=2e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="has no space 'x'"):
        prior.centre("x")


def test_the_centre_of_whitened_codes_is_zero_and_near_the_mean_style() -> None:
    prior = made("mobilestylegan")
    assert float(prior.centre("p_n").abs().max()) == float(made("stylegan3").centre("p_n+").abs().max()) == 0
    torch.testing.assert_close(prior.centre("w")[0], sampled(prior, 20_000, "w").mean(0), atol=0.02, rtol=0)


@pytest.mark.parametrize("name", [*STYLED, *CHAINS])
def test_the_spread_is_that_of_64_codes(name: str) -> None:
    prior = made(name)
    for space in prior.spaces:
        if not (space == "z" and prior.n_classes and name.startswith("stylegan2")):
            # w++ is measured in w+, so one is taken off another number of numbers
            rtol = 1e-3 if space == "w++" else 1e-6
            torch.testing.assert_close(prior.spread(space), sampled(prior, 64, space, seed=0).std(), rtol=rtol, atol=0)


@pytest.mark.parametrize("name", [*STYLED, *CHAINS])
def test_classes_are_told_and_embedded_alike(name: str) -> None:
    prior = made(name)
    n = CLASSES.get(name, 0)
    assert prior.n_classes == n
    if not n:
        with pytest.raises(ValueError, match="has no classes"):
            prior.embed(torch.tensor([0]))
        return
    size = prior.spaces["z"][0]
    embedded = prior.embed(torch.tensor([1, 0]))
    torch.testing.assert_close(prior.embed(torch.eye(n)[[1, 0]]), embedded)
    z = torch.randn(2, size, generator=torch.Generator().manual_seed(0))
    drawn = prior.decode(torch.cat([z, embedded], 1), "z+c")
    torch.testing.assert_close(prior.decode(z, "z", label=torch.tensor([1, 0])), drawn)
    middle = prior.centre("z+c")[:, size:]
    torch.testing.assert_close(middle, prior.embed(torch.eye(n)).mean(0, keepdim=True))
    assert float(prior.centre("z+c")[:, :size].abs().max()) == 0
