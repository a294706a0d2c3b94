"""What a caller has set for tensors of its own, kept out of those that all share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def apart() -> Iterator[None]:
    """As if nothing had been set. Also a decorator: `@apart()`.

    Neither `torch.inference_mode`, whose tensors let no gradient through for as long as they live, nor `torch.set_default_device`, for what
    is read from files lies on the CPU.
    """
    with torch.inference_mode(False), torch.device("cpu"):
        yield
