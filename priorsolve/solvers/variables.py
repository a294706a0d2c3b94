"""What a solver moves, and what the names of its variables say."""

from __future__ import annotations

from typing import TypeAlias

from torch import Tensor

Variables: TypeAlias = dict[str, Tensor]
"""What a solver moves: tensors by name, one row per image and restart."""

WEIGHTS = "weights:"
"""What a variable's name begins with that is a tensor of the network; the tensor's own name there follows."""

REMEMBERED = "adam:"
"""What a variable's name begins with that Adam remembers."""


def is_weight(name: str) -> bool:
    """Whether the variable of this name is a tensor of the network."""
    return name.startswith(WEIGHTS)


def is_remembered(name: str) -> bool:
    """Whether the variable of this name is what Adam remembers."""
    return name.startswith(REMEMBERED)
