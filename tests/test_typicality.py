"""How usual a code is: of what it is judged by."""

from __future__ import annotations

import math

import pytest
import torch
from prior_support import sampled
from style_support import style2_state

import priorsolve as ps
from priorsolve.operators import Identity
from priorsolve.priors import LinearPrior
from priorsolve.priors.stylegan2 import StyleGAN2
from priorsolve.solvers import Projector
from priorsolve.typicality import Typicality


def test_what_was_measured_of_one_space_is_not_taken_for_another() -> None:
    """Of the same prior, in turn, as the records of several photos ask for it."""
    prior = StyleGAN2.from_state(style2_state())
    for space in ("w", "s", "features@2"):
        code = sampled(prior, 1, space)
        assert Typicality(prior).distance(code, space) == Typicality(StyleGAN2.from_state(style2_state())).distance(code, space)


def test_noise_maps_are_no_codes_to_be_judged() -> None:
    prior = StyleGAN2.from_state(style2_state())
    y = torch.rand(1, *prior.image_shape, generator=torch.Generator().manual_seed(0))
    solution = Projector(prior, steps=1)(y, Identity())
    assert "noise" in solution.codes
    assert len(ps.diagnose(solution, prior)[0]) == len(solution.codes), "one of the fit, and one of each code but the maps"


def test_a_code_is_far_where_one_sample_of_a_million_is() -> None:
    """In two dimensions the chi-square's tail is exp(-r²/2); elsewhere it is half as far again as 99 of 100 samples."""
    z = Typicality(LinearPrior.random(2, (3, 8, 8), seed=1)).distance(torch.zeros(1, 2), "z")
    assert z.typical == pytest.approx(math.sqrt(-math.log(1e-2)), rel=1e-6)
    assert z.far == pytest.approx(math.sqrt(-math.log(1e-6)), rel=1e-6)
    prior = StyleGAN2.from_state(style2_state())
    w = Typicality(prior).distance(prior.map(prior.sample(1, torch.Generator().manual_seed(0)), source="z", target="w"), "w")
    assert w.far == pytest.approx(1.5 * w.typical, rel=1e-9)


def test_a_number_that_no_sample_changes_counts_in_hundredths_of_the_spread_of_all() -> None:
    """By itself it has no spread, and what is rounded otherwise would be infinitely far."""
    state = style2_state()
    state["mapping.fc1.weight"][0] = 0
    prior = StyleGAN2.from_state(state)
    cloud = prior.map(prior.sample(499, torch.Generator().manual_seed(0)), source="z", target="w")
    code = cloud.mean(0, keepdim=True)
    code[0, 0] += 1
    assert float(cloud[:, 0].std()) == pytest.approx(0, abs=1e-5)
    assert Typicality(prior).distance(code, "w").value == pytest.approx(100 / float(cloud.std()) / 5**0.5, rel=0.01)
