"""JSON Schema of recipes, for editors: completion and red lines while typing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from pydantic import PydanticUserError

from priorsolve.recipe.components import arguments
from priorsolve.recipe.framings import Framings
from priorsolve.recipe.overrides import KIND_OF
from priorsolve.recipe.recipe import Recipe
from priorsolve.recipe.registry import Kind, names

Tell: TypeAlias = Callable[[str], object]
MAY_BE_EMPTY = ("noise", "surrogate")


def recipe_schema(tell: Tell = lambda _: None) -> dict[str, Any]:
    """The schema (draft 2020-12), with the arguments of every operator, noise, solver and loss that is installed.

    `tell` is called with a line for each plugin that is left out, since it cannot be read.
    """
    schema = Recipe.model_json_schema()
    definitions = schema.setdefault("$defs", {})
    one_loss: dict[str, Any] = {"anyOf": _options("losses", definitions, tell)}
    definitions["loss"] = {"anyOf": [*one_loss["anyOf"], {"type": "array", "items": one_loss, "minItems": 1}]}
    for key, kind in KIND_OF.items():
        definitions[key] = {"anyOf": _options(kind, definitions, tell)}
        one = {"$ref": f"#/$defs/{key}"}
        choices = [one, {"type": "array", "items": one, **({} if key in MAY_BE_EMPTY else {"minItems": 1})}]
        none = [{"type": "null"}] if key in MAY_BE_EMPTY else []
        schema["properties"][key] = {**_told(schema["properties"][key]), "anyOf": choices + none}
    for properties, key in ((schema["properties"], "metrics"), (definitions["Output"]["properties"], "mean")):
        several = properties[key]
        told = {name: several.pop(name) for name in ("title", "default", "description") if name in several}
        properties[key] = {**told, "anyOf": [several["items"], several, {"type": "null"}]}
    definitions["Framings"] |= {"minProperties": 1, "maxProperties": 1}
    named = {"enum": list(Framings.model_fields)}
    framing = {"title": "Frame", **_told(schema["properties"]["frame"]), "default": "center"}
    schema["properties"]["frame"] = {**framing, "anyOf": [named, {"$ref": "#/$defs/Framings"}]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _told(rule: dict[str, Any]) -> dict[str, Any]:
    """What the rule says to people."""
    return {name: rule[name] for name in ("title", "description") if name in rule}


def _options(kind: Kind, definitions: dict[str, Any], tell: Tell) -> list[dict[str, Any]]:
    """One rule for each component of the kind, and one for its bare name; what they share goes to `definitions`."""
    options: list[dict[str, Any]] = []
    for name in names(kind):
        try:
            model = arguments(kind, name).model_json_schema()
        except (ValueError, PydanticUserError) as error:  # a plugin that does not load hides no other
            tell(f"left out: {' '.join(str(error).split())}")
            continue
        definitions |= model.pop("$defs", {})
        optional = not model.get("required")
        of_photo = {field: _or_placeholder(_referring(rule)) for field, rule in model.get("properties", {}).items()}
        settings = {**model, "properties": of_photo}
        body = {"anyOf": [settings, {"type": "null"}]} if optional else settings
        options.append({"type": "object", "properties": {name: body}, "required": [name], "additionalProperties": False})
        if optional:
            options.append({"const": name})
    return options


def _referring(rule: Any) -> Any:
    """The rule with each loss in it defined where all losses are."""
    if isinstance(rule, list):
        return [_referring(part) for part in rule]
    if not isinstance(rule, dict):
        return rule
    if rule.get("format") == "loss":
        return {**{key: value for key, value in rule.items() if key != "format"}, "$ref": "#/$defs/loss"}
    return {key: value if key == "default" else _referring(value) for key, value in rule.items()}


def _or_placeholder(rule: dict[str, Any]) -> dict[str, Any]:
    """A value, or `{seed}` in its place."""
    return {"anyOf": [rule, {"const": "{seed}"}], **{key: rule[key] for key in ("title", "default") if key in rule}}
