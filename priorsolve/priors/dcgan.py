"""The DCGAN generator (Radford et al. 2016) as pytorch/examples writes it: transposed convolutions, BatchNorm, ReLU, tanh."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import final

import torch
from torch import Tensor, nn

from priorsolve.apart import apart
from priorsolve.priors.dcgan_frozen import First, Last
from priorsolve.priors.errors import CheckpointError
from priorsolve.priors.feedforward import FeedForward
from priorsolve.priors.layout import plain, refuse_other_types
from priorsolve.priors.toom import Toom
from priorsolve.types import Shape

_FEW = 3
"""Channels for which torch's own doubling is slow."""
_NORM = ("weight", "bias", "running_mean", "running_var")


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
        indices = _checked(state)
        blocks: list[nn.Module] = []
        spaces: dict[str, Shape] = {"z": (state["main.0.weight"].shape[0],)}
        side = 1
        for k, index in enumerate(indices):
            weight = state[f"main.{index}.weight"]
            convolution = _convolution(weight, first=k == 0, padding=last_padding)
            side = (side - 1) * convolution.stride[0] - 2 * int(convolution.padding[0]) + weight.shape[2]
            if side < 1:
                raise CheckpointError(f"main.{index}.weight: a padding of {last_padding} leaves no picture; choose a smaller last_padding")
            layers: list[nn.Module] = [nn.Unflatten(1, (weight.shape[0], 1, 1))] if k == 0 else []
            if index == indices[-1]:
                layers += [convolution, nn.Tanh()]
            else:
                layers += [convolution, _norm(state, index + 1), nn.ReLU(inplace=True)]
                spaces[f"features@{k + 1}"] = (weight.shape[1], side, side)
            blocks.append(nn.Sequential(*layers))
        return cls(blocks, spaces, (weight.shape[1], side, side))

    @apart()
    def folded(self) -> DCGAN:
        return type(self)(folded_blocks(self._blocks), self._spaces, self._image_shape).computing(self.computes)

    @apart()
    def crowded(self) -> DCGAN:
        return type(self)(folded_blocks(self._blocks, crowded=True), self._spaces, self._image_shape).computing(self.computes)


def _checked(state: Mapping[str, Tensor]) -> Sequence[int]:
    """The indices of the convolutions, 0, 3, 6, …, once every tensor has been looked at."""
    if "main.0.weight" not in state or state["main.0.weight"].ndim != 4:
        raise CheckpointError(
            f"not a DCGAN generator: no 4-D tensor main.0.weight; the first tensors are {', '.join([*state][:5]) or '(none)'}"
        )
    numbers = [key.split(".")[1] for key in state if key.startswith("main.")]
    highest = max(int(number) for number in numbers if number.isascii() and number.isdecimal() and len(number) < 5)
    indices = range(0, highest + 1, 3)
    channels = state["main.0.weight"].shape[0]
    known: dict[str, None] = {}
    for index in indices:
        last = index == indices[-1]
        for key, shape in _expected(state, index, channels, last):
            if key not in state:
                raise CheckpointError(f"{key} is missing; a DCGAN generator needs it, so save the whole state_dict again")
            if shape is not None and tuple(state[key].shape) != shape:
                raise CheckpointError(f"{key} has shape {tuple(state[key].shape)}, expected {shape} from the layer before it")
            known[key] = None
        channels = state[f"main.{index}.weight"].shape[1]
    for key in state:
        if key not in known and not key.endswith(".num_batches_tracked"):
            raise CheckpointError(
                f"{key} has no place in a DCGAN generator of {len(indices)} layers; save the generator's state_dict alone"
            )
    if channels not in (1, 3):
        raise CheckpointError(f"main.{indices[-1]}.weight draws {channels} channels; a picture has 1 or 3")
    refuse_other_types(state, known)
    _refuse("NaN or infinite values", [key for key in known if not bool(torch.isfinite(state[key].to(torch.float32)).all())])
    _refuse("negative variances", [key for key in known if key.endswith("running_var") and bool((state[key] < 0).any())])
    return indices


def _expected(state: Mapping[str, Tensor], index: int, channels: int, last: bool) -> Iterator[tuple[str, Shape | None]]:
    """The keys of the layer at `index` and of its BatchNorm, with the shapes that `channels` coming in allow."""
    key = f"main.{index}.weight"
    yield key, None
    weight = state[key]
    kernels = (1, 4) if last and index > 0 else (4,)
    if weight.ndim != 4 or weight.shape[2] != weight.shape[3] or weight.shape[2] not in kernels:
        raise CheckpointError(f"{key} has shape {tuple(weight.shape)}, expected a 4×4 kernel (in, out, 4, 4); other sizes are not DCGAN's")
    yield key, (channels, *weight.shape[1:])
    if not last:
        for name in _NORM:
            yield f"main.{index + 1}.{name}", (weight.shape[1],)


def _refuse(what: str, keys: list[str]) -> None:
    if keys:
        raise CheckpointError(f"{what} in {', '.join(sorted(keys))}; the file is damaged or its training diverged, so use another snapshot")


def _convolution(weight: Tensor, *, first: bool, padding: int | None) -> nn.ConvTranspose2d:
    """The transposed convolution of `weight` (in, out, k, k): k4 s1 p0 first, k4 s2 p1 after it, k1 s1 at the end of some variants."""
    inputs, outputs, kernel, _ = weight.shape
    if kernel == 1:
        stride, pad = 1, padding if padding is not None else (2 if outputs == 1 else 0)
    else:
        stride, pad = (1, 0) if first else (2, 1)
    layer = nn.ConvTranspose2d(inputs, outputs, kernel, stride, pad, bias=False, device="meta")
    layer.weight = nn.Parameter(plain(weight))
    return layer


def _norm(state: Mapping[str, Tensor], index: int) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(state[f"main.{index}.weight"].shape[0], dtype=torch.float32)
    tensors = {name: state[f"main.{index}.{name}"].to(torch.float32) for name in _NORM}
    layer.load_state_dict({**tensors, "num_batches_tracked": torch.tensor(0)})
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
    copy.weight = nn.Parameter(weight.detach().to(layer.weight, copy=True, memory_format=layout))
    copy.bias = None if bias is None else nn.Parameter(bias.detach().to(layer.weight, copy=True))
    return copy
