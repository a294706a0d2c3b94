"""Layers made of given tensors, and the few that torch does not have."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn


def linear(weight: Tensor, bias: Tensor | None = None) -> nn.Linear:
    """x Wᵀ + b with W (out, in)."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    layer.weight = nn.Parameter(weight)
    layer.register_parameter("bias", None if bias is None else nn.Parameter(bias))
    return layer


def convolution(weight: Tensor, bias: Tensor | None = None) -> nn.Conv2d:
    """The convolution of W (out, in, k, k), k odd, that keeps height and width."""
    outputs, inputs, kernel, _ = weight.shape
    layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False, device="meta")
    layer.weight = nn.Parameter(weight)
    layer.register_parameter("bias", None if bias is None else nn.Parameter(bias))
    return layer


@final
class PixelNorm(nn.Module):
    """x / √(mean over channels of x² + 1e-8), at every pixel (Karras et al. 2018, §4.2)."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)
