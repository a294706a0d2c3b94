"""What makes a row's numbers the same in any batch: routines for one row, shares of threads and how rows lie change what is rounded."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

_LONG = 32768
"""Numbers of which torch's threads take a share each."""


def rows_apart(rows: Tensor) -> list[Tensor]:
    """The rows (B, ...), each (1, ...) in memory of its own: where and how one lay changes what is rounded.

    Taken apart at once: the gradient of one row at a time would be as large as all, for each.
    """
    return [row.clone(memory_format=torch.contiguous_format) for row in torch.split(rows, 1)]


def aligned(rows: Tensor) -> Tensor:
    """The rows (B, ...), copied so that each begins at a multiple of 64 bytes as one alone does: MKL asks, if it multiplies by a vector."""
    flat = rows.flatten(1)
    return F.pad(flat, (0, -flat.shape[1] % 16))[:, : flat.shape[1]].view(rows.shape)


def in_pairs(formula: Callable[[Tensor], Tensor], rows: Tensor, least: int = 2) -> Tensor:
    """`formula(rows)`, on the CPU of at least two rows at once, so that a row's numbers and its gradient are the same in any batch.

    torch has a routine of its own for a single row, which rounds otherwise than the one for many.

    Args:
        least: how many rows at once, where the routine for two is not yet that for many.
    """
    if 0 < len(rows) < least and rows.device.type == "cpu":
        return formula(torch.cat([rows] * -(-least // len(rows))))[: len(rows)]
    return formula(rows)


def of_long_rows(formula: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """`formula(rows)`, which adds up each row's numbers: a lone one that is long torch's threads share, and so round otherwise than beside
    others."""
    return in_pairs(formula, rows) if rows[:1].numel() >= _LONG else formula(rows)


def in_fours(formula: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """`formula(rows)`, on the CPU of a multiple of four rows, with zeros if need be, so that a row's numbers are the same in any batch.

    MKL's products take four rows at a time where there is no AVX-512, and add up those that are left in another order.
    """
    missing = -len(rows) % 4 if rows.device.type == "cpu" else 0
    return formula(_filled_up(rows, missing))[: len(rows)] if missing else formula(rows)


def plane_by_plane(formula: Callable[[Tensor], Tensor], pictures: Tensor) -> Tensor:
    """`formula` of all planes (B·C, H, W) of `pictures` (B, C, H, W), `in_pairs`: so a grey one is rounded alike in any batch too."""
    planes = in_pairs(formula, pictures.flatten(0, 1))
    return planes.view(*pictures.shape[:2], *planes.shape[1:])


def evened(rows: Tensor) -> Tensor:
    """The rows (B, ...), on the CPU with so many of zeros after them that every thread has as many.

    Threads share a batch out, and how oneDNN's convolutions add a row up depends on their shares. So a row is rounded as it is alone and
    in any other batch: on processors with AMX, and with AVX2 alone, to the last bit, with 2, 4 and 8 threads; where these are no power of
    two, not in batches smaller than their number. It costs no time where a thread would have waited for the others.
    """
    missing = even(len(rows), threads_of(rows)) - len(rows)
    return _filled_up(rows, missing) if missing else rows


def _filled_up(rows: Tensor, missing: int) -> Tensor:
    """The rows (B, ...), and so many of zeros after them."""
    return F.pad(rows, (0, 0) * (rows.ndim - 1) + (0, missing))


def even(count: int, threads: int) -> int:
    """The next multiple of the threads; below their number the next power of two."""
    return -(-count // threads) * threads if count > threads or not count else min(1 << (count - 1).bit_length(), threads)


def even_parts(count: int, threads: int) -> list[int]:
    """The count as a sum of such numbers."""
    parts: list[int] = []
    while left := count - sum(parts):
        parts.append(left // threads * threads or 1 << (left.bit_length() - 1))
    return parts


def threads_of(rows: Tensor) -> int:
    """How many threads share them out: torch's on the CPU; elsewhere it is not known, and nothing is shared."""
    return torch.get_num_threads() if rows.device.type == "cpu" else 1
