"""What a solver moves, and what the names of its variables say."""

from __future__ import annotations

from collections.abc import Mapping
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


def forgotten(variables: Mapping[str, Tensor]) -> Variables:
    """The variables without what Adam remembers."""
    return {name: value for name, value in variables.items() if not is_remembered(name)}


def copied(codes: Mapping[str, Tensor], like: Tensor) -> Variables:
    """The codes as a search's own, of `like`'s type and on its device: the caller's may be inference tensors, which autograd refuses."""
    return {name: code.to(like, copy=True) for name, code in codes.items()}
