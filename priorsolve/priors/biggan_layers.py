"""What both BigGANs are made of: spectral norm, attention, and chains whose every block is told the class."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from priorsolve.priors.conditional import ClassConditional
from priorsolve.priors.errors import CheckpointError
from priorsolve.priors.spectral import SpectralConvolution, SpectralLinear, SpectralNorm
from priorsolve.priors.tensors import Tensors
from priorsolve.types import Shape


def brock_norm(tensors: Tensors, name: str, weight: Tensor) -> SpectralNorm:
    """What divides W of the layer `name` in ajbrock's files by σ, of one power step in every pass.

    The vector it starts at, `u0` (1, out), is stored; the norm `sv0` of the last training step is not used.
    """
    tensors.pass_over(f"{name}.sv0")
    return _usable(SpectralNorm(tensors.take(f"{name}.u0", (1, weight.shape[0]))[0]), weight, f"{name}.weight")


def brock_linear(tensors: Tensors, name: str, shape: tuple[int, int], *, bias: bool = False) -> SpectralLinear:
    """The matrix `name` of ajbrock's files."""
    weight = tensors.take(f"{name}.weight", shape)
    return SpectralLinear(weight, tensors.take(f"{name}.bias", shape[:1]) if bias else None, brock_norm(tensors, name, weight))


def brock_convolution(tensors: Tensors, name: str, shape: tuple[int | None, int, int, int], *, bias: bool = True) -> SpectralConvolution:
    """The convolution `name` of ajbrock's files."""
    weight = tensors.take(f"{name}.weight", shape)
    added = tensors.take(f"{name}.bias", weight.shape[:1]) if bias else None
    return SpectralConvolution(weight, added, brock_norm(tensors, name, weight))


def torch_norm(tensors: Tensors, name: str, weight: Tensor) -> SpectralNorm:
    """What divides W of the layer `name` by σ under torch's spectral_norm, of the stored u and v."""
    rows, columns = weight.flatten(1).shape
    norm = SpectralNorm(tensors.take(f"{name}.weight_u", (rows,)), tensors.take(f"{name}.weight_v", (columns,)))
    return _usable(norm, weight, f"{name}.weight_orig")


def torch_convolution(
    tensors: Tensors, name: str, shape: tuple[int | None, int, int, int], *, bias: bool = True, outputs: int | None = None
) -> SpectralConvolution:
    """The convolution `name` under torch's spectral_norm, or the first `outputs` of its channels."""
    weight = tensors.take(f"{name}.weight_orig", shape)
    added = tensors.take(f"{name}.bias", weight.shape[:1]) if bias else None
    return SpectralConvolution(weight, added, torch_norm(tensors, name, weight), outputs)


def _usable(norm: SpectralNorm, weight: Tensor, key: str) -> SpectralNorm:
    sigma = norm.norm(weight)
    if not bool(torch.isfinite(1 / sigma)):
        raise CheckpointError(
            f"{key} has spectral norm {float(sigma):g} and cannot be divided by it; the file is damaged, use another copy"
        )
    return norm


def modulated(x: Tensor, mean: Tensor, variance: Tensor, eps: float, gain: Tensor, bias: Tensor) -> Tensor:
    """(x − μ) / √(σ² + ε) · gain + bias at every pixel. μ, σ² are (C,); gain and bias (C,) or, one row per image, (B, C)."""
    scale = gain * torch.rsqrt(variance + eps)
    shift = bias - mean * scale
    return torch.addcmul(shift[..., None, None], x, scale[..., None, None])


@final
class Attention(nn.Module):
    """γ · o(attended) + x: every pixel looks at 2×2 pooled keys and values (Zhang et al. 2019). The layers are 1×1 convolutions."""

    def __init__(self, theta: nn.Conv2d, phi: nn.Conv2d, g: nn.Conv2d, o: nn.Conv2d, gamma: Tensor) -> None:
        super().__init__()
        self.theta, self.phi, self.g, self.o = theta, phi, g, o
        self.gamma = nn.Parameter(gamma)

    def forward(self, x: Tensor) -> Tensor:
        queries = self.theta(x).flatten(2)
        keys = F.max_pool2d(self.phi(x), 2).flatten(2)
        values = F.max_pool2d(self.g(x), 2).flatten(2)
        attention = torch.softmax(queries.transpose(1, 2) @ keys, -1)
        attended = (values @ attention.transpose(1, 2)).reshape(*values.shape[:2], *x.shape[2:])
        return torch.addcmul(x, self.gamma, self.o(attended))


def brock_attention(tensors: Tensors, name: str, channels: int) -> Attention:
    """The attention layer `name` of ajbrock's files."""
    theta = brock_convolution(tensors, f"{name}.theta", (None, channels, 1, 1), bias=False)
    phi = brock_convolution(tensors, f"{name}.phi", (theta.out_channels, channels, 1, 1), bias=False)
    g = brock_convolution(tensors, f"{name}.g", (None, channels, 1, 1), bias=False)
    o = brock_convolution(tensors, f"{name}.o", (channels, g.out_channels, 1, 1), bias=False)
    return Attention(theta, phi, g, o, tensors.take(f"{name}.gamma", ()))


class ConditionalNorm(nn.Module, ABC):
    """Normalises features (B, C, H, W) by stored statistics, gain and bias told by the conditions (B, n): a·x + b in each channel."""

    @abstractmethod
    def forward(self, x: Tensor, conditions: Tensor) -> Tensor:
        """(B, C, H, W)."""


class Conditioned(ClassConditional, ABC):
    """A chain of blocks (features, conditions) → (features, conditions left).

    Conditions, (B, n), are the numbers of z and class that blocks are still to be told. A code of `z+c` begins with the features that
    enter block 0, if any, and goes on with the conditions. A code of `features@k`, (channels + n, side, side), has one constant
    plane for each of them after the features; of a plane that a solver has changed the mean counts. So a code of any space holds
    all that its picture depends on.

    Args:
        widths: how many channels of features enter each block.
    """

    rounds_together = True

    def __init__(
        self, blocks: Sequence[nn.Module], spaces: Mapping[str, Shape], image_shape: Shape, n_classes: int, widths: Sequence[int]
    ) -> None:
        super().__init__(blocks, spaces, image_shape, n_classes)
        self._widths = tuple(widths)

    def _run(self, x: Tensor, start: int, stop: int) -> Tensor:
        if start == stop:
            return x
        width = self._widths[start]
        x, conditions = x[:, :width], x[:, width:]
        if conditions.ndim == 4:
            conditions = conditions.mean((2, 3))
        for block in self._blocks[start:stop]:
            x, conditions = block(x, conditions)
        if stop == len(self._blocks):
            return x
        left = self._spaces[f"features@{stop}"][0] - x.shape[1]
        planes = conditions[:, :left, None, None].expand(-1, -1, *x.shape[2:])
        return torch.cat([x, planes], 1) if left else x
