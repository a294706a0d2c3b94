"""JSON Schema of recipes, for editors: completion and red lines while typing."""

from __future__ import annotations

from typing import Any

from priorsolve.components import arguments
from priorsolve.recipe import KINDS, Recipe
from priorsolve.registry import names


def recipe_schema() -> dict[str, Any]:
    """The schema (draft 2020-12), with the arguments of every operator, noise and solver that is installed."""
    schema = Recipe.model_json_schema()
    definitions = schema.setdefault("$defs", {})
    for key, kind in KINDS.items():
        options = []
        for name in names(kind):
            model = arguments(kind, name).model_json_schema()
            definitions |= model.pop("$defs", {})
            optional = not model.get("required")
            of_photo = {field: _or_placeholder(rule) for field, rule in model.get("properties", {}).items()}
            settings = {**model, "properties": of_photo}
            body = {"anyOf": [settings, {"type": "null"}]} if optional else settings
            options.append({"type": "object", "properties": {name: body}, "required": [name], "additionalProperties": False})
            if optional:
                options.append({"const": name})
        definitions[key] = {"anyOf": options}
        one = {"$ref": f"#/$defs/{key}"}
        described = schema["properties"][key]
        choices = [one, {"type": "array", "items": one, **({} if key == "noise" else {"minItems": 1})}]
        none = [{"type": "null"}] if key == "noise" else []
        schema["properties"][key] = {"title": described.get("title", key), "anyOf": choices + none}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _or_placeholder(rule: dict[str, Any]) -> dict[str, Any]:
    """A value, or `{seed}` in its place."""
    return {"anyOf": [rule, {"const": "{seed}"}], **{key: rule[key] for key in ("title", "default") if key in rule}}
