"""Priors in plain safetensors files of ours: the tensors, and in the metadata the family and the configuration."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from priorsolve.files import write_atomically
from priorsolve.priors.base import Prior
from priorsolve.priors.biggan_deep import BigGANDeep
from priorsolve.priors.checkpoint import FAMILY, SETTINGS, Checkpoint
from priorsolve.priors.errors import FAILURES, CheckpointError, told
from priorsolve.priors.layout import PLAIN, refuse_negative, refuse_nonfinite
from priorsolve.priors.safetensors_file import to_safetensors
from priorsolve.priors.style import StylePrior
from priorsolve.showing import checked_path, is_number

_SHAPES = "built_from"
_ORIGIN = "origin"
_TRUNCATION = "truncation"
_WHOLE = ("StyleGAN2", "StyleGAN3", "MobileStyleGAN")
"""Families whose own tensors are what their `from_state` takes; the others fold theirs on loading."""


_VARIANCE = re.compile(r"\b(running_var|variances?)$")
"""What the others call the variances of their normalisations."""


@final
@dataclass(frozen=True)
class Origin:
    """What a prior was built from: its layout's name and settings, and of every tensor the dtype, the shape, and the value if it is one.

    Beside it the shapes of the tensors that were made of them: a prior folded since has others.
    """

    family: str
    settings: Mapping[str, Any]
    shapes: Mapping[str, tuple[str, list[int], float]]
    made: Mapping[str, torch.Size]


def remember(prior: Prior, family: str, checkpoint: Checkpoint) -> Prior:
    """`prior` itself, which from now on can be saved."""
    shapes = {
        key: (str(value.dtype).removeprefix("torch."), list(value.shape), value.item() if value.numel() == 1 else 1)
        for key, value in checkpoint.state.items()
    }
    vars(prior)[_ORIGIN] = Origin(family, checkpoint.settings, shapes, _shapes(prior))
    return prior


def save_prior(prior: Prior, path: str | Path) -> None:
    """Write `prior` as it is now, tuned or not, to a safetensors file that `load_prior` reads; whole or not at all.

    Raises:
        ValueError: a prior that was not loaded with `load_prior`, as one of a class of your own, or was folded since, or no path.
        OSError: the folder cannot be written.
    """
    path = checked_path(path, "save_prior: path")
    family, settings = type(prior).__name__, dict(getattr(prior, "settings", {}))
    if family not in _WHOLE:
        origin = vars(prior).get(_ORIGIN)
        if not isinstance(origin, Origin) or origin.made != _shapes(prior):
            raise ValueError(
                f"{prior}: is not as load_prior gives it, so it cannot be saved; save the prior that was loaded, before folding it, "
                "and of a prior of your own class its state_dict(), with torch.save or safetensors"
            )
        family, settings = origin.family, {**origin.settings, _SHAPES: origin.shapes}
        settings |= {_TRUNCATION: prior.truncation} if isinstance(prior, BigGANDeep) else {}
    state = prior.saved_state() if isinstance(prior, StylePrior) else prior.state_dict()
    tensors = {key: value.detach().cpu().clone(memory_format=torch.contiguous_format) for key, value in state.items()}
    metadata = {"format": "pt", FAMILY: family, SETTINGS: json.dumps(settings, sort_keys=True)}
    write_atomically(path, to_safetensors(tensors, metadata))


def restored(checkpoint: Checkpoint, build: Callable[[Checkpoint], Prior]) -> Prior:
    """The prior that `save_prior` wrote. Raises CheckpointError where it does not fit together."""
    settings = dict(checkpoint.settings)
    shapes, truncation = settings.pop(_SHAPES, None), settings.pop(_TRUNCATION, None)
    if shapes is None:
        return build(Checkpoint(checkpoint.state, settings, checkpoint.family))
    empty = Checkpoint(_placeholders(shapes, checkpoint.state), settings, checkpoint.family)
    prior = remember(build(empty), str(checkpoint.family), empty)
    if isinstance(prior, BigGANDeep) and truncation is not None:
        if not is_number(truncation) or not 0 <= truncation <= 1:
            raise CheckpointError(f"has {SETTINGS}.{_TRUNCATION} = {told(truncation)}, expected a number from 0 to 1; save the prior again")
        prior = prior.with_truncation(truncation)
    expected = prior.state_dict()
    for key in expected.keys() | checkpoint.state.keys():
        found, wanted = (list(state[key].shape) if key in state else "none" for state in (checkpoint.state, expected))
        if found != wanted:
            raise CheckpointError(f"{key} has shape {found}, expected {wanted} from the file's own settings; save the prior again")
        if checkpoint.state[key].is_floating_point() != expected[key].is_floating_point():
            raise CheckpointError(f"{key} holds {checkpoint.state[key].dtype}, expected {expected[key].dtype}; save the prior again")
    refuse_nonfinite(checkpoint.state, expected)
    refuse_negative(checkpoint.state, filter(_VARIANCE.search, expected))
    prior.load_state_dict(checkpoint.state)
    return prior


def _shapes(prior: Prior) -> dict[str, torch.Size]:
    return {key: value.shape for key, value in prior.state_dict().items()}


def _placeholders(shapes: Any, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors in the shapes of what the prior was first built from, no more of them than the file is good for."""
    try:
        known = [(key, getattr(torch, dtype), shape, float(value)) for key, (dtype, shape, value) in shapes.items()]
        sound = all(
            dtype in PLAIN
            and len(shape) < 9
            and all(type(n) is int and 0 <= n < 1 << 31 for n in shape)
            and (dtype.is_floating_point or math.isfinite(value))
            for _, dtype, shape, value in known
        )
        if not sound:
            raise ValueError  # told below
    except FAILURES:
        raise CheckpointError(f"has {SETTINGS}.{_SHAPES} in no known form; convert the original again") from None
    total, held = sum(math.prod(shape) for _, _, shape, _ in known), sum(value.numel() for value in state.values())
    if total > 4 * held + 1_000_000:
        raise CheckpointError(f"was built from {total} numbers, it says, and holds {held}; it is damaged or made to fill the memory")
    try:
        return {key: torch.full(shape, value, dtype=dtype) for key, dtype, shape, value in known}
    except (RuntimeError, OverflowError):
        raise CheckpointError(f"has {SETTINGS}.{_SHAPES} with numbers that its types do not hold; convert the original again") from None
