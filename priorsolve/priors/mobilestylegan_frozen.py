"""MobileStyleGAN's layers for the CPU while their weights stay as they are: the same numbers at half the cost.

Between two layers the channels stand in another order than in `features@k`: band after band (all low ones, all vertical ones, …), as
the Haar transform adds them up; the weights that make them are sorted once. What enters and leaves is sorted back.

Styles are (B, inputs), or (1, outputs, inputs) where each output filter of one picture has its own (w++).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F

from priorsolve.priors.frozen import Cast, depthwise, pointwise, type_of_pass
from priorsolve.priors.mobilestylegan_layers import SLOPE, First, Head, Layer, Separable, haar


@final
class Frozen(nn.Module):
    """The blocks before the head, and the head."""

    def __init__(self, first: First, layers: Sequence[Layer], head: Head) -> None:
        super().__init__()
        self.head = FrozenHead(head)
        self.first = FrozenFirst(first, _banded(len(first.weight)))
        self.layers = nn.ModuleList(BandedLayer(layer, last=layer is layers[-1]) for layer in layers)

    def forward(self, x: Tensor, start: int, stop: int, styles: Sequence[Tensor], noises: Sequence[Tensor | None]) -> Tensor:
        """What enters block `stop` from what enters block `start`; the first block, 0, takes nothing but its style."""
        dtype = type_of_pass(x)
        count = len(self.layers)
        if start:
            x = (x[:, _banded(x.shape[1])] if start <= count else x).to(dtype, memory_format=torch.channels_last)
        for k in range(start, stop):
            own, maps = styles[max(0, 3 * k - 2) : 3 * k + 1], noises[max(0, 2 * k - 1) : 2 * k + 1]
            x = self.layers[k - 1](x, *own, maps) if k else self.first(*own, *maps).to(dtype)
        return x if stop > count else x[:, _banded(x.shape[1]).argsort()]


@final
class FrozenFirst(nn.Module):
    """`First`, whose constant and convolution are one matrix: style → features (B, C, 4, 4)."""

    bias: Tensor

    def __init__(self, first: First, order: Tensor) -> None:
        super().__init__()
        channels, side = first.input.shape[:2]
        by_input = F.conv2d(first.input[None], first.weight.transpose(0, 1).reshape(-1, 1, 3, 3), padding=1, groups=channels)
        matrix = by_input.view(channels, len(first.weight), side, side)[:, order]
        self.matrix = Cast(matrix.permute(2, 3, 1, 0).flatten(0, 2).contiguous())
        self.register_buffer("bias", first.finish.bias[order], persistent=False)
        self._side, self._order = side, order

    def forward(self, style: Tensor, noise: Tensor | None) -> Tensor:
        matrix = self.matrix(type_of_pass(style))
        if style.ndim == 3:
            by_pixel = matrix.view(self._side**2, *style.shape[1:])
            x = torch.einsum("poc,boc->bpo", by_pixel, style[:, self._order])
        else:
            x = F.linear(style, matrix)
        x = x.view(len(style), self._side, self._side, -1).permute(0, 3, 1, 2) + self.bias[:, None, None]
        return F.leaky_relu(x if noise is None else x + noise, SLOPE)


@final
class BandedLayer(nn.Module):
    """`Layer` from banded features to banded ones; to those in order where it is the last."""

    def __init__(self, layer: Layer, *, last: bool) -> None:
        super().__init__()
        inputs, outputs = 4 * len(layer.conv1.depthwise), len(layer.conv2.pointwise)
        self._order = _banded(inputs)
        self.conv1 = FrozenSeparable(layer.conv1, torch.arange(len(layer.conv1.pointwise), device="cpu"))
        self.conv2 = FrozenSeparable(layer.conv2, torch.arange(outputs, device="cpu") if last else _banded(outputs))

    def forward(self, x: Tensor, up: Tensor, style1: Tensor, style2: Tensor, noises: Sequence[Tensor | None]) -> Tensor:
        up = up[:, self._order]
        if style1.ndim == 3:
            y: Tensor = self.conv2(self.conv1(upsampled(_scaled(x, up)), noises[0], style1), noises[1], style2)
        else:
            x = self.conv1(upsampled(_scaled(x, up * style1.repeat(1, 4))), noises[0])
            y = self.conv2(_scaled(x, style2), noises[1])
        return y


@final
class FrozenSeparable(nn.Module):
    """`Separable`, its output channels in the given order; a style of each output filter scales the weights."""

    def __init__(self, layer: Separable, order: Tensor) -> None:
        super().__init__()
        self._order = order
        self.depthwise, self.mirrored = Cast(layer.depthwise), Cast(layer.depthwise.flip(2, 3))
        self.pointwise, self.bias = Cast(layer.pointwise[order]), Cast(layer.finish.bias[order])

    def forward(self, x: Tensor, noise: Tensor | None, style: Tensor | None = None) -> Tensor:
        weight = self.pointwise(x.dtype) if style is None else (self.pointwise.own * style[0, self._order, :, None, None]).to(x)
        x = depthwise(x, self.depthwise(x.dtype), self.mirrored(x.dtype))
        x = pointwise(x, weight, self.bias(x.dtype))
        # in place: a convolution's gradient does not ask for its output
        return F.leaky_relu_(x if noise is None else x.add_(noise.to(x)), SLOPE)


@final
class FrozenHead(nn.Module):
    """`Head`. Where it is 1×1 and draws one picture, the style scales its few weights and not the many features."""

    weight: Tensor
    bias: Tensor

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.register_buffer("weight", head.weight.detach(), persistent=False)
        self.register_buffer("bias", head.bias.detach(), persistent=False)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        weight, bias, kernel = self.weight.to(x), self.bias.to(x), self.weight.shape[-1]
        if style.ndim == 3 and kernel > 1:
            y = F.conv2d(x, weight * style[0, :, :, None, None].to(x), bias, padding=kernel // 2)
        elif kernel > 1 or len(style) > 1:
            y = F.conv2d(_scaled(x, style), weight, bias, padding=kernel // 2)
        else:
            y = F.linear(x.permute(0, 2, 3, 1), weight[:, :, 0, 0] * style.to(x).view(-1, x.shape[1]), bias).permute(0, 3, 1, 2)
        return haar(y.contiguous()) if len(self.bias) == 12 else y


def upsampled(x: Tensor) -> Tensor:
    """`haar` of banded channels."""
    apply: Callable[..., Tensor] = _Haar.apply
    return apply(x)


class _Haar(Function):
    """Its gradient is the transform the other way."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _merged(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        apply: Callable[..., Tensor] = _Bands.apply
        return apply(gradients[0])


