"""What is compared: recipes, each perhaps with changes of its own, under the names that tables and folders carry."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from priorsolve.comparison.written import TABLES, sheet_of
from priorsolve.files import is_file, is_folder
from priorsolve.recipe.components import RecipeError
from priorsolve.recipe.recipe import Recipe
from priorsolve.recipe.sources import builtin_recipes
from priorsolve.run.places import RECORDS

_NEXT = re.compile(r"&+(?=\s*[\w.*:-]+\s*=|$)")
"""What parts changes: an & that a key follows, or nothing; any other is the value's."""


@dataclass(frozen=True)
class Variant:
    """A recipe under a name that can be a folder's."""

    name: str
    recipe: Recipe


def read_variants(texts: Sequence[str], overrides: Sequence[str] = ()) -> list[Variant]:
    """`RECIPE` or `NAME=RECIPE?key=value&key=value` for each text; `overrides` come before a variant's own. An
    `&` that no `key=` follows is the value's.

    RECIPE is a built-in recipe's name or a file's path; a path that itself holds such signs is taken as it stands. Without a name the
    recipe's own is used. Raises RecipeError for a recipe that cannot be used, changes without a name, and names that are no folder's or
    are given twice.
    """
    found: dict[str, Variant] = {}
    for text in texts:
        variant = _read(text, overrides)
        if variant.name in found:
            raise RecipeError(f"{text}: two recipes are called {variant.name}; name one, such as other={text.partition('=')[2] or text}")
        found[variant.name] = variant
    return list(found.values())


def _read(text: str, overrides: Sequence[str]) -> Variant:
    if is_file(text):
        return Variant(_folder_name(Path(text).stem, text), Recipe.load(text, overrides))
    if is_folder(text) and text not in builtin_recipes():
        raise RecipeError(f"{text}: a folder, not a recipe; if it holds photos, give it as --photos {text}")
    head, changed, changes = text.partition("?")
    name, named, source = head.partition("=")
    if not named:
        source = head
        name = Path(head).stem if head.endswith((".yaml", ".yml")) else head.replace("/", "-")
        if changed:
            raise RecipeError(f"{text}: a recipe with changes needs a name of its own, such as mine={text}")
    own = [change for change in _NEXT.split(changes) if change]
    folder = _folder_name(name, text)
    try:
        return Variant(folder, Recipe.load(source, [*overrides, *own]))
    except RecipeError as error:
        told = str(error)
        if any(told.startswith(f"--set {change}: ") for change in own):
            told = f"{name}?{told.removeprefix('--set ')}"
        raise RecipeError(told) from None


def _folder_name(name: str, text: str) -> str:
    instead = f"mine={text.partition('=')[2] or text}"
    if not re.fullmatch(r"[\w+-][\w .+-]*", name):
        raise RecipeError(f"{text}: {name!r} cannot name a folder; use letters, digits and - _ . + only, such as {instead}")
    if name.lower() in TABLES or fnmatchcase(name.lower(), sheet_of("*")):
        raise RecipeError(f"{text}: {name} is a file that the benchmark itself writes; name the recipe otherwise, such as {instead}")
    if name.lower() == RECORDS:  # its folder would make the benchmark's look like a run's
        raise RecipeError(f"{text}: {name} is the folder in which a run keeps its records; name the recipe otherwise, such as {instead}")
    return name
