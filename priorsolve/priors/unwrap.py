"""The generator inside what a checkpoint file held: averaged weights first, under the names that training scripts use."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, TypeAlias

from torch import Tensor

from priorsolve.priors import nvidia, tensorflow
from priorsolve.priors.errors import CheckpointError, told
from priorsolve.priors.inert import Array, Record, View

Settings: TypeAlias = Mapping[str, Any]
"""What a file says of its network beside the tensors: plain numbers, words and lists of them, as JSON holds them."""

_AVERAGED = ("g_ema", "G_ema", "ema", "generator_smooth")
_WRAPPERS = (
    *("netG_state_dict", "netG", "generator_state_dict", "generator", "G"),
    *("state_dict", "model_state_dict", "model", "params", "g"),
)
_PREFIX = re.compile(r"(module\.|_orig_mod\.)*")
_AVERAGE, _COUNT = "latent_avg", "n_averaged"
_DEEP = 4
_DICTS = 100
_ENTRIES = 10_000
"""Of a dict that are looked at, with those of the dicts in it; no network has as many, and hundreds of dicts may hold the same one."""
_TENSORS = (View, Array, Tensor)


def generator_of(content: Any, size: int) -> tuple[dict[str, Tensor], Settings]:
    """The generator's tensors and settings in `content`, which came from a file of `size` bytes.

    Raises:
        CheckpointError: there is no generator in it, or its tensors together are much larger than the file.
    """
    if isinstance(content, Mapping) and (chosen := _chosen({key: value for key, value in content.items() if isinstance(value, Record)})):
        content = content[chosen]
    views: Mapping[str, Any]
    if tensorflow.is_snapshot(content):
        views, settings = tensorflow.network_of(content[2])
    else:
        views, settings = nvidia.network_of(content) if isinstance(content, Record) else (_stripped(_unwrapped(content)), {})
    # views may share their numbers, as tied weights do; a thousand views of one storage are no generator
    total = sum(view.nbytes for view in views.values())
    if total > 8 * size:
        raise CheckpointError(f"has tensors of {total} bytes in a file of {size}; it is damaged or made to fill the memory")
    return {name: view.detach() if isinstance(view, Tensor) else view.tensor() for name, view in views.items()}, settings


def _unwrapped(content: Any) -> dict[str, Any]:
    """The state dict inside `content`, at most four dicts deep, with the mean latent that some files keep beside it."""
    average: dict[str, Any] = {}
    for _ in range(_DEEP):
        if not isinstance(content, Mapping):
            raise CheckpointError(f"holds a {type(content).__name__}, not a dict of tensors; save the generator's state_dict")
        dicts = {key: value for key, value in content.items() if isinstance(value, Mapping)}
        if len(dicts) > _DICTS:
            break  # no training script's; each may be the same one, which takes long to look through
        known = _chosen({key: value for key, value in dicts.items() if _holds(value)}) or _chosen(dicts)
        tensors = {key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, _TENSORS)}
        if known:
            average |= {_AVERAGE: tensors[_AVERAGE]} if _AVERAGE in tensors else {}
            content = dicts[known]
        elif tensors:
            return tensors | average
        elif len(dicts) == 1:
            (content,) = dicts.values()
        else:
            break
    keys = ", ".join(key[:40] if isinstance(key, str) else told(key) for key in list(content)[:5])
    raise CheckpointError(f"holds no state dict under a known name; its keys are {keys or '(none)'}; save the generator's state_dict alone")


def _chosen(found: Mapping[Any, Any]) -> str | None:
    """Which of these dicts or records is the generator, the averaged one where there is one under any name; None under no known name.

    Raises:
        CheckpointError: there are averaged ones beside it, and which is its own is not to be told.
    """
    for key in (*_AVERAGED, *_WRAPPERS):
        if key in found:
            break
    else:
        return None
    if key in _AVERAGED:
        return key
    others = [other for other in found if isinstance(other, str) and other != key and re.search("ema|averag", other, re.IGNORECASE)]
    own = _names(found[key])
    shared = {other: len(own & _names(found[other])) for other in others}
    near = [other for other, count in shared.items() if 2 * count >= len(own)]  # the others are other networks
    if len(near) > 1 or any(shared[other] < len(own) for other in near):
        raise CheckpointError(
            f"holds {key} and averages that may be its own, {', '.join(map(told, near))}; save the one that is meant as a state_dict alone"
        )
    return near[0] if near else key


def _entries(content: object) -> Iterator[tuple[Any, Any]]:
    """The first of what `content` and the dicts in it, three deep, hold by which key; each dict once however often it is held."""
    return islice(_walk(content), _ENTRIES)


def _walk(content: object) -> Iterator[tuple[Any, Any]]:
    seen: set[int] = set()
    level = [content]
    for _ in range(_DEEP):
        fresh = {id(each): each for each in level if isinstance(each, Mapping) and id(each) not in seen}
        seen |= fresh.keys()
        for each in fresh.values():
            yield from each.items()
        level = [value for each in fresh.values() for value in each.values()]


def _holds(content: object) -> bool:
    """Whether a network can be in there: one weight at least that is more than a row. What averaging kept for itself has none."""
    return any(isinstance(value, _TENSORS) and value.ndim > 1 for _, value in _entries(content))


def _names(content: object) -> set[str]:
    """What the tensors in a dict are called, without prefixes; a record's class."""
    if isinstance(content, Record):
        return {content.kind}
    named = (key for key, value in _entries(content) if isinstance(key, str) and isinstance(value, _TENSORS))
    return {key[len(_prefix(key)) :] for key in named} - {_COUNT}


def _prefix(key: str) -> str:
    """What parallel training and compiling put before a name, as often as they did."""
    found = _PREFIX.match(key)
    return found[0] if found else ""


def _stripped(state: dict[str, Any]) -> dict[str, Any]:
    for _ in range(_DEEP):
        # what all names begin with; where two prefixes differ they do so in their first letter, so it ends where one of them does
        prefixes = sorted(_prefix(key) for key in state if key != _AVERAGE) or [""]
        first, last = prefixes[0], prefixes[-1]
        length = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
        state = {key if key == _AVERAGE else key[length:]: value for key, value in state.items()}
        others = [key for key in state if key != _COUNT]
        # torch's AveragedModel: how many were averaged, beside the average
        if len(others) == len(state) or not others or not all(key.startswith("module.") for key in others):
            break
        state = {key: state[key] for key in others}
    part = {key.removeprefix("decoder."): value for key, value in state.items() if key.startswith("decoder.") or key == _AVERAGE}
    # a pSp file: an encoder, which plays no part here, around rosinality's generator
    return part if "convs.0.conv.modulation.weight" in part else state
