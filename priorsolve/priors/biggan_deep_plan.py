"""How BigGAN-deep's layers follow each other: from its configuration, or read off the tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from priorsolve.priors.errors import CheckpointError
from priorsolve.priors.layout import numbered
from priorsolve.showing import is_number


@dataclass(frozen=True)
class Layer:
    """One of `generator.layers`."""

    attention: bool
    grows: bool
    """Twice the side; never of an attention layer."""


@dataclass(frozen=True)
class Plan:
    """What is needed beside the tensors."""

    layers: tuple[Layer, ...]
    channels: int
    """Of the first 4×4 features."""
    rows: int
    """Of the tables of statistics."""
    eps: float


def plan_of(state: Mapping[str, Tensor], config: Mapping[str, Any] | None) -> Plan:
    """The plan that `state` shows, checked against `config` where there is one.

    Growing does not show in the tensors: without a configuration every second block does it, as in all published models.

    Raises:
        CheckpointError: there are no layers, or the configuration says otherwise than the tensors.
    """
    count = 1 + max(numbered(state, "generator.layers."), default=-1)
    first, table = state.get("generator.layers.0.conv_0.weight_orig"), state.get("generator.bn.running_means")
    if not count or first is None or first.ndim != 4 or table is None or table.ndim != 2 or table.shape[0] < 2:
        raise CheckpointError(
            "generator.layers.0.conv_0.weight_orig or generator.bn.running_means is missing or odd; save the whole state_dict again"
        )
    attention = [f"generator.layers.{i}.gamma" in state for i in range(count)]
    plain = [i for i in range(count) if not attention[i]]
    grows = {i: k % 2 == 1 for k, i in enumerate(plain)}
    eps = 1e-4
    if config is not None:
        grows = dict(zip(plain, _growing(config, len(plain)), strict=True))
        eps = _number(config, "eps", eps)
        _compare(state, config, table, attention, 4 << sum(grows.values()))
    layers = tuple(Layer(attention[i], grows.get(i, False)) for i in range(count))
    return Plan(layers, first.shape[1], table.shape[0], eps)


def _growing(config: Mapping[str, Any], blocks: int) -> list[bool]:
    layers = config.get("layers")
    if not isinstance(layers, list) or not all(isinstance(layer, list) and len(layer) == 3 for layer in layers):
        raise CheckpointError("config: layers is no list of [grows, in, out]; use the config.json that came with the weights")
    if len(layers) != blocks:
        raise CheckpointError(
            f"config: layers lists {len(layers)} blocks, the tensors have {blocks}; use the config.json that came with them"
        )
    return [bool(layer[0]) for layer in layers]


def _number(config: Mapping[str, Any], name: str, default: float) -> float:
    value = config.get(name, default)
    if not is_number(value) or not 0 < value < 1:
        raise CheckpointError(f"config: {name} is {value!r}, expected a number between 0 and 1")
    return float(value)


def _compare(state: Mapping[str, Tensor], config: Mapping[str, Any], table: Tensor, attention: list[bool], side: int) -> None:
    """Raise where a size in `config` is not the tensors'."""
    size, classes = state["embeddings.weight"].shape if state["embeddings.weight"].ndim == 2 else (0, 0)
    numbers = state["generator.gen_z.weight_orig"].shape[-1]
    shown = {
        **{"class_embed_dim": size, "num_classes": classes, "z_dim": numbers - size, "n_stats": table.shape[0]},
        **{
            "channel_width": table.shape[1],
            "output_dim": side,
            "attention_layer_position": attention.index(True) if True in attention else None,
        },
    }
    for name, value in shown.items():
        if value is not None and config.get(name, value) != value:
            raise CheckpointError(f"config: {name} is {config[name]!r}, the tensors show {value}; use the config.json that came with them")
