"""`--set key=value`: changes to a recipe from the command line."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from priorsolve.recipe import yamlfile
from priorsolve.recipe.components import RecipeError, arguments
from priorsolve.recipe.contents import with_files
from priorsolve.recipe.registry import BUILTIN, Kind

KIND_OF: dict[str, Kind] = {"operator": "operators", "surrogate": "operators", "noise": "noises", "solver": "solvers"}
"""The keys that hold lists of components, and what kind each holds."""

Placed = list[tuple[str, list[yamlfile.Place]]]
"""Overrides with the places that each of them set."""


def override(given: dict[Any, Any], overrides: Sequence[str]) -> dict[Any, Any]:
    """The data with each `key=value` applied; values are YAML.

    A key is a path: `seed`, `output.consistency`, `operator.downsample.factor`, `solver.0.steps`, `solver.0.loss.1.weight`; where a list
    has one component its name may be left out (`solver.steps`), and `solver.*.steps` is of every one. A `task` that tells of other
    operators than there are then is dropped.
    Raises RecipeError naming the override.
    """
    return placed(given, overrides)[0]


def placed(given: dict[Any, Any], overrides: Sequence[str]) -> tuple[dict[Any, Any], Placed]:
    """As `override`, and where each landed."""
    changed, places = dict(given), []
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise RecipeError(f"--set {text}: write it as key=value, such as solver.steps=50")
        path = key.strip().split(".")
        parsed = _parsed(value, f"--set {text}")
        places.append((text, _set(changed, path, anchored({path[-1]: parsed}, Path())[path[-1]], f"--set {text}")))
    if changed.get("task") == given.get("task") and operator_names(changed) != operator_names(given):
        changed.pop("task", None)
    return changed, places


def _parsed(value: str, told: str) -> Any:
    """The value that the text spells. `told` begins the message of the RecipeError for one that spells none."""
    comment = re.search(r"(?:^|\s)(#\w+)", value)
    try:
        parsed, wrong = yamlfile.parse(value), ""
    except yaml.YAMLError as error:
        parsed, wrong = None, f"the value is not valid YAML: {yamlfile.problem(error)}"
    if comment and parsed is None:
        raise RecipeError(f"{told}: what begins with # is a comment; put it in quotes, '{comment[1]}'")
    if wrong:
        raise RecipeError(f"{told}: {wrong}")
    return parsed


def put(data: dict[Any, Any], key: str, value: Any, told: str) -> None:
    """Set the data's value at the path `key`. `told` begins the message of the RecipeError for a path that leads nowhere."""
    _set(data, key.split("."), value, told)


def operator_names(given: Mapping[Any, Any]) -> list[str]:
    """The names of the data's operators, in order; what is no component is left out."""
    parts = given.get("operator")
    return [
        str(next(iter(part), "")) if isinstance(part, dict) else str(part)
        for part in (parts if isinstance(parts, list) else [parts])
        if part
    ]


def anchored(given: Any, folder: Path) -> Any:
    """The data with the paths of files, wherever they stand, made absolute; relative ones are beside `folder`."""
    return with_files(given, partial(absolute, folder=folder))


def absolute(path: str, folder: Path) -> str:
    """The path, absolute, without `..`, `~` opened."""
    return os.path.normpath(folder.absolute() / os.path.expanduser(path))  # noqa: PTH111 (Path's own raises for an unknown user)


def _set(data: dict[Any, Any], path: list[str], value: Any, text: str, *, top: bool = True) -> list[yamlfile.Place]:
    """What the path leads through is copied, since an alias (`*loss`) may share it with what is not meant. Returns the places set."""
    part, *rest = path
    known = data.get(part)
    if not rest:
        data[part] = value
        return [(part,)]
    if (top and part in KIND_OF) or isinstance(known, list):
        components = known if isinstance(known, list) else [] if known is None else [known]
        data[part] = components = [{one: {}} if isinstance(one, str) else one for one in components]
        if rest[0] == "*":
            numbers = map(str, range(len(components)))
            return [place for number in numbers for place in _set(data, [part, number, *rest[1:]], value, text, top=top)]
        if top and not components and not rest[0].isdecimal():
            raise RecipeError(f"{text}: the list holds nothing; {_first(part, rest, text.partition('=')[2])}")
        index, below = _choose(components, rest, text)
        if below or not rest[0].isdecimal():
            components[index] = dict(components[index])
            inner = _set(components[index], [next(iter(components[index])), *below], value, text, top=False)
            return [(part, index, *place) for place in inner]
        components[index] = value
        return [(part, index)]
    if known is None or known == rest[0] or isinstance(known, dict):
        data[part] = dict(known) if isinstance(known, dict) else {known: {}} if known else {}  # a name alone is one without arguments
        return [(part, *place) for place in _set(data[part], rest, value, text, top=False)]
    raise RecipeError(f"{text}: {part} holds a value, not keys")


def _first(part: str, path: list[str], value: str) -> str:
    """How to write the first component of a list, of which `path` names an argument."""
    kind = KIND_OF[part]
    if path[0] not in BUILTIN[kind]:
        path = [*[name for name in BUILTIN[kind] if path[0] in arguments(kind, name).model_fields][:1], *path]
    if path[0] not in BUILTIN[kind]:
        return f"give a component with its arguments, as {part}={{name: {{key: value}}}}"
    for key in reversed(path):
        value = f"{{{key}: {value}}}"
    return f"write {part}={value}"


def _choose(components: list[Any], path: list[str], text: str) -> tuple[int, list[str]]:
    """The component's place in the list, and the path below it."""
    names = [next(iter(part)) if isinstance(part, dict) and len(part) == 1 else None for part in components]
    head = path[0]
    if head.isdecimal():
        if int(head) >= len(components):
            raise RecipeError(f"{text}: there is no component {head}; the list has {len(components)}, counted from 0")
        index, rest = int(head), path[1:]
        if rest and names[index] is None:
            raise RecipeError(f"{text}: component {head} is not one name with its arguments")
        return index, rest[1:] if rest and rest[0] == names[index] else rest
    if names.count(head) == 1:
        return names.index(head), path[1:]
    if head not in names and len(names) == 1 and names[0] is not None:
        return 0, path
    have = ", ".join(f"{index}: {name}" for index, name in enumerate(names)) or "nothing"
    raise RecipeError(f"{text}: {head!r} does not name one component; the list holds {have}; say its number or name, or * for all")
