"""`--set key=value`: changes to a recipe from the command line."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from priorsolve import yamlfile
from priorsolve.components import RecipeError

LISTS = ("operator", "noise", "solver")


def override(given: dict[Any, Any], overrides: Sequence[str]) -> dict[Any, Any]:
    """The data with each `key=value` applied; values are YAML.

    A key is a path: `seed`, `output.consistency`, `operator.downsample.factor`, `solver.0.steps`; where a list has one
    component its name may be left out (`solver.steps`). Raises RecipeError naming the override.
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
        if path[-1] == "file" and isinstance(parsed, str):
            parsed = str(Path(parsed).absolute())
        _set(changed, path, parsed, text)
    return changed


def _set(data: dict[Any, Any], path: list[str], value: Any, text: str) -> None:
    if len(path) > 1 and path[0] in LISTS:
        components = data.get(path[0])
        components = components if isinstance(components, list) else [] if components is None else [components]
        data[path[0]] = [{part: {}} if isinstance(part, str) else part for part in components]
        spec, rest = _choose(data[path[0]], path[1:], text)
        name = next(iter(spec))
        spec[name] = {} if spec[name] is None else spec[name]
        if not rest:
            spec[name] = value
            return
        data, path = spec[name], rest
    for part in path[:-1]:
        data = data.setdefault(part, {})
        if not isinstance(data, dict):
            raise RecipeError(f"--set {text}: {part} holds a value, not keys")
    if not isinstance(data, dict):
        raise RecipeError(f"--set {text}: there are no keys below {'.'.join(path[:-1])}")
    data[path[-1]] = value


def _choose(components: list[Any], path: list[str], text: str) -> tuple[dict[str, Any], list[str]]:
    specs = [component for component in components if isinstance(component, dict) and len(component) == 1]
    head = path[0]
    if head.isdigit():
        if int(head) >= len(components):
            raise RecipeError(f"--set {text}: there is no component {head}; the list has {len(components)}, counted from 0")
        chosen, rest = components[int(head)], path[1:]
        return chosen, rest[1:] if rest and rest[0] in chosen else rest
    named = [spec for spec in specs if head in spec]
    if len(named) == 1:
        return named[0], path[1:]
    if not named and len(specs) == 1 == len(components):
        return specs[0], path
    have = ", ".join(f"{index}: {next(iter(spec))}" for index, spec in enumerate(specs)) or "nothing"
    raise RecipeError(f"--set {text}: {head!r} does not name one component; the list holds {have}; say its number or name")
