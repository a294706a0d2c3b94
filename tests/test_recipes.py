"""Every built-in recipe runs, at a few steps, and keeps its operator's laws."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import run_support as run
import torch
from PIL import Image

from priorsolve.command.checks import check_recipe
from priorsolve.data import samples
from priorsolve.operators.base import LinearOperator, Operator
from priorsolve.recipe.recipe import Recipe
from priorsolve.recipe.sources import builtin_recipes
from priorsolve.run.restoration import Options, restore
from priorsolve.types import Images, Measurements, Shape

TASKS = sorted(name for name in builtin_recipes() if "/" not in name)  # presets name priors of their own: see test_presets.py


@pytest.mark.usefixtures("ffhq128")
@pytest.mark.parametrize("name", TASKS)
def test_it_passes_its_check(name: str) -> None:
    facts, passed = check_recipe(Recipe.load(name))
    assert passed, facts


class Off(LinearOperator):
    """Its A† is off by a constant factor."""

    def out_shape(self, in_shape: Shape) -> Shape:
        return in_shape

    def in_shape(self, out_shape: Shape) -> Shape:
        return out_shape

    def _A(self, x: Images) -> Measurements:
        return 1.00008 * x

    def _A_adjoint(self, y: Measurements) -> Images:
        return 1.00008 * y

    def _A_dagger(self, y: Measurements) -> Images:
        return 1.00008 * y


class Rounding(Off):
    """Off as much, but in float32 alone."""

    def _A_dagger(self, y: Measurements) -> Images:
        return y / 1.00008 if y.dtype == torch.float64 else super()._A_dagger(y)


@pytest.mark.parametrize(
    ("operator", "said"),
    [(Off(), "BROKEN (off by 1.6e-04, in float64 by 1.6e-04)"), (Rounding(), "holds (off by 1.6e-04, in float64 by ")],
)
def test_float64_tells_rounding_from_a_wrong_formula(monkeypatch: pytest.MonkeyPatch, operator: Operator, said: str) -> None:
    """README's own `--set operator.gaussian_blur.sigma=1.5` was told broken."""
    monkeypatch.setattr("priorsolve.command.checks.build_operators", lambda *_: (Parts(operator), Parts(operator)))
    facts, passed = check_recipe(run.quick())
    assert facts["law: A A† A = A"].startswith(said)
    assert passed == said.startswith("holds")


@dataclass(frozen=True)
class Parts:
    operator: Operator
    out_shape: Shape = (3, 64, 64)
    vary: bool = False

    def check_followed(self) -> None: ...

    def of(self, stem: str, seed: int) -> list[Operator]:
        return [self.operator]

    def join(self, photos: list[list[Operator]]) -> Operator:
        return photos[0][0]


@pytest.mark.usefixtures("ffhq128")
@pytest.mark.parametrize("name", TASKS)
def test_it_runs(tmp_path: Path, name: str) -> None:
    stages = len(Recipe.load(name).solver)
    quick = Recipe.load(name, ["solver.0.restarts=1", "solver.0.candidates=2", *(f"solver.{stage}.steps=1" for stage in range(stages))])
    searches = 2 if "mirror" in quick.output.mean else 1
    (record,) = restore(quick, samples()[0], tmp_path, Options(degrade=True))
    assert (record.status, record.reason, record.steps) == ("done", "", stages * searches)
    assert record.image is not None
    assert np.asarray(Image.open(tmp_path / record.image)).std() > 10  # a picture, not a grey card
    assert Recipe.load(tmp_path / "recipe.yaml") == quick
    assert Recipe.load(name).task
