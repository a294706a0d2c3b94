"""Numbers of rows that round alike. Threads share a batch out, and how oneDNN's convolutions add a row up depends on their shares."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def evened(rows: Tensor) -> Tensor:
    """The rows (B, ...), on the CPU with so many of zeros after them that every thread has as many.

    So a row is rounded as it is alone and in any other batch: on processors with AMX to the last bit, with 2, 4 and 8 threads; where these
    are no power of two, not in batches smaller than their number. It costs no time where a thread would have waited for the others.
    """
    missing = even(len(rows), threads_of(rows)) - len(rows)
    return F.pad(rows, (0, 0) * (rows.ndim - 1) + (0, missing)) if missing else rows


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
