"""Whether what several solutions say of their own errors is honest."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from priorsolve.consistency import put_back
from priorsolve.operators import Identity, Mask
from priorsolve.operators.noise import Gaussian
from priorsolve.priors.linear import LinearPrior
from priorsolve.sampling import Samples, solve_several
from priorsolve.solvers import Langevin, Latent, Solution, Solves, Staged
from priorsolve.types import Images, Measurements


def toy() -> LinearPrior:
    """Of 12 numbers and 3×8×8 pictures."""
    rng = torch.Generator().manual_seed(0)
    return LinearPrior(0.2 * torch.randn(192, 12, generator=rng, dtype=torch.float64), torch.zeros(192, dtype=torch.float64), (3, 8, 8))


@pytest.mark.parametrize("mean", [False, True])
def test_the_spread_is_judged_around_the_answer(mean: bool) -> None:
    """Of the mean as the answer it was judged around the first, whose error is larger."""
    clean = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    solver = Latent(toy(), steps=3, restarts=1, candidates=1)
    answer, samples, _ = solve_several(solver, clean, Identity(), 4, noise=Gaussian(0.1), mean=mean)
    assert samples is not None
    allowed = (1 + 3 / 16) ** 0.5 if mean else 1.0  # three of the four have noise of their own
    off = (answer.images - clean).square().flatten(1).mean(1).sqrt() / allowed
    torch.testing.assert_close(samples.calibration(clean)["guessed_error"], off)


@pytest.mark.parametrize(("around_first", "mean"), [(False, False), (False, True), (True, False), (True, True)])
@pytest.mark.parametrize(("k", "coverage"), [(2, 0.705), (4, 0.861), (8, 0.914), (500, 0.954)])  # Student's t with k − 1 degrees of freedom
def test_samples_that_are_as_far_off_as_the_original_are_honest(around_first: bool, mean: bool, k: int, coverage: float) -> None:
    rng = torch.Generator().manual_seed(0)
    answer = torch.randn(2, 1, 3, 16, 16, generator=rng)
    others = answer + 0.1 * torch.randn(2, k, 3, 16, 16, generator=rng)
    clean = answer[:, 0] + 0.1 * torch.randn(2, 3, 16, 16, generator=rng)
    images = torch.cat([answer, others[:, 1:]], 1) if around_first else others
    told = Samples(images, around_first, mean).calibration(clean)
    assert told["coverage"].tolist() == pytest.approx([coverage] * 2, abs=0.04)
    assert told["spread_to_error"].tolist() == pytest.approx([1.0] * 2, abs=0.12)


@pytest.mark.parametrize("mean", [False, True])
def test_least_squares_is_told_as_honest(mean: bool) -> None:
    """Its pictures of `y`, and of `y` with noise drawn once more, scatter as they err; of their mean 0.88 was told, with four of them."""
    rng, sigma, count, k = torch.Generator().manual_seed(1), 0.05, 60, 4
    prior = toy()
    clean = prior.decode(torch.randn(count, 12, generator=rng, dtype=torch.float64))
    y = clean + sigma * torch.randn(clean.shape, generator=rng, dtype=torch.float64)
    solver = Latent(prior, steps=15, restarts=1, candidates=1, optimiser="lbfgs", lr=1.0, decay="none", warmup=0)
    _, samples, _ = solve_several(solver, y, Identity(), k, noise=Gaussian(sigma), seeds=range(count), mean=mean)
    assert samples is not None
    told = samples.calibration(clean)
    ratio = (told["spread_to_error"] * told["guessed_error"]).square().mean() / told["guessed_error"].square().mean()
    assert float(ratio.sqrt()) == pytest.approx(1, abs=0.05)
    assert float(told["coverage"].mean()) == pytest.approx(0.861, abs=0.02)


@pytest.mark.parametrize("langevin", [False, True])
def test_what_is_put_back_with_its_noise_is_honest_too(langevin: bool) -> None:
    """A picture of the prior's, most of it measured with noise σ: least squares of y, of y with noise drawn once more, and samples of
    p(x | y) alike err by about as much as they are apart, where known by σ. With y put back into all, coverage was 0.19."""
    rng, sigma, count, k = torch.Generator().manual_seed(1), 0.05, 24, 9
    prior = toy()
    clean = prior.decode(torch.randn(count, 12, generator=rng, dtype=torch.float64))
    known = (torch.rand(8, 8, generator=rng) < 0.8).double()
    operator, noise, seeds = Mask(known).double(), Gaussian(sigma), list(range(count))
    y = noise(operator.A(clean), rng=[torch.Generator().manual_seed(seed) for seed in seeds], where=known.expand(count, 3, 8, 8))
    solver: Solves = Latent(prior, steps=15, restarts=1, candidates=1, optimiser="lbfgs", lr=1.0, decay="none", warmup=0)
    if langevin:
        solver = Staged([solver, Langevin(prior, noise=sigma, steps=25, lr=0.1)])

    def finish(solution: Solution, measured: Measurements) -> Images:
        return put_back(solution.images, measured, operator)

    answer, samples, _ = solve_several(solver, y, operator, k, noise=noise, seeds=seeds, finish=finish)
    assert samples is not None
    told = samples.calibration(clean)
    assert float(told["coverage"].mean()) == pytest.approx(0.92, abs=0.03)  # Student's t with 8 degrees of freedom
    assert float(told["spread_to_error"].square().mean().sqrt()) == pytest.approx(1, abs=0.06)
    assert float(samples.spread[:, known > 0].square().mean().sqrt()) == pytest.approx(sigma, rel=0.05)
    if not langevin:
        torch.testing.assert_close(samples.images[:, 0], put_back(answer.images, y, operator))


def test_a_mean_of_stages_is_no_sample_though_the_last_one_draws_samples() -> None:
    """Half of the noise of langevin's samples was left in it, and told as theirs: a coverage of 0.70."""
    rng, sigma, count, k = torch.Generator().manual_seed(1), 0.1, 24, 6
    prior = toy()
    clean = prior.decode(torch.randn(count, 12, generator=rng, dtype=torch.float64))
    y = clean + sigma * torch.randn(clean.shape, generator=rng, dtype=torch.float64)
    first = Latent(prior, steps=15, restarts=1, candidates=1, optimiser="lbfgs", lr=1.0, decay="none", warmup=0)
    last = Langevin(prior, noise=sigma, steps=25, lr=0.1)
    assert Staged([last], mean=True).samples, "the mean of one is itself"
    _, samples, _ = solve_several(Staged([first, last], mean=True), y, Identity(), k, noise=Gaussian(sigma), seeds=range(count))
    assert samples is not None
    assert float(samples.calibration(clean)["coverage"].mean()) > 0.89  # Student's t with 5 degrees of freedom: 0.90


