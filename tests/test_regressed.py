"""Starts by regression, and the pictures they are learnt from."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from solvers_support import SHAPE, least_squares, linear, pictures, random_mask
from torch import Tensor, nn

from priorsolve.operators.base import Identity, Operator
from priorsolve.operators.downsample import Downsample
from priorsolve.operators.mask import Mask
from priorsolve.operators.sensing import GaussianSensing
from priorsolve.priors import LinearPrior, Prior, bank
from priorsolve.priors.base import Noise
from priorsolve.priors.kept import made_of
from priorsolve.solvers import Latent, Mirrored, Staged, regression
from priorsolve.solvers.regression import SHRINKAGES, Ridge
from priorsolve.types import Images, Measurements, Shape


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PRIORSOLVE_CACHE", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("operator", [Identity(), random_mask(2, 1, 8, 8), GaussianSensing(m=40, shape=list(SHAPE))], ids=str)
def test_a_linear_prior_is_predicted_nearly_exactly(operator: Operator) -> None:
    prior = linear()
    y = operator.A(pictures(2))
    start = Latent(prior, begin_at="regressed", bank=256, steps=0)(y, operator)
    expected = least_squares(prior, operator, y)
    assert float((start.codes["z"] - expected).abs().max()) < 0.1
    middle = Latent(prior, begin_at="centre", steps=0)(y, operator)
    assert float((start.misfit / middle.misfit).max()) < 0.5


def test_the_ridge_is_its_formula_and_its_shrinkage_the_best_at_leaving_one_out() -> None:
    rng = torch.Generator().manual_seed(0)
    latent = torch.randn(30, 20, generator=rng, dtype=torch.float64) * torch.logspace(0.5, -1.5, 20, dtype=torch.float64)
    measurements, codes = (latent @ torch.randn(20, n, generator=rng, dtype=torch.float64) for n in (50, 3))
    codes += 2.5 * torch.randn(30, 3, generator=rng, dtype=torch.float64)
    centred, spread = measurements - measurements.mean(0), codes - codes.mean(0)
    gram = centred @ centred.T
    unit = torch.linalg.eigvalsh(gram).mean()
    errors = []
    for shrinkage in SHRINKAGES:
        error = 0.0
        for out in range(30):
            others = [i for i in range(30) if i != out]
            mean, middle = measurements[others].mean(0), codes[others].mean(0)
            rest = measurements[others] - mean
            matrix = rest @ rest.T + shrinkage * unit * torch.eye(29, dtype=torch.float64)
            predicted = middle + (measurements[out] - mean) @ rest.T @ torch.linalg.solve(matrix, codes[others] - middle)
            error += float((predicted - codes[out]).square().sum())
        errors.append(error)
    best = SHRINKAGES[min(range(len(errors)), key=lambda i: errors[i])]
    weights = torch.linalg.solve(gram + best * unit * torch.eye(30, dtype=torch.float64), spread)
    given = torch.randn(1, 50, generator=rng, dtype=torch.float64)
    expected = codes.mean(0) + (given - measurements.mean(0)) @ centred.T @ weights
    ridge = Ridge.fit(measurements, codes)
    torch.testing.assert_close(ridge(given), expected)
    torch.testing.assert_close(float(ridge.errors.square().sum()), min(errors))
    assert SHRINKAGES[0] < best < SHRINKAGES[-1], "the case is too easy to tell the shrinkages apart"


def test_of_the_shrinkages_no_more_is_held_than_of_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights and errors of all seven were, each as large as all codes."""
    rng = torch.Generator().manual_seed(0)
    measurements, codes = torch.randn(6, 9, generator=rng), torch.randn(6, 5, generator=rng)
    held: list[int] = []

    class Counting(tuple[float, ...]):
        def __iter__(self) -> Iterator[float]:
            for shrinkage in super().__iter__():
                held.append(sum(type(each) is Tensor and each.shape == codes.shape for each in gc.get_objects()))
                yield shrinkage

    monkeypatch.setattr(regression, "SHRINKAGES", Counting(SHRINKAGES))
    Ridge.fit(measurements, codes)
    assert [count - held[0] for count in held] == [0] + 6 * [2]


