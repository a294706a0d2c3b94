"""A single row taken twice: torch has a routine of its own for one, which rounds otherwise than the one for many."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def in_pairs(formula: Callable[[Tensor], Tensor], rows: Tensor, least: int = 2) -> Tensor:
    """`formula(rows)`, on the CPU of at least two rows at once, so that a row's numbers and its gradient are the same in any batch.

    Args:
        least: how many rows at once, where the routine for two is not yet that for many.
    """
    if 0 < len(rows) < least and rows.device.type == "cpu":
        return formula(torch.cat([rows] * -(-least // len(rows))))[: len(rows)]
    return formula(rows)


def plane_by_plane(formula: Callable[[Tensor], Tensor], pictures: Tensor) -> Tensor:
    """`formula` of all planes (B·C, H, W) of `pictures` (B, C, H, W), `in_pairs`: so a grey one is rounded alike in any batch too."""
    planes = in_pairs(formula, pictures.flatten(0, 1))
    return planes.view(*pictures.shape[:2], *planes.shape[1:])
