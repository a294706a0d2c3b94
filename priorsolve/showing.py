"""How an error names a value, and what every number, switch and path must be."""

from __future__ import annotations

import math
import os
from numbers import Integral, Real
from operator import index
from pathlib import Path
from typing import TypeGuard


def shown(value: object) -> str:
    """A value as an error names it: as it is where it is short, else by its kind."""
    text = repr(value)
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return text if len(text) <= 60 and "\n" not in text else f"a {type(value).__name__}"


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
    if not math.isfinite(value):
        raise ValueError(f"{name} is {value}; it must be a finite number")


def must_be_switch(value: object, name: str) -> None:
    """Raises ValueError unless it is true or false."""
    if not isinstance(value, bool) and type(value).__name__ not in ("bool", "bool_"):  # numpy's are called so
        raise ValueError(f"{name} is {shown(value)}; it must be True or False")


def checked_path(path: object, name: str) -> Path:
    """A path, given as text or as one, with a leading ~ as the home folder. Raises ValueError for anything else."""
    if not isinstance(path, str | os.PathLike):
        raise ValueError(f"{name} is {shown(path)}; give the path of a file or folder, as a str or a Path")
    return Path(os.path.expanduser(path))  # noqa: PTH111 (Path's own raises for an unknown user)
