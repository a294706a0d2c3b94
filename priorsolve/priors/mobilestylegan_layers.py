"""The parts of MobileStyleGAN: mapping, styles, Haar upsampling, depthwise-separable modulated convolutions, RGB head.

Every style is the affine of a w as it stands: the constant that the original multiplies it by (1/√fan-in) is part of the weights here,
and so are the demodulation, which does not depend on the style in this network, and the ½ of the Haar transform.

Where every output filter has a style of its own (w++), a depthwise-separable convolution is taken for what it is: one convolution with the
weights pointwise[o, i] · depthwise[i], of which filter o's style scales all with that o. The Haar upsampling makes its channel o of four
inputs, so those four take o's style.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from priorsolve.counter_rng import normal
from priorsolve.priors.base import Noise
from priorsolve.priors.layers import normalised
from priorsolve.priors.layout import empty
from priorsolve.priors.perfilter import convolved

SLOPE = 0.2
"""Of every leaky ReLU in the network."""


def haar(x: Tensor) -> Tensor:
    """(B, 4C, H, W) → (B, C, 2H, 2W): the inverse of one Haar level, times 2.

    The first C channels are the low band, then follow three bands for each channel: vertical, horizontal, diagonal differences.
    """
    channels = x.shape[1] // 4
    low, rest = x[:, :channels], x[:, channels:]
    vertical, horizontal, diagonal = rest.reshape(len(x), channels, 3, *x.shape[2:]).unbind(2)
    even, odd = low + vertical, low - vertical
    even_difference, odd_difference = horizontal + diagonal, horizontal - diagonal
    corners = [even + even_difference, even - even_difference, odd + odd_difference, odd - odd_difference]
    return F.pixel_shuffle(torch.stack(corners, 2).flatten(1, 2), 2)


@final
class PlainMapping(nn.Module):
    """z (B, 512) → w (B, 512): z over its root mean square, then fully connected layers, each followed by a leaky ReLU times √2."""

    def __init__(self, depth: int, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width, device="meta") for _ in range(depth))
        self._width = width

    def drawn(self, start: int, n: int, rng: torch.Generator) -> Tensor:
        """Codes `start` to `start + n` of many, (n, 512)."""
        return normal(rng, n, self._width).to(next(self.parameters()))

    def forward(self, z: Tensor) -> Tensor:
        x = normalised(z)
        for layer in self.layers:
            x = F.leaky_relu(layer(x), SLOPE) * math.sqrt(2)
        return x.to(z.dtype)  # what follows may meet w̄, which is of that type whatever the layers compute in


@final
class Styles(nn.Module):
    """The affines of all modulations, one under the other: one product draws every style from one w."""

    def __init__(self, sizes: Sequence[int], width: int) -> None:
        super().__init__()
        self.sizes = list(sizes)
        self.weight, self.bias = empty(sum(sizes), width), empty(sum(sizes))

    def forward(self, w: Tensor) -> Tensor:
        """Styles (B, sum(sizes)) of w (B, width), or of w+ (B, len(sizes), width)."""
        if w.ndim == 2:
            return F.linear(w, self.weight, self.bias)
        rows = zip(w.unbind(1), torch.split(self.weight, self.sizes), torch.split(self.bias, self.sizes), strict=True)
        return torch.cat([F.linear(*row) for row in rows], 1)

    def each(self, w: Tensor, filters: Sequence[int]) -> list[Tensor]:
        """Styles (B, filters[i], sizes[i]) of the first rows of w++ (B, len(sizes), F, width).

        (B, sizes[i]) where filters[i] is 0: a Haar upsampling, whose numbers each belong to one output channel.
        """
        rows = zip(w.unbind(1), torch.split(self.weight, self.sizes), torch.split(self.bias, self.sizes), filters, strict=True)
        return [F.linear(w[:, :n], *affine) if n else _of_upsampling(w, *affine) for w, *affine, n in rows]


def _of_upsampling(w: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The style (B, 4C) of w (B, F ≥ C, width): what `haar` makes channel c of takes w's row c."""
    rows = torch.arange(len(weight) // 4, device=w.device)
    return (w[:, torch.cat([rows, rows.repeat_interleave(3)])] * weight).sum(2) + bias


@final
class Finish(nn.Module):
    """What follows every convolution: the noise map, the same for all channels; the bias (C,); the leaky ReLU.

    `noise` (H, W) is the network's own map times its strength, so the strength is the map's standard deviation.
    """

    def __init__(self, channels: int, side: int, number: int) -> None:
        super().__init__()
        self._number = number
        self.noise, self.bias = empty(side, side), empty(channels)

    def added(self, noise: Noise, seed: int) -> Tensor | None:
        """What is added to the features, (H, W) or (B, 1, H, W), or None; maps given are this layer's own, (B, H·W)."""
        if isinstance(noise, Tensor):
            return noise.view(-1, 1, *self.noise.shape) * self.noise.std()
        if noise == "none":
            return None
        if noise == "const":
            return self.noise
        rng = torch.Generator().manual_seed(seed * 1000 + self._number)
        return normal(rng, *self.noise.shape).to(self.noise) * self.noise.std()

    def plain(self) -> Tensor:
        """(H·W,) the network's own map before its strength; zeros where the strength is 0."""
        return (self.noise / self.noise.std().clamp_min(1e-12)).flatten()

    def forward(self, x: Tensor, noise: Tensor | None) -> Tensor:
        x = x + self.bias[:, None, None]
        return F.leaky_relu(x if noise is None else x + noise, SLOPE)


@final
class First(nn.Module):
    """Style (B, C), or (B, C, C) in w++, → features (B, C, 4, 4): the learned constant, modulated, and one 3×3 convolution."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.input, self.weight = empty(channels, side, side), empty(channels, channels, 3, 3)
        self.finish = Finish(channels, side, 0)

    def forward(self, style: Tensor, noise: Tensor | None) -> Tensor:
        if style.ndim == 3:
            x = convolved(self.input.expand(len(style), -1, -1, -1), self.weight, style)
        else:
            x = F.conv2d(self.input * style[:, :, None, None], self.weight, padding=1)
        y: Tensor = self.finish(x, noise)
        return y


def mixed(x: Tensor, weight: Tensor) -> Tensor:
    """A 1×1 convolution (O, C, 1, 1) of x (B, C, H, W), as the matrix product that it is: on CPUs that is quicker."""
    product: Tensor = torch.matmul(weight.flatten(1), x.flatten(2)).view(len(x), -1, *x.shape[2:])
    return product


@final
class Separable(nn.Module):
    """3×3 on each channel, then 1×1 across them, then `Finish`.

    Its input is already modulated, or else `style` (B, outputs, inputs) is each output filter's own.
    """

    def __init__(self, inputs: int, outputs: int, side: int, number: int) -> None:
        super().__init__()
        self.depthwise, self.pointwise = empty(inputs, 1, 3, 3), empty(outputs, inputs, 1, 1)
        self.finish = Finish(outputs, side, number)

    def forward(self, x: Tensor, noise: Tensor | None, style: Tensor | None = None) -> Tensor:
        x = F.conv2d(x, self.depthwise, padding=1, groups=x.shape[1])
        x = mixed(x, self.pointwise) if style is None else convolved(x, self.pointwise, style)
        y: Tensor = self.finish(x, noise)
        return y


@final
class Layer(nn.Module):
    """Features (B, 4C, H, W) → (B, D, 2H, 2W): modulated Haar upsampling to C channels and two modulated convolutions."""

    def __init__(self, inputs: int, outputs: int, side: int, number: int) -> None:
        super().__init__()
        self.conv1 = Separable(inputs // 4, outputs, side, 2 * number + 1)
        self.conv2 = Separable(outputs, outputs, side, 2 * number + 2)

    def forward(self, x: Tensor, up: Tensor, style1: Tensor, style2: Tensor, noises: Sequence[Tensor | None]) -> Tensor:
        if style1.ndim == 3:
            x = self.conv1(haar(x * up[:, :, None, None]), noises[0], style1)
            return self.conv2(x, noises[1], style2)  # type: ignore[no-any-return]
        # conv1's style goes through the Haar transform, so that one product at the lower resolution does for two
        both = up * torch.cat([style1, style1.repeat_interleave(3, 1)], 1)
        x = self.conv1(haar(x * both[:, :, None, None]), noises[0])
        x = self.conv2(x * style2[:, :, None, None], noises[1])
        return x


@final
class Head(nn.Module):
    """Features (B, C, H, W) → the network's own output: (B, 3, H, W) from 3 channels, (B, 3, 2H, 2W) from the 12 of one Haar level."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.weight, self.bias = empty(outputs, inputs, kernel, kernel), empty(outputs)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        if style.ndim == 3:
            x = convolved(x, self.weight, style) + self.bias[:, None, None]
        else:
            x = F.conv2d(x * style[:, :, None, None], self.weight, self.bias, padding=self.weight.shape[-1] // 2)
        return haar(x) if len(self.bias) == 12 else x
