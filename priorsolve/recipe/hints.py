"""What people write in a component's place, and what they mean by it: the ends of messages."""

from __future__ import annotations

import inspect
import math
import typing
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from priorsolve.photos.names import KNOWN


def in_braces(fields: Mapping[str, FieldInfo], value: Any) -> str:
    """That a value stands where arguments should, and as which of the `fields` it could be meant."""
    key = next((key for key, field in fields.items() if _meant(key, field, value)), None)
    return "should be its settings in braces" + ("" if key is None else f", such as {{{key}: {spelled(value)}}}")


def spelled(value: Any) -> str:
    """A plain value as YAML has it, in one line."""
    if isinstance(value, str):
        return f"'{value}'" if value.startswith("#") else value
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return f"[{', '.join(map(spelled, value))}]" if isinstance(value, list) else str(value)


def settings_of(annotation: Any) -> type[BaseModel] | None:
    """The model that a field, or one of those it may be, is."""
    kinds = typing.get_args(annotation) or [annotation]
    # Python 3.10 takes list[float] for a class, and then refuses it as none
    return next((kind for kind in kinds if typing.get_origin(kind) is None and inspect.isclass(kind) and issubclass(kind, BaseModel)), None)


def find_nonfinite(given: Any, place: str = "") -> tuple[str, float] | None:
    """The place and the value of a number that is infinite or none, wherever it stands; None where all are finite."""
    if isinstance(given, float):
        return None if math.isfinite(given) else (place, given)
    return next((found for below, value in _parts(given) if (found := find_nonfinite(value, place + below))), None)


def _parts(given: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(given, Mapping):
        yield from ((f".{key}", value) for key, value in given.items())
    elif isinstance(given, list | tuple):
        yield from ((f"[{index}]", value) for index, value in enumerate(given))


def _meant(key: str, field: FieldInfo, value: Any) -> bool:
    """Whether the field takes the value, and it looks like one: many fields take any text."""
    if isinstance(value, str) and not _choices(field.annotation):
        kind = "file" if PurePosixPath(value).suffix.lower() in KNOWN else "colour" if value.startswith("#") else ""
        return key == kind
    if value is None or isinstance(value, bool) or field.annotation in (None, Any):
        return False
    try:
        TypeAdapter[Any](field.annotation).validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


def _choices(annotation: Any) -> bool:
    """Whether it is one of a few words."""
    parts = typing.get_args(annotation)
    return typing.get_origin(annotation) is typing.Literal or any(typing.get_origin(part) is typing.Literal for part in parts)
