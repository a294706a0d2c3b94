"""StyleGAN2 as its first, TensorFlow, program pickled it (configurations E and F, and ADA's), under PyTorch's names.

Written from the conversion rules in NVIDIA's stylegan2-ada-pytorch; no file of NVIDIA's was at hand to compare pictures with.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from priorsolve.priors.errors import CheckpointError, told
from priorsolve.priors.inert import Array, Inert

_ENTRY_LIMIT = 5000
_DEPTH_LIMIT = 4
_BLOCK = re.compile(r"synthesis/(\d{1,5})x\1/(.+)")
_PARTS = {"Conv": "conv1", "Conv0_up": "conv0", "Conv1": "conv1", "ToRGB": "torgb", "Skip": "skip"}
_FLIPPED = ("Conv0_up", "Skip")


def is_snapshot(content: object) -> bool:
    """Whether this is what such a pickle holds: the generator, the discriminator, and the averaged generator."""
    return isinstance(content, tuple) and len(content) == 3 and all(isinstance(network, Inert) for network in content)


def network_of(averaged: Inert) -> tuple[dict[str, Array], dict[str, Any]]:
    """Every variable of a network and its components by its name with slashes, and its settings.

    Raises:
        CheckpointError: it is damaged, or older than StyleGAN2's.
    """
    state = averaged.state
    version = state.get("version") if isinstance(state, dict) else None
    if not isinstance(state, dict) or not isinstance(version, int) or version < 4:
        raise CheckpointError(f"holds TensorFlow networks of version {told(version)}; only those of StyleGAN2, 4 and later, are known")
    variables: dict[str, Array] = {}
    for steps, (name, value) in enumerate(_walk(averaged, "", 0)):
        if steps > _ENTRY_LIMIT:
            raise CheckpointError(f"has a network of more than {_ENTRY_LIMIT} variables; it is damaged or made to hang its reader")
        if isinstance(value, Array):
            variables[name] = value
    given = state.get("static_kwargs")
    kwargs = given if isinstance(given, dict) else {}
    return variables, {"lr_multiplier": kwargs.get("mapping_lrmul", 0.01), "conv_clamp": kwargs.get("conv_clamp")}


def _walk(network: object, prefix: str, depth: int) -> Iterator[tuple[str, object]]:
    state = network.state if isinstance(network, Inert) else None
    variables, parts = (state.get("variables"), state.get("components", {})) if isinstance(state, dict) else (None, None)
    if not isinstance(variables, list) or not isinstance(parts, dict) or depth > _DEPTH_LIMIT:
        raise CheckpointError(f"is damaged: {prefix or 'its network'} holds no list of variables; download or copy it again")
    for pair in variables:
        if not isinstance(pair, tuple) or len(pair) != 2 or not isinstance(pair[0], str):
            raise CheckpointError(f"is damaged: {prefix or 'its network'} holds a variable without a name; download or copy it again")
        yield f"{prefix}{pair[0]}", pair[1]
    for name, part in parts.items():
        if not isinstance(name, str):
            raise CheckpointError(f"is damaged: {prefix or 'its network'} holds a part called {told(name)}; download or copy it again")
        yield from _walk(part, f"{prefix}{name}/", depth + 1)


def recognises(state: Mapping[str, Tensor]) -> bool:
    """Whether the tensors' names are TensorFlow's StyleGAN2."""
    return "synthesis/4x4/Const/const" in state


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors as `StyleGAN2.from_state` takes them: matrices transposed, kernels turned to (out, in, k, k), styles' bias plus 1.

    Raises:
        CheckpointError: a variable has no place in the network, or not the number of axes it should have; the line names it.
    """
    finest = max((int(found.group(1)) for found in map(_BLOCK.match, state) if found), default=4)
    named: dict[str, Tensor] = {}
    for key, value in state.items():
        # the pictures of coarser sizes, and how far training had got
        if key != "lod" and not re.fullmatch(r"synthesis/ToRGB_lod[1-9]\d*/.*", key):
            try:
                name, tensor = _placed(key, value, finest)
            except (RuntimeError, IndexError):
                raise CheckpointError(f"{key} has shape {list(value.shape)}, which its place in StyleGAN2 does not allow") from None
            named[name] = tensor.contiguous()
    return named


def _placed(key: str, value: Tensor, finest: int) -> tuple[str, Tensor]:
    """The name and tensor that StyleGAN2 knows `key` by."""
    if key == "dlatent_avg":
        return "mapping.w_avg", value
    if found := re.fullmatch(r"mapping/(Dense(\d{1,2})|LabelEmbed)/(weight|bias)", key):
        layer = f"fc{found.group(2)}" if found.group(2) else "embed"
        return f"mapping.{layer}.{found.group(3)}", value.T if found.group(3) == "weight" else value
    if found := re.fullmatch(r"synthesis/noise(\d{1,2})", key):
        n = int(found.group(1)) + 1
        return f"synthesis.b{4 << n // 2}.conv{n % 2}.noise_const", value[0, 0]
    key = re.sub(r"/ToRGB_lod0/", f"/{finest}x{finest}/ToRGB/", key)
    if found := _BLOCK.fullmatch(key):
        block, (part, _, what) = f"synthesis.b{found.group(1)}", found.group(2).partition("/")
        if (part, what) == ("Const", "const"):
            return f"{block}.const", value[0]
        if part in _PARTS and what in ("weight", "bias", "noise_strength"):
            if what == "weight":
                value = value.permute(3, 2, 0, 1)
                value = value.flip(2, 3) if part in _FLIPPED else value
            return f"{block}.{_PARTS[part]}.{what}", value
        if part in _PARTS and what in ("mod_weight", "mod_bias"):
            affine = f"{block}.{_PARTS[part]}.affine"
            return (f"{affine}.weight", value.T) if what == "mod_weight" else (f"{affine}.bias", value + torch.ones_like(value))
    raise CheckpointError(f"{key} has no place in StyleGAN2; this variant of the TensorFlow network is not known")
