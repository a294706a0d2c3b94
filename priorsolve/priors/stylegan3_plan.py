"""StyleGAN3's sampling rates, layer by layer: as the file says, or as the paper's formulas give them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from priorsolve.priors.errors import CheckpointError, told
from priorsolve.priors.style import positive
from priorsolve.priors.stylegan3_layers import Plan
from priorsolve.showing import is_number

_NAME = re.compile(r"L(\d{1,2})_(\d{1,4})_(\d{1,4})")
_FIRST_CUTOFF, _FIRST_STOPBAND, _LAST_STOPBAND = 2.0, 2**2.1, 2**0.3
_CRITICAL, _MARGIN, _CLAMP = 2, 10, 256.0
_SIZE_LIMIT = 4096 + 64
_DENSE_LIMIT = 4
"""How many times the picture's side, margins included, an activation may be sampled densely; published models stay below 2.8."""


def names_of(keys: Sequence[str]) -> list[str]:
    """The layers' names, such as "L0_36_512", in order. Raises CheckpointError where one is missing."""
    found = {key.split(".")[1] for key in keys if key.startswith("synthesis.L")}
    names = sorted((name for name in found if _NAME.fullmatch(name)), key=lambda name: int(name[1:].split("_")[0]))
    if len(names) < 3 or any(not name.startswith(f"L{i}_") for i, name in enumerate(names)):
        raise CheckpointError(f"has layers {', '.join(names)[:200] or '(none)'}; expected synthesis.L0_…, L1_… and so on, without a gap")
    return names


def plan_of(names: Sequence[str], settings: Mapping[str, Any]) -> tuple[Mapping[str, float], list[Plan]]:
    """Size, sampling rate and bandwidth of the waves, and the plan of every layer.

    `settings` are those that `read_checkpoint` finds in a pickle; without them NVIDIA's defaults are taken, as in every published model.

    Raises:
        CheckpointError: they make no sense, or disagree with the names.
    """
    waves, layers = (settings.get("input"), settings["layers"]) if "layers" in settings else _default(names)
    if not isinstance(waves, Mapping) or not isinstance(layers, list) or not all(isinstance(layer, Mapping) for layer in layers):
        raise CheckpointError("has sampling rates in no known form; load the original pickle")
    plans = [
        Plan(
            name=_word(layer, "name"),
            in_size=_whole(layer, "in_size"),
            out_size=_whole(layer, "out_size"),
            up_factor=_whole(layer, "up_factor"),
            down_factor=_whole(layer, "down_factor"),
            conv_clamp=positive(layer, "conv_clamp"),
        )
        for layer in layers
    ]
    if [plan.name for plan in plans] != list(names):
        raise CheckpointError(
            f"has sampling rates for {len(plans)} layers that are not its tensors' {len(names)}; load the original pickle"
        )
    size = _whole(waves, "size")
    for plan, before in zip(plans, [size, *(plan.out_size for plan in plans)], strict=False):
        if plan.in_size != before or plan.name.split("_")[1] != str(plan.out_size):
            raise CheckpointError(f"{plan.name} goes from {plan.in_size} to {plan.out_size} pixels, which its neighbours do not fit")
    for plan in plans:
        dense = max(plan.in_size * max(2, plan.up_factor), plan.out_size * max(2, plan.down_factor))
        limit = plans[-1].out_size + 2 * _MARGIN
        if dense > _DENSE_LIMIT * limit:
            raise CheckpointError(
                f"{plan.name} goes from {plan.in_size} to {plan.out_size} pixels through {dense}, for pictures of {plans[-1].out_size}; "
                "it is damaged or made to fill the memory"
            )
    rate, bandwidth = positive(waves, "sampling_rate"), positive(waves, "bandwidth")
    if rate is None or bandwidth is None or rate <= 2 * bandwidth:
        raise CheckpointError(f"has waves of bandwidth {bandwidth} at sampling rate {rate}; expected less than half of it")
    return {"size": size, "sampling_rate": rate, "bandwidth": bandwidth}, plans


def _word(values: Mapping[str, Any], key: str) -> str:
    value = values.get(key)
    return value if isinstance(value, str) else ""


def _whole(values: Mapping[str, Any], key: str) -> int:
    """A number of pixels, or a factor; a square's two sides are one number."""
    value = values.get(key)
    if isinstance(value, list) and len(value) == 2 and is_number(value[0]) and is_number(value[1]) and value[0] == value[1]:
        value = value[0]
    limit = 16 if key.endswith("factor") else _SIZE_LIMIT
    if not is_number(value) or not 1 <= value <= limit or value != round(value):
        raise CheckpointError(f"has {key} = {told(value)}; expected a whole number from 1 to {limit}")
    return int(value)


def _default(names: Sequence[str]) -> tuple[dict[str, float], list[dict[str, Any]]]:
    resolution, last = int(names[-1].split("_")[1]), len(names) - 1
    cutoffs, rates = [], []
    for i in range(len(names)):
        way = min(i / max(1, last - _CRITICAL), 1.0)
        cutoffs.append(_FIRST_CUTOFF * (resolution / 2 / _FIRST_CUTOFF) ** way)
        stopband = _FIRST_STOPBAND * (resolution / 2 * _LAST_STOPBAND / _FIRST_STOPBAND) ** way
        rates.append(2 ** math.ceil(math.log2(min(2 * stopband, resolution))))
    sizes = [rate + 2 * _MARGIN for rate in rates[:-2]] + [resolution] * 2
    layers: list[dict[str, Any]] = []
    for i, name in enumerate(names):
        before = max(i - 1, 0)
        dense = max(rates[before], rates[i]) * (1 if i == last else 2)
        sampling = {"up_factor": dense // rates[before], "down_factor": dense // rates[i], "conv_clamp": _CLAMP}
        layers.append({"name": name, "in_size": sizes[before], "out_size": sizes[i], **sampling})
    return {"size": sizes[0], "sampling_rate": rates[0], "bandwidth": cutoffs[0]}, layers
