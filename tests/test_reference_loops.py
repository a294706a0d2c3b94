"""The published loops do what is published of them, so that what the benchmarks measure against is not made of straw."""

from __future__ import annotations

import pytest
import torch
from prior_support import mobile, stylegan2
from solvers_support import least_squares, linear, pictures, random_mask
from states_support import dcgan_state
from torch import Tensor

from benchmarks.reference_loops import Stage, csgm, dgp, ilo, mganprior, one_by_one, pulse, robust
from priorsolve.metrics import psnr
from priorsolve.operators.base import Identity
from priorsolve.operators.downsample import Downsample
from priorsolve.priors import DCGAN, Prior

A = Identity().A


def dcgan() -> DCGAN:
    return DCGAN.from_state(dcgan_state())


def drawn(prior: Prior, count: int = 1) -> Tensor:
    return prior.decode(prior.sample(count, torch.Generator().manual_seed(1)))


def test_csgm_reaches_the_optimum_of_a_linear_prior() -> None:
    prior, operator = linear(), random_mask(1, 8, 8)
    y = operator.A(pictures(3))
    share = float(operator.support(torch.ones(1, 3, 8, 8)).mean())  # the loop takes the mean over the hole too
    found = csgm(prior, operator.A, y, steps=150, restarts=2, lr=0.1, weight=0.001 * share)
    torch.testing.assert_close(found.codes, least_squares(prior, operator, y, 0.001), atol=1e-3, rtol=0)
    assert len(found.printed) == 2 * 150


def test_csgm_keeps_each_photos_better_restart() -> None:
    prior = dcgan()
    y = drawn(prior, 4)
    misfit = [(csgm(prior, A, y, steps=3, restarts=k).images - y).square().flatten(1).mean(1) for k in (1, 4)]
    assert bool((misfit[1] <= misfit[0]).all())
    assert bool((misfit[1] < misfit[0]).any())


def test_one_code_of_fixed_weight_is_plain_descent() -> None:
    prior = dcgan()
    y = drawn(prior)
    mixed = mganprior(prior, A, y, codes=1, block=2, steps=4, lr=1.0, mix_lr=0.0)
    plain = csgm(prior, A, y, steps=4, restarts=1, optimiser=torch.optim.SGD, lr=4.0, weight=0)  # their square is on [−1, 1]
    torch.testing.assert_close(mixed.codes[:, 0], plain.codes)
    assert mixed.printed == pytest.approx([4 * loss for loss in plain.printed])


def test_more_codes_reach_further() -> None:
    prior, rng = dcgan(), torch.Generator().manual_seed(1)
    inside = prior.map(prior.sample(5, rng), source="z", target="features@2")
    y = prior.decode((inside * torch.rand(5, inside.shape[1], 1, 1, generator=rng) / 2.5).sum(0, keepdim=True), "features@2")
    one, many = (mganprior(prior, A, y, codes=n, block=2, steps=150).printed for n in (1, 10))
    assert many[-1] < 0.9 * one[-1] < 0.9 * one[0]


def test_dgp_draws_what_no_code_can_and_leaves_the_prior_alone() -> None:
    prior, y = dcgan(), drawn(DCGAN.from_state(dcgan_state(seed=1)))
    before = drawn(prior)
    stages = [Stage(blocks, 5e-3, 1e-2) for blocks in (1, 2, 4)]
    found = dgp(prior, A, y, stages=stages, steps=60, select=20, nll=0)
    z = csgm(prior, A, y, steps=180, restarts=1, weight=0).images
    assert float(psnr(found.images, y)) > float(psnr(z, y)) + 3
    assert torch.equal(drawn(prior), before)
    assert not any(parameter.requires_grad for parameter in prior.parameters())


def test_dgps_first_stage_moves_the_first_block_alone() -> None:
    prior = dcgan()
    y = drawn(prior)
    one = dgp(prior, A, y, stages=[Stage(1, 1e-3, 0.0)], steps=3, select=5)
    first = prior.blocks[0](one.codes)
    rest = prior.decode(first, "features@1")
    assert not torch.equal(one.images, rest)  # block 0 has moved
    held = dgp(prior, A, y, stages=[Stage(0, 1e-3, 0.0)], steps=3, select=5)
    torch.testing.assert_close(held.images, prior.decode(held.codes))


def test_dgp_begins_at_the_best_of_its_samples() -> None:
    prior = dcgan()
    rng = torch.Generator().manual_seed(0)
    samples = torch.cat([0.5 * prior.sample(1, rng) for _ in range(7)])
    y = prior.decode(samples[4:5])
    found = dgp(prior, A, y, stages=[], select=7, sample_std=0.5)
    torch.testing.assert_close(found.codes, samples[4:5])


def test_pulse_keeps_its_lengths_and_explains_the_small_picture() -> None:
    prior, operator = dcgan(), Downsample(2)
    y = operator.A(drawn(prior, 2))
    found = one_by_one(pulse, prior, operator.A, y)
    lengths = [torch.randn(1, 7, generator=torch.Generator().manual_seed(seed)).norm() for seed in (0, 1)]
    torch.testing.assert_close(found.codes.norm(dim=1), torch.stack(lengths))
    assert len(found.printed) == 2 * 100
    assert min(found.printed) >= 100 * 2e-3  # nobody pulls below
    closer = one_by_one(pulse, prior, operator.A, y, eps=0).printed
    assert closer[99] < 0.1 * closer[0]


def test_pulse_with_styles_keeps_every_layer_and_map_at_its_length() -> None:
    prior, operator = stylegan2(), Downsample(2)
    y = operator.A(drawn(prior))
    found = pulse(prior, operator.A, y, steps=20, seed=3)
    rng = torch.Generator().manual_seed(3)
    maps = [torch.randn(1, height * width, generator=rng) for height, width in prior.noise_shapes]
    start = torch.randn(1, *prior.spaces["w+"], generator=rng)
    assert len(maps) == 5
    torch.testing.assert_close(found.codes.norm(dim=-1), start.norm(dim=-1))
    assert not torch.allclose(found.codes, start)
    assert found.printed[-1] < found.printed[0]


def test_ilo_goes_on_where_the_code_ended() -> None:
    prior, y = dcgan(), torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    losses = ilo(prior, A, y, rounds=[(0, 40), (1, 40), (2, 40)]).printed
    assert losses[40] == pytest.approx(losses[39], rel=1e-3)
    assert losses[80] == pytest.approx(losses[79], rel=1e-3)
    assert losses[119] < losses[79] < losses[39] < losses[0]


def test_ilo_with_styles_moves_what_enters_a_block() -> None:
    prior = stylegan2()
    losses = ilo(prior, A, drawn(prior), rounds=[(0, 30), (2, 30)]).printed
    assert len(losses) == 60
    assert losses[59] < 0.8 * losses[29] < 0.8 * losses[0]


def test_robust_moves_every_vector_by_the_rate() -> None:
    prior = mobile()
    y = drawn(prior)
    one = robust(prior, A, y, steps=1, rates=(0.08, 0.0, 0.0))
    far = (one.codes - prior.map(prior.centre("w"), source="w", target="w++")).norm(dim=-1)
    torch.testing.assert_close(far, torch.full_like(far, 0.08))
    losses = robust(prior, A, y, steps=10).printed
    assert len(losses) == 30
    assert losses[29] < losses[19] < losses[9] < losses[0]
