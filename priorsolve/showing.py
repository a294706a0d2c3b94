"""How an error names a value, and what every number, switch, choice and path must be."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import fields
from numbers import Integral, Real
from operator import index
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeGuard, Union, get_args, get_origin, get_type_hints


def shown(value: object) -> str:
    """A value as an error names it: as it is where it is short, else by its kind."""
    text = repr(value)
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return text if len(text) <= 60 and "\n" not in text else f"a {type(value).__name__}"


def made_float(dtype: object) -> str:
    """The way out for a tensor of a type that measures nothing."""
    return "convert it with .float()" if str(dtype) == "torch.bool" else "pictures are in [0, 1], so divide 8-bit values by 255"


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a real number; true and false are none."""
    return isinstance(value, Real) and not isinstance(value, bool)


def is_whole(value: object) -> TypeGuard[int]:
    """Whether it is a whole number, and of a whole number's type."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def checked_seed(seed: object, who: str) -> int:
    """As a plain number, which a numpy's becomes. Raises ValueError unless it is a whole one of 64 bits."""
    if not is_whole(seed) or not -(2**63) <= seed < 2**64:
        raise ValueError(f"{who}: seed must be a whole number of 64 bits, got {shown(seed)}")
    return index(seed)


def must_be_number(value: object, name: str) -> None:
    """Raises ValueError unless it is a finite number."""
    if not is_number(value):
        raise ValueError(f"{name} is {shown(value)}; it must be a number")
    try:
        finite = math.isfinite(value)
    except OverflowError:
        raise ValueError(f"{name} is beyond all floats; it must be a finite number") from None
    if not finite:
        raise ValueError(f"{name} is {value}; it must be a finite number")


def must_be_switch(value: object, name: str) -> None:
    """Raises ValueError unless it is true or false."""
    if not isinstance(value, bool) and type(value).__name__ not in ("bool", "bool_"):  # numpy's are called so
        raise ValueError(f"{name} is {shown(value)}; it must be True or False")


def must_be_as_annotated(settings: Any) -> None:
    """Raises ValueError where a field of a dataclass is not the number, the switch or the choice that its annotation says."""
    for name, value, kinds in annotated(settings):
        must_be_of(kinds, value, name)


def annotated(settings: Any) -> Iterator[tuple[str, Any, set[Any]]]:
    """Each field of a dataclass: its name, its value and the types that it may have. Left out where the value is None and may be."""
    try:
        hints = get_type_hints(type(settings))
    except NameError as error:
        raise ValueError(
            f"{type(settings).__name__}: {error}, and settings are checked by their annotations; import it outside `if TYPE_CHECKING`"
        ) from None
    for field in fields(settings):
        value, hint = getattr(settings, field.name), hints[field.name]
        kinds = {*get_args(hint)} if get_origin(hint) in (Union, UnionType) else {hint}
        if value is not None or NoneType not in kinds:
            yield field.name, value, kinds - {NoneType}


def must_be_of(kinds: set[Any], value: object, name: str) -> None:
    """Raises ValueError where these types ask for a number, a switch or a choice, and the value is none. Other types are not looked at."""
    only = next(iter(kinds)) if len(kinds) == 1 else None
    if float in kinds:
        must_be_number(value, name)
    if only is int and not is_whole(value):
        raise ValueError(f"{name} is {shown(value)}; it must be a whole number")
    if only is bool:
        must_be_switch(value, name)
    if get_origin(only) is Literal and value not in get_args(only):
        raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(map(str, get_args(only)))}")


def checked_path(path: object, name: str) -> Path:
    """A path, given as text or as one, with a leading ~ as the home folder. Raises ValueError for anything else."""
    if not isinstance(path, str | os.PathLike):
        raise ValueError(f"{name} is {shown(path)}; give the path of a file or folder, as a str or a Path")
    return Path(os.path.expanduser(path))  # noqa: PTH111 (Path's own raises for an unknown user)
