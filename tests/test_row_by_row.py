"""Style priors on the CPU: a picture of a batch is to the last bit what it is alone, and so is what a solver makes of it."""

from __future__ import annotations

import pytest
import torch
from prior_support import made

from priorsolve.operators import Downsample
from priorsolve.priors.base import Noise
from priorsolve.solvers import Latent, Staged

STYLED = ["stylegan2-skip", "stylegan3", "mobilestylegan"]


@pytest.mark.parametrize("name", STYLED)
def test_a_batch_is_its_singles(name: str) -> None:
    prior = made(name)
    for space in prior.spaces:
        codes = prior.sample(3, torch.Generator().manual_seed(1), space)
        alone = torch.cat([prior.decode(code[None], space) for code in codes])
        assert torch.equal(prior.decode(codes, space), alone), space


@pytest.mark.parametrize("name", STYLED)
def test_features_go_on_with_their_own_rows_styles(name: str) -> None:
    prior = made(name)
    wplus = prior.sample(3, torch.Generator().manual_seed(1), "w+")
    features = prior.map(wplus, source="w+", target="features@2")
    maps: Noise = prior.sample(3, torch.Generator().manual_seed(2), "noise") if prior.noise_size else "const"
    whole = prior.resumed(wplus, "w+").decode(features, "features@2", noise=maps)
    for i in range(3):
        own: Noise = maps[i : i + 1] if isinstance(maps, torch.Tensor) else maps
        assert torch.equal(prior.resumed(wplus[i : i + 1], "w+").decode(features[i : i + 1], "features@2", noise=own)[0], whole[i])


def test_a_solver_gives_a_photo_the_same_answer_in_any_batch() -> None:
    prior = made("mobilestylegan")
    operator = Downsample(2)
    y = operator.A(prior.decode(prior.sample(3, torch.Generator().manual_seed(5))))
    solver = Staged([Latent(prior, space="w", begin_at="centre", steps=20), Latent(prior, space="w+", steps=20)])
    together = solver(y, operator).images
    for i in range(3):
        assert torch.equal(solver(y[i : i + 1], operator).images[0], together[i])
