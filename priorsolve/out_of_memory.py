"""Whether memory ran out, which torch says in many ways."""

from __future__ import annotations

import torch

_WORDS = ("out of memory", "can't allocate memory", "not enough memory", "_alloc_failed")
"""What torch's plain RuntimeErrors say in lower case when memory is short: CUDA and Metal, the CPU's allocator, cuBLAS and cuDNN."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was short, however torch said so."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _WORDS)