def test_examples_as_few_as_their_numbers_tell_no_code_that_is_chance() -> None:
    """Codes that hang on nothing: with the mean of all examples, which gives away the one left out, the smallest shrinkage won."""
    rng = torch.Generator().manual_seed(0)
    measurements, codes = torch.randn(16, 200, generator=rng), torch.randn(16, 5, generator=rng)
    assert float(Ridge.fit(measurements, codes).errors.square().mean()) > 0.9 * float(codes.var(0).mean())


def test_a_batch_starts_as_its_singles_and_a_plain_function_as_an_operator() -> None:
    prior, masks = linear(), random_mask(3, 1, 8, 8)
    y = masks.A(pictures(3))
    solver = Latent(prior, begin_at="regressed", bank=32, steps=0)
    together = solver(y, masks, seeds=[1, 2, 3])
    for i in range(3):
        alone = solver(y[i : i + 1], masks.select(torch.tensor([i])), seeds=[9])
        assert torch.equal(alone.codes["z"], together.codes["z"][i : i + 1])
    known = masks.known
    plain = solver(y, lambda x: x * known)
    torch.testing.assert_close(plain.codes["z"], together.codes["z"])


def test_likely_starts_are_off_by_what_the_regression_leaves_open() -> None:
    """By the error on one of the pictures: none where the prior is linear and all is measured, the code's own spread where nothing is."""
    prior, y = linear(), pictures(2)
    likely = Latent(prior, begin_at="likely", bank=256, steps=0)
    certain, expected = likely(y, Identity(), seeds=[1, 2]), Latent(prior, begin_at="regressed", bank=256, steps=0)(y, Identity())
    assert float((certain.codes["z"] - expected.codes["z"]).abs().max()) < 0.1
    nothing = Mask(torch.zeros(8, 8))
    guessed = likely(y[:1].expand(300, -1, -1, -1), nothing, seeds=list(range(300))).codes["z"]
    assert float((guessed.std(0) - 1).abs().max()) < 0.2
    assert torch.equal(likely(y[1:], Identity(), seeds=[2]).codes["z"], certain.codes["z"][1:])


@pytest.mark.parametrize(("first", "other"), [("regressed", "likely"), ("likely", "likely"), ("centre", "sampled"), ("sampled", "sampled")])
def test_another_sample_begins_where_its_seed_tells(first: Any, other: str) -> None:
    assert Latent(linear(), begin_at=first).varied().begin_at == other


def test_the_start_explains_a_photo_better_than_the_middle(digiface64: Prior) -> None:
    operator = Downsample(4)
    y = operator.A(digiface64.decode(digiface64.sample(4, torch.Generator().manual_seed(7))))
    start = Latent(digiface64, begin_at="regressed", bank=256, steps=0)(y, operator)
    middle = Latent(digiface64, begin_at="centre", steps=0)(y, operator)
    assert bool((start.misfit < middle.misfit).all())
    after = Latent(digiface64, begin_at="regressed", bank=256, steps=10)(y, operator)
    assert bool((after.misfit < start.misfit).all())


def test_a_start_is_a_code_of_the_space_that_is_searched(digiface64: Prior) -> None:
    first, space = tuple(digiface64.spaces)[:2]
    found = bank.bank_of(digiface64, 16)
    codes, images = digiface64.map(found.codes, source=first, target=space), found.images(0, 16)
    y = images[:2].flip(-1)
    ridge = Ridge.fit(images.flatten(1), codes.flatten(1))
    expected = torch.cat([ridge(each.reshape(1, -1)) for each in y]).view(2, *codes.shape[1:])
    start = Latent(digiface64, space=space, begin_at="regressed", bank=16, steps=0)(y, Identity())
    torch.testing.assert_close(start.codes[space], expected, atol=1e-4, rtol=1e-4)


