"""StyleGAN3's layers: waves to start from, and modulated convolutions whose activation runs at a higher sampling rate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from priorsolve.priors.errors import CheckpointError
from priorsolve.priors.layout import empty, shape_of
from priorsolve.priors.mapping import Dense
from priorsolve.priors.perfilter import convolved


@final
@dataclass(frozen=True)
class Plan:
    """One layer's sampling, as files write it: sides in and out, how often the activation is sampled more densely, and its limits.

    `conv_clamp` clips the activation to ±conv_clamp, None leaves it.
    """

    name: str
    in_size: int
    out_size: int
    up_factor: int
    down_factor: int
    conv_clamp: float | None


@final
class Waves(nn.Module):
    """The layer before the first: sine waves on a square of `size`², turned and moved by the style (B, 4), mixed to channels.

    `transform` (3, 3) moves the picture: the inverse of what should happen to it.
    """

    transform: Tensor
    freqs: Tensor
    phases: Tensor

    def __init__(self, state: Mapping[str, Tensor], size: int, rate: float, bandwidth: float, w_dim: int) -> None:
        super().__init__()
        self.channels, inputs = shape_of(state, "synthesis.input.weight", 2)
        self.weight = empty(self.channels, inputs)
        self.affine = Dense(w_dim, 4)
        for name, shape in (("transform", (3, 3)), ("freqs", (inputs, 2)), ("phases", (inputs,))):
            self.register_buffer(name, torch.empty(shape, device="meta"))
        self.size, self._rate, self._bandwidth = size, rate, bandwidth

    def forward(self, style: Tensor) -> Tensor:
        c, s, x, y = (style / style[:, :2].norm(dim=1, keepdim=True)).unbind(dim=1)
        zero, one = torch.zeros_like(c), torch.ones_like(c)
        turn = torch.stack([c, -s, zero, s, c, zero, zero, zero, one], dim=1).reshape(-1, 3, 3)
        move = torch.stack([one, zero, -x, zero, one, -y, zero, zero, one], dim=1).reshape(-1, 3, 3)
        transforms = turn @ move @ self.transform
        phases = self.phases + (self.freqs @ transforms[:, :2, 2:]).squeeze(2)
        freqs = self.freqs @ transforms[:, :2, :2]
        # waves that this sampling rate cannot hold fade out
        amplitudes = (1 - (freqs.norm(dim=2) - self._bandwidth) / (self._rate / 2 - self._bandwidth)).clamp(0, 1)
        side = (torch.arange(self.size, device=style.device, dtype=style.dtype) + 0.5 - self.size / 2) / self._rate
        grid = torch.stack([side.expand(self.size, -1), side[:, None].expand(-1, self.size)], dim=-1)
        waves = torch.sin((torch.einsum("hwk,bck->bhwc", grid, freqs) + phases[:, None, None]) * (2 * math.pi)) * amplitudes[:, None, None]
        mixed: Tensor = waves @ (self.weight / math.sqrt(self.weight.shape[1])).T
        return mixed.permute(0, 3, 1, 2)


@final
class Layer(nn.Module):
    """A modulated convolution, then the activation between an upsampling and a downsampling filter.

    Styles and weights are brought to unit size before they meet. NVIDIA's code takes that size over the whole batch; here it is each
    image's own, so that none depends on its neighbours. The style is (B, inputs), or (B, channels, inputs) where each output filter has
    its own, which is then brought to unit size filter by filter. The last layer makes colours: neither demodulated nor activated.
    """

    magnitude_ema: Tensor

    def __init__(self, state: Mapping[str, Tensor], plan: Plan, w_dim: int, *, last: bool) -> None:
        super().__init__()
        name = f"synthesis.{plan.name}"
        self.channels, self.inputs, self.kernel, width = shape_of(state, f"{name}.weight", 4)
        if self.kernel != width or self.kernel not in (1, 3):
            raise CheckpointError(f"{name}.weight has a {self.kernel}×{width} kernel, expected 1×1 or 3×3")
        self.weight, self.bias = empty(self.channels, self.inputs, width, width), empty(self.channels)
        self.affine = Dense(w_dim, self.inputs)
        self.register_buffer("magnitude_ema", torch.empty((), device="meta"))
        taps = []
        for which in ("up_filter", "down_filter"):
            shape = shape_of(state, f"{name}.{which}", 1, 2) if f"{name}.{which}" in state else None
            if shape is not None and (max(shape) > 128 or shape[0] != shape[-1]):
                raise CheckpointError(f"{name}.{which} has shape {list(shape)}; expected at most 128 taps, along each side the same")
            self.register_buffer(which, None if shape is None else torch.empty(shape, device="meta"))
            taps.append(1 if shape is None else shape[0])
        total = (plan.out_size - 1) * plan.down_factor + 1 - (plan.in_size + self.kernel - 1) * plan.up_factor + sum(taps) - 2
        self._before = (total + plan.up_factor) // 2
        self._after = total - self._before
        self.plan, self._last = plan, last

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        weight: Tensor = self.weight
        scale = None
        if self._last:
            style = style / math.sqrt(self.inputs)
        else:
            weight = weight * weight.square().mean(dim=(1, 2, 3), keepdim=True).rsqrt()
            style = style * style.square().mean(dim=-1, keepdim=True).rsqrt()
            squares = weight.square().sum(dim=(2, 3))
            scale = ((style.square() * squares).sum(2) if style.ndim == 3 else style.square() @ squares.T).add(1e-8).rsqrt()
        style = style * self.magnitude_ema.rsqrt()
        if style.ndim == 3:
            x = convolved(F.pad(x, [self.kernel // 2] * 4), weight, style)  # which pads half of the kernel itself
        else:
            x = F.conv2d(x * style[:, :, None, None], weight, padding=self.kernel - 1)
        if scale is not None:
            x = x * scale[:, :, None, None]
        x = upsampled(x + self.bias[:, None, None], self._filter("up_filter"), self.plan.up_factor, self._before, self._after)
        if not self._last:
            x = F.leaky_relu(x, 0.2) * math.sqrt(2)
        if self.plan.conv_clamp is not None:
            x = x.clamp(-self.plan.conv_clamp, self.plan.conv_clamp)
        return downsampled(x, self._filter("down_filter"), self.plan.down_factor)

    def _filter(self, name: str) -> Tensor:
        kernel: Tensor | None = self._buffers[name]
        return torch.ones_like(self.bias[:1]) if kernel is None else kernel


def upsampled(x: Tensor, kernel: Tensor, factor: int, before: int, after: int) -> Tensor:
    """x (B, C, H, W) with zeros put in, `before` and `after` added on each side (or cut off), convolved with `kernel`, gain factor².

    `kernel` is (n,), for each axis alike, or (n, n).
    """
    for f, axes in _split(kernel):
        taps, gain = kernel.shape[0], factor ** sum(axes)
        stride = tuple(factor if axis else 1 for axis in axes)
        sizes = [x.shape[2], x.shape[3]]
        x = F.conv_transpose2d(x, (f * gain).expand(x.shape[1], 1, -1, -1), stride=stride, groups=x.shape[1])
        # the transposed convolution starts taps − 1 zeros before the picture and ends as many after its last pixel
        pads = [(before - taps + 1, after + factor - taps) if axis else (0, 0) for axis in axes]
        x = F.pad(x, (*pads[1], *pads[0]))
        assert [x.shape[2], x.shape[3]] == [n * factor + before + after - taps + 1 if a else n for n, a in zip(sizes, axes, strict=True)]
    return x


def downsampled(x: Tensor, kernel: Tensor, factor: int) -> Tensor:
    """x (B, C, H, W) convolved with `kernel`, (n,) or (n, n), where it fits wholly; every `factor`-th pixel of each axis."""
    for f, axes in _split(kernel):
        stride = tuple(factor if axis else 1 for axis in axes)
        x = F.conv2d(x, f.flip(0, 1).expand(x.shape[1], 1, -1, -1), stride=stride, groups=x.shape[1])
    return x


def _split(kernel: Tensor) -> list[tuple[Tensor, tuple[int, int]]]:
    """The 2-D kernels whose convolutions one after the other are `kernel`'s, and the axes (down, across) that each works on."""
    if kernel.ndim == 2:
        return [(kernel, (1, 1))]
    return [(kernel[None, :], (0, 1)), (kernel[:, None], (1, 0))]
