"""Where recipes come from: those that come with the package, by name, and files."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

from priorsolve.files import is_file, is_folder
from priorsolve.recipe.components import RecipeError
from priorsolve.showing import shown

GIVEN = "give a built-in name (`priorsolve list recipes` shows them all) or the path of a .yaml file"


def builtin_recipes() -> dict[str, Path]:
    """The recipes that come with the package, by name; presets as `presets/name`."""
    folder = Path(str(files("priorsolve.recipes") / "."))
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.yaml"))}


def find_recipe(source: str | Path) -> Path:
    """The file of a recipe given by path or by the name of a built-in one. Raises RecipeError."""
    if not isinstance(source, str | os.PathLike) or source == "":
        raise RecipeError(f"the recipe is {shown(source)}; {GIVEN}")
    path = Path(source)
    if is_file(path):
        return path
    known = builtin_recipes()
    if str(source) in known:
        return known[str(source)]
    if is_folder(path):
        raise RecipeError(f"{path}: a folder, not a recipe; {GIVEN}")
    raise RecipeError(f"{source}: no such recipe; {_near(path.stem.lower(), known)}{GIVEN}")


def _near(word: str, known: Iterable[str]) -> str:
    """The names that are like the word, or have it in them, as a question; a preset goes by its own name, without its folder."""
    own = {name.rpartition("/")[2]: name for name in known}
    alike = difflib.get_close_matches(word, own, 3) or [each for each in own if len(word) > 2 and word in each][:3]
    return f"did you mean {' or '.join(repr(own[each]) for each in alike)}? " if alike else ""
