"""Diagnostics: each sentence where its cause is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import run_support as run
import torch
from prior_support import Own
from solvers_support import Heavy, linear, pictures, random_mask
from style_support import style2_state
from torch import Tensor, nn

import priorsolve as ps
from priorsolve import diagnosis
from priorsolve.diagnosis import bottleneck, fit, sentences
from priorsolve.operators.base import Identity, Operator, compose
from priorsolve.operators.clip import Clip
from priorsolve.operators.gray import Gray
from priorsolve.operators.holes import Holes
from priorsolve.operators.noise import Gaussian
from priorsolve.operators.photons import FixedPhotons
from priorsolve.photos.writing import write_image
from priorsolve.priors import Prior
from priorsolve.priors.feedforward import FeedForward
from priorsolve.priors.stylegan2 import StyleGAN2
from priorsolve.recipe.build import build_noise
from priorsolve.recipe.recipe import Recipe
from priorsolve.run.diagnosis import Limits, known_noise, surrogate_notes
from priorsolve.run.restoration import Options, restore
from priorsolve.solvers import Latent, Solution
from priorsolve.solvers.fit import solve_fitting
from priorsolve.typicality import Distance, Typicality


def bent() -> Prior:
    """z → ReLU → 16 channels of 8×8, one of which is always 0 → a picture."""
    torch.manual_seed(0)
    matrix = nn.Linear(20, 16 * 64)
    with torch.no_grad():
        matrix.weight.view(16, 64, 20)[3] = 0
        matrix.bias.view(16, 64)[3] = -1
    first = nn.Sequential(matrix, nn.Unflatten(1, (16, 8, 8)), nn.ReLU())
    return FeedForward([first, nn.Conv2d(16, 3, 3, padding=1)], {"z": (20,), "features@1": (16, 8, 8)}, (3, 8, 8))


def test_the_three_fits_are_told_from_a_solve() -> None:
    prior, noise = linear(), 0.05
    y = Gaussian(noise)(prior.decode(prior.sample(1, torch.Generator().manual_seed(3))), rng=torch.Generator().manual_seed(4))
    solution = Latent(prior, steps=200, restarts=1, lr=0.3)(y, Identity())
    assert sentences(solution, 0, Typicality(prior), noise=noise)[0].startswith("fits to the noise (residual 0.0")
    assert sentences(solution, 0, Typicality(prior), noise=noise / 3)[0].startswith("fits worse than the noise")
    assert "set noise: 0.15 in the solver" in sentences(solution, 0, Typicality(prior), noise=noise * 3)[0]
    assert "no noise level is known" in sentences(solution, 0, Typicality(prior))[0]
    assert len(sentences(solution, 0, Typicality(prior), noise=noise)) == 2
    assert len(sentences(solution, 0, Typicality(prior), noise=noise, limit=1e-3)) == 3


@pytest.mark.parametrize("numbers", [20, 64, 768, 50_000])
def test_chance_is_no_verdict(numbers: int) -> None:
    """What the noise leaves of the true picture scatters: of 20 numbers it was worse or better than the noise in half of all cases."""
    rng, sigma = torch.Generator().manual_seed(0), 0.05
    left = (sigma * torch.randn(300, numbers, generator=rng)).square().mean(1).sqrt().tolist()
    solution = Latent(linear(), steps=0)(pictures(1), Identity())
    said = [ps.diagnose(replace(solution, residual=torch.tensor([value])), linear(), noise=sigma, numbers=numbers)[0][0] for value in left]
    assert sum(not sentence.startswith("fits to the noise") for sentence in said) <= 0.08 * 300
    clear = replace(solution, residual=torch.tensor([2 * sigma]))
    assert ps.diagnose(clear, linear(), noise=sigma, limit=0.01, numbers=numbers)[0][0].startswith("fits worse than the noise")


@pytest.mark.usefixtures("digiface64")
def test_a_record_allows_for_few_numbers(tmp_path: Path) -> None:
    recipe = run.quick(operator={"gaussian_sensing": {"m": 2}}, noise=[{"gaussian": {"sigma": 10.0}}], output={"consistency": False})
    (record,) = restore(recipe, run.photos(tmp_path / "in", 1), tmp_path / "out", Options(degrade=True))
    assert record.diagnosis[0].startswith("fits to the noise")


@pytest.mark.parametrize(
    ("residual", "noise", "words"),
    [
        (0.1, 0.02, "fits worse than the noise (residual 0.1, 5 times): the prior cannot draw this picture, or the search stopped short"),
        (2.0, 0.02, "fits worse than the noise (residual 2, 100 times)"),
        (1e-3, 0.0, "residual 0.001, and no noise was added: the prior cannot draw this picture, or the search stopped short (why)"),
        (7e-7, 0.0, "fits exactly, up to rounding (residual 7e-07)"),
        (0.0219, 0.02, "fits to the noise (residual 0.0219, noise 0.02)"),
        (0.0181, 0.02, "fits to the noise"),
        (0.0179, 0.02, "it is fitting the noise; set noise: 0.02 in the solver"),
        (math.nan, 0.02, "no fit: the residual is nan; why"),
    ],
)  # fmt: skip
def test_a_residual_against_the_noise(residual: float, noise: float, words: str) -> None:
    assert words in fit(residual, noise, "why")


def test_what_limits_it() -> None:
    assert bottleneck(0.10, 0.01).startswith("the prior is the limit")
    assert bottleneck(0.019, 0.01).startswith("the solver is the limit")
    assert bottleneck(0.019, 0.001, noise=0.02).startswith("the noise is the limit")
    assert bottleneck(0.10, 0.01, noise=0.02).startswith("the prior is the limit")
    assert bottleneck(0.005, 0.01, noise=0.0).startswith("the solver is the limit")
    assert bottleneck(7e-7, 2e-7, noise=0.0) == "nothing limits the fit: it is exact, up to rounding (residual 7e-07)"
    assert bottleneck(1.5e-5, 2e-7).startswith("the solver is the limit"), "of rounding another picture may leave more"


def test_the_limit_is_what_a_solve_of_its_own_picture_reaches() -> None:
    prior = linear()
    good, poor = Latent(prior, steps=300, restarts=1, lr=0.3), Latent(prior, steps=0, candidates=200)

    def limit_of(solver: Latent, operator: Operator, seed: int = 5) -> float:
        seeds = [seed] * (operator.batch or 1)
        return Limits(solver, 0, shared=False).of(operator, seeds)[0]

    for operator in (Identity(), random_mask(3, 1, 8, 8)):
        reached = limit_of(poor, operator)
        assert reached > 1e-2, "the picture is none of the candidates that the solver samples with the same seed"
        assert reached == limit_of(poor, operator) != limit_of(poor, operator, 6)
        assert limit_of(good, operator) < 1e-4
    mask = random_mask(3, 1, 8, 8)
    heavy = Heavy(mask.known, 2)
    few = Latent(prior, steps=5, restarts=1, candidates=1)
    assert Limits(few, 0, shared=False).of(heavy, [5, 6, 7], 3) == Limits(few, 0, shared=False).of(mask, [5, 6, 7])
    assert {2, 3} <= set(heavy.tried), "three did not fit, two did"
    far = good(pictures(1) + 0.3 * torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)), Identity())
    assert "the prior is the limit" in sentences(far, 0, Typicality(prior), limit=limit_of(good, Identity()))[1]
    blind = Latent(prior, steps=0, candidates=1, restarts=1)
    stuck = blind(pictures(1), Identity(), seeds=[1])
    assert "the solver is the limit" in sentences(stuck, 0, Typicality(prior), limit=limit_of(blind, Identity()))[1]


def test_a_shared_limit_is_searched_once_whatever_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    solved: list[Solution] = []

    def diverged(*given: Any, **settings: Any) -> tuple[Solution, int]:
        solution, batch = solve_fitting(*given, **settings)
        solved.append(replace(solution, residual=solution.residual * math.nan))
        return solved[-1], batch

    monkeypatch.setattr(diagnosis, "solve_fitting", diverged)
    shared = Limits(Latent(linear(), steps=0), 5, shared=True)
    assert all(math.isnan(limit) for seeds in ([1, 2], [3]) for limit in shared.of(Identity(), seeds))
    assert len(solved) == 1


def test_a_normal_code_has_chi_square_quantiles() -> None:
    prior = bent()
    lengths = torch.randn(20_000, 20, generator=torch.Generator().manual_seed(0)).norm(dim=1) / math.sqrt(20)
    found = Typicality(prior).distance(torch.ones(1, 20), "z")
    assert found.value == pytest.approx(1)
    assert float((lengths > found.typical).double().mean()) == pytest.approx(0.01, abs=0.003)
    assert found.typical < found.far < 2
    verdicts = [Typicality(prior).distance(scale * torch.ones(1, 20), "z").sentence("z").split(":")[0] for scale in (0.01, 1.3, 1.45, 3)]
    assert verdicts == ["typical", "typical", "unusual", "far outside what the prior was trained on"]


@pytest.mark.parametrize("space", ["w", "w+", "s", "features@2"])
def test_other_codes_are_compared_with_samples(space: str) -> None:
    prior = StyleGAN2.from_state(style2_state())
    middle, sample = prior.centre(space), prior.sample(1, torch.Generator().manual_seed(5), space)
    assert Typicality(prior).distance(sample, space).sentence(space).startswith(f"typical: {space} is ")
    far = Typicality(prior).distance(middle + 20 * (sample - middle), space)
    assert far.sentence(space).endswith("details may be invented")
    assert Typicality(prior).distance(middle + 10 * (sample - middle), space).value < far.value


def test_features_are_judged_in_units_of_their_channels_spread() -> None:
    prior, space = StyleGAN2.from_state(style2_state()), "features@3"
    samples = prior.sample(199, torch.Generator().manual_seed(0), space)
    middle, spread = samples.mean((0, 2, 3), keepdim=True), samples.std((0, 2, 3), keepdim=True)
    code = torch.randn(1, *prior.spaces[space], generator=torch.Generator().manual_seed(3))
    expected = ((code - middle) / spread).square().mean().sqrt()
    assert Typicality(prior).distance(code, space).value == pytest.approx(float(expected), rel=1e-4)


class Faded(Own):
    """Draws from features of 2 channels and a million numbers that all are its first number, half of them with the other sign."""

    @property
    def spaces(self) -> Mapping[str, tuple[int, ...]]:
        return {"z": (6,), "features@1": (2, 256, 1024)}

    def _map(self, codes: Tensor, source: str, target: str, label: Tensor | None, truncation: float, noise: str | Tensor) -> Tensor:
        return torch.stack([codes[:, 0], -codes[:, 0]], 1)[:, :, None, None].expand(-1, -1, 256, 1024)


def test_99_of_100_features_are_within_their_limit_however_large_they_are() -> None:
    """It was measured on 16 samples, and up to a seventh of the prior's own was called unusual."""
    first = Faded().sample(199, torch.Generator().manual_seed(0))[:, 0]
    distances = ((first - first.mean()) / first.std(correction=0)).abs()
    found = Typicality(Faded()).distance(Faded().centre("features@1"), "features@1")
    assert found.typical == pytest.approx(float(distances.sort().values[-2]), rel=1e-5), "two of 200 are farther on average"
    fresh = (torch.randn(20_000, generator=torch.Generator().manual_seed(1)) - first.mean()) / first.std(correction=0)
    assert float((fresh.abs() <= found.typical).double().mean()) == pytest.approx(0.99, abs=0.01)


