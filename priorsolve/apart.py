"""Tensors that all callers share, made as if the caller had set nothing for its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def apart() -> Iterator[None]:
    """Within it neither `torch.inference_mode` nor `torch.set_default_device` is in force. Also a decorator: `@apart()`.

    Tensors made under the first let no gradient through for as long as they live, and what is read from files lies on the CPU.
    """
    with torch.inference_mode(False), torch.device("cpu"):
        yield
