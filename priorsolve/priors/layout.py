"""Tensors into a network built from their sizes: every one in its place, of its shape, finite, and none left over.

Networks that make other tensors of them ask for them one by one; see `tensors`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from priorsolve.priors.errors import CheckpointError

_WEIGHTS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
PLAIN = (*_WEIGHTS, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool)
"""The types that a tensor may have; what counts batches is a whole number."""
SIDE_LIMIT = 4096
"""Pixels along a picture's side, beyond which a file asks for more memory than it is worth; no published generator draws more than 1024."""


def empty(*shape: int) -> nn.Parameter:
    """A parameter that takes no memory until `fill` gives it its numbers."""
    return nn.Parameter(torch.empty(shape, device="meta"))


def numbered(state: Iterable[str], before: str, after: str = ".") -> list[int]:
    """The numbers, of at most four digits, with which names go on after `before`, and `after` follows; in order, each once."""
    found = (re.match(rf"{re.escape(before)}(\d{{1,4}}){re.escape(after)}", key) for key in state)
    return sorted({int(match[1]) for match in found if match})


def shape_of(state: Mapping[str, Tensor], key: str, *ndim: int, network: str = "the network") -> tuple[int, ...]:
    """The shape of `state[key]`. Raises CheckpointError where it is missing, empty, or has another number of axes than `ndim` allows."""
    if key not in state:
        raise CheckpointError(f"{key} is missing; {network} needs it, so save the whole state_dict again")
    shape = tuple(state[key].shape)
    if len(shape) not in ndim or 0 in shape:
        raise CheckpointError(f"{key} has shape {shape}, expected {' or '.join(map(str, ndim))} axes, none empty; use another snapshot")
    return shape


def fill(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give every parameter and buffer of `network` a float32 copy of its tensor.

    Raises:
        CheckpointError: a tensor is missing, of another shape or type, not finite, or unknown; the line names it.
    """
    expected = network.state_dict()
    for key, place in expected.items():
        if key not in state:
            raise CheckpointError(f"{key} is missing; the network needs it, so save the whole state_dict again")
        if state[key].shape != place.shape:
            raise CheckpointError(
                f"{key} has shape {list(state[key].shape)}, expected {list(place.shape)} from the tensors around it; use another snapshot"
            )
    for key in state:
        if key not in expected:
            raise CheckpointError(f"{key} has no place in {type(network).__name__}; save the generator's state_dict alone")
    refuse_other_types(state, expected)
    refuse_nonfinite(state, expected)
    network.load_state_dict({key: plain(state[key]) for key in expected}, assign=True)


def plain(x: Tensor) -> Tensor:
    """A float32 copy, in the order of its axes: numbers that lie otherwise are summed, and so rounded, otherwise."""
    return x.detach().to(torch.float32, copy=True, memory_format=torch.contiguous_format)


def refuse_other_types(state: Mapping[str, Tensor], keys: Iterable[str]) -> None:
    """Raise CheckpointError, with the name, where a tensor holds whole, complex or quantised numbers, which are no weights."""
    for key in keys:
        if state[key].dtype not in _WEIGHTS:
            raise CheckpointError(f"{key} holds {state[key].dtype}, expected floating point; save the weights unquantised")


def refuse_nonfinite(state: Mapping[str, Tensor], keys: Iterable[str]) -> None:
    """Raise CheckpointError, with their names, where tensors hold NaN or infinite values, as float32 has them."""
    bad = sorted(key for key in keys if state[key].is_floating_point() and not is_finite(state[key]))
    if bad:
        more = f" and {len(bad) - 4} more" if len(bad) > 4 else ""
        raise CheckpointError(
            f"NaN or infinite values in {', '.join(bad[:4])}{more}; the file is damaged or its training diverged, so use another snapshot"
        )


def refuse_negative(state: Mapping[str, Tensor], keys: Iterable[str]) -> None:
    """Raise CheckpointError, with its name, where a tensor of variances holds one below 0."""
    for key in keys:
        if bool((state[key] < 0).any()):
            raise CheckpointError(f"negative variances in {key}; the file is damaged or its training diverged, so use another snapshot")


def is_finite(x: Tensor) -> bool:
    """Whether all numbers are finite, as float32 has them."""
    # one pass and no copy; both ends are NaN where anything is
    return not x.numel() or bool(torch.isfinite(torch.stack(x.float().aminmax())).all())
