"""Several solutions of one photo: the first is the answer, their spread is what is not known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import run_support as run
import torch
from PIL import Image

from priorsolve.consistency import put_back
from priorsolve.counter_rng import FRAMES, SAMPLES, seed_at
from priorsolve.operators import Identity, Mask
from priorsolve.operators.noise import Gaussian, Poisson
from priorsolve.priors.linear import LinearPrior
from priorsolve.recipe.components import RecipeError
from priorsolve.run.restoration import Options, restore
from priorsolve.sampling import Samples, solve_several
from priorsolve.solvers import Langevin, Latent, Solution, Solves, Staged, Step, load_solution, save_solution
from priorsolve.types import Images, Measurements


def toy() -> LinearPrior:
    rng = torch.Generator().manual_seed(0)
    return LinearPrior(torch.randn(48, 6, generator=rng, dtype=torch.float64), torch.zeros(48, dtype=torch.float64), (3, 4, 4))


def test_the_spread_of_randomized_solutions_is_the_estimators_own() -> None:
    """Least squares with noise σ drawn once more: the codes' covariance is σ²·(WᵀW)⁻¹ on what was measured."""
    prior, sigma, k = toy(), 0.1, 200
    known = torch.ones(4, 4)
    known[:2, :2] = 0
    operator = Mask(known).double()
    y = operator.A(prior.decode(torch.zeros(1, 6, dtype=torch.float64)))
    solver = Latent(prior, steps=10, restarts=1, candidates=1, optimiser="lbfgs", lr=1.0, decay="none", warmup=0)

    _, samples, _ = solve_several(
        solver,
        y,
        operator,
        k,
        noise=Gaussian(sigma),
        where=operator.support(torch.ones(1, 3, 4, 4, dtype=torch.float64)),
        seeds=[3],
        batch_size=8,
    )
    assert samples is not None
    W = (prior.decode(torch.eye(6, dtype=torch.float64)) - prior.decode(torch.zeros(1, 6, dtype=torch.float64))).flatten(1).T
    seen = known.expand(3, 4, 4).flatten().bool()
    covariance = sigma**2 * W @ torch.linalg.inv(W[seen].T @ W[seen]) @ W.T
    expected = covariance.diagonal().view(3, 4, 4).mean(0).sqrt()
    measured = samples.spread[0]
    assert (measured / expected - 1).abs().max() < 0.25  # 200 samples: the deviation of a deviation is 5 %, and 16 are looked at


def test_noise_is_drawn_again_only_where_something_was_measured() -> None:
    """What lies in a hole is no number, of which Poisson's noise makes none."""
    known = torch.ones(4, 4)
    known[:2] = 0
    y = torch.where(known > 0, 0.5, torch.nan).expand(1, 3, 4, 4).double()
    solver = Latent(toy(), steps=2, restarts=1, candidates=2)
    answer, samples, _ = solve_several(solver, y, Mask(known).double(), 2, noise=Poisson(100.0))
    assert samples is not None
    assert answer.images.isfinite().all()
    assert samples.images.isfinite().all()


