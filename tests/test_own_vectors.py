"""What is done to every vector of a code, and to every noise map, by itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from prior_support import made
from torch import Tensor

from priorsolve.counter_rng import normal_hash
from priorsolve.operators.base import Identity
from priorsolve.priors.kept import run_form, spread_of
from priorsolve.solvers import Latent, Layered, Multicode, Projector, start_at
from priorsolve.solvers.optimisers import NormalisedDescent
from priorsolve.solvers.proxy import Proxy
from priorsolve.solvers.target import Measured
from priorsolve.solvers.task import At


def test_noise_maps_are_each_on_a_sphere_of_their_own() -> None:
    prior = made("stylegan2-skip")
    y = prior.decode(prior.sample(2, torch.Generator().manual_seed(1)))
    begun = Latent(prior, space="w", steps=0, restarts=1, candidates=1)(y, Identity())
    maps = Latent(prior, space="noise", steps=3, restarts=1, sphere=True)(y, Identity(), start=begun).codes["noise"]
    for part in torch.split(maps, [height * width for height, width in prior.noise_shapes], 1):
        torch.testing.assert_close(part.norm(dim=1), torch.full((2,), part.shape[1] ** 0.5))


def test_whitened_styles_are_each_on_a_sphere_of_their_own() -> None:
    prior = made("mobilestylegan")
    y = prior.decode(prior.sample(2, torch.Generator().manual_seed(1)))
    codes = Latent(prior, space="p_n+", steps=3, restarts=1, candidates=2, sphere=True)(y, Identity()).codes["p_n+"]
    torch.testing.assert_close(codes.norm(dim=-1), torch.full(codes.shape[:2], codes.shape[-1] ** 0.5))


@pytest.mark.parametrize(
    ("name", "shape", "vector"), [("w++", (2, 3, 4), 1), ("w+", (3, 4), 1), ("features@1", (2, 3, 4), 3), ("codes", (5, 2, 3, 4), 3)]
)
def test_a_normalised_step_is_as_long_for_every_vector(name: str, shape: tuple[int, ...], vector: int) -> None:
    """Features are one, since an image row of one channel means nothing by itself."""
    gradient = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    one = torch.ones(())
    step = -NormalisedDescent().move({name: torch.zeros_like(gradient)}, {name: gradient}, 0, 0.1, {name: one})[name]
    steps, slopes = (value.flatten(-vector) for value in (step, gradient))
    torch.testing.assert_close(steps, 0.1 * slopes.shape[-1] ** 0.5 * slopes / slopes.norm(dim=-1, keepdim=True))


def test_a_normalised_round_moves_features_as_one_vector() -> None:
    prior = made("dcgan")
    y = torch.rand(2, *prior.image_shape, generator=torch.Generator().manual_seed(0))
    deep = Layered(prior, block=1, steps=1, optimiser="normalised", lr=0.1, warmup=0, decay="none", keep="last")
    step = deep(y, Identity()).codes["features@1"] - prior.centre("features@1")
    length = 0.1 * spread_of(run_form(prior), "features@1") * step[0].numel() ** 0.5
    torch.testing.assert_close(step.flatten(1).norm(dim=1), length.expand(2))
    mixed = Multicode(prior, codes=2, block=2, space="features@1", steps=3, candidates=2, optimiser="normalised", mix_lr=0)
    assert bool(mixed(y, Identity()).images.isfinite().all())


@pytest.mark.parametrize("space", ["w", "w+", "w++"])
def test_the_projector_shakes_every_style_by_itself(space: str) -> None:
    """As rosinality's projector in w+."""
    prior, seeds = made("stylegan2-skip"), torch.tensor([0])
    picture = prior.decode(prior.sample(1, torch.Generator().manual_seed(4)))
    measured = Measured(picture, Identity(), tuple(prior.image_shape), like=next(prior.parameters()))
    with torch.no_grad():
        task = Projector(prior, space=space, steps=9, jitter=0.5).begin(prior, measured, [0], None)
        code = task.variables[space]
        samples = prior.sample(4096, torch.Generator().manual_seed(0), "w")
        sigma = (samples - samples.mean(0)).square().sum(1).mean().sqrt()
        shaken = code + 0.5 * sigma * normal_hash(seeds, 0, code.numel()).view_as(code)
        expected = prior.decode(shaken, space, noise=task.variables["noise"])
        torch.testing.assert_close(task.draw(task.variables, At(0, 9, seeds)), expected, atol=1e-5, rtol=1e-5)


def whitened_styles(**settings: Any) -> tuple[Tensor, Tensor]:
    """Before and after a round of `layered`."""
    prior = made("stylegan2-skip")
    y = torch.rand(2, *prior.image_shape, generator=torch.Generator().manual_seed(0))
    wplus = prior.sample(2, torch.Generator().manual_seed(1), "w+")
    found = Layered(prior, block=2, keep="last", **settings)(y, Identity(), start=start_at(prior, wplus, "w+"))
    whitened = Proxy.of(prior).whitened
    return whitened(wplus), whitened(found.codes["w+"])


def test_styles_beside_features_are_each_on_their_own_sphere() -> None:
    before, after = whitened_styles(steps=5, lr=0.5)
    torch.testing.assert_close(after.norm(dim=-1), before.norm(dim=-1), atol=1e-4, rtol=1e-4)
    assert (after - before).abs().max() > 0.01


def test_styles_beside_features_move_at_their_share_of_the_rate() -> None:
    step = {"steps": 1, "lr": 0.01, "optimiser": "sgd", "decay": "none", "warmup": 0, "sphere": False}
    whole, quarter = (after - before for before, after in (whitened_styles(style_lr=share, **step) for share in (1.0, 0.25)))
    torch.testing.assert_close(quarter, whole / 4, atol=2e-6, rtol=1e-2)
    assert whole.abs().max() > 1e-4


def test_the_proxy_is_pulses_mapping() -> None:
    """Mean and deviation of each number by itself of leaky ReLU of slope 5 of w, which slope 1/5 leads back: (z·σ + μ) is w's."""
    prior = made("stylegan2-skip")
    w = prior.sample(4096, torch.Generator().manual_seed(0), "w")
    straight = torch.where(w < 0, 5 * w, w)
    proxy = Proxy.of(prior)
    torch.testing.assert_close(proxy.whitened(w), (straight - straight.mean(0)) / straight.std(0), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(proxy.coloured(proxy.whitened(w)), w, atol=1e-5, rtol=1e-4)
    assert float(straight.std(0).max()) > 1.1 * float(straight.std(0).min()), "the case is too easy: all numbers spread alike"
