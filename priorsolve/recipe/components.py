"""A recipe's components, checked against the constructors that they name: there is no second schema to keep in step."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Mapping
from dataclasses import fields as fields_of
from dataclasses import is_dataclass
from functools import cache
from types import SimpleNamespace
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, WithJsonSchema, create_model
from pydantic.errors import PydanticSchemaGenerationError
from pydantic.fields import FieldInfo

from priorsolve.losses import Loss, Mixture
from priorsolve.losses.base import Fetches
from priorsolve.recipe.hints import find_nonfinite, in_braces, settings_of, spelled
from priorsolve.recipe.registry import BUILTIN, SINGULAR, Kind, component, did_you_mean

SUPPLIED: dict[Kind, frozenset[str]] = {
    "operators": frozenset({"shape"}),
    "noises": frozenset(),
    "solvers": frozenset({"prior", "seed"}),
    "losses": frozenset(),
}
"""Arguments that a recipe does not give: the run knows them."""

LossSpec = Annotated[Any, WithJsonSchema({"format": "loss"})]
"""A loss as recipes write it: a name, a name with its settings and its weight, or a list of them, which is their sum."""


class RecipeError(ValueError):
    """A recipe cannot be used; one line names the place and the way out."""


@cache
def arguments(kind: Kind, name: str) -> type[BaseModel]:
    """What the component takes from a recipe, as a model that refuses anything else.

    Raises ValueError for an unknown name, for a plugin's loss that takes an estimate in place of settings, and for an argument of a type
    that recipes cannot write or that is not known when the plugin runs.
    """
    factory = component(kind, name)
    hints = _hints(kind, name)
    fields: dict[str, Any] = {}
    parameters = inspect.signature(factory).parameters
    if kind == "losses" and inspect.isfunction(factory) and sum(p.default is p.empty for p in parameters.values()) == 3:
        raise ValueError(f"the loss {name!r} is a loss itself; its entry point must name a class, or a function that returns the loss")
    for key, parameter in parameters.items():
        if key not in SUPPLIED[kind] and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            default = ... if parameter.default is parameter.empty else _plain(parameter.default)
            fields[key] = (_recipe_type(hints.get(key, Any)), default)
    if kind == "losses":
        fields["weight"] = (Annotated[float, Field(ge=0, allow_inf_nan=False)], 1.0)
    try:
        return create_model(name, __config__=ConfigDict(extra="forbid", strict=True), **fields)
    except PydanticSchemaGenerationError:
        key, hint = next((key, hint) for key, (hint, _) in fields.items() if not _is_written(hint))
        raise ValueError(
            f"the {SINGULAR[kind]} {name!r} takes {key} as {hint}, which no recipe can write; take numbers, words or lists of them"
        ) from None


def _is_written(hint: Any) -> bool:
    try:
        TypeAdapter(hint)
    except PydanticSchemaGenerationError:
        return False
    return True


def known_arguments(kind: Kind, name: str) -> Mapping[str, FieldInfo]:
    """What the component takes; nothing for an unknown one."""
    try:
        return arguments(kind, name).model_fields
    except ValueError:
        return {}


def check(kind: Kind, name: str, given: dict[str, Any], where: str) -> dict[str, Any]:
    """All arguments of the component, defaults filled in. Raises RecipeError naming `where` and the key."""
    try:
        model = arguments(kind, name)
    except ValueError as error:
        raise RecipeError(f"{where}: {error}") from None
    if found := find_nonfinite(given):
        raise RecipeError(f"{where}.{name}{found[0]}: must be a finite number, got {found[1]}")
    try:
        complete = model(**given).model_dump()
    except ValidationError as error:
        raise RecipeError(explain(error, f"{where}.{name}", model, given)) from None
    return complete | {key: check_loss(complete[key], f"{where}.{name}.{key}") for key in _losses(kind, name, complete)}


def check_loss(given: Any, where: str) -> Any:
    """The loss, defaults filled in and in its shortest form, so that equal ones look alike. Raises RecipeError naming the place."""
    if given == []:
        raise RecipeError(f"{where}: the list is empty; name at least one loss, such as l2")
    given = [(part, f"{where}[{index}]") for index, part in enumerate(given)] if isinstance(given, list) else [(given, where)]
    parts = [_check_one_loss(part, place) for part, place in given]
    if all(not isinstance(part, str) and part[next(iter(part))].get("weight") == 0 for part in parts):
        raise RecipeError(f"{where}: every weight is 0, so nothing would be fitted; raise one of them")
    return parts if len(parts) > 1 else parts[0]


def _check_one_loss(given: Any, where: str) -> Any:
    given = {given: {}} if isinstance(given, str) else given
    if not isinstance(given, dict) or len(given) != 1:
        raise RecipeError(f"{where}: should be a loss, such as `l2` or `huber: {{delta: 0.05}}`, got {given!r}")
    ((name, settings),) = given.items()
    if not isinstance(settings, dict | None):
        raise RecipeError(f"{where}.{name}: should be the loss's settings, such as {{weight: 0.5}}, got {settings!r}")
    complete = check("losses", str(name), {str(key): value for key, value in (settings or {}).items()}, where)
    known = arguments("losses", str(name)).model_fields
    complete = {key: value for key, value in complete.items() if value is not None or known[key].default is not None}
    return name if complete == {"weight": 1.0} else {name: complete}


def build_loss(given: Any, where: str) -> Loss:
    """The loss that a checked spec describes, its weights on this machine.

    Raises:
        RecipeError: a constructor refuses a value; names `where`.
        FetchError: its weights cannot be had.
    """
    parts: list[tuple[Loss, float]] = []
    for index, spec in enumerate(given if isinstance(given, list) else [given]):
        ((name, settings),) = ({spec: {}} if isinstance(spec, str) else spec).items()
        place = f"{where}[{index}]" if isinstance(given, list) else where
        own = {key: value for key, value in settings.items() if key != "weight"}
        loss = build("losses", name, own, place)
        if isinstance(loss, Fetches):
            loss.fetch()  # now, and not when the first photos have been read
        parts.append((loss, settings.get("weight", 1.0)))
    return parts[0][0] if len(parts) == 1 and parts[0][1] == 1 else Mixture(parts)


def build(kind: Kind, name: str, given: dict[str, Any], where: str, **supplied: Any) -> Any:
    """The component itself. Raises RecipeError naming `where` when the constructor refuses a value."""
    factory = component(kind, name)
    settings = given | {key: build_loss(given[key], f"{where}.{name}.{key}") for key in _losses(kind, name, given)}
    try:
        return factory(**settings, **supplied)
    except (ValueError, TypeError, ArithmeticError, RuntimeError, MemoryError, OSError) as error:  # whatever bad values lead to
        raise RecipeError(f"{where}.{name}: {' '.join(str(error).split()) or type(error).__name__}") from error


def first_of(error: ValidationError) -> Any:
    """What to tell first: an unknown key, which is often why another one is missing."""
    errors = error.errors(include_url=False)
    return next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])


def explain(error: ValidationError, where: str, model: type[BaseModel], values: dict[str, Any] | None = None) -> str:
    """The first thing wrong, in one line: the place, the reason, the value given, and the nearest key for an unknown one.

    `values` are those of the model, where they are at hand.
    """
    first = first_of(error)
    keys = [
        part for part in first["loc"] if isinstance(part, int) or not str(part).startswith(("list[", "constrained", "literal", "function-"))
    ]
    keys = keys[:-1] if keys[-1:] == ["int"] else keys  # what was tried of several types, no key
    place = where + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)
    for key in keys[:-1]:  # down to the model that the last key is of
        field = model.model_fields.get(str(key))
        model = (field and settings_of(field.annotation)) or model
    if first["type"] == "extra_forbidden":
        return f"{place}: unknown key; {did_you_mean(str(keys[-1]), model.model_fields)}"
    if first["type"] == "missing":
        return f"{place}: this key is required"
    message = first["msg"].removeprefix("Value error, ").replace("Input should be", "should be")
    given = repr(first["input"])
    if first["type"] == "bool_type":
        message = "should be true or false"
    elif first["type"] == "sequence_str":
        message = f"should be a list, such as [{first['input']}]"
    elif first["type"] == "model_type" and (settings := settings_of(model.model_fields[str(keys[-1])].annotation)):
        message = in_braces(settings.model_fields, first["input"])
    elif first["type"] == "list_type" and len(keys) == 2 and isinstance(outer := (values or {}).get(str(keys[0])), list):
        place, message, given = f"{where}.{keys[0]}", f"should be a list of lists, such as {spelled([outer])}", repr(outer)
    if first["type"] == "value_error" and isinstance(first["input"], str) and given in message:
        return f"{place}: {message}"  # which has it already
    return f"{place}: {message}, got {given if len(given) <= 80 else given[:79] + '…'}"


def _recipe_type(hint: Any) -> Any:
    if hint == Loss:
        return LossSpec
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return typing.Union[tuple(_recipe_type(part) for part in typing.get_args(hint))]  # noqa: UP007 (made at run time)
    return hint


@cache
def _hints(kind: Kind, name: str) -> dict[str, Any]:
    factory = component(kind, name)
    made_by = getattr(factory, "__init__") if inspect.isclass(factory) else factory  # noqa: B009 (mypy: an instance's)
    taken = {key: hint for key, hint in getattr(made_by, "__annotations__", {}).items() if key != "return"}
    try:
        return typing.get_type_hints(SimpleNamespace(__annotations__=taken), getattr(inspect.unwrap(made_by), "__globals__", {}))
    except NameError as error:
        raise ValueError(
            f"the {SINGULAR[kind]} {name!r} comes from a plugin that annotates an argument by what it does not import: {error}"
        ) from None


def _losses(kind: Kind, name: str, given: dict[str, Any]) -> list[str]:
    """The arguments that are losses; an optional loss that was left out is skipped."""
    hints = _hints(kind, name)
    return [k for k, v in given.items() if hints.get(k) == Loss or (v is not None and Loss in typing.get_args(hints.get(k)))]


def _plain(default: Any) -> Any:
    """A default as a recipe writes it: a loss by its name and settings."""
    if isinstance(default, Mixture):
        return [_weighted(_plain(loss), weight) for loss, weight in default.parts]
    made_by = f"{type(default).__module__}:{type(default).__qualname__}"
    for name, path in BUILTIN["losses"].items():
        if path == made_by and is_dataclass(default):
            settings = {field.name: _plain(getattr(default, field.name)) for field in fields_of(default)}
            return {name: settings} if settings else name
    return default


def _weighted(spec: Any, weight: float) -> Any:
    name, settings = (spec, {}) if isinstance(spec, str) else next(iter(spec.items()))
    return spec if weight == 1 else {name: {**settings, "weight": weight}}