def test_a_channel_that_is_always_the_same_does_no_harm() -> None:
    prior = bent()
    samples = prior.sample(200, torch.Generator().manual_seed(5), "features@1")
    near = [Typicality(prior).distance(sample[None], "features@1") for sample in samples[:100]]
    assert sum(each.value <= each.typical for each in near) > 90
    assert sum(each.value <= each.far for each in near) == 100


def test_a_z_that_is_normalised_is_always_typical() -> None:
    prior = StyleGAN2.from_state(style2_state())
    z = prior.sample(1, torch.Generator().manual_seed(5))
    assert Typicality(prior).distance(100 * z, "z") == Distance(0, 0, math.inf)
    assert Typicality(prior).distance(100 * z, "z").sentence("z") == "typical: only the direction of z counts"
    classes = StyleGAN2.from_state(style2_state(classes=4))
    code = 100 * classes.sample(1, torch.Generator().manual_seed(5))
    assert Typicality(classes).distance(code, "z+c").sentence("z+c") == "typical: only the direction of z+c counts"
    assert Typicality(linear()).distance(torch.full((1, 4), 1e-9).double(), "z").typical > 1


def test_only_codes_are_judged_and_each_by_itself() -> None:
    prior = linear()
    solution = Latent(prior, steps=2)(pictures(2), Identity())
    codes = {"z": torch.stack([torch.ones(4), torch.full((4,), 9.0)]).double(), "noise": torch.zeros(2, 3), "weights": torch.zeros(2, 3)}
    first, second = (sentences(replace(solution, codes=codes), index, Typicality(prior)) for index in (0, 1))
    assert [len(first), len(second)] == [2, 2]
    assert first[1].startswith("typical: z is 1.00")
    assert second[1].startswith("far outside")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        ({"noise": {"gaussian": {"sigma": 0.02}}}, 0.02),
        ({"noise": [{"gaussian": {"sigma": 0.03}}, {"gaussian": {"sigma": 0.04}}]}, 0.05),
        ({"noise": [{"gaussian": {"sigma": 0.03}}, {"salt_pepper": {"amount": 0.1}}]}, 0.02581**0.5),
        ({"noise": [{"gaussian": {"sigma": 0.03}}, {"photons": {"peak": 50}}]}, None),
        ({"noise": {"gaussian": {"sigma": 0.0}}}, 0.0),
        ({"noise": {"poisson": {"peak": 50}}}, 0.1),
        ({"noise": [{"poisson": {"peak": 50}}, {"gaussian": {"sigma": 0.1}}]}, 0.02**0.5),
        ({"noise": {"gaussian": {"sigma": 0.02}}, "solver": [{"latent": {"noise": 0.01}}, "latent"]}, 0.01),
        ({"noise": [], "solver": [{"latent": {"noise": 0.01}}, {"latent": {"noise": 0.03}}]}, 0.03),
    ],
)
def test_the_noise_that_a_recipe_tells(changes: dict[str, Any], expected: float | None) -> None:
    recipe = Recipe.parse({"operator": "gray", "prior": "digiface64", "solver": "latent", **changes})
    y = torch.tensor([0.5, math.nan]).expand(2, 1, 4, 2)
    found = known_noise(recipe, build_noise(recipe), y, torch.tensor([1.0, 0.0]))
    assert found == [None if expected is None else pytest.approx(expected)] * 2


