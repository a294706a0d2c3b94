"""Folded priors are ordinary ones: gradients go through wherever they were made, and they travel."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from device_support import DEVICE, another_device
from prior_support import CHAINS, STYLED, made

from priorsolve.priors import BigGANDeep, Prior


def gradient(prior: Prior) -> torch.Tensor:
    codes = prior.sample(2, torch.Generator().manual_seed(0)).requires_grad_()
    (found,) = torch.autograd.grad(prior.decode(codes).square().sum(), codes)
    return found


@pytest.mark.parametrize("name", [*STYLED, *CHAINS])
def test_what_is_folded_and_drawn_in_inference_mode_lets_gradients_through(name: str) -> None:
    prior = made(name)
    expected = gradient(prior)
    with torch.inference_mode():
        within = [prior.folded(), prior.crowded()]
    for each in (*within, prior.folded(), prior.crowded()):
        with torch.inference_mode():
            each.decode(each.sample(2, torch.Generator().manual_seed(0)))
        torch.testing.assert_close(gradient(each), expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("name", [*STYLED, *CHAINS])
def test_they_compute_in_what_the_prior_computes_in(name: str) -> None:
    for dtype in (None, torch.bfloat16):
        prior = made(name).computing(dtype)
        assert (prior.folded().computes, prior.crowded().computes) == (dtype, dtype)


def test_another_truncation_too() -> None:
    prior = made("biggan-deep")
    assert isinstance(prior, BigGANDeep)
    with torch.inference_mode():
        other = prior.with_truncation(0.5)
    assert bool(gradient(other).isfinite().all())


@pytest.mark.parametrize("name", [*STYLED, *CHAINS])
def test_what_has_drawn_can_be_pickled_and_copied(name: str) -> None:
    for each in (made(name).folded(), made(name).crowded()):
        codes = each.sample(2, torch.Generator().manual_seed(0))
        images = each.decode(codes)
        for again in (pickle.loads(pickle.dumps(each)), copy.deepcopy(each)):
            assert torch.equal(again.decode(codes), images)


@pytest.mark.parametrize("name", ["mobilestylegan", "stylegan2-skip"])
def test_what_has_computed_in_bfloat16_moves_to_another_device(name: str) -> None:
    form = made(name).folded().computing(torch.bfloat16)
    assert bool(gradient(form).isfinite().all())
    exact = gradient(made(name))
    with another_device():
        moved = form.to(DEVICE)
        codes = moved.sample(2, torch.Generator().manual_seed(0)).requires_grad_()
        (found,) = torch.autograd.grad(moved.decode(codes).square().sum(), codes)
        torch.testing.assert_close(found.cpu(), exact, rtol=1e-3, atol=1e-4 * float(exact.abs().max()))
