"""Every preset with a prior that it was not published with: what it is built of, or the reason why it cannot be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import style_support
import torch
from safetensors.torch import save_file
from states_support import dcgan_state, pggan_state
from torch import nn

from priorsolve.command.checks import check_recipe
from priorsolve.losses.features import VGGFeatures
from priorsolve.losses.lpips import LPIPS
from priorsolve.priors import PGGAN, LinearPrior, Prior, StyleGAN2, load_prior
from priorsolve.priors.feedforward import FeedForward
from priorsolve.recipe.build import build_solver
from priorsolve.recipe.components import RecipeError
from priorsolve.recipe.recipe import Recipe
from priorsolve.recipe.sources import builtin_recipes
from priorsolve.solvers import Staged
from priorsolve.solvers.checks import features_at
from priorsolve.solvers.layered import Layered
from priorsolve.solvers.multicode import Multicode

NAMES = sorted(name for name in builtin_recipes() if name.startswith("presets/"))
STYLES = "robust- image2stylegan stylegan2-projector pulse ilo- brgm pti idinvert"
SIDES = {
    **{f"ilo-{task}": {1: (2, 4), 2: (3, 8), 3: (4, 16)} for task in ("inpaint", "upscale")},
    "ilo-sense": {1: (2, 4), 2: (3, 8)},
    "mganprior-inversion": {0: (8, 32)},
    "mganprior-colorize": {0: (6, 16)},
    "mganprior-inpaint": {0: (4, 8)},
    "mganprior-upscale16": {0: (6, 16)},
}
"""By preset and stage: the published block, and the side of the features there."""


def refusal(name: str, kind: str) -> str | None:
    """The reason, as a pattern, why the preset cannot be run with a prior of that kind."""
    if name == "presets/layerwise":
        return "layerwise: block . of .* use the solver latent"
    if kind == "styled":
        return "space 'features@1' is not one of the prior's" if name == "presets/gansurgery" else None
    if name.removeprefix("presets/").startswith(tuple(STYLES.split())):
        return r"space 'w\+?' is not one of the prior's: z|has no styles w\+"
    return None


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of a style generator and a DCGAN of 64², of random weights."""
    folder = tmp_path_factory.mktemp("others")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(style_support, "WIDTHS", {4: 7, 8: 6, 16: 5, 32: 4, 64: 4})
        states = {"styled": style_support.style2_state(), "plain": dcgan_state(widths=(7, 8, 6, 5, 4, 3))}
    for name, state in states.items():
        save_file({key: value.contiguous() for key, value in state.items()}, folder / f"{name}.safetensors")
    return {name: folder / f"{name}.safetensors" for name in states}


@pytest.fixture(autouse=True)
def _without_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What losses say of a measurement's shape they say before; pictures stand for their own features."""
    for loss in (LPIPS, VGGFeatures):
        monkeypatch.setattr(loss, "fetch", lambda self: None)
    monkeypatch.setattr("priorsolve.losses.lpips._network", lambda *_: (lambda pictures: [pictures], [torch.ones(())]))
    monkeypatch.setattr("priorsolve.losses.features.backbone", lambda *_: lambda pictures, layers: [pictures for _ in layers])


@pytest.fixture
def _without_laws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the same operators, for pictures of the same size, are checked in test_presets.py."""
    monkeypatch.setattr("priorsolve.command.checks.laws", lambda operator: {})


@pytest.mark.usefixtures("_without_laws")
@pytest.mark.parametrize("kind", ["styled", "plain"])
@pytest.mark.parametrize("name", NAMES)
def test_it_is_built_or_refused_with_the_reason(name: str, kind: str, others: dict[str, Path]) -> None:
    recipe = Recipe.load(name, [f"prior={others[kind]}"])
    if reason := refusal(name, kind):
        with pytest.raises(RecipeError, match=reason):
            check_recipe(recipe)
        return
    facts, passed = check_recipe(recipe)
    assert passed, facts
    assert facts["solver"].startswith("fits the prior"), facts
    assert ("exchanged" in facts) == ("dgp" in name)
    assert not re.search("discriminator_features|D_128", facts["recipe"])


@pytest.mark.parametrize("name", SIDES)
def test_depths_are_those_of_the_published_prior(name: str, others: dict[str, Path]) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(style_support, "WIDTHS", {4: 7, 8: 6, 16: 5, 32: 4, 64: 4})
        published: Prior = StyleGAN2.from_state(style_support.style2_state())
    if name.startswith("mgan"):
        published = PGGAN.from_state(pggan_state(widths=(7, 8, 6, 5, 4)))
    solver = build_solver(Recipe.load(f"presets/{name}", [f"prior={others['styled']}"]), other := load_prior(others["styled"]))
    stages = solver.stages if isinstance(solver, Staged) else [solver]
    for place, (block, side) in SIDES[name].items():
        stage = stages[place]
        assert isinstance(stage, Layered | Multicode)
        assert stage.block is not None
        assert features_at(published, stage.block) == f"features@{block}"
        assert tuple(other.spaces[features_at(other, stage.block)])[1:] == (side, side)


def test_sides_that_are_not_there_are_told() -> None:
    prior = PGGAN.from_state(pggan_state())
    assert [features_at(prior, {"side": side}) for side in (4, 8, 16)] == ["features@2", "features@4", "features@6"]
    for make in (Layered, Multicode):
        with pytest.raises(ValueError, match=r"^block is at side 32, and the features inside PGGAN\(3×16×16\) are of sides 4, 8, 16$"):
            make(prior, block={"side": 32})
        with pytest.raises(ValueError, match=r"^block is \{'sides': 8\}; give its number, or the side"):
            make(prior, block={"sides": 8})
    with pytest.raises(ValueError, match=r"and the features inside LinearPrior\(3×4×4\) are none$"):
        Layered(LinearPrior.random(3, (3, 4, 4)), block={"side": 4})
    with pytest.raises(RecipeError, match=r"solver\[0\]\.layered\.block: should be a valid integer, got 'deep'$"):
        Recipe.parse({"operator": "gray", "prior": "digiface64", "solver": {"layered": {"block": "deep"}}})


class Wide(FeedForward):
    """Features of 4×16, pictures of 8×32."""

    def __init__(self) -> None:
        first = nn.Sequential(nn.Linear(6, 128), nn.Unflatten(1, (2, 4, 16)))
        last = nn.ConvTranspose2d(2, 3, 4, stride=2, padding=1)
        super().__init__([first, last], {"z": (6,), "features@1": (2, 4, 16)}, (3, 8, 32))


def test_the_side_of_wide_features_is_their_shorter_one() -> None:
    assert features_at(Wide(), {"side": 4}) == "features@1"
    with pytest.raises(ValueError, match=r"are of sides 4$"):
        features_at(Wide(), {"side": 16})
