"""`--set key=value`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from priorsolve.recipe.components import RecipeError
from priorsolve.recipe.overrides import override

TWO = [{"latent": {"steps": 1}}, {"latent": {"steps": 2}}]
WEIGHTED = {"solver": [{"x": {"loss": [{"l1": {"weight": 2}}, {"l2": {}}]}}]}
SUMMED = {"solver": [{"x": {"loss": [{"l1": {}}, {"lpips": {"net": "vgg", "weight": 2}}]}}]}


@pytest.mark.parametrize(
    ("given", "text", "expected"),
    [
        ({}, "seed=3", {"seed": 3}),
        ({}, "seed = 3", {"seed": 3}),
        ({}, "task=a = b", {"task": "a = b"}),
        ({"noise": []}, "noise=", {"noise": None}),
        ({}, "output.consistency=true", {"output": {"consistency": True}}),
        ({"frame": "faces"}, "frame.faces.missing=copy", {"frame": {"faces": {"missing": "copy"}}}),
        ({"output": None}, "output.sheet=no", {"output": {"sheet": False}}),
        ({"solver": "latent"}, "solver.steps=5", {"solver": [{"latent": {"steps": 5}}]}),
        ({"solver": {"latent": None}}, "solver.latent.lr=1e-3", {"solver": [{"latent": {"lr": 0.001}}]}),
        ({"solver": TWO}, "solver.1.steps=5", {"solver": [TWO[0], {"latent": {"steps": 5}}]}),
        ({"solver": TWO}, "solver.1.latent.steps=5", {"solver": [TWO[0], {"latent": {"steps": 5}}]}),
        ({"solver": TWO}, "solver.*.lr=5", {"solver": [{"latent": {"steps": 1, "lr": 5}}, {"latent": {"steps": 2, "lr": 5}}]}),
        ({"solver": TWO}, "solver.*=other", {"solver": [{"other": {}}, "other"]}),
        ({"solver": TWO}, "solver.1=other", {"solver": [TWO[0], "other"]}),
        ({"solver": TWO}, "solver=latent", {"solver": "latent"}),
        ({"operator": ["gray", {"blur": {}}]}, "operator.blur.sigma=2", {"operator": [{"gray": {}}, {"blur": {"sigma": 2}}]}),
        ({"solver": {"x": {"loss": ["l1", {"lpips": {"net": "vgg"}}]}}}, "solver.loss.lpips.weight=2", SUMMED),
        ({"solver": {"x": {"loss": ["l1", {"lpips": {"net": "vgg"}}]}}}, "solver.0.x.loss.1.weight=2", SUMMED),
        ({"solver": {"x": {"loss": ["l1", "l2"]}}}, "solver.loss.0={l1: {weight: 2}}", WEIGHTED),
        ({"solver": {"x": {"loss": ["l1", "l2"]}}}, "solver.loss.0.weight=2", WEIGHTED),
        ({"solver": {"x": {"loss": ["l1", "l2"]}}}, "solver.loss.0=tv", {"solver": [{"x": {"loss": ["tv", {"l2": {}}]}}]}),
        ({"operator": {"mask": {"boxes": [[0, 0, 1, 1]]}}}, "operator.boxes.0=[0]", {"operator": [{"mask": {"boxes": [[0]]}}]}),
        ({"operator": "gray"}, "operator.gray={weights: [1, 2, 3]}", {"operator": [{"gray": {"weights": [1, 2, 3]}}]}),
    ],
)  # fmt: skip
def test_values_land_in_their_place(given: dict[str, Any], text: str, expected: dict[str, Any]) -> None:
    before = repr(given)
    assert override(given, [text]) == expected
    assert repr(given) == before


@pytest.mark.parametrize(
    ("given", "text", "error"),
    [
        ({}, "seed", "write it as key=value"),
        ({}, "=3", "write it as key=value"),
        ({}, "seed=[", "not valid YAML"),
        ({"seed": 3}, "seed.x=1", "seed holds a value, not keys"),
        ({"solver": TWO}, "solver.steps=1", "holds 0: latent, 1: latent; say its number or name"),
        ({"solver": TWO}, "solver.latent.steps=1", "say its number"),
        ({"solver": TWO}, "solver.2.steps=1", "there is no component 2; the list has 2"),
        ({"frame": "center"}, "frame.faces.missing=copy", "frame holds a value, not keys"),
        ({}, "noise.gaussian.sigma=1", "the list holds nothing"),
        ({"operator": [5]}, "operator.0.x=1", "component 0 is not one name"),
        ({"operator": [{"a": 1, "b": 2}]}, "operator.a.x=1", "does not name one component"),
        ({"operator": [{}]}, "operator.0.x=1", "component 0 is not one name"),
        ({"operator": {"gray": 5}}, "operator.gray.weights=mean", "gray holds a value, not keys"),
        ({"solver": {"x": {"noise": 0.1}}}, "solver.noise.sigma=1", "noise holds a value, not keys"),
        ({"solver": {"x": {"loss": ["l1", "l2"]}}}, "solver.loss.weight=1", "the list holds 0: l1, 1: l2; say its number or name"),
        ({"solver": {"x": {"loss": ["l1", "l2"]}}}, "solver.loss.2.weight=1", "there is no component 2; the list has 2"),
    ],
)  # fmt: skip
def test_what_cannot_be_set(given: dict[str, Any], text: str, error: str) -> None:
    with pytest.raises(RecipeError, match=r"^--set ") as raised:
        override(given, [text])
    assert text in str(raised.value)
    assert error in str(raised.value)


def test_files_are_found_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mask = str(tmp_path / "m.png")
    for text in ("operator.mask.file=m.png", "operator={mask: {file: m.png}}", "operator.0={mask: {file: x/../m.png}}"):
        made = override({"operator": [{"mask": {}}]}, [text])["operator"]
        assert (made if isinstance(made, dict) else made[0]) == {"mask": {"file": mask}}


def test_files_may_be_in_ones_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    made = override({"operator": {"mask": {"file": "a.png"}}}, ["operator.mask.file=~/m.png"])
    assert made["operator"] == [{"mask": {"file": str(tmp_path / "m.png")}}]


def test_what_an_alias_shares_changes_only_where_it_is_meant() -> None:
    given = yaml.safe_load("solver: [{x: {loss: &loss [l1, {lpips: {net: vgg}}]}}, {x: {loss: *loss}}]")
    first, second = override(given, ["solver.0.loss.lpips.net=alex"])["solver"]
    assert first == {"x": {"loss": [{"l1": {}}, {"lpips": {"net": "alex"}}]}}
    assert second == {"x": {"loss": ["l1", {"lpips": {"net": "vgg"}}]}}


def test_later_ones_win() -> None:
    assert override({}, ["seed=1", "seed=2"]) == {"seed": 2}


@pytest.mark.parametrize(
    ("changes", "task"),
    [
        (["operator={downsample: {factor: 4}}"], None),
        (["operator.0=identity"], None),
        (["operator.gray.weights=mean"], "colours"),
        (["operator=gray"], "colours"),
        (["operator=identity", "task=a copy"], "a copy"),
        (["seed=1"], "colours"),
    ],
)  # fmt: skip
def test_a_task_of_other_operators_is_dropped(changes: list[str], task: str | None) -> None:
    assert override({"task": "colours", "operator": [{"gray": {}}]}, changes).get("task") == task
