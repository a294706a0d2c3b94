"""What is wrong in a --set is told as it was typed, with what was meant."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from priorsolve.comparison.variants import read_variants
from priorsolve.recipe.components import RecipeError
from priorsolve.recipe.recipe import Recipe


@pytest.mark.parametrize(
    ("recipe", "text", "told"),
    [
        ("colorize", "solver.1.steps=off", "should be a valid integer"),
        ("colorize", "solver.1.steps=2.5", "should be a valid integer, got 2.5"),
        ("colorize", "solver.1.lr=.inf", "must be a finite number, got inf"),
        ("colorize", "solver.1.lr=.nan", "must be a finite number, got nan"),
        ("inpaint", "operator.mask=hole.png", "should be its settings in braces, such as operator.mask={file: hole.png}, got 'hole.png'"),
        ("inpaint", "operator.mask=HOLE.PNG", "should be its settings in braces, such as operator.mask={file: HOLE.PNG}, got 'HOLE.PNG'"),
        ("inpaint", "operator.mask='#f0f'", "should be its settings in braces, such as operator.mask={colour: '#f0f'}, got '#f0f'"),
        ("inpaint", "operator.mask=true", "should be its settings in braces"),
        (
            "inpaint",
            "operator.mask={scratches: light}",
            "operator[0].mask.scratches: should be its settings in braces, such as {kind: light}, got 'light'",
        ),
        (
            "inpaint",
            "operator.mask={boxes: [0.3, 0.3, 0.6, 0.6]}",
            "operator[0].mask.boxes: should be a list of lists, such as [[0.3, 0.3, 0.6, 0.6]], got [0.3, 0.3, 0.6, 0.6]",
        ),
        (
            "inpaint",
            "solver={latent: {loss: {vgg_features: {layers: relu3_3}}}}",
            "solver[0].latent.loss.vgg_features.layers: should be a list, such as [relu3_3], got 'relu3_3'",
        ),
        ("inpaint", "operator.mask={colour: #ff00ff}", "what begins with # is a comment; put it in quotes, '#ff00ff'"),
        ("inpaint", "operator.mask.fiel=a.png", "unknown key; did you mean 'file'?"),
        ("inpaint", "noise.gaussian.sigma=0.1", "the list holds nothing; write noise={gaussian: {sigma: 0.1}}"),
        ("colorize", "solver.1.loss=[l1, {lpips: {nett: alex}}]", "loss[1].lpips.nett: unknown key; did you mean 'net'?"),
        ("inpaint", "output.consistency=0", "should be true or false, got 0"),
        ("inpaint", "frame=face", "no frame is called 'face'; did you mean 'faces'?"),
        ("inpaint", "frame=round", "no frame is called 'round'; known: center, aligned, faces, tiles"),
        ("inpaint", "metrics=pnsr", "no metric is called 'pnsr'; did you mean 'psnr'?"),
        ("inpaint", "output.format=jpeg", "should be 'same' or 'png', got 'jpeg'"),
    ],
)
def test_an_override_is_told_as_it_was_typed(recipe: str, text: str, told: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.load(recipe, ["seed=3", text])
    assert str(caught.value) == f"--set {text}: {told}"


def test_a_number_that_is_not_finite_is_told_in_lists_and_tuples_alike() -> None:
    for box in ([0, 0, math.inf, 1], (0, 0, math.inf, 1)):
        with pytest.raises(RecipeError, match=r"mask\.boxes\[1\]\[2\]: must be a finite number, got inf"):
            Recipe.parse({"operator": {"mask": {"boxes": ([0, 0, 1, 1], box)}}, "prior": "digiface64", "solver": "latent"})


def test_of_two_overrides_the_one_that_counts_is_told() -> None:
    with pytest.raises(RecipeError, match=r"^--set solver.steps=many: "):
        Recipe.load("inpaint", ["solver=latent", "solver.steps=few", "solver.steps=many"])


def test_what_the_file_says_wrong_is_told_by_its_line_whatever_else_is_set(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("operator: gray\nprior: digiface64\nsolver:\n  - latent: {steps: off}\n", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"mine\.yaml:4: solver\[0\]\.latent\.steps: should be a valid integer, got False"):
        Recipe.load(path, ["seed=3"])


def test_a_variant_is_named_where_it_is_wrong() -> None:
    with pytest.raises(RecipeError, match=r"^a\?solver\.\*\.stepz=1: unknown key; did you mean 'steps'\?$"):
        read_variants(["a=inpaint?solver.*.stepz=1"], [])
    with pytest.raises(RecipeError, match=r"^--set solver\.\*\.stepz=1: unknown key"):
        read_variants(["inpaint"], ["solver.*.stepz=1"])


def test_what_mends_another_mistake_of_the_file_is_not_blamed_for_the_next_one() -> None:
    wrong = {"operator": 3, "prior": "digiface64", "solver": "latent", "seed": -1}
    with pytest.raises(RecipeError, match=r"^recipe: seed: should be greater than or equal to 0, got -1$"):
        Recipe.parse(wrong, ["operator=gray"])
