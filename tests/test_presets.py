"""Presets: each loads, checks and dumps to itself, has the published numbers, and runs on small networks of its kind."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from states_support import biggan_state, pggan_state
from style_support import style2_state

from priorsolve.cli import main
from priorsolve.command.checks import check_recipe
from priorsolve.operators.base import Identity
from priorsolve.penalties import geocross
from priorsolve.priors import Prior, load_prior
from priorsolve.recipe.build import build_noise, build_operators, build_solver
from priorsolve.recipe.recipe import Recipe
from priorsolve.recipe.sources import builtin_recipes, find_recipe
from priorsolve.solvers import Solution, Solver
from priorsolve.solvers.layered import Layered
from priorsolve.solvers.pulse import Pulse
from priorsolve.solvers.schedule import Schedule
from priorsolve.solvers.target import Measured
from priorsolve.solvers.task import At, Task

NAMES = sorted(name.removeprefix("presets/") for name in builtin_recipes() if name.startswith("presets/"))
COMPOSED = ["".join(letters) for count in (2, 3, 4) for letters in combinations("unap", count)]
LEVELS = ("xs", "s", "m", "l", "xl")
NAMED_IN_THE_ZOO = ("csgm-celeba", "lipton-tripathi", "creswell-bharath", "ma-partial", "gansurgery")


def preset(name: str, *changes: str) -> Recipe:
    return Recipe.load(f"presets/{name}", changes)


def at(recipe: Recipe, path: str) -> Any:
    """A setting by its way: `solver.0.lr`, `operator.1.factor`; a component's own name is left out."""
    value: Any = recipe.model_dump()
    for part in path.split("."):
        value = value[int(part)] if isinstance(value, list) else value[part]
        if isinstance(value, dict) and len(value) == 1 and isinstance(next(iter(value.values())), dict):
            value = next(iter(value.values()))
    return value