def test_counted_light_is_a_noise_that_each_photo_tells_of_itself(tmp_path: Path) -> None:
    """Nothing was known of any noise but gaussian, though of a dark photo there is less than of a bright one."""
    rng = torch.Generator().manual_seed(0)
    state = {"fc3.weight": torch.randn(16, 2, generator=rng), "fc3.bias": torch.ones(16)}
    state |= {"fc4.weight": 0.3 * torch.randn(1024, 16, generator=rng).abs(), "fc4.bias": torch.full((1024,), -6.0)}
    torch.save(state, tmp_path / "vae.pth")
    prior = ps.load_prior(tmp_path / "vae.pth")
    for name, code in (("bright", [2.0, 2.0]), ("dark", [-0.5, 0.0])):
        write_image(tmp_path / "in" / f"{name}.png", prior.decode(torch.tensor([code]))[0])
    noise = [{"poisson": {"peak": 100}}, {"gaussian": {"sigma": 0.01}}]
    solver = {"latent": {"steps": 60, "lr": 0.1, "restarts": 1}}
    mask = {"mask": {"boxes": [[0.25, 0.25, 0.75, 0.75]]}}
    recipe = run.quick(operator=mask, noise=noise, prior=str(tmp_path / "vae.pth"), solver=solver, output={})
    told = {record.name: record for record in restore(recipe, tmp_path / "in", tmp_path / "out", Options(degrade=True))}
    assert all(record.diagnosis[0].startswith("fits to the noise") for record in told.values()), told
    assert (told["bright.png"].residual or 0) > 2 * (told["dark.png"].residual or 0)