def test_the_mean_of_the_posteriors_samples_is_the_best_estimate() -> None:
    """Langevin's pictures of a linear prior scatter around `E[x | y] = W (I + WᵀAᵀAW/σ²)⁻¹ WᵀAᵀy/σ² + b`; their mean comes near it."""
    prior, sigma = toy(), 1.0
    truth = torch.randn(1, 6, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    known = torch.ones(4, 4)
    known[:3] = 0
    operator = Mask(known).double()
    y = operator.A(prior.decode(truth))
    solver = Langevin(prior, noise=sigma, steps=60, lr=0.1, candidates=1)

    answer, samples, _ = solve_several(
        solver,
        y,
        operator,
        16,
        noise=None,
        where=operator.support(torch.ones(1, 3, 4, 4, dtype=torch.float64)),
        seeds=[3],
        batch_size=8,
        mean=True,
    )
    assert samples is not None
    torch.testing.assert_close(answer.images, samples.images.mean(1))
    apart = (operator.A(answer.images) - y)[:, :, 3].square().mean()  # the last row alone was measured
    torch.testing.assert_close(answer.residual, apart.sqrt()[None])
    torch.testing.assert_close(answer.misfit, apart[None])
    middle = prior.decode(torch.zeros(1, 6, dtype=torch.float64))
    W = (prior.decode(torch.eye(6, dtype=torch.float64)) - middle).flatten(1).T
    A = known.expand(3, 4, 4).flatten().double()
    covariance = torch.linalg.inv(torch.eye(6) + (W * A[:, None]).T @ W / sigma**2)
    expected = middle.flatten() + W @ covariance @ (W.T @ (operator.A(middle) - y).flatten().neg()) / sigma**2
    spread = float((W @ covariance @ W.T).diagonal().mean().sqrt())
    off, alone = (float((found.flatten() - expected).square().mean().sqrt()) / spread for found in (answer.images, samples.images[:, 0]))
    assert off < 0.4  # of 16 samples: a quarter
    assert alone > 0.5


@pytest.mark.parametrize("mean", [False, True])
def test_the_spread_is_judged_around_the_answer(mean: bool) -> None:
    """Of the mean as the answer it was judged around the first, whose error is larger."""
    clean = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    solver = Latent(toy(), steps=3, restarts=1, candidates=1)
    answer, samples, _ = solve_several(solver, clean, Identity(), 4, noise=Gaussian(0.1), mean=mean)
    assert samples is not None
    allowed = (4 / 5) ** 0.5 if mean else 1.0  # the mean of 4 errs by √(1 + ¼) deviations
    off = (answer.images - clean).square().flatten(1).mean(1).sqrt() * allowed
    torch.testing.assert_close(samples.calibration(clean)["guessed_error"], off)


def test_noise_is_not_drawn_again_for_samples_of_the_posterior() -> None:
    """They hold it: where all is measured the codes' covariance is `(I + WᵀW/σ²)⁻¹`, and not nearly twice as much."""
    prior, sigma = toy(), 0.5
    y = prior.decode(torch.randn(1, 6, generator=torch.Generator().manual_seed(5), dtype=torch.float64)).expand(10, -1, -1, -1)
    solver = Langevin(prior, noise=sigma, steps=100, lr=0.1, candidates=1)
    _, samples, _ = solve_several(solver, y, Identity(), 20, noise=Gaussian(sigma), where=torch.ones_like(y), seeds=range(10))
    assert samples is not None
    W = (prior.decode(torch.eye(6, dtype=torch.float64)) - prior.decode(torch.zeros(1, 6, dtype=torch.float64))).flatten(1).T
    exact = (W @ torch.linalg.inv(torch.eye(6) + W.T @ W / sigma**2) @ W.T).diagonal().mean()
    assert float(samples.images.var(1).mean() / exact) == pytest.approx(1, abs=0.15)


def test_langevin_has_the_posteriors_covariance() -> None:
    """p(z | y) of a linear prior is normal: covariance (I + WᵀAᵀAW/σ²)⁻¹, mean that times WᵀAᵀy/σ²."""
    prior, sigma = toy(), 1.0
    truth = torch.randn(1, 6, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    known = torch.ones(4, 4)
    known[:3] = 0
    operator = Mask(known).double()
    y = operator.A(prior.decode(truth))
    count = 600
    solver = Langevin(prior, noise=sigma, steps=150, lr=0.1, candidates=1)
    codes = solver(y.expand(count, -1, -1, -1), operator, seeds=list(range(count))).codes["z"]
    W = (prior.decode(torch.eye(6, dtype=torch.float64)) - prior.decode(torch.zeros(1, 6, dtype=torch.float64))).flatten(1).T
    A = known.expand(3, 4, 4).flatten().double()
    covariance = torch.linalg.inv(torch.eye(6) + (W * A[:, None]).T @ W / sigma**2)
    offset = (y - operator.A(prior.decode(torch.zeros(1, 6, dtype=torch.float64)))).flatten()
    mean = covariance @ (W.T @ offset) / sigma**2
    deviation = covariance.diagonal().sqrt()
    assert ((codes.mean(0) - mean) / deviation).abs().max() < 0.2
    assert (codes.std(0) / deviation - 1).abs().max() < 0.15


def test_a_chain_in_stages_is_the_chain_at_once(tmp_path: Path) -> None:
    """Curvature is the same all over a linear prior, and noise goes on where it was: each stage drew that of the first once more."""
    prior, y = toy(), toy().decode(torch.randn(2, 6, generator=torch.Generator().manual_seed(5), dtype=torch.float64))
    first, seeds = Latent(prior, steps=2, restarts=1), [1, 2]

    def chain(steps: int) -> Langevin:
        return Langevin(prior, noise=0.5, steps=steps, lr=0.1)

    whole = Staged([first, chain(9)])(y, Identity(), seeds=seeds)
    parts = Staged([first, *[chain(3)] * 3])
    torch.testing.assert_close(parts(y, Identity(), seeds=seeds).codes, whole.codes)
    assert torch.equal(parts(y[1:], Identity(), seeds=seeds[1:]).images, parts(y, Identity(), seeds=seeds).images[1:])
    save_solution(Staged([first, chain(4)])(y, Identity(), seeds=seeds), tmp_path / "half")
    later = chain(5)(y, Identity(), seeds=seeds, start=load_solution(tmp_path / "half"))
    torch.testing.assert_close(later.codes, whole.codes)
    assert "codes: z (6,);" in repr(later)


def test_langevin_reaches_what_the_measurement_hardly_tells_of() -> None:
    """Curvatures from 1 to 40 000: one step for all directions, which the steepest allows, spreads the flat ones by a hundredth."""
    rng, sigma, count = torch.Generator().manual_seed(0), 0.05, 400
    scales = torch.tensor([10.0, 3.0, 1.0, 0.3, 0.1, 0.01], dtype=torch.float64)
    W = torch.linalg.qr(torch.randn(48, 6, generator=rng, dtype=torch.float64))[0] * scales
    prior = LinearPrior(W, torch.zeros(48, dtype=torch.float64), (3, 4, 4))
    y = prior.decode(torch.randn(1, 6, generator=rng, dtype=torch.float64))
    start = Latent(prior, steps=60, restarts=1, optimiser="lbfgs", lr=1.0, decay="none", warmup=0)(y, Identity())[[0] * count]
    deviation = (1 / (1 + scales.square() / sigma**2)).sqrt()

    def spread(**settings: float) -> torch.Tensor:
        solver = Langevin(prior, noise=sigma, steps=300, lr=0.1, flattest=1e-4, **settings)  # type: ignore[arg-type]
        codes = solver(y.expand(count, -1, -1, -1), Identity(), seeds=list(range(count)), start=start).codes["z"]
        return codes.std(0) / deviation

    assert (spread() - 1).abs().max() < 0.12
    by_one_step = spread(directions=1)
    assert by_one_step[-1] < 0.1
    assert (spread(directions=3)[:3] - 1).abs().max() < 0.12


@pytest.mark.parametrize("around_first", [False, True])
@pytest.mark.parametrize(("k", "coverage"), [(2, 0.705), (4, 0.861), (8, 0.914), (500, 0.954)])  # Student's t with k − 1 degrees of freedom
def test_samples_that_are_as_far_off_as_the_original_are_honest(around_first: bool, k: int, coverage: float) -> None:
    rng = torch.Generator().manual_seed(0)
    answer = torch.randn(2, 1, 3, 16, 16, generator=rng)
    others = answer + 0.1 * torch.randn(2, k, 3, 16, 16, generator=rng)
    clean = answer[:, 0] + 0.1 * torch.randn(2, 3, 16, 16, generator=rng)
    images = torch.cat([answer, others[:, 1:]], 1) if around_first else others
    told = Samples(images, around_first=around_first).calibration(clean)
    assert told["coverage"].tolist() == pytest.approx([coverage] * 2, abs=0.04)
    assert told["spread_to_error"].tolist() == pytest.approx([1.0] * 2, abs=0.12)


@pytest.mark.parametrize("langevin", [False, True])
def test_what_is_put_back_with_its_noise_is_honest_too(langevin: bool) -> None:
    """A picture of the prior's, most of it measured with noise σ: least squares of y, of y with noise drawn once more, and samples of
    p(x | y) alike err by about as much as they are apart, where known by σ. With y put back into all, coverage was 0.19."""
    rng, sigma, count, k = torch.Generator().manual_seed(0), 0.05, 24, 9
    prior = LinearPrior(0.2 * torch.randn(192, 12, generator=rng, dtype=torch.float64), torch.zeros(192, dtype=torch.float64), (3, 8, 8))
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


@pytest.mark.usefixtures("digiface64")
def test_a_run_with_samples_has_the_same_answer_and_a_map(tmp_path: Path) -> None:
    photo = run.photos(tmp_path / "in", 2)
    noise = [{"gaussian": {"sigma": 0.05}}]
    alone = list(restore(run.quick(noise=noise), photo, tmp_path / "one", Options(degrade=True)))
    several = list(restore(run.quick(noise=noise, samples=3), photo, tmp_path / "three", Options(degrade=True)))
    for one, three in zip(alone, several, strict=True):
        assert one.image is not None
        assert three.image is not None
        assert three.spread is not None
        assert (tmp_path / "one" / one.image).read_bytes() == (tmp_path / "three" / three.image).read_bytes()
        spread = np.array(Image.open(tmp_path / "three" / three.spread))
        assert spread.shape == (64, 64)
        assert spread[24:40, 24:40].mean() > spread[:8, :8].mean()  # the hole is guessed, the rest was measured
        assert spread[:8].mean() == pytest.approx(4 * 255 * 0.05, rel=0.15)  # by its noise, which was drawn again before it was put back
        assert 0.6 < three.metrics["coverage"] <= 1
        assert three.metrics["spread_to_error"] > 0
        assert one.fingerprint != three.fingerprint


@pytest.mark.usefixtures("digiface64")
def test_solutions_differ_where_the_first_begins_at_a_prediction(tmp_path: Path) -> None:
    """As in the recipes that come with the package, which add no noise."""
    photo = run.photos(tmp_path / "in", 1)
    stages = [{"latent": {"begin_at": "regressed", "bank": 64, "steps": 4}}, {"layered": {"block": 2, "steps": 4}}]
    recipes = [run.quick(solver=stages, noise=[], samples=k) for k in (1, 3)]
    (alone,), (several,) = (restore(recipe, photo, tmp_path / str(recipe.samples), Options(degrade=True)) for recipe in recipes)
    assert (tmp_path / "1" / str(alone.image)).read_bytes() == (tmp_path / "3" / str(several.image)).read_bytes()
    assert np.array(Image.open(tmp_path / "3" / str(several.spread)))[24:40, 24:40].mean() > 10
    assert several.metrics["spread_to_error"] > 0.1


class Stubborn(Latent):
    """Begins in the middle each time."""

    def varied(self) -> Latent:
        return self


def test_progress_is_told_of_all_solutions() -> None:
    prior = toy()
    seen: list[Step] = []
    y = prior.decode(torch.zeros(1, 6, dtype=torch.float64))
    solve_several(Latent(prior, steps=20, restarts=1), y, Identity(), 3, on_step=seen.append)
    assert [step.index for step in seen] == [0, 10, 20, 20, 30, 40, 40, 50, 60]
    assert {step.steps for step in seen} == {60}


def test_solutions_that_are_all_one_are_refused() -> None:
    prior = toy()
    y = prior.decode(torch.zeros(1, 6, dtype=torch.float64))
    solver = Stubborn(prior, begin_at="centre", steps=2)
    with pytest.raises(ValueError, match="all solutions are one"):
        solve_several(solver, y, Identity(), 2, noise=None, where=torch.ones_like(y), seeds=[3], batch_size=8)


@pytest.mark.usefixtures("digiface64")
def test_a_run_s_answer_may_be_the_mean_of_its_samples(tmp_path: Path) -> None:
    """Of the same pictures, with what was measured in its place, and resumed as another recipe's."""
    photo = run.photos(tmp_path / "in", 1)
    keys = {"samples": 2, "noise": []}
    (first,) = restore(run.quick(**keys), photo, tmp_path / "first", Options(degrade=True))
    (mean,) = restore(run.quick(**keys, output={"consistency": True, "mean": "samples"}), photo, tmp_path / "mean", Options(degrade=True))
    assert first.image is not None
    assert mean.image is not None
    assert mean.spread is not None
    one, both = (np.array(Image.open(tmp_path / name)).astype(float) for name in (f"first/{first.image}", f"mean/{mean.image}"))
    off = np.array(Image.open(tmp_path / "mean" / mean.spread)).astype(float) / 4  # of the two: √2 times either's distance
    measured = np.ones((64, 64), dtype=bool)
    measured[16:48, 16:48] = False
    assert np.abs(one - both)[measured].max() <= 1
    apart = np.sqrt(np.square(one - both).mean(-1))[~measured]
    assert apart.mean() > 1
    assert np.abs(apart - off[~measured] / np.sqrt(2))[off[~measured] < 63].max() <= 1.5
    assert first.fingerprint != mean.fingerprint


@pytest.mark.usefixtures("digiface64")
def test_a_run_s_answer_may_be_the_mean_of_its_stages(tmp_path: Path) -> None:
    """Half way between what the first stage draws by itself and what both draw, and resumed as another recipe's."""
    photo = run.photos(tmp_path / "in", 1)
    stages = [{"latent": {"steps": 2, "candidates": 4, "restarts": 1}}, {"layered": {"block": 2, "steps": 4}}]
    found = {}
    for name, solver, output in (("one", stages[:1], {"mean": "stages"}), ("both", stages, {}), ("mean", stages, {"mean": "stages"})):
        recipe = run.quick(solver=solver, noise=[], output={"consistency": True, **output})
        (found[name],) = restore(recipe, photo, tmp_path / name, Options(degrade=True))
    one, both, mean = (np.array(Image.open(tmp_path / name / str(record.image))).astype(float) for name, record in found.items())
    assert np.abs(one - both).max() > 3
    inside = ((one > 0) & (one < 255) & (both > 0) & (both < 255)).all(-1)  # where nothing was clipped before it was rounded
    assert np.abs((one + both) / 2 - mean)[inside].max() <= 1
    assert found["both"].fingerprint != found["mean"].fingerprint


def test_one_solution_has_no_mean() -> None:
    with pytest.raises(
        RecipeError, match=r"^recipe: output.mean: samples is 1, which has no mean; set samples to 4 or so, or leave mean out$"
    ):
        run.quick(output={"mean": "samples"})


def test_no_photos_have_no_solutions() -> None:
    answer, samples, _ = solve_several(Latent(toy(), steps=2), torch.zeros(0, 3, 4, 4), Identity(), 3, noise=Gaussian(0.1), mean=True)
    assert len(answer) == 0
    assert samples is not None
    assert samples.images.shape == (0, 3, 3, 4, 4)


def test_frames_and_their_samples_have_seeds_of_their_own() -> None:
    seed = 2**48 - 1
    found = {seed_at(seed_at(seed, frame, FRAMES), sample, SAMPLES) for frame in range(30) for sample in range(30)}
    assert len(found) == 30 * 30
    assert seed in found
