"""`elsewhere`: what a recipe sets otherwise with another prior than its own, and that it says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import run_support as run

from priorsolve.cli import main
from priorsolve.command.checks import check_recipe
from priorsolve.recipe.components import RecipeError
from priorsolve.recipe.recipe import Recipe
from priorsolve.recipe.schema import recipe_schema

RECIPE: dict[str, Any] = {
    "operator": "gray",
    "prior": "own.pth",
    "solver": [{"latent": {"steps": 3, "loss": ["l1", "l2"]}}, {"latent": {"steps": 4}}],
    "elsewhere": {
        "own": "own.pth",
        "note": "huber for l1",
        "settings": {"solver.0.loss.0": {"huber": {"delta": 0.5}}, "solver.*.lr": 0.5},
    },
}


def settings(recipe: Recipe, stage: int = 0) -> dict[str, Any]:
    return recipe.solver[stage]["latent"]


@pytest.mark.parametrize("own", ["own.pth", "/somewhere/else/own.pth"])
def test_its_own_prior_changes_nothing(own: str) -> None:
    recipe = Recipe.parse(RECIPE, [f"prior={own}"])
    assert settings(recipe)["loss"] == ["l1", "l2"]
    assert recipe.exchanged == ""
    assert recipe.elsewhere is not None
    assert recipe == Recipe.parse(Recipe.parse(RECIPE, [f"prior={own}"]).model_dump())
    bare = Recipe.parse({key: value for key, value in RECIPE.items() if key != "elsewhere"}, [f"prior={own}"])
    assert recipe.fingerprint() == bare.fingerprint()


def test_another_prior_has_its_settings_and_says_so() -> None:
    before = json.dumps(RECIPE)
    recipe = Recipe.parse(RECIPE, ["prior=digiface64"])
    assert settings(recipe)["loss"] == [{"huber": {"delta": 0.5, "weight": 1.0}}, "l2"]
    assert [settings(recipe, stage)["lr"] for stage in (0, 1)] == [0.5, 0.5]
    assert recipe.elsewhere is not None
    assert recipe.elsewhere.applied
    said = "written for the prior own.pth and run with another: huber for l1 (solver.0.loss.0, solver.*.lr)"
    assert recipe.exchanged == said
    assert check_recipe(recipe)[0]["exchanged"] == said
    assert json.dumps(RECIPE) == before
    plain = {key: value for key, value in RECIPE.items() if key != "elsewhere"} | {"solver": recipe.solver, "prior": "digiface64"}
    assert Recipe.parse(plain).fingerprint() == recipe.fingerprint()
    jsonschema.validate(RECIPE, recipe_schema())


def test_what_was_exchanged_is_no_key() -> None:
    with pytest.raises(RecipeError, match=r"^recipe: exchanged: unknown key; known: task, .*, elsewhere$"):
        Recipe.parse({**RECIPE, "exchanged": "hello"})
    assert "exchanged" not in recipe_schema()["properties"]


def test_the_prior_may_be_changed_in_the_file_too() -> None:
    assert Recipe.parse({**RECIPE, "prior": "digiface64"}) == Recipe.parse(RECIPE, ["prior=digiface64"])


def test_what_is_set_by_hand_goes_before_and_stays(tmp_path: Path) -> None:
    recipe = Recipe.parse(RECIPE, ["prior=digiface64", "solver.0.loss.0=l2", "solver.1.lr=0.1"])
    assert settings(recipe)["loss"] == ["l2", "l2"]
    assert (settings(recipe)["lr"], settings(recipe, 1)["lr"]) == (0.5, 0.1)
    written = tmp_path / "recipe.yaml"
    written.write_text(recipe.dump(), encoding="utf-8")
    assert Recipe.load(written) == recipe


def test_it_can_be_switched_off_and_be_told_of_another_name() -> None:
    for change in ("elsewhere=", "elsewhere.own=digiface64"):
        assert settings(Recipe.parse(RECIPE, ["prior=digiface64", change]))["loss"] == ["l1", "l2"]


@pytest.mark.parametrize(
    ("elsewhere", "error"),
    [
        ({"own": "a", "note": "b", "settings": {"solver.7.lr": 1}}, "recipe: elsewhere.settings.solver.7.lr: there is no component 7"),
        ({"own": "a", "note": "b", "settings": {"solver.*.lrr": 1}}, "solver[0].latent.lrr: unknown key; did you mean 'lr'?"),
        ({"own": "a", "note": "b", "settings": [1]}, "elsewhere.settings: should be a valid dictionary"),
        ({"own": "own.pth", "note": "b"}, "elsewhere.settings: this key is required"),
        ({"own": 3, "note": "b", "settings": {}}, "elsewhere.own: should be a valid string, got 3"),
        ({"owns": "a", "note": "b", "settings": {}}, "elsewhere.owns: unknown key; did you mean 'own'?"),
        ("l2", "elsewhere: should be its settings in braces, got 'l2'"),
    ],
)
def test_mistakes_are_told(elsewhere: Any, error: str) -> None:
    with pytest.raises(RecipeError) as raised:
        Recipe.parse({**RECIPE, "elsewhere": elsewhere})
    assert error in str(raised.value)


def test_records_and_the_last_lines_say_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    elsewhere = "\nelsewhere: {own: own.pth, note: one step for two, settings: {solver.steps: 1}}\n"
    recipe = run.recipe_file(tmp_path, run.QUICK.rstrip() + elsewhere)
    assert main(["restore", recipe, "--out", str(tmp_path / "out"), "--limit", "1"]) == 0
    assert "written for the prior own.pth and run with another: one step for two: 1 photo" in capsys.readouterr().err.replace("\n", " ")
    (record,) = (json.loads(path.read_bytes()) for path in (tmp_path / "out" / "records").rglob("*.json"))
    assert any("one step for two (solver.steps)" in note for note in record["notes"])
    assert record["steps"] == 1


def test_a_discriminator_that_is_missing_beside_its_own_prior(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loss = {"discriminator_features": {"file": str(tmp_path / "D_128.pth")}}
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(json.dumps({"operator": "gray", "prior": "digiface64", "solver": {"latent": {"loss": loss}}}), encoding="utf-8")
    assert main(["check", str(recipe)]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "D_128.pth: the discriminator's file is not there; put it there" in said
    assert "or compare other features, as vgg_features does" in said
    assert "--set prior" not in said
