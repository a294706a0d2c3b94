"""Truncation: where it moves codes it does so in every map, and elsewhere it is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from prior_support import CHAINS, STYLED, made

from priorsolve.priors import Prior


def drawn(prior: Prior, space: str) -> torch.Tensor:
    return prior.sample(2, torch.Generator().manual_seed(1), space)


@pytest.mark.parametrize("name", STYLED)
def test_codes_move_toward_the_mean_without_changing_their_space(name: str) -> None:
    prior = made(name)
    for space in (space for space in ("w", "w+", "w++") if space in prior.spaces):
        codes = drawn(prior, space)
        half = prior.map(codes, source=space, target=space, truncation=0.5)
        torch.testing.assert_close(half, torch.lerp(prior.centre(space), codes, 0.5))
        assert torch.equal(prior.map(codes, source=space, target=space, truncation=1), codes)
    for space, style in (("p_n", "w"), ("p_n+", "w+")):
        if space in prior.spaces:
            codes = drawn(prior, space)
            half = prior.map(codes, source=space, target=space, truncation=0.5)
            expected = prior.map(codes, source=space, target=style, truncation=0.5)
            torch.testing.assert_close(prior.map(half, source=space, target=style), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", STYLED)
def test_codes_without_a_style_w_are_not_truncated(name: str) -> None:
    prior = made(name)
    first = prior.first_space
    for source, target in (("s", "features@2"), ("features@2", "features@3"), ("s", "s"), ("features@2", "features@2"), (first, first)):
        with pytest.raises(ValueError, match=r"truncation is between styles w, so not for codes of .*; leave it at 1$"):
            prior.map(drawn(prior, source), source=source, target=target, truncation=0.5)


@pytest.mark.parametrize("name", [name for name in CHAINS if name != "linear"])  # which has one space
def test_priors_without_a_mean_style_refuse_it(name: str) -> None:
    prior = made(name)
    first = prior.first_space
    with pytest.raises(ValueError, match=r"has no mean style for truncation to move towards; leave it at 1$"):
        prior.map(drawn(prior, first), source=first, target=[*prior.spaces][-1], truncation=0.5)


@pytest.mark.parametrize("name", ["dcgan", "mobilestylegan", "stylegan2-skip"])
@pytest.mark.parametrize(
    ("truncation", "said"),
    [(float("nan"), "nan; it must be a finite number"), ("a", "'a'; it must be a number"), (None, "None; it must be a number")],
)
def test_it_is_a_finite_number(name: str, truncation: Any, said: str) -> None:
    prior = made(name)
    with pytest.raises(ValueError, match=rf"^{type(prior).__name__}\(.*\): truncation is {said}$"):
        prior.map(drawn(prior, "z"), source="z", target="features@2", truncation=truncation)
