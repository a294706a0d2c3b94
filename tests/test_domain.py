"""The term that keeps a code in the domain: against its closed form where everything is linear, and what it does to a face's code."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from solvers_support import SHAPE, linear, pictures, random_mask

from priorsolve.priors import Prior
from priorsolve.solvers import Latent
from priorsolve.solvers.domain import LinearEncoder


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRIORSOLVE_CACHE", str(tmp_path))


@pytest.mark.parametrize("weight", [0.1, 10.0])
def test_on_a_linear_prior_the_answer_is_that_of_the_normal_equations(weight: float) -> None:
    """`min_z mean (A G z − y)² + λ mean (z − E G z)²`: A G and E G are matrices B and K with offsets, so the optimum is one solve."""
    prior, operator = linear(), random_mask(1, 8, 8)
    y = operator.A(pictures(1))
    encoder = LinearEncoder.learnt(prior, "z", 8)  # of few pictures, so that it shrinks
    eye, zero = torch.eye(4, dtype=torch.float64), torch.zeros(1, 4, dtype=torch.float64)
    offset, read = prior.decode(zero), encoder(prior.decode(zero))
    seen = operator.support(torch.ones(1, *SHAPE, dtype=torch.float64)).expand(1, *SHAPE).flatten() > 0
    B = (prior.decode(eye) - offset).flatten(1).T[seen]
    K = (encoder(prior.decode(eye)) - read).T
    right = (y - operator.A(offset)).flatten()[seen]
    apart = eye - K
    matrix = B.T @ B / len(right) + weight * apart.T @ apart / 4
    expected = torch.linalg.solve(matrix, B.T @ right / len(right) + weight * apart.T @ read.flatten() / 4)
    solver = Latent(
        prior, steps=60, begin_at="centre", restarts=1, optimiser="lbfgs", lr=1, warmup=0, decay="none", in_domain=weight, bank=8
    )
    found = solver(y, operator).codes["z"][0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    free = torch.linalg.lstsq(B, right[:, None]).solution.flatten()
    assert float((expected - free).norm()) > 0.01, "the term changes nothing here, so this proves nothing"


def test_a_code_comes_nearer_to_what_its_picture_tells_and_a_batch_is_its_singles(digiface64: Prior) -> None:
    encoder = LinearEncoder.learnt(digiface64, "z", 64)
    y = digiface64.decode(digiface64.sample(2, torch.Generator().manual_seed(3)))
    apart = {}
    for weight in (0.0, 1.0):
        solution = Latent(digiface64, steps=8, restarts=1, candidates=4, in_domain=weight, bank=64)(y, lambda images: images)
        apart[weight] = encoder.distance(solution.codes["z"], solution.images)
        single = Latent(digiface64, steps=8, restarts=1, candidates=4, in_domain=weight, bank=64)(y[1:], lambda images: images)
        assert torch.equal(single.images, solution.images[1:])
    assert (apart[1.0] < 0.8 * apart[0.0]).all()


def test_larger_pictures_are_read_at_the_size_that_was_learnt() -> None:
    encoder = LinearEncoder.learnt(linear(), "z", 20)
    large = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(encoder(large), encoder(torch.nn.functional.avg_pool2d(large, 2)))


def test_it_is_learnt_once_for_all_batches_and_anew_once_the_prior_has_changed() -> None:
    prior = linear()
    first, other = (LinearEncoder.learnt(prior, "z", count) for count in (20, 21))
    assert first is LinearEncoder.learnt(prior, "z", 20)
    assert first is not other
    images = pictures(1)
    before = first(images)
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.mul_(2)  # pictures of twice the contrast tell of codes half as far from the middle
    assert float((LinearEncoder.learnt(prior, "z", 20)(images) - before).abs().max()) > 0.01


def test_it_learns_from_the_bank_and_knows_no_noise_maps() -> None:
    assert Latent(linear(), in_domain=1.0, bank=40).learns_from == 40
    assert Latent(linear()).learns_from == 0
    with pytest.raises(ValueError, match=r"^in_domain is -1.0; it must be at least 0$"):
        Latent(linear(), in_domain=-1.0)
