"""What is worked out of a prior alone, kept for as long as that stays as it is: its folded forms, pictures, how far its codes spread."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from threading import RLock
from typing import Any, TypeAlias, TypeVar
from weakref import ref

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from priorsolve.priors.base import FOUND, MADE, Prior

State: TypeAlias = tuple[list[Any], list[Any]]
_Found = TypeVar("_Found")

_WORD, _ROW = 8, 1021
"""Bytes, and words; as a prime it is no distance by which rows, channels or pixels change places."""
_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
"""Where torch keeps them in a module, by numbers that never come again."""
_lock = RLock()


def run_form(prior: Prior, *, crowded: bool = False) -> Prior:
    """The prior as solvers run it, `folded` or `crowded`: made once for a prior and all threads, and anew once that has changed.

    With hooks on its modules it is run as it is.

    It lives as long as the prior, and no copy or file of that has it. To be drawn with, not to be changed. Of an own prior whose `folded`
    copies numbers, what it copies must be parameters, buffers, or plain attributes of modules, for a change to be seen.
    """
    crowded = crowded and type(prior).crowded is not Prior.crowded
    with _lock:
        return kept_of(prior, crowded, lambda: _form(prior, crowded))


def _form(prior: Prior, crowded: bool) -> Prior:
    hooked = any(_hooks(module) for module in prior.modules())  # a folded one has other modules, on which they are not
    folded = prior if hooked else prior.crowded() if crowded else prior.folded()
    form = folded.computing(prior.computes)  # which copies what is the prior itself
    vars(form)[FOUND] = {}
    return form


def kept_of(prior: Prior, name: Hashable, make: Callable[[], _Found]) -> _Found:
    """What `make()` makes of the prior alone; made once, kept under that name, and made anew once the prior has changed."""
    made = made_of(prior)
    if name not in made:
        made[name] = make()
    found: _Found = made[name]
    return found


def made_of(prior: Prior) -> dict[object, Any]:
    """What is kept of the prior as it is: empty at first, and once that has changed."""
    state = state_of(prior)
    known: tuple[State, dict[object, Any]] | None = vars(prior).get(MADE)
    if known is None or known[0] != state:
        known = vars(prior)[MADE] = state, {}  # what was made before is let go before more is made
    return known[1]


def spread_of(prior: Prior, space: str) -> Tensor:
    """`prior.spread(space)`, at least 1e-12, so that it can be a unit; of a `run_form` worked out once."""
    return once(prior, ("spread", space), lambda: prior.spread(space).clamp_min(1e-12))


def once(prior: Prior, name: Hashable, find: Callable[[], _Found]) -> _Found:
    """What `find()` tells of the prior alone; of a `run_form` worked out once, and kept under that name."""
    known: dict[Hashable, Any] = vars(prior).get(FOUND, {})
    if name not in known:
        known[name] = find()
    found: _Found = known[name]
    return found


def state_of(prior: Prior) -> State:
    """Of all that the prior consists of, what is another when it draws otherwise: equal for as long as it stays as it is."""
    kinds = bool | int | float | str | torch.dtype
    modules = [
        (ref(module), {name: value for name, value in vars(module).items() if isinstance(value, kinds)}, _hooks(module))
        for module in prior.modules()
    ]
    tensors = [*prior.parameters(), *prior.buffers()]
    return modules, [*map(_place, tensors), *_sums([tensor for tensor in tensors if tensor.layout == torch.strided])]


def _hooks(module: nn.Module) -> list[int]:
    return [number for kind in _HOOKS for number in vars(module).get(kind, ())]


def _place(tensor: Tensor) -> object:
    """Where and how its numbers lie, and how often they were written."""
    if tensor.layout != torch.strided:
        return object()  # like nothing else: sparse ones are not looked into
    version = None if tensor.is_inference() else tensor._version
    return tensor.data_ptr(), version, tensor.dtype, tensor.device, tensor.shape, tensor.stride(), tensor.requires_grad


@torch.no_grad()
def _sums(tensors: Sequence[Tensor]) -> list[int]:
    """A sum of each one's numbers, since writing through `.data` counts nowhere and memory that was given back comes again.

    Each number counts by its place, so that others come out where numbers change places. Read from the device once, for all.
    """
    rows = [_row(tensor) for tensor in tensors]
    if not rows:
        return []
    weights = torch.arange(1, _ROW + 1, device=rows[0].device)
    sums: list[int] = (torch.stack([row.to(weights.device) for row in rows]) * weights).sum(1).tolist()
    return sums


def _row(tensor: Tensor) -> Tensor:
    """(_ROW,) its bytes in words of 8, a tenth of the time of 4, and the sum of those whose places are _ROW apart."""
    raw = tensor.contiguous().flatten().view(torch.uint8)
    if len(raw) % _WORD or raw.storage_offset() % _WORD:
        raw = F.pad(raw, (0, -len(raw) % _WORD))
    words = raw.view(torch.int64)
    whole = len(words) // _ROW * _ROW
    row = words[:whole].view(-1, _ROW).sum(0)
    row[: len(words) - whole] += words[whole:]
    return row
