"""Mappings among a solver's settings stay as they were when the solver was made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, final


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


def freeze_mappings(solver: Any) -> None:
    """Keep the mappings among a solver's fields as they are now, whatever their owner does with them later."""
    for field in fields(solver):
        value = getattr(solver, field.name)
        if isinstance(value, Mapping):
            object.__setattr__(solver, field.name, FrozenMapping(value))
