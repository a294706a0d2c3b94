"""Every built-in recipe runs, at a few steps, and keeps its operator's laws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from priorsolve.command.checks import check_recipe
from priorsolve.data import samples
from priorsolve.recipe.recipe import Recipe
from priorsolve.recipe.sources import builtin_recipes
from priorsolve.run.restoration import Options, restore

TASKS = sorted(name for name in builtin_recipes() if "/" not in name)  # presets name priors of their own: see test_presets.py


@pytest.mark.usefixtures("ffhq128")
@pytest.mark.parametrize("name", TASKS)
def test_it_passes_its_check(name: str) -> None:
    facts, passed = check_recipe(Recipe.load(name))
    assert passed, facts


@pytest.mark.usefixtures("ffhq128")
@pytest.mark.parametrize("name", TASKS)
def test_it_runs(tmp_path: Path, name: str) -> None:
    stages = len(Recipe.load(name).solver)
    quick = Recipe.load(name, ["solver.0.restarts=1", "solver.0.candidates=2", *(f"solver.{stage}.steps=2" for stage in range(stages))])
    (record,) = restore(quick, samples()[0], tmp_path, Options(degrade=True))
    assert (record.status, record.reason, record.steps) == ("done", "", 2 * stages)
    assert record.image is not None
    assert np.asarray(Image.open(tmp_path / record.image)).std() > 10  # a picture, not a grey card
    assert Recipe.load(tmp_path / "recipe.yaml") == quick
    assert Recipe.load(name).task