@pytest.mark.usefixtures("digiface64")
def test_a_record_says_on_request_what_limits_it(tmp_path: Path) -> None:
    """A drawn photo is met by the solver at its limit; noise is beyond the prior."""
    prior = ps.load_prior("digiface64")
    write_image(tmp_path / "in" / "drawn.png", prior.decode(prior.sample(1, torch.Generator().manual_seed(99)))[0])
    write_image(tmp_path / "in" / "noise.png", torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0)))
    stages = [{"latent": {"begin_at": "regressed", "bank": 64, "steps": 20, "lr": 0.1}}, {"layered": {"block": 2, "steps": 60}}]
    recipe = run.quick(operator="identity", noise=[], solver=stages, output={"limit": True})
    records = {record.name: record for record in restore(recipe, tmp_path / "in", tmp_path / "out")}
    assert (
        records["drawn.png"].diagnosis[1].startswith("the solver is the limit: on a picture that the prior can draw this solver reaches 0.")
    )
    assert records["noise.png"].diagnosis[1].startswith("the prior is the limit")
    (same,) = restore(run.quick(operator="identity", noise=[]), tmp_path / "in", tmp_path / "plain", Options(limit=1))
    assert not any("limit" in sentence for sentence in same.diagnosis)


@pytest.mark.parametrize(("true", "surrogate", "off"), [(Holes(half="top"), Identity(), "0 "), (Identity(), Holes(half="top"), "0.35 ")])
def test_a_surrogate_is_judged_where_the_operator_measures(true: Operator, surrogate: Operator, off: str) -> None:
    notes = surrogate_notes(torch.full((2, 3, 8, 8), 0.5), true, surrogate)
    assert [note.startswith(f"the surrogate is off by {off}") for note in notes] == [True, True]


