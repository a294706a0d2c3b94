"""Who is to blame for a value that a recipe cannot have: a line of its file, or what was given with `--set`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from priorsolve.recipe.components import RecipeError, explain, first_of, known_arguments
from priorsolve.recipe.hints import in_braces
from priorsolve.recipe.overrides import KIND_OF, placed
from priorsolve.recipe.yamlfile import Place


class Misplaced(Exception):
    """What is wrong, and at which place of the recipe's data."""

    def __init__(self, reason: str, place: Place) -> None:
        self.reason, self.place = reason, place


def misplaced(error: ValidationError, model: type[BaseModel]) -> Misplaced:
    """What is wrong first with the model's data, and where."""
    first = first_of(error)
    place = tuple(part for part in first["loc"] if isinstance(part, str | int))
    told = explain(error, "", model).lstrip(".")
    if first["type"] == "dict_type" and len(place) == 3 and (key := str(place[0])) in KIND_OF:
        fields = known_arguments(KIND_OF[key], str(place[2]))
        told = f"{key}[{place[1]}].{place[2]}: {in_braces(fields, first['input'])}, got {first['input']!r}"
    return Misplaced(told, place)


def blamed(
    error: Misplaced,
    given: dict[Any, Any],
    overrides: Sequence[str],
    make: Callable[[dict[Any, Any], Sequence[str]], object],
    name: str,
    lines: Mapping[Place, int],
) -> RecipeError:
    """The error as it is told: of an override that made the mistake, as it was typed, else of the recipe `name` and its line.

    `make` makes a recipe of the data and some of the overrides, and raises Misplaced or RecipeError.
    """
    for text, places in reversed(placed(given, overrides)[1]):
        within = any(error.place[: len(place)] == place for place in places)
        if within or _mended(error, lambda others: make(given, others), [each for each in overrides if each != text]):
            return RecipeError(_as_typed(text, error.reason, exact=error.place in places))
    return RecipeError(_located(error.reason, name, error.place, lines))


def _mended(error: Misplaced, make: Callable[[Sequence[str]], object], overrides: Sequence[str]) -> bool:
    """Whether with these overrides nothing is wrong, or something else at the same place."""
    try:
        make(overrides)
    except Misplaced as other:
        return other.place == error.place and other.reason != error.reason
    except RecipeError:
        return False
    return True


def _as_typed(text: str, message: str, *, exact: bool) -> str:
    """The message about an override; where it is about just its value, what stands there is not said again."""
    key = text.partition("=")[0].strip()
    if exact:
        place, _, message = message.partition(": ")
        message = message.replace("such as {", f"such as {key}={{")
        last = key.rpartition(".")[2]
        if within := place.rpartition(f".{last}")[2] if f".{last}" in place else "":  # in a list or a mapping that was given
            message = f"{last}{within}: {message}"
        for word in ("True", "False", "None"):  # what YAML makes of off, no, on and nothing
            message = message.removesuffix(f", got {word}")
    return f"--set {text}: {message.removeprefix(f'{key}: ')}"


def _located(message: str, name: str, place: Place, lines: Mapping[Place, int]) -> str:
    while place and place not in lines:
        place = place[:-1]
    line = f":{lines[place]}" if place in lines else ""
    return f"{name}{line}: {message}"
