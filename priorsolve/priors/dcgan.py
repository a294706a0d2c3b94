"""The DCGAN generator (Radford et al. 2016) as pytorch/examples writes it: transposed convolutions, BatchNorm, ReLU, tanh."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import final

import torch
from torch import Tensor, nn

from priorsolve.apart import apart
from priorsolve.priors.dcgan_frozen import First, Last
from priorsolve.priors.errors import CheckpointError, first_names
from priorsolve.priors.feedforward import FeedForward
from priorsolve.priors.layers import holding
from priorsolve.priors.layout import numbered
from priorsolve.priors.tensors import Tensors
from priorsolve.priors.toom import Toom
from priorsolve.types import Shape

_FEW = 3
"""Channels for which torch's own doubling is slow."""


def recognises(state: Mapping[str, Tensor]) -> bool:
    """Whether the first tensor's name and axes are a DCGAN generator's."""
    return "main.0.weight" in state and state["main.0.weight"].ndim == 4


@final
class DCGAN(FeedForward):
    """z (nz,) → 4×4 features → twice the side per block → picture. z is N(0, I); BatchNorm uses its stored statistics.

    The spaces are `z` and `features@k`, (channels, side, side), for every block k but the first. Every size comes from the tensors:
    build one with `from_state`. `blocks` runs from z to the network's own output in [−1, 1]; `decode` gives (output + 1) / 2.
    """

    halves = True

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], *, last_padding: int | None = None) -> DCGAN:
        """The generator whose tensors are `main.0.weight`, `main.1.weight`, … in float32.

        Args:
            last_padding: padding of a 1×1 last layer, which no file states; left out, 2 for grey pictures (28²) and 0 for colour (32²),
                as in the published MNIST and CIFAR variants. A 4×4 last layer needs none of this.

        Raises:
            CheckpointError: a tensor is missing, unknown, of the wrong shape, not finite, or a negative variance; the line names it.
        """
        highest = max(numbered(state, "main."), default=0)
        return cls(*chain(state, range(0, highest + 1, 3), last_padding))

    @apart()
    def folded(self) -> DCGAN:
        return type(self)(folded_blocks(self._blocks), self._spaces, self._image_shape).computing(self.computes)

    @apart()
    def crowded(self) -> DCGAN:
        return type(self)(folded_blocks(self._blocks, crowded=True), self._spaces, self._image_shape).computing(self.computes)


def chain(
    state: Mapping[str, Tensor], convolutions: Sequence[int], last_padding: int | None = None
) -> tuple[list[nn.Module], dict[str, Shape], Shape]:
    """The blocks, spaces and image shape of the generator whose convolutions are `main.N.weight`, their BatchNorms `main.N+1`.

    Raises CheckpointError, as `DCGAN.from_state`.
    """
    if not recognises(state):
        raise CheckpointError(f"not a DCGAN generator: no 4-D tensor main.0.weight; the first tensors are {first_names(state)}")
    tensors = Tensors(state, f"DCGAN generator of {len(convolutions)} layers")
    channels, side = len(state["main.0.weight"]), 1
    blocks: list[nn.Module] = []
    spaces: dict[str, Shape] = {"z": (channels,)}
    for k, index in enumerate(convolutions):
        key, first, last = f"main.{index}.weight", k == 0, index == convolutions[-1]
        layers: list[nn.Module] = [nn.Unflatten(1, (channels, 1, 1))] if first else []
        convolution = _convolution(tensors, key, channels, first=first, last=last, padding=last_padding)
        channels = convolution.out_channels
        side = (side - 1) * convolution.stride[0] - 2 * int(convolution.padding[0]) + convolution.kernel_size[0]
        if side < 1:
            raise CheckpointError(f"{key}: a padding of {last_padding} leaves no picture; choose a smaller last_padding")
        if last:
            layers += [convolution, nn.Tanh()]
        else:
            layers += [convolution, _norm(tensors, f"main.{index + 1}", channels), nn.ReLU(inplace=True)]
            spaces[f"features@{k + 1}"] = (channels, side, side)
        blocks.append(nn.Sequential(*layers))
    if channels not in (1, 3):
        raise CheckpointError(f"{key} draws {channels} channels; a picture has 1 or 3")
    tensors.pass_over(*(key for key in state if key.endswith(".num_batches_tracked")))
    tensors.finish()
    return blocks, spaces, (channels, side, side)


