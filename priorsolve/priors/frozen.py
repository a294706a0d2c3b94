"""Convolutions with frozen weights, as the CPU does them fastest: channels last, and gradients of nothing but what enters.

Pictures are (B, C, H, W) as everywhere; in memory a pixel's channels lie side by side. Other layouts are right too, only slower.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

_SMALL = 20480
"""Numbers up to which torch convolves a single picture without oneDNN."""


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (B, C, H, W) through the 1×1 convolution of `weight` (O, C, 1, 1).

    On one thread torch makes it a matrix product of MKL, which knows AVX-512 on Intel's processors only; oneDNN does it on all, twice as
    quickly. A dilated convolution goes there, and with 1×1 weights it is the same convolution.
    """
    wide = x.device.type == "cpu" and x.dtype in (torch.float32, torch.bfloat16) and x.numel() > _SMALL and _has_wide_vectors()
    return F.conv2d(x, weight, bias, dilation=2 if wide else 1)


def depthwise(x: Tensor, weight: Tensor, mirrored: Tensor) -> Tensor:
    """x (B, C, H, W), each channel convolved with its own k×k of `weight` (C, 1, k, k), k odd, zeros around.

    Args:
        mirrored: the weights turned by half, which lead the gradient back.
    """
    apply: Callable[..., Tensor] = _Depthwise.apply
    return apply(x, weight, mirrored)


class _Depthwise(Function):
    """The gradient is the same convolution with mirrored weights. torch's own takes three times as long, in bfloat16 six times."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, mirrored: Tensor) -> Tensor:
        ctx.save_for_backward(weight, mirrored)
        return F.conv2d(x, weight, padding=weight.shape[-1] // 2, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        weight, mirrored = ctx.saved_tensors
        return depthwise(gradients[0], mirrored, weight), None, None


def _has_wide_vectors() -> bool:
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return available and torch.backends.cpu.get_cpu_capability() == "AVX512"
