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
from priorsolve.priors.layers import convolution
from priorsolve.priors.tensors import Tensors
from priorsolve.types import Shape


def brock_weight(tensors: Tensors, name: str, shape: Sequence[int | None]) -> Tensor:
    """W / σ of the layer `name` in ajbrock's files, with σ from one power step, as the original takes one in every forward pass.

    The vector it starts at, `u0` (1, out), is stored; the norm `sv0` of the last training step is not used.
    """
    weight = tensors.take(f"{name}.weight", shape)
    u = tensors.take(f"{name}.u0", (1, weight.shape[0]))
    tensors.pass_over(f"{name}.sv0")
    matrix = weight.flatten(1)
    v = F.normalize(u @ matrix, eps=1e-12)
    sigma = (v @ matrix.T).norm()
    return weight / _usable(sigma, f"{name}.weight")


def torch_weight(tensors: Tensors, name: str, shape: Sequence[int | None]) -> Tensor:
    """W / σ of the layer `name` under torch's spectral_norm: σ = uᵀ W v with the stored u and v."""
    weight = tensors.take(f"{name}.weight_orig", shape)
    matrix = weight.flatten(1)
    u, v = tensors.take(f"{name}.weight_u", matrix.shape[:1]), tensors.take(f"{name}.weight_v", matrix.shape[1:])
    return weight / _usable(u @ (matrix @ v), f"{name}.weight_orig")


def _usable(sigma: Tensor, key: str) -> Tensor:
    if not bool(torch.isfinite(1 / sigma)):
        raise CheckpointError(
            f"{key} has spectral norm {float(sigma):g} and cannot be divided by it; the file is damaged, use another copy"
        )
    return sigma


def modulated(x: Tensor, mean: Tensor, variance: Tensor, eps: float, gain: Tensor, bias: Tensor) -> Tensor:
    """(x − μ) / √(σ² + ε) · gain + bias at every pixel. μ, σ² are (C,); gain and bias (C,) or, one row per image, (B, C)."""
    scale = gain * torch.rsqrt(variance + eps)
    shift = bias - mean * scale
    return torch.addcmul(shift[..., None, None], x, scale[..., None, None])


@final
class Attention(nn.Module):
    """γ · o(attended) + x: every pixel looks at 2×2 pooled keys and values (Zhang et al. 2019). Weights are 1×1, (out, in, 1, 1)."""

    def __init__(self, theta: Tensor, phi: Tensor, g: Tensor, o: Tensor, gamma: Tensor) -> None:
        super().__init__()
        self.theta, self.phi, self.g, self.o = convolution(theta), convolution(phi), convolution(g), convolution(o)
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
    theta, phi, g = (brock_weight(tensors, f"{name}.{part}", (None, channels, 1, 1)) for part in ("theta", "phi", "g"))
    o = brock_weight(tensors, f"{name}.o", (channels, g.shape[0], 1, 1))
    if theta.shape != phi.shape:
        raise CheckpointError(
            f"{name}.theta.weight and {name}.phi.weight have shapes {tuple(theta.shape)}, {tuple(phi.shape)}; these must agree"
        )
    return Attention(theta, phi, g, o, tensors.take(f"{name}.gamma", ()))


def brock_convolution(tensors: Tensors, name: str, channels: int, kernel: int) -> nn.Conv2d:
    """The convolution `name` of ajbrock's files, with bias."""
    weight = brock_weight(tensors, name, (None, channels, kernel, kernel))
    return convolution(weight, tensors.take(f"{name}.bias", weight.shape[:1]))


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
