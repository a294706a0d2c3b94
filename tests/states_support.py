"""The tensors of a small random generator of every family, under the names that its files have; StyleGAN2's are in style_support."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

State = dict[str, Tensor]

BIGGAN_DEEP_CONFIG: dict[str, Any] = {
    **{"output_dim": 8, "z_dim": 5, "class_embed_dim": 4, "channel_width": 4, "num_classes": 3, "eps": 1e-4, "n_stats": 51},
    **{"layers": [[False, 2, 2], [True, 2, 1]], "attention_layer_position": 1},
}
STYLEGAN3_LAYERS = ["L0_20_3", "L1_20_4", "L2_20_5", "L3_16_3", "L4_16_3"]


def dcgan_state(seed: int = 0, widths: Sequence[int] = (7, 8, 6, 4, 3), dropout: bool = False) -> State:
    """`widths` are the channels from code to picture; `dropout`: an index without tensors after the first block."""
    rng = torch.Generator().manual_seed(seed)
    state: State = {}
    for k, (inputs, outputs) in enumerate(pairwise(widths)):
        index = 3 * k + (dropout and k > 0)
        state[f"main.{index}.weight"] = torch.randn(inputs, outputs, 4, 4, generator=rng) / (4 * inputs) ** 0.5
        if k < len(widths) - 2:
            for name in ("weight", "bias", "running_mean"):
                state[f"main.{index + 1}.{name}"] = torch.randn(outputs, generator=rng)
            state[f"main.{index + 1}.running_var"] = torch.rand(outputs, generator=rng) + 0.1
            state[f"main.{index + 1}.num_batches_tracked"] = torch.tensor(3)
    return state


def conditional_dcgan_state(widths: Sequence[int] = (103, 8, 6, 4, 3), dropout: bool = True) -> State:
    """As omniart's."""
    return dcgan_state(widths=widths, dropout=dropout)


def matrices(*layers: tuple[str, int, int], bias: float = 1.0) -> State:
    """Weight and bias of each (name, inputs, outputs); `bias` is the spread of the biases."""
    rng = torch.Generator().manual_seed(0)
    state: State = {}
    for name, inputs, outputs in layers:
        state[f"{name}.weight"] = torch.randn(outputs, inputs, generator=rng) / inputs**0.5
        state[f"{name}.bias"] = torch.randn(outputs, generator=rng) * bias
    return state


def vae_state() -> State:
    return matrices(("fc1", 64, 6), ("fc21", 6, 4), ("fc22", 6, 4), ("fc3", 4, 6), ("fc4", 6, 64))


def mlp_state(widths: Sequence[int] = (4, 6, 6, 64), bias: float = 1.0) -> State:
    """Matrices under the names 0, 2, 4, …"""
    return matrices(*((str(2 * k), *sizes) for k, sizes in enumerate(pairwise(widths))), bias=bias)


def pggan_state(widths: tuple[int, ...] = (7, 8, 6, 4), channels: int = 3) -> State:
    """In genforce's names; `widths` are z's and each resolution's."""
    rng = torch.Generator().manual_seed(0)
    state = {"lod": torch.zeros(())}
    before = widths[0]
    for block, width in enumerate(widths[1:]):
        for k, kernel in ((2 * block, 4 if block == 0 else 3), (2 * block + 1, 3)):
            state[f"layer{k}.weight"] = torch.randn(width, before, kernel, kernel, generator=rng)
            state[f"layer{k}.bias"] = torch.randn(width, generator=rng)
            before = width
        state[f"output{block}.weight"] = torch.randn(channels, width, 1, 1, generator=rng)
        state[f"output{block}.bias"] = torch.randn(channels, generator=rng)
    return state


