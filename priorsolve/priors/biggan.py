"""The BigGAN generator (Brock et al. 2019) from ajbrock/BigGAN-PyTorch's `G_ema` files, which DGP uses too."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor, nn

from priorsolve.priors.biggan_layers import ConditionalNorm, Conditioned, brock_attention, brock_convolution, brock_linear, modulated
from priorsolve.priors.errors import CheckpointError, first_names
from priorsolve.priors.layers import Growing, grown
from priorsolve.priors.layout import numbered
from priorsolve.priors.tensors import Tensors
from priorsolve.types import Shape

_EPS = 1e-5


def recognises(state: Mapping[str, Tensor]) -> bool:
    """Whether the tensors' names are those of ajbrock's generator."""
    return {"shared.weight", "linear.u0", "blocks.0.0.conv1.u0"} <= state.keys()


@final
class BigGAN(Conditioned):
    """z and class (a row of the shared embedding, or any vector like it) → 4×4 features → twice the side per block → picture.

    z is N(0, I), cut into equal chunks: one makes the 4×4 features, one conditions each block's normalisation beside the class.
    Stored statistics normalise. Weights are divided by their spectral norm while
    they draw, so tuning moves them as they were trained; folded, they are divided once.
    `blocks`: the linear layer, the residual blocks (attention with the block it follows), the layer that draws the picture.
    """

    def __init__(
        self, blocks: list[nn.Module], spaces: Mapping[str, Shape], image_shape: Shape, embedding: Tensor, widths: list[int]
    ) -> None:
        super().__init__(blocks, spaces, image_shape, embedding.shape[0], widths)
        self._embedding = nn.Parameter(embedding, requires_grad=False)

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> BigGAN:
        """The generator of an ajbrock state dict, any size; z in chunks (the published models) or whole.

        Raises:
            CheckpointError: a tensor is missing, unknown, of the wrong shape, not finite, or a negative variance; the line names it.
        """
        if not recognises(state):
            raise CheckpointError(
                f"not a BigGAN generator: no shared.weight and blocks.0.0.conv1.u0; the first tensors are {first_names(state)}"
            )
        state = _plain(state)
        count = 1 + max(numbered(state, "blocks."))
        tensors = Tensors(state, f"BigGAN generator of {count} blocks")
        classes, size = tensors.shape("shared.weight", 2)
        embedding = tensors.take("shared.weight", (classes, size))
        channels = tensors.shape("blocks.0.0.conv1.weight", 4)[1]
        start = _Start(tensors, channels)
        first = start.linear.in_features
        chunk = tensors.shape("blocks.0.0.bn1.gain.weight", 2)[1] - size
        if chunk not in (0, first):
            raise CheckpointError(
                f"blocks.0.0.bn1.gain.weight takes {chunk + size} numbers, expected {size} of the class, alone or with {first} of z"
            )
        n, side = first + chunk * count, start.side
        blocks: list[nn.Module] = [start]
        widths = [first]
        spaces: dict[str, Shape] = {"z+c": (n + size,), "z": (n,)}
        for i in range(count):
            block = _Block(tensors, f"blocks.{i}", channels, size, chunk)
            spaces[f"features@{i + 1}"] = (channels + chunk * (count - i) + size, side, side)
            blocks.append(block)
            widths.append(channels)
            channels, side = block.conv2.out_channels, 2 * side
        spaces[f"features@{count + 1}"] = (channels, side, side)
        blocks.append(_Picture(tensors, channels))
        tensors.finish()
        return cls(blocks, spaces, (3, side, side), embedding, [*widths, channels])

    def _embed(self, weights: Tensor) -> Tensor:
        return weights @ self._embedding


def _plain(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """`state` with the names of ordinary BatchNorm: other builds of it keep its statistics in a module of their own."""
    renamed = {
        key.replace(".bn.", ".").replace(".running_", ".stored_") if ".bn.stored_" in key or ".bn.running_" in key else key: value
        for key, value in state.items()
    }
    return {key: value for key, value in renamed.items() if not key.endswith((".accumulation_counter", ".num_batches_tracked"))}


@final
class _Start(nn.Module):
    """The first chunk of z, through a matrix, is the first features."""

    def __init__(self, tensors: Tensors, channels: int) -> None:
        super().__init__()
        rows, chunk = tensors.shape("linear.weight", 2)
        self.side = math.isqrt(rows // channels)
        if self.side < 1 or channels * self.side**2 != rows:
            raise CheckpointError(
                f"linear.weight makes {rows} numbers, which are no square of {channels} channels; use the file as it was saved"
            )
        self.linear = brock_linear(tensors, "linear", (rows, chunk), bias=True)

    def forward(self, x: Tensor, conditions: Tensor) -> tuple[Tensor, Tensor]:
        return self.linear(x).unflatten(1, (-1, self.side, self.side)), conditions


@final
class _Norm(ConditionalNorm):
    """Stored statistics, then a gain around 1 and a bias that are linear in the conditions."""

    mean: Tensor
    variance: Tensor

    def __init__(self, tensors: Tensors, name: str, channels: int, conditions: int) -> None:
        super().__init__()
        self.gain = brock_linear(tensors, f"{name}.gain", (channels, conditions))
        self.bias = brock_linear(tensors, f"{name}.bias", (channels, conditions))
        self.register_buffer("mean", tensors.take(f"{name}.stored_mean", (channels,)))
        self.register_buffer("variance", tensors.take_variance(f"{name}.stored_var", (channels,)))

    def forward(self, x: Tensor, conditions: Tensor) -> Tensor:
        return modulated(x, self.mean, self.variance, _EPS, 1 + self.gain(conditions), self.bias(conditions))


@final
class _Block(nn.Module):
    """Norm, ReLU, twice the side, convolution, norm, ReLU, convolution; beside it a 1×1 shortcut; then attention where there is one."""

    def __init__(self, tensors: Tensors, name: str, channels: int, size: int, chunk: int) -> None:
        super().__init__()
        self._size, self._chunk = size, chunk
        self.conv1 = Growing(brock_convolution(tensors, f"{name}.0.conv1", (None, channels, 3, 3)))
        middle = self.conv1.out_channels
        self.conv2 = brock_convolution(tensors, f"{name}.0.conv2", (None, middle, 3, 3))
        self.shortcut = brock_convolution(tensors, f"{name}.0.conv_sc", (None, channels, 1, 1))
        self.norm1 = _Norm(tensors, f"{name}.0.bn1", channels, size + chunk)
        self.norm2 = _Norm(tensors, f"{name}.0.bn2", middle, size + chunk)
        outputs = self.conv2.out_channels
        if self.shortcut.out_channels != outputs:
            raise CheckpointError(f"{name}.0.conv_sc.weight makes {self.shortcut.out_channels} channels, {name}.0.conv2.weight {outputs}")
        self.attention = brock_attention(tensors, f"{name}.1", outputs) if f"{name}.1.gamma" in tensors else None

    def forward(self, x: Tensor, conditions: Tensor) -> tuple[Tensor, Tensor]:
        # the class first, then this block's own chunk of z
        own = conditions[:, -self._size :]
        if self._chunk:
            own = torch.cat([own, conditions[:, : self._chunk]], 1)
        h = self.conv1(self.norm1(x, own).relu())
        h = self.conv2(self.norm2(h, own).relu())
        # a 1×1 convolution and upsampling may change places: a quarter of the work
        h = h + grown(self.shortcut(x))
        return h if self.attention is None else self.attention(h), conditions[:, self._chunk :]


@final
class _Picture(nn.Module):
    """Norm, ReLU, convolution, tanh. Nothing here knows the class."""

    mean: Tensor
    variance: Tensor

    def __init__(self, tensors: Tensors, channels: int) -> None:
        super().__init__()
        name = "output_layer.0"
        self.gain = nn.Parameter(tensors.take(f"{name}.gain", (channels,)))
        self.bias = nn.Parameter(tensors.take(f"{name}.bias", (channels,)))
        self.register_buffer("mean", tensors.take(f"{name}.stored_mean", (channels,)))
        self.register_buffer("variance", tensors.take_variance(f"{name}.stored_var", (channels,)))
        self.convolution = brock_convolution(tensors, "output_layer.2", (3, channels, 3, 3))

    def forward(self, x: Tensor, conditions: Tensor) -> tuple[Tensor, Tensor]:
        h = modulated(x, self.mean, self.variance, _EPS, self.gain, self.bias).relu()
        return self.convolution(h).tanh(), conditions
