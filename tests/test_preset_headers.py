"""What the first lines of every preset tell."""

from __future__ import annotations

import re

import pytest

from priorsolve.operators.sensing import Sensing
from priorsolve.recipe.components import build
from priorsolve.recipe.recipe import Recipe
from priorsolve.recipe.sources import builtin_recipes, find_recipe
from priorsolve.recipe.templates import rendered

NAMES = sorted(name for name in builtin_recipes() if name.startswith("presets/"))


def needs_degrading(recipe: Recipe) -> bool:
    """Whether plain photos are no measurements: the holes are drawn to demonstrate with, or random numbers are measured."""
    parts = [build("operators", name, given, "operator") for spec in recipe.operator for name, given in rendered(spec, "", 0).items()]
    return any(isinstance(part, Sensing) or getattr(part, "made_up", False) for part in parts)


@pytest.mark.parametrize("name", NAMES)
def test_its_header_says_what_to_know(name: str) -> None:
    text = find_recipe(name).read_text(encoding="utf-8")
    header = text[: text.index("\ntask:")].splitlines()
    assert all(line.startswith("#") for line in header)
    assert len(header) <= 15
    (command,) = (line for line in header[2:4] if f"priorsolve restore {name} " in line)
    assert ("--degrade" in command) == needs_degrading(Recipe.load(name)), command
    for word in ("Published with: ", "Published", "Differs: "):
        assert sum(word in line for line in header) >= 1, word
    given = [" ".join(header[place : place + 2]).partition("Here: ") for place, line in enumerate(header) if "Here: " in line]
    assert len(given) == 1, "what it gave here"
    assert re.search(r"\d dB|\d per pixel|\d of their length", given[0][2]), given[0][2]
    assert max(map(len, text.splitlines())) <= 140
