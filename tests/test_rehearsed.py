"""Solvers are tried before any photo is: each stage begins, goes on from the one before, and can look through the operators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import run_support as run
import torch
from prior_support import made
from states_support import matrices

from priorsolve.command.checks import check_recipe
from priorsolve.operators import Identity
from priorsolve.priors import Prior
from priorsolve.recipe.build import build_operators, rehearse
from priorsolve.recipe.components import RecipeError
from priorsolve.recipe.recipe import Recipe
from priorsolve.solvers import Latent, Layered, Solver, Staged, layered
from priorsolve.solvers.task import Task


def rehearsed(prior: Prior, *stages: Solver) -> None:
    recipe = run.quick(operator="identity", output={})
    rehearse(Staged(stages), build_operators(recipe, tuple(prior.image_shape), torch.device("cpu"), torch.float32)[1])


def test_a_first_stage_by_itself_is_tried() -> None:
    prior = made("dcgan")
    recipe = run.quick(operator="gray", output={})
    operators = build_operators(recipe, tuple(prior.image_shape), torch.device("cpu"), torch.float32)[1]

    class Failing(Latent):
        def begin(self, *given: object) -> Task:
            raise ValueError("it cannot begin")

    with pytest.raises(RecipeError, match=r"^solver\[0\]: it cannot begin$"):
        rehearse(Failing(prior), operators)


def test_where_a_layered_stage_goes_on_from_is_told_without_its_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    prior = made("stylegan2-skip")
    stages = [Latent(prior, space="w"), Layered(prior, 2), Layered(prior, 3), Latent(prior, space="features@3")]
    rehearsed(prior, *stages)
    with pytest.raises(RecipeError, match=r"^solver\[1\]: layered: the start has a code of 's'"):
        rehearsed(prior, Latent(prior, space="s"), Layered(prior, 2))
    with pytest.raises(RecipeError, match=r"^solver\[2\]: latent: the start has features@2, and codes of 'w' would begin"):
        rehearsed(prior, *stages[:2], Latent(prior, space="w"))
    monkeypatch.setattr(layered, "spread_of", None)
    rehearsed(prior, *stages[:3])


def test_noise_maps_that_no_later_block_adds_are_told_before_any_photo() -> None:
    """The last block of this prior adds none: the search ended in torch's words of what has no gradient."""
    prior = made("mobilestylegan")
    one, two, three = (Layered(prior, block, steps=1) for block in (1, 2, 3))
    first, maps = Latent(prior, space="w", steps=1), Latent(prior, space="noise", steps=1)
    rehearsed(prior, first, one, maps, two, maps)
    for stages in ((first, three, maps), (first, maps, three, maps)):
        told = "latent: the start has features@3, behind which no noise map is added"
        with pytest.raises(RecipeError, match=rf"^solver\[{len(stages) - 1}\]: {told}"):
            rehearsed(prior, *stages)
        with pytest.raises(ValueError, match=f"^{told}"):
            Staged(stages)(torch.zeros(1, *prior.image_shape), Identity())


def test_what_layerwise_cannot_invert_is_told_before_any_photo(tmp_path: Path) -> None:
    """The first photo told of a blur or a mirror, and a stage after it was refused as if the operator were none."""
    state = matrices(("fc3", 4, 16), ("fc4", 16, 64), bias=0.1)
    torch.save(state, tmp_path / "vae.pth")
    mask = {"mask": {"boxes": [[0, 0, 0.5, 0.5]]}}
    given = {"operator": mask, "prior": "vae.pth", "solver": "layerwise"}

    def checked(**changes: Any) -> str:
        return str(check_recipe(Recipe.parse({**given, **changes}, folder=tmp_path))[0]["solver"])

    assert checked() == "fits the prior, 2 steps"
    assert checked(solver=["layerwise", {"latent": {"steps": 3}}]) == "fits the prior, 5 steps"
    assert checked(operator={"mask": {"file": "{stem}.png"}}) == "fits the prior, 2 steps"
    with pytest.raises(RecipeError, match=r"^recipe: output\.mean: layerwise sees the photo as it is and not in a mirror; leave"):
        checked(output={"mean": "mirror"})
    with pytest.raises(RecipeError, match=r"^solver\[0\]: layerwise: cannot look through Blur.*use the solver latent$"):
        checked(operator=[mask, {"gaussian_blur": {"sigma": 1.0}}])
    with pytest.raises(RecipeError, match=r"^solver: layerwise: begins at the measurement"):
        checked(solver=[{"latent": {"steps": 3}}, "layerwise"])
