"""Working as if the caller had set nothing for its own: tensors that all callers share, and laws."""

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


@contextmanager
def exactly_graded(device: str) -> Iterator[None]:
    """Within it gradients are taken and nothing is cast on such a device, as `"cpu"`."""
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast(device, enabled=False):
        yield