def test_all_are_there() -> None:
    robust = [f"robust-{task}-{level}" for task in ("upscale", "denoise", "dejpeg", "inpaint") for level in LEVELS]
    others = """csgm-mnist csgm-celeba mganprior-inversion mganprior-colorize mganprior-inpaint mganprior-upscale16
        dgp-reconstruct dgp-colorize dgp-upscale-d dgp-upscale-mse dgp-inpaint
        image2stylegan image2stylegan++ stylegan2-projector pulse ilo-inpaint ilo-upscale ilo-sense brgm
        pti idinvert lipton-tripathi creswell-bharath ma-partial gansurgery layerwise"""
    assert sorted([*robust, *(f"robust-{letters}-m" for letters in COMPOSED), *others.split()]) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_it_passes_its_check(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRIORSOLVE_CACHE", str(tmp_path))  # no weights there: what a solver asks of its prior is not looked at
    facts, passed = check_recipe(preset(name, "prior=ffhq64"))  # pictures of 64²; the zoo knows their shape without the weights
    assert passed, facts
    assert ("surrogate" in facts) == bool(preset(name).surrogate) or "each photo" in facts["operator"]
    assert Recipe.load(find_recipe(f"presets/{name}")) == preset(name)


def test_without_its_prior_the_error_says_what_to_do(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["check", "presets/pulse"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "ffhq.pkl: cannot be read" in said
    assert "docs/formats.md" in said
    assert "--set prior=ffhq128" in said
    assert preset("pulse").prior == "ffhq.pkl"
    (tmp_path / "ffhq.pkl").write_bytes(b"")
    assert preset("pulse").prior == str(tmp_path / "ffhq.pkl")


def test_a_copy_beside_its_files_finds_them(tmp_path: Path) -> None:
    copy = tmp_path / "mine.yaml"
    copy.write_text(find_recipe("presets/dgp-colorize").read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "G_ema_128.pth").write_bytes(b"")
    recipe = Recipe.load(copy)
    assert recipe.prior == str(tmp_path / "G_ema_128.pth")
    assert at(recipe, "solver.4.loss.file") == str(tmp_path / "D_128.pth")


# -- the published numbers ---------------------------------------------------------------------------------------------------------------

ADAM: Sequence[tuple[str, Any]] = (("optimiser", "adam"), ("beta1", 0.9), ("unit", "raw"), ("warmup", 0), ("decay", "none"))

PUBLISHED: dict[str, dict[str, Any]] = {
    "csgm-mnist": {"steps": 1000, "lr": 0.01, "restarts": 10, "halving": False, "penalties.gaussian": 0.1 / 100, **dict(ADAM)},
    "csgm-celeba": {"steps": 500, "lr": 0.1, "restarts": 10, "halving": False, "penalties.gaussian": 0.001 / 4000, **dict(ADAM)},
    "mganprior-inversion": {"codes": 20, "block": {"side": 32}, "steps": 3000, "optimiser": "sgd", "lr": 1, "mix_lr": 20, "decay": "none"},
    "mganprior-colorize": {"codes": 20, "block": {"side": 16}, "steps": 1500},
    "mganprior-inpaint": {"codes": 30, "block": {"side": 8}, "steps": 3000, "mix_lr": 30, "loss.1.fill": 0.5},
    "mganprior-upscale16": {"codes": 20, "block": {"side": 16}, "steps": 2000},
    "image2stylegan": {"space": "w+", "steps": 5000, "lr": 0.01, "begin_at": "centre", **dict(ADAM)},
    "image2stylegan++": {"1.space": "noise", "1.steps": 3000, "1.lr": 5, "1.unit": "raw", "1.warmup": 0},
    "stylegan2-projector": {
        "space": "w", "steps": 1000, "lr": 0.1, "warmup": 0.05, "decay_share": 0.25, "jitter": 0.05, "whiteness": 1e5,
        "loss": {"net": "vgg", "resolutions": 1, "size": 256, "resize": "shrink", "weight": 1.0},
    },
    "pulse": {"steps": 100, "lr": 0.4, "decay": "cycle", "geocross": 0.05 / 100, "moving_maps": 5, "cross_on": "w", "noise": 0.0447214},
    "ilo-inpaint": {
        "steps": 25, "lr": 0.1, "decay_share": 0.75, "geocross": 0.01, "3.block": {"side": 16}, "3.steps": 25, "3.moving_maps": 11,
    },
    "ilo-upscale": {"1.lr": 0.1, "1.unit": "raw", "1.moving_maps": 7, "2.moving_maps": 9, "3.steps": 25, "1.radius": None},
    "ilo-sense": {"steps": 300, "1.steps": 200, "2.steps": 100, "geocross": 0, "1.geocross": 0, "2.geocross": 0, "2.hold_picture": True},
    "brgm": {
        "space": "w+", "steps": 501, "lr": 0.1, "penalties.colinearity": 0.1, "penalties.euclidean": 100 / 512,
        "loss.0.weight": 1e-3 * 255**2, "loss.1.resize": "area", **dict(ADAM),
    },
    "pti": {
        "space": "w", "steps": 450, "lr": 0.01, "decay_share": 0.25, "loss.size": 256, "loss.resize": "shrink",
        "1.steps": 350, "1.lr": 3e-4, "1.stop_at": 0.06, "1.stop_loss.net": "alex", "1.beta1": 0.9,
    },
    "idinvert": {"space": "w+", "steps": 100, "lr": 0.01, "begin_at": "regressed", "in_domain": 2.0, **dict(ADAM)},
    "lipton-tripathi": {"steps": 100_000, "optimiser": "sgd", "lr": 1, "clip": 1, "unit": "raw", "decay": "none"},
    "creswell-bharath": {"optimiser": "rmsprop", "lr": 2e-4, "unit": "raw"},
    "ma-partial": {"steps": 1000, "lr": 0.01, **dict(ADAM)},
    "gansurgery": {"space": "features@1", "optimiser": "lbfgs", "lr": 0.1, "unit": "raw"},
    "layerwise": {"norm": "linf"},
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_its_numbers_are_the_published_ones(name: str) -> None:
    recipe = preset(name)
    for key, value in PUBLISHED[name].items():
        found = at(recipe, f"solver.{key}" if key[0].isdigit() else f"solver.0.{key}")
        assert found == (pytest.approx(value, rel=1e-5) if isinstance(value, float) else value), key


DGP: dict[str, dict[str, list[Any]]] = {
    "dgp-reconstruct": {
        "steps": [200] * 5, "weights_lr": [2e-4, 2e-4, 1e-4, 1e-4, 1e-5], "lr": [1e-3, 1e-3, 1e-4, 1e-4, 1e-5], "blocks": [2, 3, 4, 5, 6],
        "block_ratio": [1] * 5, "D": [1, 1, 1, 0.1, 0.1], "mse": [10, 10, 10, 100, 100], "last": [8] * 5,
        "sample_std": [0.3], "instance_norm": [True] * 5,
    },
    "dgp-colorize": {
        "steps": [200, 200, 300, 400, 300], "weights_lr": [5e-5] * 4 + [2e-5], "lr": [2e-3, 1e-3, 5e-4, 5e-5, 2e-5],
        "blocks": [2, 3, 4, 5, 6], "block_ratio": [0.7, 0.7, 0.8, 0.9, 1],
        "D": [1] * 5, "mse": [0] * 5, "last": [7] * 5, "sample_std": [0.5], "instance_norm": [False] * 5,
    },
    "dgp-upscale-d": {
        "steps": [200] * 5, "weights_lr": [5e-5, 5e-5, 2e-5, 1e-5, 1e-5], "lr": [2e-3, 1e-3, 2e-5, 1e-5, 1e-5], "blocks": [2, 3, 4, 5, 6],
        "block_ratio": [1] * 5, "D": [1] * 5, "mse": [1] * 5, "last": [8] * 5, "sample_std": [0.3], "instance_norm": [False] * 5,
    },
    "dgp-upscale-mse": {
        "steps": [200] * 5, "weights_lr": [2e-4, 2e-4, 1e-4, 1e-4, 1e-5], "lr": [1e-3, 1e-3, 1e-4, 1e-4, 1e-5], "blocks": [2, 3, 4, 5, 6],
        "block_ratio": [1] * 5, "D": [1, 1, 1, 0.5, 0.1], "mse": [10, 10, 10, 50, 100], "last": [8] * 5,
        "sample_std": [0.3], "instance_norm": [True] * 5,
    },
    "dgp-inpaint": {
        "steps": [200] * 5, "weights_lr": [2e-4, 2e-4, 1e-4, 1e-4, 1e-5], "lr": [1e-3, 1e-3, 1e-4, 1e-4, 1e-5], "blocks": [6] * 5,
        "block_ratio": [1] * 5, "D": [1, 1, 1, 0.1, 0.1], "mse": [10, 10, 10, 100, 100], "last": [8] * 5, "tune_embedding": [True] * 5,
        "sample_std": [0.3], "instance_norm": [True] * 5,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", DGP)
def test_dgp_s_stages_are_the_published_ones(name: str) -> None:
    recipe = preset(name)
    assert len(recipe.solver) == 5
    for stage, spec in enumerate(recipe.solver):
        own = spec["tuned"]
        losses = {
            name: settings for part in (own["loss"] if isinstance(own["loss"], list) else [own["loss"]]) for name, settings in part.items()
        }
        found = {**own, "D": losses["discriminator_features"]["weight"], "last": losses["discriminator_features"]["last"]}
        known = 1 - (128 // 3) ** 2 / 128**2 if name == "dgp-inpaint" else 1  # their mean is over the hole, too
        found["mse"] = losses.get("l2", {"weight": 0})["weight"] / 4 / known  # theirs is on [−1, 1]
        for key, values in DGP[name].items():
            if stage < len(values):
                assert found[key] == pytest.approx(values[stage]), (stage, key)
        assert losses["discriminator_features"].get("fill") == (0.5 if name == "dgp-inpaint" else None)
        assert (own["beta1"], own["nll"], own["optimiser"], own["decay"]) == (0, 0.02, "adam", "none")
    first = recipe.solver[0]["tuned"]
    assert (first["candidates"], first["start_loss"]["discriminator_features"]["last"]) == (500, 3)


ROBUST: dict[str, list[dict[str, Any]]] = {
    "upscale": [{"factor": factor} for factor in (2, 4, 8, 16, 32)],
    "denoise": [{"peak": peak, "dead": dead} for peak, dead in ((96, 0.04), (48, 0.08), (24, 0.16), (12, 0.32), (6, 0.64))],
    "dejpeg": [{"quality": quality} for quality in (18, 15, 12, 9, 6)],
    "inpaint": [{"count": count} for count in (1, 5, 9, 13, 17)],
}
KINDS = {"u": ("pillow_resize", "downsample"), "n": ("photons", "photons"), "a": ("pillow_jpeg", "jpeg"), "p": ("lines", "lines")}


def names(specs: Sequence[dict[str, Any]]) -> list[str]:
    return [name for spec in specs for name in spec]


def settings(recipe: Recipe, kind: str) -> dict[str, Any]:
    """Of the first operator or noise of that name."""
    return next(spec[kind] for spec in [*recipe.operator, *recipe.noise] if kind in spec)


@pytest.mark.parametrize("task", ROBUST)
def test_robust_levels_and_phases_are_the_published_ones(task: str) -> None:
    kind = dict(zip(ROBUST, KINDS.values(), strict=True))[task][0]
    for level, published in zip(LEVELS, ROBUST[task], strict=True):
        recipe = preset(f"robust-{task}-{level}")
        assert published.items() <= settings(recipe, kind).items()
        for phase, (space, length) in enumerate((("w", 0.08), ("w+", 0.02), ("w++", 0.005))):
            own = recipe.solver[phase]["latent"]
            assert (own["space"], own["steps"], own["optimiser"], own["unit"]) == (space, 150, "normalised", "raw")
            assert (own["warmup"], own["decay"], own["restarts"]) == (0, "none", 1 if phase == 0 else own["restarts"])
            assert own["lr"] * 512**0.5 == pytest.approx(length, rel=1e-5)
            lpips, pixels = (next(iter(part.values())) for part in own["loss"])
            assert (lpips["net"], lpips["resolutions"], lpips["weight"]) == ("vgg", 6, 1)
            assert (pixels["loss"], pixels["coarsest"], pixels["weight"]) == ("l1", True, 0.1)
            assert (pixels["levels"], pixels["smallest"]) == (7, 16)
        assert recipe.solver[0]["latent"]["begin_at"] == "centre"


@pytest.mark.parametrize("letters", COMPOSED)
def test_compositions_are_in_the_published_order_at_level_m(letters: str) -> None:
    recipe = preset(f"robust-{letters}-m")
    assert names(recipe.surrogate) == [KINDS[letter][1] for letter in letters] or letters == "up"
    before = names(recipe.operator)
    assert before == [KINDS[letter][0] for letter in letters if letter != "n" or "a" in letters]
    assert names(recipe.noise) == (["photons"] if "n" in letters and "a" not in letters else [])
    for letter, (task, levels) in zip("unap", ROBUST.items(), strict=True):
        if letter in letters:
            assert levels[2].items() <= settings(recipe, KINDS[letter][0]).items(), task


# -- runs --------------------------------------------------------------------------------------------------------------------------------


def ran(recipe: Recipe, prior: Prior) -> Solution:
    """Of a picture that the prior draws, as `restore --degrade` would."""
    with torch.no_grad():
        picture = prior.decode(prior.sample(1, torch.Generator().manual_seed(4))).clamp(0, 1)
    true, solving = build_operators(recipe, tuple(prior.image_shape), torch.device("cpu"), torch.float32)
    y = true.join([true.of("photo", 7)]).A(picture)
    noise = build_noise(recipe)
    y = y if noise is None else noise(y, rng=torch.Generator().manual_seed(1))
    solution = build_solver(recipe, prior)(y, solving.join([solving.of("photo", 7)]))
    assert solution.images.isfinite().all()
    assert solution.images.shape == picture.shape
    assert solution.misfit.isfinite().all()
    return solution


def quick(name: str, *changes: str, l2: bool = False) -> Recipe:
    """Two steps a stage; perhaps with plain losses, whose networks need no download."""
    stages = preset(name).solver
    steps = [f"solver.{i}.steps=2" for i, spec in enumerate(stages) if "layerwise" not in spec]
    losses = [f"solver.{i}.loss=l2" for i in range(len(stages)) if l2]
    candidates = [f"solver.{i}.candidates=20" for i, spec in enumerate(stages) if "tuned" in spec]
    return preset(name, *steps, *losses, *candidates, *changes)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A file of each family, of random weights."""
    rng = torch.Generator().manual_seed(0)
    decoder = {"fc3.weight": torch.randn(400, 20, generator=rng), "fc3.bias": torch.randn(400, generator=rng)}
    decoder |= {"fc4.weight": torch.randn(784, 400, generator=rng) / 40, "fc4.bias": torch.randn(784, generator=rng) / 10}
    folder = tmp_path_factory.mktemp("small")
    states = {"stylegan2": style2_state(), "pggan": pggan_state(), "biggan": biggan_state(), "decoder": decoder}
    for name, state in states.items():
        save_file({key: value.contiguous() for key, value in state.items()}, folder / f"{name}.safetensors")
    return {name: folder / f"{name}.safetensors" for name in states}


STYLED: dict[str, list[str]] = {
    **{f"robust-{kind}": [] for kind in ("denoise-xl", "dejpeg-m", "inpaint-l", "na-m", "np-m", "nap-m")},
    **{f"robust-{kind}-m": [f"{key}.0.factor=4" for key in ("operator", "surrogate")] for kind in ("upscale", "unap", "up", "unp")},
    "image2stylegan": [],
    "image2stylegan++": [],
    "stylegan2-projector": [],
    "pulse": ["operator.factor=4"],
    "ilo-inpaint": ["solver.3.block=3"],
    "ilo-upscale": ["solver.3.block=3"],
    "ilo-sense": [],
    "brgm": ["operator.factor=4"],
    "pti": ["solver.1.stop_at=1e-9"],
    "idinvert": ["solver.bank=8"],
}


@pytest.mark.parametrize("name", STYLED)
def test_style_generators(small: dict[str, Path], name: str) -> None:
    recipe = quick(name, f"prior={small['stylegan2']}", *STYLED[name], l2=True)
    solution = ran(recipe, load_prior(recipe.prior))
    assert int(solution.steps) == 2 * len(recipe.solver)


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("mganprior")])
def test_mganprior(small: dict[str, Path], name: str) -> None:
    recipe = quick(name, f"prior={small['pggan']}", "solver.block=3", *(["operator.factor=4"] if "16" in name else []), l2=True)
    ran(recipe, load_prior(recipe.prior))


@pytest.mark.parametrize("name", DGP)
def test_dgp(small: dict[str, Path], name: str) -> None:
    blocks = [f"solver.{i}.blocks={min(i + 1, 3)}" for i in range(5)]
    recipe = quick(name, f"prior={small['biggan']}", "elsewhere=", *blocks, "solver.0.start_loss=l2", l2=True)
    solution = ran(recipe, load_prior(recipe.prior))
    assert any(code.startswith("weights:") for code in solution.codes)


@pytest.mark.parametrize("name", ["csgm-mnist", "layerwise"])
def test_digits(small: dict[str, Path], name: str) -> None:
    recipe = quick(name, f"prior={small['decoder']}")
    solution = ran(recipe, load_prior(recipe.prior))
    assert name != "layerwise" or float(solution.residual) < 1e-3


@pytest.mark.parametrize("name", NAMED_IN_THE_ZOO)
def test_those_of_the_zoo(digiface64: Prior, name: str) -> None:
    recipe = quick(name, "solver.0.steps=10")  # two steps from where L-BFGS starts are hardly a move
    assert recipe.prior == "digiface64"
    assert float(ran(recipe, digiface64).misfit) < 0.5


# -- what the presets needed of the solvers ----------------------------------------------------------------------------------------------


def begun(solver: Solver, prior: Prior, start: Solution | None = None) -> Task:
    with torch.no_grad():
        measured = Measured(
            prior.decode(prior.sample(1, torch.Generator().manual_seed(4))),
            Identity(),
            tuple(prior.image_shape),
            like=next(prior.parameters()),
        )
        return solver.begin(prior, measured, [0], start)


def test_ilo_s_rounds_move_features_styles_and_the_first_maps(small: dict[str, Path]) -> None:
    prior = load_prior(small["stylegan2"])
    solver = Layered(prior, 2, lr=0.1, unit="raw", geocross=0.01, moving_maps=3)
    task = begun(solver, prior)
    assert float(task.spread["features@2"]) == 1
    assert float(begun(Layered(prior, 2), prior).spread["features@2"]) == pytest.approx(float(prior.spread("features@2")))
    assert task.variables["maps"].shape == (1, 16 + 64 + 64)
    assert "rest" in task.held
    assert "maps" not in task.held
    pushed = task.project({**task.variables, "maps": 3 * task.variables["maps"] + 1}, At(0, 1, torch.tensor([0])))
    lengths = [float(part.norm()) for part in torch.split(pushed["maps"], [16, 64, 64], 1)]
    assert lengths == pytest.approx([4, 8, 8], rel=1e-5)
    assert task.codes(task.variables)["noise"].shape == (1, prior.noise_size)
    moved = {**task.variables, "z+": torch.randn(1, *prior.spaces["w+"], generator=torch.Generator().manual_seed(0))}
    expected = 0.01 * geocross(moved["z+"])
    torch.testing.assert_close(task.penalty(moved, At(0, 1, torch.tensor([0]))), expected)
    assert float(begun(Layered(prior, 2), prior).penalty(moved, At(0, 1, torch.tensor([0])))) == 0


def test_layered_takes_no_angle_where_there_are_no_styles(small: dict[str, Path]) -> None:
    with pytest.raises(ValueError, match=r"^geocross compares layers' styles"):
        Layered(load_prior(small["pggan"]), 2, geocross=0.01)


def test_pulse_s_angle_may_be_between_codes_and_its_rate_may_be_ilo_s(small: dict[str, Path]) -> None:
    prior = load_prior(small["stylegan2"])
    solver = Pulse(prior, geocross=0.01, cross_on="z", decay="cosine", warmup=0.05, decay_share=0.75)
    assert solver.schedule == Schedule(0.4, 0.05, "cosine", 0.75)
    assert Pulse(prior).schedule == Schedule(0.4, 0.0, "cycle")
    task, at_start = begun(solver, prior), At(0, 1, torch.tensor([0]))
    torch.testing.assert_close(task.penalty(task.variables, at_start), 0.01 * geocross(task.variables["z+"]))
    own = begun(Pulse(prior), prior)
    torch.testing.assert_close(own.penalty(own.variables, at_start), 0.0005 * geocross(own.codes(own.variables)["w+"]))
    with pytest.raises(ValueError, match=r"^cross_on is 'x'; it must be one of w, z$"):
        Pulse(prior, cross_on="x")  # type: ignore[arg-type]


def test_the_table_of_the_docs_names_all() -> None:
    page = (Path(__file__).resolve().parent.parent / "docs" / "presets.md").read_text(encoding="utf-8")
    words = set(re.findall(r"`([^`\s]+)`", page))
    levels = {f"robust-{task}-{level}" for task in ROBUST for level in LEVELS if f"robust-{task}-xs" in words}
    assert [name for name in NAMES if name not in words | levels] == []
