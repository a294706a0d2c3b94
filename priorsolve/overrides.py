"""`--set key=value`: changes to a recipe from the command line."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from priorsolve import yamlfile
from priorsolve.components import RecipeError

LISTS = ("operator", "surrogate", "noise", "solver")


def override(given: dict[Any, Any], overrides: Sequence[str]) -> dict[Any, Any]:
    """The data with each `key=value` applied; values are YAML.

    A key is a path: `seed`, `output.consistency`, `operator.downsample.factor`, `solver.0.steps`; where a list has one
    component its name may be left out (`solver.steps`). A `task` that tells of other operators than there are then is dropped.
    Raises RecipeError naming the override.
    """
    changed = copy.deepcopy(given)
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise RecipeError(f"--set {text}: write it as key=value, such as solver.steps=50")
        try:
            parsed = yamlfile.parse(value)
        except yaml.YAMLError as error:
            raise RecipeError(f"--set {text}: the value is not valid YAML: {yamlfile.problem(error)}") from None
        path = key.strip().split(".")
        _set(changed, path, anchored({path[-1]: parsed}, Path())[path[-1]], text)
    if changed.get("task") == given.get("task") and operator_names(changed) != operator_names(given):
        changed.pop("task", None)
    return changed


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
    if isinstance(given, dict):
        return {
            key: absolute(value, folder) if key == "file" and isinstance(value, str) else anchored(value, folder)
            for key, value in given.items()
        }
    return [anchored(item, folder) for item in given] if isinstance(given, list) else given


def absolute(path: str, folder: Path) -> str:
    """The path, absolute, without `..`, `~` opened."""
    return os.path.normpath(folder.absolute() / os.path.expanduser(path))  # noqa: PTH111 (Path's own raises for an unknown user)


def _set(data: dict[Any, Any], path: list[str], value: Any, text: str) -> None:
    if len(path) > 1 and path[0] in LISTS:
        components = data.get(path[0])
        components = components if isinstance(components, list) else [] if components is None else [components]
        data[path[0]] = components = [{part: {}} if isinstance(part, str) else part for part in components]
        index, rest = _choose(components, path[1:], text)
        if not rest and path[1].isdecimal():
            components[index] = value
            return
        data, path = components[index], [next(iter(components[index])), *rest]
    for part, below in pairwise(path):
        known = data.get(part)
        data[part] = {} if known is None else {known: {}} if known == below else known  # a name alone is one without arguments
        data = data[part]
        if not isinstance(data, dict):
            raise RecipeError(f"--set {text}: {part} holds a value, not keys")
    data[path[-1]] = value


def _choose(components: list[Any], path: list[str], text: str) -> tuple[int, list[str]]:
    """The component's place in the list, and the path below it."""
    names = [next(iter(part)) if isinstance(part, dict) and len(part) == 1 else None for part in components]
    head = path[0]
    if head.isdecimal():
        if int(head) >= len(components):
            raise RecipeError(f"--set {text}: there is no component {head}; the list has {len(components)}, counted from 0")
        index, rest = int(head), path[1:]
        if rest and names[index] is None:
            raise RecipeError(f"--set {text}: component {head} is not one name with its arguments")
        return index, rest[1:] if rest and rest[0] == names[index] else rest
    if names.count(head) == 1:
        return names.index(head), path[1:]
    if head not in names and len(names) == 1 and names[0] is not None:
        return 0, path
    have = ", ".join(f"{index}: {name}" for index, name in enumerate(names)) or "nothing"
    raise RecipeError(f"--set {text}: {head!r} does not name one component; the list holds {have}; say its number or name")