def _convolution(tensors: Tensors, key: str, channels: int, *, first: bool, last: bool, padding: int | None) -> nn.ConvTranspose2d:
    """The transposed convolution `key` (in, out, k, k): k4 s1 p0 first, k4 s2 p1 after it, k1 s1 at the end of some variants."""
    _, outputs, kernel, width = shape = tensors.shape(key, 4)
    if kernel != width or kernel not in ((1, 4) if last and not first else (4,)):
        raise CheckpointError(f"{key} has shape {shape}, expected a 4×4 kernel (in, out, 4, 4); other sizes are not DCGAN's")
    if kernel == 1:
        stride, pad = 1, padding if padding is not None else (2 if outputs == 1 else 0)
    else:
        stride, pad = (1, 0) if first else (2, 1)
    layer = nn.ConvTranspose2d(channels, outputs, kernel, stride, pad, bias=False, device="meta")
    return holding(layer, tensors.take(key, (channels, outputs, kernel, kernel)), None)


def _norm(tensors: Tensors, name: str, channels: int) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(channels, dtype=torch.float32)
    numbers = {part: tensors.take(f"{name}.{part}", (channels,)) for part in ("weight", "bias", "running_mean")}
    numbers["running_var"] = tensors.take_variance(f"{name}.running_var", (channels,))
    layer.load_state_dict({**numbers, "num_batches_tracked": torch.tensor(0)})
    return layer


def folded_blocks(blocks: Iterable[nn.Module], *, crowded: bool = False) -> list[nn.Module]:
    """The blocks without their BatchNorms, of layers that are quick while weights stay; with `crowded`, for 16 rows and more at a time."""
    return [nn.Sequential(*(_frozen(layer, place, crowded) for layer in _folded(block))) for place, block in enumerate(blocks)]


def _folded(block: nn.Module) -> list[nn.Module]:
    """γ (Wx − μ) / √(σ² + ε) + β is one convolution with bias. Worked out in float64, and on the CPU: not every device has that.

    On the CPU its weights lie channels last, and so does what they make: a pass takes an eighth less.
    """
    layers: list[nn.Module] = []
    for layer in block.children():
        convolution = layers[-1] if layers else None
        if isinstance(layer, nn.BatchNorm2d) and isinstance(convolution, nn.ConvTranspose2d):
            numbers = (convolution.weight, layer.weight, layer.bias, layer.get_buffer("running_mean"), layer.get_buffer("running_var"))
            weight, gain, bias, mean, variance = (each.detach().cpu().double() for each in numbers)
            scale = gain / (variance + layer.eps).sqrt()
            layers[-1] = _copy(convolution, weight * scale[:, None, None], bias - mean * scale)
        elif isinstance(layer, nn.ConvTranspose2d):
            layers.append(_copy(layer, layer.weight, layer.bias))
        else:
            layers.append(layer)
    return layers


def _frozen(layer: nn.Module, place: int, crowded: bool) -> nn.Module:
    """The layer of block `place` in the form that is quickest on the CPU."""
    if isinstance(layer, nn.ReLU) and (place == 0 or crowded):
        return nn.ReLU()  # products may end in a view, in which working in place costs two copies
    if not isinstance(layer, nn.ConvTranspose2d) or (layer.weight.device.type, layer.weight.dtype) != ("cpu", torch.float32):
        return layer
    form = layer.kernel_size, layer.stride, layer.padding
    if form == ((4, 4), (1, 1), (0, 0)) and place == 0:
        return First(layer)
    if form != ((4, 4), (2, 2), (1, 1)):
        return layer
    if crowded and place == 1:
        return Toom(layer)
    return Last(layer) if layer.out_channels <= _FEW else layer


def _copy(layer: nn.ConvTranspose2d, weight: Tensor, bias: Tensor | None) -> nn.ConvTranspose2d:
    copy = nn.ConvTranspose2d(
        layer.in_channels, layer.out_channels, layer.kernel_size[0], layer.stride[0], int(layer.padding[0]), bias=False, device="meta"
    )
    layout = torch.channels_last if layer.weight.device.type == "cpu" else torch.preserve_format
    weight = weight.detach().to(layer.weight, copy=True, memory_format=layout)
    return holding(copy, weight, None if bias is None else bias.detach().to(layer.weight, copy=True))
