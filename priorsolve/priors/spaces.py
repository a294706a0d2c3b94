"""What the name of a space says: `features@k` is what enters block k, `noise` all noise maps; any other is a code of its own."""

from __future__ import annotations

from collections.abc import Iterable


def is_features(space: str) -> bool:
    """Whether its codes are what enters a block."""
    return space.startswith("features@")


def features_of(spaces: Iterable[str]) -> list[str]:
    """Those of them whose codes are what enters a block, in their order."""
    return [space for space in spaces if is_features(space)]


def depth(space: str) -> int:
    """How many blocks come before it."""
    return int(space.removeprefix("features@")) if is_features(space) else 0


def carries_no_style(space: str) -> bool:
    """Whether a code there is features or noise maps, beside which the later blocks of a style prior need styles."""
    return space == "noise" or is_features(space)
