"""A number for each row of a batch, beside the batch."""

from __future__ import annotations

from torch import Tensor


def spread_over(values: Tensor, rows: Tensor) -> Tensor:
    """`values`, one for each of the rows (B, ...), as (B, 1, ...): to multiply, compare or choose rows with."""
    return values.view(-1, *[1] * (rows.ndim - 1))
