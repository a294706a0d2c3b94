"""Working as if the caller had set nothing for its own: tensors that all callers share, and laws."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor


@contextmanager
def apart() -> Iterator[None]:
    """Within it neither `torch.inference_mode` nor `torch.set_default_device` nor a trace is in force. Also a decorator: `@apart()`.

    Tensors made under the first let no gradient through for as long as they live, those made in a trace (`torch.export`,
    `FakeTensorMode`) hold no numbers, and what is read from files lies on the CPU.
    """
    with torch.inference_mode(False), torch.device("cpu"), _untraced():
        yield


def _untraced() -> AbstractContextManager[None]:
    if type(torch.empty(0)) is Tensor:
        return nullcontext()
    from torch.utils._python_dispatch import _disable_current_modes  # torch has no public way

    return _disable_current_modes()


@contextmanager
def exactly_graded(device: str) -> Iterator[None]:
    """Within it gradients are taken and nothing is cast on such a device, as `"cpu"`."""
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast(device, enabled=False):
        yield


@contextmanager
def exactly_ungraded(device: str) -> Iterator[None]:
    """As `exactly_graded`, without gradients: for searches and what others read, for which nothing that the caller has set is meant."""
    with torch.inference_mode(False), torch.no_grad(), torch.autocast(device, enabled=False):
        yield
