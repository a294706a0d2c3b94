"""Components from other packages, found by their entry points."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import run_support as run
import torch

from priorsolve.cli import main
from priorsolve.command.catalogue import catalogue
from priorsolve.command.checks import check_prior, check_recipe
from priorsolve.operators.gray import Gray
from priorsolve.photos.images import read_photo
from priorsolve.priors import LinearPrior, fetch, load_prior
from priorsolve.recipe.components import RecipeError, arguments
from priorsolve.recipe.registry import component, names
from priorsolve.run.masks import write_masks
from priorsolve.run.restoration import restore
from priorsolve.solvers import load_solution


def installed(folder: Path, name: str, points: str, module: str = "") -> None:
    """A package of that name with these entry points, as pip would leave it."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(points)
    if module:
        (folder / f"{name}.py").write_text(module)


def test_one_without_a_docstring_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = "from dataclasses import dataclass\nfrom priorsolve.operators import Identity\n\ndef bare(width: int = 3): ...\n"
    module += "class Own(Identity): ...\n\n@dataclass\nclass Field:\n    width: int = 3\n"  # as all are under python -OO
    points = "[priorsolve.operators]\nbare = bare_plugin:bare\nown = bare_plugin:Own\nfield = bare_plugin:Field\n"
    installed(tmp_path, "bare_plugin", points, module)
    monkeypatch.syspath_prepend(str(tmp_path))
    found = catalogue("operators")
    assert [found[name] for name in ("bare", "own", "field")] == ["(width=3)", "()", "(width=3)"]


def test_one_that_does_not_load_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, "ghost_plugin", "[priorsolve.operators]\nghost = nowhere_to_be_found:X\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = catalogue("operators")
    assert "does not load (nowhere_to_be_found:X)" in found["ghost"]
    assert found["gray"].startswith("(weights")


def test_one_whose_module_raises_whatever_it_may_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, "angry_plugin", "[priorsolve.noises]\nangry = angry_plugin:X\n", "raise RuntimeError('no driver')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    told = r"the noise 'angry' comes from a plugin that does not load \(angry_plugin:X\): no driver"
    with pytest.raises(RecipeError, match=rf"^recipe: noise\[0\]: {told}$"):
        run.quick(noise="angry")
    assert "gaussian" in catalogue("noises")


def test_one_of_a_built_in_name_does_not_take_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, "gray_plugin", "[priorsolve.operators]\ngray = gray_plugin:own\n", "def own(width: int = 3): ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert names("operators").count("gray") == 1
    assert component("operators", "gray") is Gray


def test_one_whose_arguments_no_recipe_can_write_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """`list`, `schema` and `restore` ended in pydantic's or Python's traceback, for all operators and losses."""
    module = "from __future__ import annotations\nfrom typing import TYPE_CHECKING\nimport torch\n"
    module += "if TYPE_CHECKING:\n    from collections.abc import Callable\n\n"
    module += "def lit(light: torch.Tensor): ...\ndef asks(how: Callable): ...\ndef makes(a: int = 1) -> Callable: ...\n"
    points = "[priorsolve.operators]\nlit = odd_plugin:lit\nasks = odd_plugin:asks\nmakes = odd_plugin:makes\n"
    installed(tmp_path, "odd_plugin", points, module)
    monkeypatch.syspath_prepend(str(tmp_path))
    told = "the operator 'lit' takes light as <class 'torch.Tensor'>, which no recipe can write; take numbers, words or lists of them"
    found = catalogue("operators")
    assert (found["lit"], found["makes"]) == (told, "(a=1)")
    assert found["asks"].startswith(
        "the operator 'asks' comes from a plugin that annotates an argument by what it does not import: name 'Ca"
    )
    with pytest.raises(RecipeError, match=f"^recipe: operator\\[0\\]: {told}$"):
        run.quick(operator="lit")
    assert main(["schema"]) == 0
    made, said = capfd.readouterr()
    assert {"const": "makes"} in json.loads(made)["$defs"]["operator"]["anyOf"]
    assert said.splitlines()[0] == f"left out: {told}"
    assert len(said.splitlines()) == 2


def test_a_loss_where_its_maker_should_be_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = "def plain(e, y, where):\n    return (e - y).abs().flatten(1).mean(1)\n\ndef made():\n    return plain\n"
    installed(tmp_path, "loss_plugin", "[priorsolve.losses]\nplain = loss_plugin:plain\nmade = loss_plugin:made\n", module)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ValueError, match=r"^the loss 'plain' is a loss itself; its entry point must name a class"):
        arguments("losses", "plain")
    assert set(arguments("losses", "made").model_fields) == {"weight"}
    assert "is a loss itself" in catalogue("losses")["plain"]