def test_what_is_known_tells_nothing_of_the_spread() -> None:
    """Put back, it is the original but for rounding, by which it was within two standard deviations of it or not."""
    rng = torch.Generator().manual_seed(0)
    clean, hole = torch.rand(1, 3, 16, 16, generator=rng), torch.zeros(16, 16, dtype=torch.bool)
    hole[4:8, 4:12] = True
    images = torch.where(hole, 0.1 * torch.randn(1, 4, 3, 16, 16, generator=rng), 1e-7 * torch.randn(1, 4, 3, 16, 16, generator=rng))
    told = Samples(clean[:, None] + images + 0.3 * hole).calibration(clean)
    alone = Samples((clean[:, None] + images + 0.3 * hole)[..., 4:8, 4:12]).calibration(clean[..., 4:8, 4:12])
    assert torch.equal(told["coverage"], alone["coverage"])
    torch.testing.assert_close(told["spread_to_error"], alone["spread_to_error"])
    assert float(told["coverage"]) < 0.5
    known = Samples(clean[:, None] + 1e-7 * images).calibration(clean)
    assert known["coverage"].isnan().all()
    assert known["spread_to_error"].isnan().all()


def test_what_one_picture_has_right_by_chance_is_guessed_all_the_same() -> None:
    clean = torch.zeros(1, 1, 1, 2)
    images = torch.tensor([[0.0, 0.0], [0.3, 0.0], [-0.3, 0.0]]).view(1, 3, 1, 1, 2)  # of two values the second is known
    told = Samples(images, around_first=True).calibration(clean)
    assert (told["coverage"].item(), told["guessed_error"].item()) == (1, 0)


def test_samples_are_compared_with_one_clean_picture_for_each_photo() -> None:
    samples = Samples(torch.rand(3, 4, 3, 8, 8, generator=torch.Generator().manual_seed(0)))
    clean: Any
    for clean, told in ((torch.zeros(1, 3, 8, 8), r"\(1, 3, 8, 8\)"), (torch.zeros(3, 3, 8, 8).numpy(), "a ndarray"), (None, "None")):
        with pytest.raises(ValueError, match=rf"^calibration takes clean pictures .* \(3, 3, 8, 8\), one for each photo, not {told}$"):
            samples.calibration(clean)


def test_pictures_that_agree_on_something_false_are_not_honest() -> None:
    clean = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    sure = Samples(clean[:, None].expand(2, 4, 3, 8, 8) + 0.1).calibration(clean)
    assert sure["coverage"].tolist() == sure["spread_to_error"].tolist() == [0, 0]
