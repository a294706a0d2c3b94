"""Several solutions of one photo: the first is the answer, their spread is what is not known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import run_support as run
import torch
from PIL import Image
from solvers_support import linear, pictures

from priorsolve.counter_rng import FRAMES, SAMPLES, normal_hash, seed_at
from priorsolve.operators import Identity, Mask
from priorsolve.operators.noise import Gaussian, Poisson
from priorsolve.priors.linear import LinearPrior
from priorsolve.recipe.components import RecipeError
from priorsolve.run.restoration import Options, restore
from priorsolve.sampling import solve_several
from priorsolve.solvers import Langevin, Latent, Mirrored, Solution, Staged, Step, load_solution, save_solution, start_at
from priorsolve.solvers.curvature import curvatures
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


@pytest.mark.parametrize(("directions", "reached"), [(64, 6), (3, 3), (1, 1)])
def test_langevin_reaches_what_the_measurement_hardly_tells_of(directions: int, reached: int) -> None:
    """Curvatures from 1 to 40 000: one step for all directions, which the steepest allows, spreads the flat ones by a hundredth."""
    rng, sigma, count = torch.Generator().manual_seed(0), 0.05, 400
    scales = torch.tensor([10.0, 3.0, 1.0, 0.3, 0.1, 0.01], dtype=torch.float64)
    W = torch.linalg.qr(torch.randn(48, 6, generator=rng, dtype=torch.float64))[0] * scales
    prior = LinearPrior(W, torch.zeros(48, dtype=torch.float64), (3, 4, 4))
    y = prior.decode(torch.randn(1, 6, generator=rng, dtype=torch.float64))
    start = Latent(prior, steps=60, restarts=1, optimiser="lbfgs", lr=1.0, decay="none", warmup=0)(y, Identity())[[0] * count]
    deviation = (1 / (1 + scales.square() / sigma**2)).sqrt()
    solver = Langevin(prior, noise=sigma, steps=150, lr=0.1, flattest=1e-4, directions=directions)
    codes = solver(y.expand(count, -1, -1, -1), Identity(), seeds=list(range(count)), start=start).codes["z"]
    spread = codes.std(0) / deviation
    assert (spread[:reached] - 1).abs().max() < 0.15
    assert reached == 6 or spread[-1] < 0.2


@pytest.mark.parametrize("mean", [False, True])
def test_samples_from_starts_alike_have_no_first(mean: bool) -> None:
    y = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    told = [
        solve_several(Latent(toy(), begin_at=begin, bank=20, steps=3, restarts=1, candidates=1), y, Identity(), 3, mean=mean).samples
        for begin in ("sampled", "centre", "regressed")
    ]
    assert [samples is not None and (samples.around_first, samples.mean) for samples in told] == [
        (not mean, mean),
        (True, mean),
        (True, mean),
    ]


@pytest.mark.parametrize("stages", [False, True])
def test_all_solutions_stop_at_the_noise(stages: bool) -> None:
    """The others' measurements have √2 times that of the first, which they never reached: they took all steps, and fitted the noise."""
    rng, sigma = torch.Generator().manual_seed(0), 0.05
    prior = LinearPrior(0.2 * torch.randn(768, 100, generator=rng, dtype=torch.float64), torch.zeros(768, dtype=torch.float64), (3, 16, 16))
    y = prior.decode(torch.randn(1, 100, generator=rng, dtype=torch.float64))
    y = y + sigma * torch.randn(y.shape, generator=rng, dtype=torch.float64)
    latent = Latent(prior, steps=300, restarts=1, candidates=1, noise=sigma, lr=0.1)
    solver = Mirrored(Staged([replace(latent, steps=1), latent])) if stages else latent
    found: list[Solution] = []

    def finish(solution: Solution, measured: Measurements) -> Images:
        found.append(solution)
        return solution.images

    solve_several(solver, y, Identity(), 3, noise=Gaussian(sigma), finish=finish)
    assert [solution.stopped[0].name for solution in found] == ["noise"] * 3
    if not stages:
        levels = [float(solution.residual) / sigma for solution in found]
        assert levels == pytest.approx([1, 2**0.5, 2**0.5], rel=0.05)


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


def test_without_seeds_every_solution_is_drawn_by_the_solver_s() -> None:
    y, solver = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(5), dtype=torch.float64), Latent(toy(), steps=1, seed=3)
    own, given = (solve_several(solver, y, Identity(), 2, noise=Gaussian(0.1), seeds=seeds).samples for seeds in (None, [3, 3]))
    assert own is not None
    assert given is not None
    assert torch.equal(own.images, given.images)


