"""One resolution of StyleGAN2: modulated convolutions, noise, and the picture's share at that size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from priorsolve.counter_rng import normal
from priorsolve.priors.base import Noise
from priorsolve.priors.errors import CheckpointError
from priorsolve.priors.fir import smooth, twice
from priorsolve.priors.layout import empty, shape_of
from priorsolve.priors.mapping import Dense
from priorsolve.priors.perfilter import convolved


@final
class Convolution(nn.Module):
    """A 3×3 convolution whose input channels are scaled by the style and whose output is scaled back to unit size (demodulated).

    Then noise, bias, leaky ReLU (0.2) times √2·gain, and clipping to ±clamp·gain where the training had it. With `up` the side doubles.
    The style is (B, inputs), or (B, outputs, inputs) where each output filter has its own.
    """

    noise_const: Tensor
    resample_filter: Tensor

    def __init__(self, state: Mapping[str, Tensor], name: str, side: int, clamp: float | None, w_dim: int, *, up: bool = False) -> None:
        super().__init__()
        outputs, inputs, height, width = shape_of(state, f"{name}.weight", 4)
        if (height, width) != (3, 3):
            raise CheckpointError(f"{name}.weight has a {height}×{width} kernel, expected 3×3; this variant of StyleGAN2 is not known")
        self.weight, self.bias = empty(outputs, inputs, 3, 3), empty(outputs)
        self.affine = Dense(w_dim, inputs)
        self.noisy = f"{name}.noise_strength" in state
        if self.noisy:
            self.register_buffer("noise_const", torch.empty(side, side, device="meta"))
            self.noise_strength = empty()
        if up:
            self.register_buffer("resample_filter", torch.empty(4, 4, device="meta"))
        self.up, self.clamp, self.side = up, clamp, side

    def forward(self, x: Tensor, style: Tensor, noise: Tensor | None, gain: float = 1.0) -> Tensor:
        squares = self.weight.square().sum(dim=(2, 3))
        if style.ndim == 3:
            # each output filter has its own style
            scale = (style.square() * squares).sum(dim=2)
            x = convolved(x, self.weight, style, up=self.up)
        else:
            # scaling the input and the output is one shared convolution for the whole batch, where scaling the weights is one per image
            scale = style.square() @ squares.T
            x = x * style[:, :, None, None]
            x = F.conv_transpose2d(x, self.weight.transpose(0, 1), stride=2) if self.up else F.conv2d(x, self.weight, padding=1)
        if self.up:
            x = smooth(x, 4 * self.resample_filter, padding=1)
        x = x * (scale + 1e-8).rsqrt()[:, :, None, None]
        if noise is not None:
            x = x + noise
        x = F.leaky_relu(x + self.bias[:, None, None], 0.2) * (math.sqrt(2) * gain)
        return x if self.clamp is None else x.clamp(-self.clamp * gain, self.clamp * gain)

    def added(self, noise: Noise, rng: torch.Generator) -> Tensor | None:
        """What a `noisy` layer adds to its features, (side, side) or (B, 1, side, side), or None. `rng` is drawn from in "random" alone.

        Maps given are this layer's own, (B, side²).
        """
        if isinstance(noise, Tensor):
            return noise.view(-1, 1, self.side, self.side) * self.noise_strength
        if noise == "none":
            return None
        if noise == "const":
            return self.noise_const * self.noise_strength
        return normal(rng, self.side, self.side).to(self.noise_const) * self.noise_strength


@final
class Picture(nn.Module):
    """A 1×1 convolution from features to colours, its input scaled by the style (for each colour its own in w++); not demodulated."""

    def __init__(self, state: Mapping[str, Tensor], name: str, clamp: float | None, w_dim: int) -> None:
        super().__init__()
        self.channels, inputs, height, width = shape_of(state, f"{name}.weight", 4)
        if (height, width) != (1, 1) or self.channels not in (1, 3):
            raise CheckpointError(f"{name}.weight has shape {list(state[f'{name}.weight'].shape)}, expected [1 or 3, {inputs}, 1, 1]")
        self.weight, self.bias = empty(self.channels, inputs, 1, 1), empty(self.channels)
        self.affine = Dense(w_dim, inputs)
        self.clamp, self._gain = clamp, 1 / math.sqrt(inputs)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        style = style * self._gain
        if style.ndim == 3:
            x = convolved(x, self.weight, style) + self.bias[:, None, None]
        else:
            x = F.conv2d(x * style[:, :, None, None], self.weight, self.bias)
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)


@final
class Skip(nn.Module):
    """The resnet architecture's way round a block: a 1×1 convolution at twice the side."""

    resample_filter: Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = empty(outputs, inputs, 1, 1)
        self.register_buffer("resample_filter", torch.empty(4, 4, device="meta"))

    def forward(self, x: Tensor) -> Tensor:
        return twice(F.conv2d(x, self.weight / math.sqrt(x.shape[1])), self.resample_filter)


@final
class Block(nn.Module):
    """Features of half the side, and the picture so far in the skip architecture, to features and picture of this side."""

    resample_filter: Tensor

    def __init__(self, state: Mapping[str, Tensor], side: int, architecture: str, clamp: float | None, w_dim: int, *, last: bool) -> None:
        super().__init__()
        name = f"synthesis.b{side}"
        self.conv1 = Convolution(state, f"{name}.conv1", side, clamp, w_dim)
        self.channels, inputs = self.conv1.weight.shape[:2]
        self.convolutions = [self.conv1]
        if side == 4:
            self.const = empty(inputs, 4, 4)
        else:
            self.conv0 = Convolution(state, f"{name}.conv0", side, clamp, w_dim, up=True)
            self.convolutions = [self.conv0, self.conv1]
            if self.conv0.weight.shape[0] != inputs:
                raise CheckpointError(f"{name}.conv1.weight takes {inputs} channels, but {name}.conv0 gives {self.conv0.weight.shape[0]}")
        self.skip = Skip(self.conv0.weight.shape[1], self.channels) if architecture == "resnet" and side > 4 else None
        self.picture = last or architecture == "skip"
        if self.picture:
            self.torgb = Picture(state, f"{name}.torgb", clamp, w_dim)
        self.running = architecture == "skip"
        if self.running and side > 4:
            self.register_buffer("resample_filter", torch.empty(4, 4, device="meta"))
        self.side = side

    @property
    def inputs(self) -> int:
        """Channels of the features that enter, or of the constant."""
        return self.const.shape[0] if self.side == 4 else self.conv0.weight.shape[1]

    @property
    def layers(self) -> list[Convolution | Picture]:
        """What styles scale, in order."""
        return [*self.convolutions, *([self.torgb] if self.picture else [])]

    def forward(
        self, x: Tensor | None, image: Tensor | None, styles: Sequence[Tensor], noises: Sequence[Tensor | None]
    ) -> tuple[Tensor, Tensor | None]:
        if x is None:
            y = self.conv1(self.const.expand(len(styles[0]), -1, -1, -1), styles[0], noises[0])
        else:
            y = self.conv0(x, styles[0], noises[0])
            y = self.conv1(y, styles[1], noises[1]) if self.skip is None else self._around(x, y, styles[1], noises[1], self.skip)
        if image is not None:
            image = twice(image, self.resample_filter)
        if self.picture:
            share = self.torgb(y, styles[-1])
            image = share if image is None else image + share
        return y, image

    def _around(self, x: Tensor, y: Tensor, style: Tensor, noise: Tensor | None, skip: Skip) -> Tensor:
        half = math.sqrt(0.5)
        whole: Tensor = skip(x) * half + self.conv1(y, style, noise, gain=half)
        return whole