def test_a_loss_that_only_settles_its_measurement_is_checked_and_restores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = "from priorsolve.losses import l1\n\nclass Settled:\n    def against(self, measured, where):\n"
    module += "        return lambda estimate: l1(estimate, measured, where)\n"
    installed(tmp_path, "settled_plugin", "[priorsolve.losses]\nsettled = settled_plugin:Settled\n", module)
    monkeypatch.syspath_prepend(str(tmp_path))
    found = []
    for loss in ("settled", "l1"):
        recipe = run.quick(solver={"latent": {"steps": 2, "restarts": 1, "candidates": 2, "loss": loss}})
        assert check_recipe(recipe)[0]["solver"] == "fits the prior, 2 steps"
        (record,) = restore(recipe, run.photos(tmp_path / "in", 1), tmp_path / loss)
        assert record.status == "done", record.reason
        found.append(record.misfit)
    assert found[0] == found[1]


def test_a_mask_of_its_own_is_written_as_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = "from priorsolve.operators.mask import Masking\n\nclass Top(Masking):\n    def _known_for(self, like):\n"
    module += "        height, width = like.shape[-2:]\n        known = like.new_ones(1, 1, height, width)\n"
    module += "        known[:, :, :8] = 0\n        return known\n"
    installed(tmp_path, "mask_plugin", "[priorsolve.operators]\ntop = mask_plugin:Top\n", module)
    monkeypatch.syspath_prepend(str(tmp_path))
    (made,) = write_masks(run.quick(operator="top"), [run.photos(tmp_path / "in", 1)], tmp_path / "masks")
    assert made.path is not None, made.reason
    holes, _ = read_photo(made.path, 1)
    assert bool((holes[:, :8] == 1).all())
    assert not bool(holes[:, 8:].any())


def test_a_prior_restores_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As what the entry point gives does in a solver, and before a file or folder of that name."""
    module = "import torch\nfrom priorsolve.priors import LinearPrior, Prior\n\n"
    module += "def planes():\n    return LinearPrior.random(4, (3, 64, 64)).requires_grad_()\n\nabsent = lambda: None\nvague = Prior\n"
    points = "[priorsolve.priors]\nplanes = prior_plugin:planes\nabsent = prior_plugin:absent\nvague = prior_plugin:vague\n"
    installed(tmp_path, "prior_plugin", points + "digiface64 = prior_plugin:absent\n", module)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "planes").mkdir()
    (tmp_path / "absent").write_text("no checkpoint")
    prior, known = load_prior("planes"), LinearPrior.random(4, (3, 64, 64))
    codes = known.sample(2, torch.Generator().manual_seed(0))
    assert torch.equal(prior.decode(codes), known.decode(codes))
    assert not any(parameter.requires_grad for parameter in prior.parameters())
    recipe = run.quick(prior="planes", output={"codes": True})
    assert recipe.is_readable()
    (record,) = restore(recipe, run.photos(tmp_path / "in", 1), tmp_path / "out")
    assert record.status == "done", record.reason
    found = load_solution(tmp_path / "out" / str(record.codes))
    assert torch.equal(known.decode(found.codes["z"]), found.images)
    assert list(restore(recipe, tmp_path / "in", tmp_path / "out")) == []
    with pytest.raises(ValueError, match=r"^the prior 'absent' comes from a plugin that gives None \(prior_plugin:absent\); name a class"):
        load_prior(run.quick(prior="absent").prior)
    with pytest.raises(ValueError, match=r"^the prior 'vague' comes from a plugin that does not load \(prior_plugin:vague\): Can't"):
        load_prior("vague")
    assert catalogue("priors")["planes"] == "from a plugin (prior_plugin:planes)"
    facts, finite = check_prior(Path("planes"))
    assert finite
    assert (facts["origin"], facts["resolution"]) == ("from a plugin (prior_plugin:planes)", "64×64, RGB")
    with pytest.raises(ValueError, match=r"^no prior called 'plane'; did you mean 'planes'\? known names: absent, digiface64, "):
        load_prior("plane")
    with pytest.raises(ValueError, match=r"^the prior 'planes' comes from a plugin, and not from the zoo: nothing of it is fetched"):
        fetch("planes")
    assert "MIT" in catalogue("priors")["digiface64"]
