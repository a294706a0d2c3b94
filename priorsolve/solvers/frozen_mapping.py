"""A solver's settings stay as they were when it was made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, final

import numpy as np


@final
class FrozenMapping(Mapping[str, Any]):
    """An immutable copy of a mapping of plain values, which equals the original, and can be hashed and pickled."""

    __slots__ = ("_items",)
    _items: dict[str, Any]

    def __init__(self, given: Mapping[str, Any]) -> None:
        object.__setattr__(self, "_items", dict(given))

    def __getitem__(self, key: str) -> Any:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{self!r} is a solver's setting and stays as it is; make another by dataclasses.replace(solver, …)")

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        return repr(self._items)

    def __reduce__(self) -> tuple[type[FrozenMapping], tuple[dict[str, Any]]]:
        return FrozenMapping, (dict(self._items),)


def freeze_settings(solver: Any) -> None:
    """Keep a solver's fields as they are now: mappings whatever their owner does with them later, and numpy's numbers as Python's own."""
    for field in fields(solver):
        value = getattr(solver, field.name)
        if isinstance(value, Mapping):
            object.__setattr__(solver, field.name, FrozenMapping({name: _plain(number) for name, number in value.items()}))
        elif isinstance(value, np.generic):
            object.__setattr__(solver, field.name, _plain(value))


def _plain(value: Any) -> Any:
    """A numpy's number as Python's own, which can do more; anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value