def test_a_start_that_is_given_goes_before_a_prediction() -> None:
    prior, y = linear(), pictures(2)
    first = Latent(prior, steps=5, restarts=1)
    later = Latent(prior, begin_at="regressed", bank=32, steps=0)
    assert torch.equal(Staged([first, later])(y, Identity()).codes["z"], first(y, Identity()).codes["z"])


class Gained(Prior):
    """A prior of one's own whose pictures hang on what is neither a parameter nor a buffer."""

    image_shape, blocks = (1, 4, 4), ()
    spaces: ClassVar = {"z": (16,)}

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.level, self.gain = nn.Parameter(torch.full((1,), 0.5), requires_grad=False), gain

    def _sample(self, n: int, rng: torch.Generator) -> Tensor:
        return torch.randn(n, 16, generator=rng)

    def _decode(self, codes: Tensor, space: str, label: Tensor | None, noise: Noise) -> Tensor:
        return self.level + self.gain * codes.view(-1, 1, 4, 4)

    def _map(self, codes: Tensor, source: str, target: str, label: Tensor | None, truncation: float, noise: Noise) -> Tensor:
        raise ValueError("one space")


def test_priors_of_the_same_numbers_that_draw_otherwise_have_pictures_of_their_own(own_cache: Path) -> None:
    first, again, other = (bank.bank_of(Gained(gain), 20).pictures for gain in (0.1, 0.105, 0.13))
    assert torch.equal(again, first), "what bfloat16 might round is drawn no second time"
    torch.testing.assert_close(other.float() - 0.5, 1.3 * (first.float() - 0.5), atol=1e-3, rtol=0)
    assert torch.equal(bank.bank_of(Gained(0.13), 20).pictures, other), "the file is the last one's"