class _Brock:
    """Random tensors in ajbrock's names."""

    def __init__(self) -> None:
        self.rng = torch.Generator().manual_seed(1)
        self.state: State = {}

    def normed(self, name: str, *shape: int, bias: bool = False) -> None:
        self.state[f"{name}.weight"] = torch.randn(*shape, generator=self.rng)
        self.state[f"{name}.u0"] = torch.randn(1, shape[0], generator=self.rng)
        self.state[f"{name}.sv0"] = torch.rand(1, generator=self.rng) + 1
        if bias:
            self.state[f"{name}.bias"] = torch.randn(shape[0], generator=self.rng)

    def statistics(self, name: str, channels: int) -> None:
        self.state[f"{name}.stored_mean"] = torch.randn(channels, generator=self.rng)
        self.state[f"{name}.stored_var"] = torch.rand(channels, generator=self.rng) + 0.1

    def attention(self, name: str, channels: int) -> None:
        for part, outputs in (("theta", 1), ("phi", 1), ("g", channels // 2)):
            self.normed(f"{name}.{part}", outputs, channels, 1, 1)
        self.normed(f"{name}.o", channels, channels // 2, 1, 1)
        self.state[f"{name}.gamma"] = torch.tensor(0.7)


def biggan_state(chunk: int = 3, conditioned: bool = True, widths: tuple[int, ...] = (8, 8, 4), classes: int = 5, size: int = 6) -> State:
    """Two blocks, attention after the first; `conditioned`: every block has a chunk of z of its own."""
    make = _Brock()
    make.state["shared.weight"] = torch.randn(classes, size, generator=make.rng)
    make.normed("linear", 16 * widths[0], chunk, bias=True)
    conditions = size + chunk * conditioned
    for i in range(len(widths) - 1):
        inputs, outputs = widths[i : i + 2]
        make.normed(f"blocks.{i}.0.conv1", outputs, inputs, 3, 3, bias=True)
        make.normed(f"blocks.{i}.0.conv2", outputs, outputs, 3, 3, bias=True)
        make.normed(f"blocks.{i}.0.conv_sc", outputs, inputs, 1, 1, bias=True)
        for norm, channels in (("bn1", inputs), ("bn2", outputs)):
            make.statistics(f"blocks.{i}.0.{norm}", channels)
            for part in ("gain", "bias"):
                make.normed(f"blocks.{i}.0.{norm}.{part}", channels, conditions)
    make.attention("blocks.0.1", widths[1])
    make.statistics("output_layer.0", widths[-1])
    for part in ("gain", "bias"):
        make.state[f"output_layer.0.{part}"] = torch.randn(widths[-1], generator=make.rng)
    make.normed("output_layer.2", 3, widths[-1], 3, 3, bias=True)
    return make.state


def biggan_discriminator_state(widths: tuple[int, ...] = (3, 4, 8, 8)) -> State:
    make = _Brock()
    for i in range(len(widths) - 1):
        inputs, outputs = widths[i : i + 2]
        make.normed(f"blocks.{i}.0.conv1", outputs, inputs, 3, 3, bias=True)
        make.normed(f"blocks.{i}.0.conv2", outputs, outputs, 3, 3, bias=True)
        if i < len(widths) - 2:
            make.normed(f"blocks.{i}.0.conv_sc", outputs, inputs, 1, 1, bias=True)
    make.attention("blocks.0.1", widths[1])
    make.normed("linear", 1, widths[-1], bias=True)
    make.normed("embed", 5, widths[-1])
    return make.state


def biggan_deep_state(rows: int = 51) -> State:
    """Layers 8 → 8, attention, 8 → 4 channels; z of 5, a class of 4 numbers, 3 classes."""
    rng = torch.Generator().manual_seed(2)
    state = {"embeddings.weight": torch.randn(4, 3, generator=rng)}

    def normed(name: str, *shape: int, bias: bool = True) -> None:
        state[f"{name}.weight_orig"] = torch.randn(*shape, generator=rng)
        matrix = state[f"{name}.weight_orig"].flatten(1)
        u, _, v = torch.linalg.svd(matrix, full_matrices=False)
        state[f"{name}.weight_u"] = torch.nn.functional.normalize(u[:, 0] + 0.1, dim=0)
        state[f"{name}.weight_v"] = v[0]
        if bias:
            state[f"{name}.bias"] = torch.randn(shape[0], generator=rng)

    def statistics(name: str, channels: int) -> None:
        state[f"{name}.running_means"] = torch.randn(rows, channels, generator=rng)
        state[f"{name}.running_vars"] = torch.rand(rows, channels, generator=rng) + 0.1

    normed("generator.gen_z", 16 * 8, 9)
    for i, outputs in ((0, 8), (2, 4)):
        widths = (8, 2, 2, 2, outputs)
        for k in range(4):
            kernel = 3 if k in (1, 2) else 1
            normed(f"generator.layers.{i}.conv_{k}", widths[k + 1], widths[k], kernel, kernel)
            statistics(f"generator.layers.{i}.bn_{k}", widths[k])
            for part in ("scale", "offset"):
                normed(f"generator.layers.{i}.bn_{k}.{part}", widths[k], 9, bias=False)
    for part, outputs, inputs in (("theta", 1, 8), ("phi", 1, 8), ("g", 4, 8), ("o_conv", 8, 4)):
        normed(f"generator.layers.1.snconv1x1_{part}", outputs, inputs, 1, 1, bias=False)
    state["generator.layers.1.gamma"] = torch.tensor([0.6])
    statistics("generator.bn", 4)
    state |= {f"generator.bn.{part}": torch.randn(4, generator=rng) for part in ("weight", "bias")}
    normed("generator.conv_to_rgb", 4, 4, 3, 3)
    return state


def mobilestylegan_state(seed: int = 0, outputs: int = 12) -> State:
    """Three layers of mapping, 4×4 to 16×16 features."""
    n, depth, channels = 8, 3, (16, 12, 8)
    rng = torch.Generator().manual_seed(seed)

    def drawn(*shape: int, by: float = 1.0) -> Tensor:
        return torch.randn(*shape, generator=rng) * by

    state = {f"mapping.layers.{k}.weight": drawn(n, n, by=n**-0.5) for k in range(depth)}
    state |= {f"mapping.layers.{k}.bias": drawn(n, by=0.1) for k in range(depth)}
    first = channels[0]
    state |= {"first.input": drawn(first, 4, 4), "first.weight": drawn(first, first, 3, 3, by=0.1)}
    state |= {"first.finish.noise": drawn(4, 4), "first.finish.bias": drawn(first)}
    sizes = [first]
    for k, (inputs, features) in enumerate(pairwise(channels)):
        for part, entering in (("conv1", inputs // 4), ("conv2", features)):
            state[f"layers.{k}.{part}.depthwise"] = drawn(entering, 1, 3, 3, by=0.3)
            state[f"layers.{k}.{part}.pointwise"] = drawn(features, entering, 1, 1, by=0.3)
            state[f"layers.{k}.{part}.finish.noise"] = drawn(8 << k, 8 << k)
            state[f"layers.{k}.{part}.finish.bias"] = drawn(features)
        sizes += [inputs, inputs // 4, features]
    state |= {"head.weight": drawn(outputs, channels[-1], 1, 1, by=0.1), "head.bias": drawn(outputs, by=0.1)}
    total = sum([*sizes, channels[-1]])
    return state | {"styles.weight": drawn(total, n, by=0.2), "styles.bias": drawn(total)}


def stylegan3_settings() -> dict[str, Any]:
    sizes = [20, 20, 20, 20, 16, 16]
    layers = [
        {
            "name": name,
            "in_size": sizes[i],
            "out_size": sizes[i + 1],
            "up_factor": 1 + (i < 4),
            "down_factor": 1 + (i < 4),
            "conv_clamp": 256,
        }
        for i, name in enumerate(STYLEGAN3_LAYERS)
    ]
    return {"layers": layers, "input": {"size": 20, "sampling_rate": 16.0, "bandwidth": 2.0}, "output_scale": 0.25}


def stylegan3_state(seed: int = 0) -> State:
    """A 16×16 generator of five layers under NVIDIA's names; odd, lopsided filters."""
    rng = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=rng)

    state = {"mapping.w_avg": draw(5), "mapping.fc0.weight": draw(5, 6) * 100, "mapping.fc0.bias": draw(5)}
    state |= {"synthesis.input.weight": draw(2, 2), "synthesis.input.transform": torch.eye(3), "synthesis.input.freqs": draw(2, 2)}
    state |= {"synthesis.input.phases": draw(2), "synthesis.input.affine.weight": draw(4, 5)}
    state["synthesis.input.affine.bias"] = torch.tensor([1.0, 0, 0, 0])
    inputs = 2
    for i, name in enumerate(STYLEGAN3_LAYERS):
        b, outputs, k = f"synthesis.{name}", int(name.split("_")[2]), 1 if i == len(STYLEGAN3_LAYERS) - 1 else 3
        state |= {f"{b}.weight": draw(outputs, inputs, k, k), f"{b}.bias": draw(outputs), f"{b}.magnitude_ema": draw().square() + 0.5}
        state |= {f"{b}.affine.weight": draw(inputs, 5), f"{b}.affine.bias": draw(inputs) + 1}
        if k == 3:
            state |= {f"{b}.up_filter": draw(6) / 6, f"{b}.down_filter": draw(6, 6) / 36 if i == 1 else draw(6) / 6}
        inputs = outputs
    return state
