"""NVIDIA's generators as stylegan2-ada-pytorch and stylegan3 pickle them: records of modules, walked by name.

Every module is a record of its class's name and its attributes (their `torch_utils/persistence.py`); the attributes that change what
the network draws become settings, the rest is inferred from the tensors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from priorsolve.priors.errors import CheckpointError, told
from priorsolve.priors.inert import Array, Record, View

_ENTRY_LIMIT = 20_000
_DEPTH_LIMIT = 12
_LINEAR = (".affine", ".embed", ".skip", ".torgb")
_LAYER3 = ("in_size", "out_size", "up_factor", "down_factor", "conv_clamp")


def network_of(top: Record) -> tuple[dict[str, View], dict[str, Any]]:
    """Every parameter and buffer of a generator by its dotted name, and the settings of StyleGAN2 or StyleGAN3.

    Raises:
        CheckpointError: the records are damaged, or are of another network.
    """
    tensors: dict[str, View] = {}
    modules: dict[str, Record] = {}
    for steps, (name, value) in enumerate(_walk(top, "", 0)):
        if steps > _ENTRY_LIMIT:
            raise CheckpointError(f"has more than {_ENTRY_LIMIT} tensors and modules; it is damaged or made to hang its reader")
        if isinstance(value, View):
            tensors[name] = value
        elif value is not None:
            modules[name] = value
    return tensors, _settings(modules)


def _settings(modules: Mapping[str, Record]) -> dict[str, Any]:
    """What changes the pictures and is not told by the tensors."""
    for name, module in modules.items():
        used = _plain(module, "activation")
        if used not in (None, "linear" if name.endswith(_LINEAR) else "lrelu"):
            raise CheckpointError(f"{name} has activation {told(used)}, a variant of the network not known here")
    first = modules.get("mapping.fc0")
    shared = {"lr_multiplier": _plain(first, "bias_gain")} if first else {}
    if "synthesis.input" in modules:
        return shared | _settings3(modules)
    block, layer = modules.get("synthesis.b4"), modules.get("synthesis.b4.conv1")
    if block is None or layer is None:
        return {}
    return shared | {"architecture": _plain(block, "architecture"), "conv_clamp": _plain(layer, "conv_clamp")}


def _settings3(modules: Mapping[str, Record]) -> dict[str, Any]:
    """StyleGAN3's sampling rates and paddings, layer by layer."""
    layers = [(name, module) for name, module in modules.items() if module.kind == "SynthesisLayer"]
    return {
        "output_scale": _plain(modules["synthesis"], "output_scale"),
        "input": {key: _plain(modules["synthesis.input"], key) for key in ("size", "sampling_rate", "bandwidth")},
        "layers": [{"name": name.removeprefix("synthesis."), **{key: _plain(layer, key) for key in _LAYER3}} for name, layer in layers],
    }


def _plain(record: Record | None, key: str) -> Any:
    """An attribute as JSON would hold it."""
    value = record.state.get(key) if record else None
    return value.numbers() if isinstance(value, Array) else value


def _walk(record: Record, prefix: str, depth: int) -> Iterator[tuple[str, View | Record | None]]:
    if depth > _DEPTH_LIMIT:
        raise CheckpointError(f"has modules nested deeper than {_DEPTH_LIMIT}; it is damaged or made to hang its reader")
    yield prefix.removesuffix("."), record
    for group in ("_parameters", "_buffers", "_modules"):
        members = record.state.get(group, {})
        if not isinstance(members, Mapping):
            raise CheckpointError(f"is damaged: {group} of {prefix or 'the network'} is no dict; download or copy it again")
        for name, value in members.items():
            if not isinstance(name, str):
                raise CheckpointError(f"is damaged: {group} holds a part called {told(name)}; download or copy it again")
            if isinstance(value, Record) and group == "_modules":
                yield from _walk(value, f"{prefix}{name}.", depth + 1)
            elif value is None or isinstance(value, View):
                yield f"{prefix}{name}", value
            else:
                raise CheckpointError(f"is damaged: {prefix}{name} is neither tensor nor module; download or copy it again")
