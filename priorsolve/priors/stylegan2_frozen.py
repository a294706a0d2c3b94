"""StyleGAN2's layers for the CPU while their weights stay as they are: the same numbers with fewer passes over features.

What weights alone decide is made once: equalised learning rates' gains, the sums of squares that demodulation needs, noise times its
strength, filters with their gain. √2·gain goes before the leaky ReLU, which lets positive factors through. Where features outnumber
weights, a picture's styles scale the weights. Channels lie last in memory, where upsampling is quicker.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F

from priorsolve.counter_rng import normal
from priorsolve.priors.base import Noise
from priorsolve.priors.frozen import type_of_pass
from priorsolve.priors.stylegan2_layers import Block, Convolution, Picture, Skip

_SLOPE = 0.2


@final
class Frozen(nn.Module):
    """The affine maps of all layers, and the blocks, which are called as the plain ones are; one style for all filters of a layer.

    Args:
        slots: each layer's row of w+, in order; neighbours may share one.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, blocks: Sequence[Block], slots: Sequence[int]) -> None:
        super().__init__()
        self.blocks = [FrozenBlock(block) for block in blocks]
        self.parts = nn.ModuleList(self.blocks)
        affines = [layer.affine for block in blocks for layer in block.layers]
        _keep(self, weight=torch.cat([affine.matrix for affine in affines]), bias=torch.cat([affine.bias for affine in affines]))
        self._sizes = [len(affine.bias) for affine in affines]
        shared = groupby(zip(slots, self._sizes, strict=True), key=lambda pair: pair[0])
        self._slots = {slot: sum(size for _, size in pairs) for slot, pairs in shared}

    def styles(self, wplus: Tensor) -> list[Tensor]:
        """Each layer's style (B, inputs) of w+ (B, L, w_dim): one product for each w."""
        sizes = [*self._slots.values()]
        affines = zip(self._slots, torch.split(self.weight, sizes), torch.split(self.bias, sizes), strict=True)
        together = torch.cat([F.linear(wplus[:, slot], *affine) for slot, *affine in affines], 1)
        return list(torch.split(together, self._sizes, 1))


@final
class FrozenConvolution(nn.Module):
    """`Convolution`. `weight` is (O, I, 3, 3), with `up` (I, O, 3, 3); `gain` multiplies what the leaky ReLU gives."""

    weight: Tensor
    squares: Tensor
    bias: Tensor
    filter: Tensor
    noise: Tensor
    strength: Tensor

    def __init__(self, layer: Convolution, gain: float) -> None:
        super().__init__()
        self.up, self.side, self.noisy = layer.up, layer.side, layer.noisy
        self._gain = math.sqrt(2) * gain
        self._bound = None if layer.clamp is None else layer.clamp * gain
        weight = layer.weight.transpose(0, 1) if self.up else layer.weight
        _keep(self, weight=weight.contiguous(memory_format=torch.channels_last), bias=layer.bias * self._gain)
        _keep(self, squares=layer.weight.square().sum(dim=(2, 3)))
        if self.up:
            _keep(self, filter=(4 * layer.resample_filter).flip(0, 1).expand(len(layer.weight), 1, -1, -1).contiguous())
        if self.noisy:
            strength = layer.noise_strength * self._gain
            _keep(self, strength=strength, noise=layer.noise_const * strength)

    def forward(self, x: Tensor, style: Tensor, noise: Tensor | None) -> Tensor:
        scale = (style.square() @ self.squares.T + 1e-8).rsqrt() * self._gain
        style, scale, bias = style.to(x), scale.to(x), self.bias.to(x)
        before = None if self.up else bias
        if len(x) == len(style) == 1 and self.weight.numel() < x.numel():
            apply: Callable[..., Tensor] = _Modulated.apply
            y = apply(x, style, scale, self.weight.to(x), before, self.up)
        else:
            y = _convolved(x * style[:, :, None, None], self.weight.to(x), self.up) * scale[:, :, None, None]
            y = y if before is None else y + before[:, None, None]
        if self.up:
            y = F.conv2d(y, self.filter.to(y), bias, padding=1, groups=len(bias))
        y = y if noise is None else y + noise.to(y)
        if self._bound is None:
            return F.leaky_relu(y, _SLOPE)
        clipped: Callable[..., Tensor] = _Clipped.apply
        return clipped(y, self._bound)

    def added(self, noise: Noise, rng: torch.Generator) -> Tensor | None:
        """As the plain layer's, times the gain."""
        if isinstance(noise, Tensor):
            return noise.view(-1, 1, self.side, self.side) * self.strength
        if noise == "random":
            return normal(rng, self.side, self.side).to(self.noise) * self.strength
        return self.noise if noise == "const" else None


@final
class FrozenPicture(nn.Module):
    """`Picture`. For one picture the style scales its few weights and not the many features."""

    weight: Tensor
    bias: Tensor

    def __init__(self, layer: Picture) -> None:
        super().__init__()
        _keep(self, weight=layer.weight[:, :, 0, 0] / math.sqrt(layer.weight.shape[1]), bias=layer.bias)
        self._clamp = layer.clamp

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        style, weight, bias = style.to(x), self.weight.to(x), self.bias.to(x)
        if len(style) == 1:
            y = F.linear(x.permute(0, 2, 3, 1), weight * style, bias).permute(0, 3, 1, 2)
        else:
            y = F.conv2d(x * style[:, :, None, None], weight[:, :, None, None], bias)
        return y if self._clamp is None else y.clamp(-self._clamp, self._clamp)