class _Bands(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _parted(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return upsampled(gradients[0])


def _merged(x: Tensor) -> Tensor:
    """(B, 4C, H, W), banded → (B, C, 2H, 2W)."""
    rows, bands, height, width = x.shape
    low, vertical, horizontal, diagonal = x.permute(0, 2, 3, 1).reshape(rows, height, width, 4, -1).unbind(3)
    y = x.new_empty(rows, height, 2, width, 2, bands // 4)
    for row, (a, b) in enumerate([(low + vertical, horizontal + diagonal), (low - vertical, horizontal - diagonal)]):
        torch.add(a, b, out=y[:, :, row, :, 0])
        torch.sub(a, b, out=y[:, :, row, :, 1])
    return y.view(rows, 2 * height, 2 * width, -1).permute(0, 3, 1, 2)


def _parted(y: Tensor) -> Tensor:
    """(B, C, 2H, 2W) → (B, 4C, H, W), banded: the transpose of `_merged`."""
    rows, channels, height, width = y.shape
    corners = y.permute(0, 2, 3, 1).reshape(rows, height // 2, 2, width // 2, 2, channels)
    a, b, c, d = (corners[:, :, row, :, column] for row in (0, 1) for column in (0, 1))
    x = y.new_empty(rows, height // 2, width // 2, 4, channels)
    for band, (upper, lower) in enumerate([(a + b, c + d), (a - b, c - d)]):
        torch.add(upper, lower, out=x[..., 2 * band, :])
        torch.sub(upper, lower, out=x[..., 2 * band + 1, :])
    return x.flatten(3).permute(0, 3, 1, 2)


def _scaled(x: Tensor, style: Tensor) -> Tensor:
    return x * style.to(x)[:, :, None, None]


def _banded(channels: int) -> Tensor:
    """The numbers in `features@k` of the channels, band after band."""
    first = torch.arange(channels // 4, device="cpu")
    rest = channels // 4 + 3 * first
    return torch.cat([first, rest, rest + 1, rest + 2])
