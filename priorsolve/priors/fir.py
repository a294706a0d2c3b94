"""Resampling by short filters, in plain PyTorch convolutions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def binomial() -> Tensor:
    """The 4×4 filter [1, 3, 3, 1] ⊗ [1, 3, 3, 1] / 64, which every published StyleGAN2 uses."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return taps.outer(taps) / 64


def smooth(x: Tensor, kernel: Tensor, padding: int) -> Tensor:
    """x (B, C, H, W), zeros around it, each channel convolved with `kernel` (k, k)."""
    channels = x.shape[1]
    return F.conv2d(x, kernel.flip(0, 1).expand(channels, 1, -1, -1), padding=padding, groups=channels)


def twice(x: Tensor, kernel: Tensor) -> Tensor:
    """x (B, C, H, W) at twice the side: zeros between the pixels, then `kernel` (4, 4) with gain 4. The picture's corners stay put."""
    channels = x.shape[1]
    return F.conv_transpose2d(x, (4 * kernel).expand(channels, 1, -1, -1), stride=2, padding=1, groups=channels)