def test_noise_that_a_surrogate_draws_is_no_error_of_it() -> None:
    """Of robust's denoising, whose operator is nothing at all, it said that the stand-in was off by 0.24."""
    x, photons = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)), FixedPhotons(24, 0.16)
    left_out = "(root mean square) from the operator, on the restored picture, the noise that it draws left out"
    assert surrogate_notes(x, Identity(), photons) == [f"the surrogate is off by 0 {left_out}"] * 2
    grey = compose([FixedPhotons(24, seed=1), Gray()])
    assert surrogate_notes(x, grey, compose([photons, Gray()])) == [f"the surrogate is off by 0 {left_out}"] * 2
    assert not any(
        note.startswith("the surrogate is off by 0 ") for note in surrogate_notes(x, Identity(), compose([photons, Clip(0.5, 1)]))
    )


@pytest.mark.usefixtures("digiface64")
def test_where_the_recipe_adds_no_noise_it_is_known_to_be_none(tmp_path: Path) -> None:
    """It was said that no noise level was known, and that one should be set."""
    photos = run.photos(tmp_path / "in", 1)
    (clean,) = restore(run.quick(), photos, tmp_path / "clean", Options(degrade=True))
    assert clean.diagnosis[0].startswith(f"residual {clean.residual:.3g}, and no noise was added: the prior cannot draw this")
    (measured,) = restore(run.quick(), photos, tmp_path / "measured")
    assert "no noise level is known" in measured.diagnosis[0]
    counted = run.quick(operator=[{"photons": {"peak": 24.0, "seed": 1}}], output={})
    (drawn,) = restore(counted, photos, tmp_path / "counted", Options(degrade=True))
    assert "no noise level is known" in drawn.diagnosis[0], "the operator itself adds noise"


def test_python_has_the_sentences_of_a_record() -> None:
    prior, solver = linear(), Latent(linear(), steps=30, restarts=1, lr=0.3)
    y = Gaussian(0.05)(pictures(2), rng=torch.Generator().manual_seed(0))
    solution = solver(y, Identity())
    limits = ps.find_limits(solver, Identity(), [1, 2])
    assert limits == Limits(solver, 0, shared=False).of(Identity(), [1, 2])
    with torch.inference_mode(), torch.autocast("cpu"):
        assert limits == ps.find_limits(solver, Identity(), [1, 2]), "pictures are drawn and measured as solvers do it"
    for level in (0.05, [0.05, 0.05], Gaussian(0.05).rms(y.float())):
        found = ps.diagnose(solution, prior, noise=level, limit=limits)
        assert found == [sentences(solution, i, Typicality(prior), noise=0.05, limit=limits[i]) for i in (0, 1)]
    assert [len(said) for said in ps.diagnose(solution, prior)] == [2, 2]
    assert ps.diagnose(solution[[]], prior, noise=0.1) == []
    assert ps.find_limits(solver, Identity(), []) == []
    lost = "what limits the fit cannot be told: on a picture that the prior can draw the residual is nan"
    assert ps.diagnose(solution, prior, limit=math.nan)[1][1] == lost, "as find_limits gives it where a search diverges"


