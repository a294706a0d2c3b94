"""rosinality's StyleGAN2 tensors, which pSp, e4e and ReStyle use too, under NVIDIA's names."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from priorsolve.counter_rng import normal
from priorsolve.priors.errors import CheckpointError
from priorsolve.priors.layout import SIDE_LIMIT

_LAYER = {
    "conv.weight": "weight",
    "conv.modulation.weight": "affine.weight",
    "conv.modulation.bias": "affine.bias",
    "activate.bias": "bias",
    "conv.blur.kernel": "resample_filter",
    "noise.weight": "noise_strength",
    "bias": "bias",
}


def recognises(state: Mapping[str, Tensor]) -> bool:
    """Whether the tensors' names are rosinality's generator."""
    return "convs.0.conv.modulation.weight" in state and "input.input" in state


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors as `StyleGAN2.from_state` takes them.

    rosinality scales convolutions by 1/√fan_in before demodulation, which undoes it (up to its ε of 1e-8), and keeps its filters times 4,
    as many pixels as one becomes. Files of early versions have no noise maps: they are drawn once, from a fixed seed.

    Raises:
        CheckpointError: a tensor has no place in the network; the line names it.
    """
    named: dict[str, Tensor] = {}
    for key, value in state.items():
        name = _name(key)
        named[name] = _plain(name, value)
    rng = torch.Generator().manual_seed(0)
    noisy = {_name(key): key for key in state if key.endswith("noise.weight")}
    for name in sorted(noisy):
        side = int(name.split(".")[1].removeprefix("b"))
        if side > SIDE_LIMIT:
            raise CheckpointError(f"{noisy[name]} is of a side of {side}; no generator known here draws more than {SIDE_LIMIT}")
        if name.replace("noise_strength", "weight") not in named:
            continue  # told where the network is built, before any memory is taken
        noise = normal(rng, side, side)
        named.setdefault(name.replace("noise_strength", "noise_const"), noise)
    return named


def _name(key: str) -> str:
    """NVIDIA's name for rosinality's `key`."""
    parts = key.split(".", 2)
    head, rest = parts[0], key.split(".", 1)[-1]
    number = int(parts[1]) if len(parts) > 2 and parts[1].isascii() and parts[1].isdecimal() and len(parts[1]) < 3 else None
    if key == "latent_avg":
        return "mapping.w_avg"
    if key == "input.input":
        return "synthesis.b4.const"
    if head == "style" and number:
        return f"mapping.fc{number - 1}.{parts[2]}"
    if head in ("conv1", "to_rgb1") and rest in _LAYER:
        return f"synthesis.b4.{'torgb' if head == 'to_rgb1' else head}.{_LAYER[rest]}"
    if number is not None and parts[2] in _LAYER:
        if head == "convs":
            return f"synthesis.b{8 << number // 2}.conv{number % 2}.{_LAYER[parts[2]]}"
        if head == "to_rgbs":
            return f"synthesis.b{8 << number}.torgb.{_LAYER[parts[2]]}"
    if head == "to_rgbs" and number is not None and parts[2] == "upsample.kernel":
        return f"synthesis.b{8 << number}.resample_filter"
    if noise := re.fullmatch(r"noises\.noise_(\d{1,2})", key):
        n = int(noise.group(1)) + 1
        return f"synthesis.b{4 << n // 2}.conv{n % 2}.noise_const"
    raise CheckpointError(f"{key} has no place in rosinality's StyleGAN2; save the generator's state_dict alone")


def _plain(name: str, value: Tensor) -> Tensor:
    """Without the axes of length 1 that rosinality adds; a tensor that is not so is left for the check of shapes."""
    if name.endswith(".resample_filter"):
        return value / 4 if value.is_floating_point() else value
    if name.endswith((".noise_strength", ".torgb.bias")):
        return value.reshape(()) if name.endswith("strength") and value.numel() == 1 else value.flatten()
    axes = {"noise_const": 2, "const": 3, "weight": 4}.get(name.rsplit(".", 1)[-1], value.ndim)
    while value.ndim > axes and len(value) == 1:
        value = value[0]
    return value
