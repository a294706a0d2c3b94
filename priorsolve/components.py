"""A recipe's components, checked against the constructors that they name: there is no second schema to keep in step."""

from __future__ import annotations

import inspect
import types
import typing
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from priorsolve.losses import LOSSES, Loss
from priorsolve.registry import Kind, component, did_you_mean

SUPPLIED: dict[Kind, frozenset[str]] = {"operators": frozenset({"shape"}), "noises": frozenset(), "solvers": frozenset({"prior", "seed"})}
"""Arguments that a recipe does not give: the run knows them."""


class RecipeError(ValueError):
    """A recipe cannot be used; one line names the place and the way out."""


@cache
def arguments(kind: Kind, name: str) -> type[BaseModel]:
    """What the component takes from a recipe, as a model that refuses anything else. Raises ValueError for an unknown name."""
    factory = component(kind, name)
    hints = typing.get_type_hints(getattr(factory, "__init__") if inspect.isclass(factory) else factory)  # noqa: B009 (mypy: an instance's)
    fields: dict[str, Any] = {}
    for key, parameter in inspect.signature(factory).parameters.items():
        if key not in SUPPLIED[kind] and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            default = ... if parameter.default is parameter.empty else _plain(parameter.default)
            fields[key] = (_recipe_type(hints.get(key, Any)), default)
    return create_model(name, __config__=ConfigDict(extra="forbid", strict=True), **fields)


def check(kind: Kind, name: str, given: dict[str, Any], where: str) -> dict[str, Any]:
    """All arguments of the component, defaults filled in. Raises RecipeError naming `where` and the key."""
    try:
        model = arguments(kind, name)
    except ValueError as error:
        raise RecipeError(f"{where}: {error}") from None
    try:
        return model(**given).model_dump()
    except ValidationError as error:
        raise RecipeError(explain(error, f"{where}.{name}", model)) from None


def build(kind: Kind, name: str, given: dict[str, Any], where: str, **supplied: Any) -> Any:
    """The component itself. Raises RecipeError naming `where` when the constructor refuses a value."""
    factory = component(kind, name)
    settings = {key: LOSSES[value] if key == "loss" else value for key, value in given.items()}
    try:
        return factory(**settings, **supplied)
    except (ValueError, TypeError, ArithmeticError, RuntimeError, MemoryError, OSError) as error:  # whatever bad values lead to
        raise RecipeError(f"{where}.{name}: {' '.join(str(error).split()) or type(error).__name__}") from error


def first_of(error: ValidationError) -> Any:
    """What to tell first: an unknown key, which is often why another one is missing."""
    errors = error.errors(include_url=False)
    return next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])


def explain(error: ValidationError, where: str, model: type[BaseModel]) -> str:
    """The first thing wrong, in one line: the place, the reason, the value given, and the nearest key for an unknown one."""
    first = first_of(error)
    keys = [
        part for part in first["loc"] if isinstance(part, int) or not str(part).startswith(("list[", "constrained", "literal", "function-"))
    ]
    place = where + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)
    if first["type"] == "extra_forbidden":
        for key in keys[:-1]:
            inner = model.model_fields[str(key)].annotation
            model = inner if inspect.isclass(inner) and issubclass(inner, BaseModel) else model
        return f"{place}: unknown key; {did_you_mean(str(keys[-1]), model.model_fields)}"
    if first["type"] == "missing":
        return f"{place}: this key is required"
    message = first["msg"].removeprefix("Value error, ").replace("Input should be", "should be")
    given = repr(first["input"])
    return f"{place}: {message}, got {given if len(given) <= 80 else given[:79] + '…'}"


def _recipe_type(hint: Any) -> Any:
    if hint == Loss:
        return Literal[tuple(LOSSES)]
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return typing.Union[tuple(_recipe_type(part) for part in typing.get_args(hint))]  # noqa: UP007 (made at run time)
    return hint


def _plain(default: Any) -> Any:
    return next((name for name, loss in LOSSES.items() if loss is default), default) if callable(default) else default