DIAGNOSE: Any = ps.diagnose
FIND_LIMITS: Any = ps.find_limits


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda s: DIAGNOSE(s.images, linear()), "^diagnose: expected a Solution, got"),
        (lambda s: DIAGNOSE(s, "digiface64"), r"^prior is 'digiface64'; .* load it first"),
        (lambda s: DIAGNOSE(s, linear(), noise=-1), "^diagnose: noise is -1; give a number of at least 0, or one for each of 2 images$"),
        (lambda s: DIAGNOSE(s, linear(), limit=[0.1]), r"^diagnose: limit is \[0.1\]; give .* for each of 2 images$"),
        (lambda s: DIAGNOSE(s, linear(), numbers=[5]), r"^diagnose: numbers is \[5\]; give .* for each of 2 images$"),
        (lambda s: DIAGNOSE(s, linear(), noise="0.1"), "^diagnose: noise is '0.1'; give"),
        (lambda s: FIND_LIMITS(Latent, Identity()), "^find_limits: solver is .*Latent.*; it must be a solver"),
        (lambda s: FIND_LIMITS(Latent(linear()), abs), "^find_limits: operator is .*; it must be one of priorsolve's"),
        (lambda s: FIND_LIMITS(Latent(linear()), Identity(), [0.5]), "0.5"),
        (lambda s: FIND_LIMITS(Latent(linear()), Identity(), 5), "^find_limits: seeds is 5; give a list of whole numbers"),
        (lambda s: DIAGNOSE(s, bent()), r"^diagnose: 'z' of the solution, \(2, 4\), is no code of "),
    ],
)
def test_what_cannot_be_diagnosed_is_told(call: Callable[[Solution], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call(Latent(linear(), steps=0)(pictures(2), Identity()))


def test_codes_of_every_filter_are_judged_as_the_w_that_they_are() -> None:
    """The robust presets end in w++, and nothing was said of their codes."""
    prior = StyleGAN2.from_state(style2_state())
    known = Typicality(prior)
    w = prior.sample(1, torch.Generator().manual_seed(1), "w")
    each = prior.map(w, source="w", target="w++")
    assert known.distance(each, "w++").value == pytest.approx(known.distance(w, "w").value, rel=1e-5)
    apart = each + 4 * prior.spread("w") * torch.randn(each.shape, generator=torch.Generator().manual_seed(2))
    assert known.distance(apart, "w++").sentence("w++").startswith("far outside")
    y = torch.rand(1, *prior.image_shape, generator=torch.Generator().manual_seed(0))
    solution = Latent(prior, space="w++", steps=1, restarts=1, candidates=1)(y, Identity())
    assert ps.diagnose(solution, prior)[0][1].startswith("typical: w++ is ")


def test_each_photo_is_judged_by_its_own_noise_and_numbers() -> None:
    solution = replace(Latent(linear(), steps=0)(pictures(2), Identity()), residual=torch.tensor([0.06, 0.06]))
    fits = [said[0] for said in ps.diagnose(solution, linear(), noise=[0.06, 0.01])]
    assert [fit.startswith("fits to the noise") for fit in fits] == [True, False]
    fits = [said[0] for said in ps.diagnose(solution, linear(), noise=0.05, numbers=[20, 50_000])]
    assert [fit.startswith("fits to the noise") for fit in fits] == [True, False]


def test_each_limit_is_of_its_own_measurement() -> None:
    """The picture of the third photo was measured as the first photo is."""
    mask, solver = random_mask(3, 1, 8, 8), Latent(linear(), steps=30, restarts=1, lr=0.3)
    alone = [ps.find_limits(solver, mask.select(torch.tensor([i])), [seed])[0] for i, seed in enumerate([5, 6, 7])]
    assert ps.find_limits(solver, mask, [5, 6, 7]) == pytest.approx(alone, rel=1e-6)


def test_what_limits_it_says_even_where_it_is_less() -> None:
    said = "on a picture that the prior can draw this solver reaches 0.01, here"
    assert bottleneck(0.005, 0.01).startswith(f"the solver is the limit: {said} even 0.005;")
    assert bottleneck(0.10, 0.01).startswith(f"the prior is the limit: {said} 0.1;")
