from __future__ import annotations

import pytest
import torch

from priorsolve.priors import LinearPrior


def test_decode_is_the_formula() -> None:
    prior = LinearPrior.random(5, (3, 4, 6), seed=1, dtype=torch.float64)
    z = prior.sample(2, torch.Generator().manual_seed(0))
    expected = (z @ prior.weight.T + prior.bias).reshape(2, 3, 4, 6)
    torch.testing.assert_close(prior.decode(z), expected)
    assert z.dtype == torch.float64
    assert prior.image_shape == (3, 4, 6)
    assert dict(prior.spaces) == {"z": (5,)}
    assert len(prior.blocks) == 1


def test_least_squares_finds_the_code() -> None:
    prior = LinearPrior.random(5, (1, 4, 6), dtype=torch.float64)
    z = prior.sample(1, torch.Generator().manual_seed(3))
    found = torch.linalg.lstsq(prior.weight, (prior.decode(z).flatten() - prior.bias)[:, None]).solution[:, 0]
    torch.testing.assert_close(found, z[0])


def test_random_is_seeded_and_lies_around_half() -> None:
    one, same, other = (LinearPrior.random(16, (3, 16, 16), seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one.weight, same.weight)
    assert not torch.equal(one.weight, other.weight)
    images = one.decode(one.sample(64, torch.Generator().manual_seed(0)))
    assert abs(float(images.mean()) - 0.5) < 0.02
    assert 0.12 < float(images.std()) < 0.18


def test_weights_are_frozen_and_the_code_has_a_gradient() -> None:
    prior = LinearPrior.random(5, (1, 4, 6))
    assert not any(parameter.requires_grad for parameter in prior.parameters())
    z = torch.zeros(1, 5, requires_grad=True)
    prior.decode(z).sum().backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(z.grad, prior.weight.sum(0)[None])


def test_refusals_say_what_was_expected() -> None:
    with pytest.raises(ValueError, match=r"expected \(24, k\) and \(24,\)"):
        LinearPrior(torch.zeros(23, 5), torch.zeros(23), (1, 4, 6))
    prior = LinearPrior.random(5, (1, 4, 6))
    with pytest.raises(ValueError, match="has no classes"):
        prior.decode(torch.zeros(1, 5), label=torch.tensor([0]))
    with pytest.raises(ValueError, match="has no space 'w'"):
        prior.decode(torch.zeros(1, 5), "w")