def test_solutions_that_are_all_one_are_refused() -> None:
    prior = toy()
    y = prior.decode(torch.zeros(1, 6, dtype=torch.float64))
    solver = Stubborn(prior, begin_at="centre", steps=2)
    with pytest.raises(ValueError, match="all solutions are one"):
        solve_several(solver, y, Identity(), 2, noise=None, where=torch.ones_like(y), seeds=[3], batch_size=8)


def test_of_a_photo_in_which_the_noise_draws_nothing_all_solutions_are_one_in_any_batch() -> None:
    """Black has no photons."""
    prior = toy()
    y = prior.decode(torch.stack([torch.zeros(6, dtype=torch.float64), torch.ones(6, dtype=torch.float64)]))
    solver = Stubborn(prior, begin_at="centre", steps=2)
    for batch in (y, y[:1]):
        samples = solve_several(solver, batch, Identity(), 3, noise=Poisson(50.0)).samples
        assert samples is not None
        assert samples.spread.flatten(1).amax(1).gt(0).tolist() == [False, True][: len(batch)]


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


def test_the_mean_is_of_the_pictures_as_they_were_drawn() -> None:
    """Whatever is then put back into them."""
    drawn: list[Images] = []

    def finish(solution: Solution, measured: Measurements) -> Images:
        drawn.append(solution.images)
        return torch.zeros_like(solution.images)

    y = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    answer, samples, _ = solve_several(Latent(toy(), steps=3, restarts=1, candidates=1), y, Identity(), 3, finish=finish, mean=True)
    torch.testing.assert_close(answer.images, torch.stack(drawn).mean(0))
    assert samples is not None
    assert not samples.images.any()


@pytest.mark.parametrize("count", [6, 9])
def test_curvatures_are_those_of_each_row_where_some_directions_have_none(count: int) -> None:
    """Of A x², whose derivative is 2 A diag(x): 4 of 6 directions count, from 1 to 10⁻³, and in the second row none."""
    rng = torch.Generator().manual_seed(0)
    left, right = (torch.linalg.qr(torch.randn(n, 4, generator=rng, dtype=torch.float64))[0] for n in (9, 6))
    A = left * torch.tensor([1, 0.1, 0.01, 0.001], dtype=torch.float64) @ right.T
    codes = torch.cat([torch.randn(1, 6, generator=rng, dtype=torch.float64), torch.zeros(1, 6, dtype=torch.float64)])
    values, directions, off, _ = curvatures(lambda x: x.square() @ A.T, codes, count)
    for i in range(2):
        J = 2 * A * codes[i]
        torch.testing.assert_close(values[i], torch.linalg.eigvalsh(J.T @ J).clamp_min(0), atol=1e-12, rtol=1e-6)
        torch.testing.assert_close(directions[i].T @ directions[i], torch.eye(6, dtype=torch.float64), atol=1e-12, rtol=0)
    assert bool((values >= 0).all())
    assert float(off.max()) < 1e-10


def test_a_move_of_langevin_is_its_formula() -> None:
    """`z − η·P∇U + √(2ηT)·P^½ξ` of a linear prior, P^½ by eigenvectors of all of `I + WᵀW/σ²` and a share of its largest."""
    prior, y, sigma, lr, flattest = linear(), pictures(2), 0.3, 0.2, 0.05
    W, b = prior.weight, prior.bias
    z = torch.randn(2, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    curvature = W.T @ W / sigma**2
    eigenvalues, directions = torch.linalg.eigh(curvature + (1 + flattest * torch.linalg.eigvalsh(curvature)[-1]) * torch.eye(4))
    root = directions * eigenvalues.rsqrt() @ directions.T
    gradient = (z @ W.T + b - y.flatten(1)) @ W / sigma**2 + z
    noise = normal_hash(torch.tensor([5, 6]), 0, 4).double()
    for temperature in (0.0, 0.25, 1.0):
        solver = Langevin(prior, noise=sigma, steps=1, lr=lr, flattest=flattest, temperature=temperature)
        moved = solver(y, Identity(), seeds=[5, 6], start=start_at(prior, z)).codes["z"]
        expected = z - lr * gradient @ root @ root + (2 * lr * temperature) ** 0.5 * noise @ root
        torch.testing.assert_close(moved, expected, atol=1e-9, rtol=1e-9)
