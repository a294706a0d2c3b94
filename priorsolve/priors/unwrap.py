"""The generator inside what a checkpoint file held: averaged weights first, under the names that training scripts use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from torch import Tensor

from priorsolve.priors import nvidia, tensorflow
from priorsolve.priors.errors import CheckpointError, told
from priorsolve.priors.inert import Array, Record, View
from priorsolve.priors.tensorflow import is_snapshot

Settings: TypeAlias = Mapping[str, Any]
"""What a file says of its network beside the tensors: plain numbers, words and lists of them, as JSON holds them."""

_WRAPPERS = (
    *("g_ema", "G_ema", "ema", "generator_smooth", "netG_state_dict", "netG", "generator_state_dict", "generator", "G"),
    *("state_dict", "model_state_dict", "model", "g"),
)
_PREFIXES = ("module.", "_orig_mod.")
_AVERAGE = "latent_avg"
_TENSORS = (View, Array, Tensor)


def generator_of(content: Any, size: int) -> tuple[dict[str, Tensor], Settings]:
    """The generator's tensors and settings in `content`, which came from a file of `size` bytes.

    Raises:
        CheckpointError: there is no generator in it, or its tensors together are much larger than the file.
    """
    if isinstance(content, Mapping) and (found := [content[key] for key in _WRAPPERS if isinstance(content.get(key), Record)]):
        content = found[0]
    views: Mapping[str, Any]
    if is_snapshot(content):
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
    for _ in range(4):
        if not isinstance(content, Mapping):
            raise CheckpointError(f"holds a {type(content).__name__}, not a dict of tensors; save the generator's state_dict")
        known = [content[key] for key in _WRAPPERS if isinstance(content.get(key), Mapping)]
        tensors = {key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, _TENSORS)}
        inside = [value for value in content.values() if isinstance(value, Mapping)]
        if known:
            average |= {_AVERAGE: tensors[_AVERAGE]} if _AVERAGE in tensors else {}
            content = known[0]
        elif tensors:
            return tensors | average
        elif len(inside) == 1:
            content = inside[0]
        else:
            break
    keys = ", ".join(key[:40] if isinstance(key, str) else told(key) for key in list(content)[:5])
    raise CheckpointError(f"holds no state dict under a known name; its keys are {keys or '(none)'}; save the generator's state_dict alone")


def _stripped(state: dict[str, Any]) -> dict[str, Any]:
    for prefix in _PREFIXES:
        while state and all(key.startswith(prefix) for key in state if key != _AVERAGE) and set(state) != {_AVERAGE}:
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    part = {key.removeprefix("decoder."): value for key, value in state.items() if key.startswith("decoder.") or key == _AVERAGE}
    # a pSp file: an encoder, which plays no part here, around rosinality's generator
    return part if "convs.0.conv.modulation.weight" in part else state