@final
class FrozenSkip(nn.Module):
    """`Skip`, times √½."""

    weight: Tensor
    filter: Tensor

    def __init__(self, layer: Skip) -> None:
        super().__init__()
        outputs, inputs = layer.weight.shape[:2]
        _keep(self, weight=layer.weight * math.sqrt(0.5 / inputs), filter=_spreading(layer.resample_filter, outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = F.conv2d(x, self.weight.to(x))
        return F.conv_transpose2d(y, self.filter.to(y), stride=2, padding=1, groups=y.shape[1])


@final
class FrozenBlock(nn.Module):
    """`Block`."""

    const: Tensor
    filter: Tensor

    def __init__(self, block: Block) -> None:
        super().__init__()
        around = block.skip is not None
        self.conv1 = FrozenConvolution(block.conv1, math.sqrt(0.5) if around else 1.0)
        self.convolutions = [self.conv1]
        if block.side == 4:
            _keep(self, const=block.const)
        else:
            self.conv0 = FrozenConvolution(block.conv0, 1.0)
            self.convolutions = [self.conv0, self.conv1]
        self.skip = None if block.skip is None else FrozenSkip(block.skip)
        self.torgb = FrozenPicture(block.torgb) if block.picture else None
        if block.running and block.side > 4:
            _keep(self, filter=_spreading(block.resample_filter, block.torgb.channels))

    @property
    def layers(self) -> list[FrozenConvolution | FrozenPicture]:
        """What styles scale, in order."""
        return [*self.convolutions, *([] if self.torgb is None else [self.torgb])]

    def forward(
        self, x: Tensor | None, image: Tensor | None, styles: Sequence[Tensor], noises: Sequence[Tensor | None]
    ) -> tuple[Tensor, Tensor | None]:
        """What enters the next block; see `Block`."""
        if x is None:
            y = self.conv1(self.const.to(type_of_pass(self.const)).expand(len(styles[0]), -1, -1, -1), styles[0], noises[0])
        else:
            x = x.to(type_of_pass(x)).contiguous(memory_format=torch.channels_last)
            y = self.conv1(self.conv0(x, styles[0], noises[0]), styles[1], noises[1])
            y = y if self.skip is None else y + self.skip(x)
        if image is not None:
            image = F.conv_transpose2d(image, self.filter.to(image), stride=2, padding=1, groups=image.shape[1])
        if self.torgb is not None:
            share = self.torgb(y, styles[-1])
            image = share if image is None else image + share
        return y, image


class _Modulated(Function):
    """x (1, I, H, W) through weights times `scale` (1, O) and `style` (1, I), plus a bias (O,).

    Styles' and scales' gradients come from features that are there anyway; those of all weights would cost as much as a convolution.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, style: Tensor, scale: Tensor, weight: Tensor, bias: Tensor | None, up: bool) -> Tensor:
        y = _convolved(x, weight * _outputs(scale, up) * _outputs(style, not up), up, bias)
        ctx.save_for_backward(x, style, scale, weight, bias, y)
        ctx.up = up
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, style, scale, weight, bias, y = ctx.saved_tensors
        gradient = gradients[0]
        pulled = _pulled(gradient, weight * _outputs(scale, ctx.up), ctx.up)
        by_scale = (gradient * y).sum((2, 3))
        if bias is not None:
            by_scale = by_scale - gradient.sum((2, 3)) * bias
        return pulled * style[:, :, None, None], (pulled * x).sum((2, 3)), by_scale / scale, None, None, None


class _Clipped(Function):
    """Leaky ReLU, then clipping to ±bound: what leaves tells the slope of both."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, bound: float) -> Tensor:
        y = F.leaky_relu(x, _SLOPE).clamp_(-bound, bound)
        ctx.save_for_backward(y)
        ctx.bound = bound
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (y,) = ctx.saved_tensors
        inside = torch.ops.aten.hardtanh_backward(gradients[0], y, -ctx.bound, ctx.bound)
        return torch.ops.aten.leaky_relu_backward(inside, y, _SLOPE, True), None


def _convolved(x: Tensor, weight: Tensor, up: bool, bias: Tensor | None = None) -> Tensor:
    return F.conv_transpose2d(x, weight, bias, stride=2) if up else F.conv2d(x, weight, bias, padding=1)


def _pulled(gradient: Tensor, weight: Tensor, up: bool) -> Tensor:
    """The transpose of `_convolved`."""
    return F.conv2d(gradient, weight, stride=2) if up else F.conv_transpose2d(gradient, weight, padding=1)


def _outputs(factors: Tensor, up: bool) -> Tensor:
    """Factors (1, O) so that they multiply weights by output channel."""
    return factors.view(1, -1, 1, 1) if up else factors.view(-1, 1, 1, 1)


def _spreading(kernel: Tensor, channels: int) -> Tensor:
    """The weights of `twice`."""
    return (4 * kernel).expand(channels, 1, -1, -1).contiguous()


def _keep(module: nn.Module, **tensors: Tensor) -> None:
    for name, tensor in tensors.items():
        module.register_buffer(name, tensor.detach(), persistent=False)
