"""Networks of published sizes without their weights, which speed does not depend on: random tensors under the published names."""

from __future__ import annotations

import itertools

import torch
from loading import CLAMP, random_state
from torch import Tensor

from priorsolve.priors import BigGAN, Prior, StyleGAN2

CLASSES, EMBEDDING, CHUNK, WIDTH = 1000, 128, 20, 96


def stylegan2(side: int) -> Prior:
    """StyleGAN2, config F."""
    return StyleGAN2.from_state(random_state(side), {"conv_clamp": CLAMP})


def biggan256() -> Prior:
    """BigGAN of 256², width 96, attention at 64²: what DGP's larger demos use."""
    rng = torch.Generator().manual_seed(0)
    state: dict[str, Tensor] = {"shared.weight": torch.randn(CLASSES, EMBEDDING, generator=rng)}

    def layer(name: str, *shape: int, bias: bool = True) -> None:
        weight = torch.randn(shape, generator=rng)
        state.update({f"{name}.weight": weight, f"{name}.u0": torch.randn(1, shape[0], generator=rng), f"{name}.sv0": torch.ones(1)})
        if bias:
            state[f"{name}.bias"] = torch.zeros(shape[0])

    def statistics(name: str, channels: int) -> None:
        state.update({f"{name}.stored_mean": torch.zeros(channels), f"{name}.stored_var": torch.ones(channels)})

    widths = [WIDTH * times for times in (16, 16, 8, 8, 4, 2, 1)]
    layer("linear", 16 * widths[0], CHUNK)
    for i, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        for name, channels, taps in (("conv1", inputs, 3), ("conv2", outputs, 3), ("conv_sc", inputs, 1)):
            layer(f"blocks.{i}.0.{name}", outputs, channels, taps, taps)
        for norm, channels in (("bn1", inputs), ("bn2", outputs)):
            statistics(f"blocks.{i}.0.{norm}", channels)
            for part in ("gain", "bias"):
                layer(f"blocks.{i}.0.{norm}.{part}", channels, EMBEDDING + CHUNK, bias=False)
    channels = widths[4]
    for name, outputs, inputs in (("theta", channels // 8, channels), ("phi", channels // 8, channels), ("g", channels // 2, channels)):
        layer(f"blocks.3.1.{name}", outputs, inputs, 1, 1, bias=False)
    layer("blocks.3.1.o", channels, channels // 2, 1, 1, bias=False)
    state["blocks.3.1.gamma"] = torch.zeros(())
    statistics("output_layer.0", widths[-1])
    state.update({"output_layer.0.gain": torch.ones(widths[-1]), "output_layer.0.bias": torch.zeros(widths[-1])})
    layer("output_layer.2", 3, widths[-1], 3, 3)
    return BigGAN.from_state(state)