def test_pictures_are_drawn_once_and_read_from_the_cache(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prior = linear(torch.float32)
    first = bank.bank_of(prior, 20)
    assert bank.bank_of(prior, 20) is first
    (file,) = (own_cache / "banks").iterdir()
    made_of(prior).clear()
    drawn: list[int] = []
    decode = type(prior)._decode

    def noted(self: Any, codes: Tensor, *more: Any) -> Tensor:
        drawn.append(len(codes))
        return decode(self, codes, *more)

    with monkeypatch.context() as patch:
        patch.setattr(type(prior), "_decode", noted)
        again = bank.bank_of(prior, 20)
    assert drawn == [2], "two are drawn to see whether the file is this prior's"
    assert torch.equal(again.pictures, first.pictures)
    assert torch.equal(again.codes, first.codes)
    file.write_bytes(b"damaged")
    made_of(prior).clear()
    assert torch.equal(bank.bank_of(prior, 20).pictures, first.pictures)
    assert file.stat().st_size > 20 * 3 * 8 * 8
    bank.bank_of(linear().float(), 20)
    assert len(list((own_cache / "banks").iterdir())) == 1, "the same weights have the same bank"
    other = linear(torch.float32)
    before = bank.bank_of(other, 20)
    other.bias[0] += 1
    then = bank.bank_of(other, 20)
    assert float((then.pictures - before.pictures).abs().max()) > 0.5
    other.bias.data[1] += 1  # which counts nowhere
    assert float((bank.bank_of(other, 20).pictures - then.pictures).abs().max()) > 0.5
    assert len(list((own_cache / "banks").iterdir())) == 3


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("PRIORSOLVE_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="cannot write to the cache folder .*; until then every run draws 20 pictures"):
        found = bank.bank_of(linear(), 20)
    assert len(found) == 20


def test_pictures_are_kept_however_they_lie_in_memory(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prior = linear()
    monkeypatch.setattr(prior, "decode", lambda codes: torch.rand(len(codes), 8, 8, 3).movedim(3, 1))  # channels last
    assert bank.bank_of(prior, 20).pictures.is_contiguous()
    assert len(list((own_cache / "banks").iterdir())) == 1


def test_large_pictures_are_kept_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bank, "SIDE", 4)
    prior = linear()
    found = bank.bank_of(prior, 5)
    assert found.pictures.shape == (5, 3, 4, 4)
    whole = found.images(1, 3)
    assert whole.shape == (2, *SHAPE)
    drawn = prior.decode(found.codes[1:3])
    torch.testing.assert_close(whole.mean((2, 3)), drawn.mean((2, 3)), atol=1e-3, rtol=0)


def test_of_large_measurements_a_part_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    prior, y = linear(), pictures(2)
    solver = Latent(prior, begin_at="regressed", bank=64, steps=0)
    whole = solver(y, Identity()).codes["z"]
    monkeypatch.setattr(regression, "MOST", 50)  # every 5th of 192
    part = solver(y, Identity()).codes["z"]
    assert not torch.equal(part, whole)
    assert float((part - whole).abs().max()) < 0.7 * float(whole.abs().max())


def test_the_part_that_is_enough_is_of_every_column(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every 4th number of rows of 8 would be two columns alone."""
    monkeypatch.setattr(regression, "MOST", 16)
    columns = torch.arange(8.0).expand(1, 1, 8, 8)
    assert set(regression._thinned(columns).flatten().tolist()) == set(range(8))


class _Nothing(Operator):
    """Not a number where nothing is measured: on the left."""

    def out_shape(self, in_shape: Shape) -> Shape:
        return in_shape

    def support(self, inside: Tensor) -> Tensor:
        return torch.cat([0 * inside[..., :2], inside[..., 2:]], -1)

    def _A(self, x: Images) -> Measurements:
        return torch.cat([x[..., :2] * torch.nan, x[..., 2:]], -1)


def test_what_an_operator_leaves_in_its_holes_predicts_nothing() -> None:
    y = pictures(1)
    solver = Latent(linear(), begin_at="regressed", bank=64, steps=0)
    beside = Mask(torch.cat([torch.zeros(8, 2), torch.ones(8, 6)], -1))
    assert torch.equal(solver(y, _Nothing()).codes["z"], solver(y, beside).codes["z"])


def test_what_cannot_be_predicted_is_refused(digiface64: Prior) -> None:
    with pytest.raises(ValueError, match="bank is 1; it must be at least 2"):
        Latent(digiface64, begin_at="regressed", bank=1)


def test_drawing_ahead_tells_how_far_it_is(own_cache: Path) -> None:
    told: list[tuple[int, int]] = []
    solver = Mirrored(Staged([Latent(linear(), begin_at="regressed", bank=20, steps=1), Latent(linear(), steps=1)]))
    solver.prepare(lambda done, total: told.append((done, total)))
    assert told == [(16, 20), (20, 20)]
    solver.prepare(lambda done, total: told.append((done, total)))
    assert told == [(16, 20), (20, 20)]  # nothing is drawn twice


def test_a_callers_modes_change_no_pictures_that_are_drawn_ahead() -> None:
    """Within autocast drawing ended in a traceback; what inference mode had made, no search could go through."""
    prior = linear(torch.float32)
    solver = Latent(prior, begin_at="regressed", in_domain=0.1, bank=37, steps=3)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        solver.prepare()
    found = bank.bank_of(prior, 37)
    made_of(prior).clear()
    other = bank.bank_of(linear(torch.float32), 37)
    assert not found.codes.is_inference()
    assert torch.equal(found.pictures, other.pictures)
    assert bool(solver(pictures(2, torch.float32), Identity()).misfit.isfinite().all())


@pytest.mark.parametrize(("side", "kept"), [(64, (4, 8)), (8, (4, 8)), (4, (2, 4))])
def test_pictures_are_kept_with_their_longer_side_at_most_so_long(
    side: int, kept: tuple[int, int], own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Means of squares where they are larger, and else as they are."""
    monkeypatch.setattr(bank, "SIDE", side)
    prior = LinearPrior.random(4, (3, 4, 8))
    found = bank.bank_of(prior, 5)
    pictures = prior.decode(found.codes).reshape(5, 3, kept[0], 4 // kept[0], kept[1], 8 // kept[1]).mean((3, 5))
    torch.testing.assert_close(found.pictures, pictures.half(), atol=1e-3, rtol=0)
    assert found.images(0, 5).shape == (5, 3, 4, 8)
