"""The PGGAN generator (Karras et al. 2018) from ganseeing's, genforce's or mganprior's files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import final

from torch import Tensor, nn

from priorsolve.priors.errors import CheckpointError, first_names
from priorsolve.priors.feedforward import FeedForward
from priorsolve.priors.layers import Growing, PixelNorm, convolution, linear
from priorsolve.priors.pggan_keys import Dialect, dialect_of
from priorsolve.priors.tensors import Tensors
from priorsolve.types import Shape


def recognises(state: Mapping[str, Tensor]) -> bool:
    """Whether the tensors' names are those of a PGGAN generator."""
    return dialect_of(state) is not None


@final
class PGGAN(FeedForward):
    """z (n,) → 4×4 features → two layers per resolution → picture. z is N(0, I); its length has no effect.

    Each of the `blocks` is one convolution, so `features@k`, (channels, side, side), is what k layers made, as mGANprior counts them.
    Every layer normalises what enters it at each pixel. The constants that training keeps beside the weights, gain / √fan_in, are
    multiplied in. `decode` gives (output + 1) / 2; ganseeing's network clips its output, the others do not.
    """

    rounds_together = True

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], *, fused: bool | None = None) -> PGGAN:
        """The generator of a state dict in any of the dialects; the picture of the finest RGB layer is drawn.

        Args:
            fused: whether genforce's upsampling layers hold transposed convolutions, (in, out, 3, 3). Left out, the shapes tell;
                where every width is the same they cannot, and False, the repository's default, is taken.

        Raises:
            CheckpointError: a tensor is missing, unknown, of the wrong shape, or not finite; the line names it.
        """
        names = dialect_of(state)
        if names is None:
            raise CheckpointError(f"not a PGGAN generator: no first layer under a known name; the first tensors are {first_names(state)}")
        count = names.layers(state)
        tensors = Tensors(state, f"PGGAN generator of {count} layers")
        _refuse_unfinished(tensors, state)
        if fused is None:
            fused = _is_fused(tensors, names, count)
        channels, n = tensors.shape(names.weight(0), 4)[:2]
        blocks: list[nn.Module] = [_first(tensors, names, n)]
        spaces: dict[str, Shape] = {"z": (n,)}
        for k in range(1, count):
            spaces[f"features@{k}"] = (channels, *_side(k - 1))
            blocks.append(_layer(tensors, names, k, channels, fused))
            channels = tensors.shape(names.bias(k), 1)[0]
        spaces[f"features@{count}"] = (channels, *_side(count - 1))
        blocks.append(_rgb(tensors, names, count // 2 - 1, channels))
        tensors.finish()
        return cls(blocks, spaces, (tensors.shape(names.rgb(count // 2 - 1)[1], 1)[0], *_side(count - 1)))


def _side(k: int) -> tuple[int, int]:
    """Height and width of what layer k makes."""
    return 4 << k // 2, 4 << k // 2


def _refuse_unfinished(tensors: Tensors, state: Mapping[str, Tensor]) -> None:
    """Raise for a snapshot from before the last resolution was grown: `lod` counts the resolutions still missing."""
    tensors.pass_over("lod")
    if "lod" in state and (state["lod"].numel() != 1 or float(state["lod"]) != 0):
        raise CheckpointError("lod is not 0: training had not reached the finest resolution; use a snapshot from its end")


def _is_fused(tensors: Tensors, names: Dialect, count: int) -> bool:
    """Whether an upsampling layer shows (in, out, 3, 3); the layers around it say how wide it is on either side."""
    for k in range(2, count, 2):
        before, after = (tensors.shape(names.bias(j), 1)[0] for j in (k - 1, k))
        if before != after and names.fused(k) in tensors:
            return names.fused(k) != names.weight(k) or tensors.shape(names.fused(k), 4)[:2] == (before, after)
    return False


def _first(tensors: Tensors, names: Dialect, n: int) -> nn.Module:
    """The 4×4 convolution of one padded pixel: a matrix whose columns are the mirrored kernels."""
    weight = tensors.take(names.weight(0), (None, n, 4, 4)) * math.sqrt(2 / (16 * n))
    channels = weight.shape[0]
    matrix = weight.flip(2, 3).permute(0, 2, 3, 1).reshape(16 * channels, n)
    bias = tensors.take(names.bias(0), (channels,)).repeat_interleave(16)
    return nn.Sequential(PixelNorm(), linear(matrix, bias), nn.Unflatten(1, (channels, 4, 4)), nn.LeakyReLU(0.2, inplace=True))


def _layer(tensors: Tensors, names: Dialect, k: int, channels: int, fused: bool) -> nn.Module:
    up = k % 2 == 0
    outputs = tensors.shape(names.bias(k), 1)[0]
    if up and names.fused(k) != names.weight(k) and names.fused(k) in tensors:
        weight = tensors.take(names.fused(k), (3, 3, channels, outputs)).permute(3, 2, 0, 1).flip(2, 3)
    elif up and fused:
        # the transposed convolution spreads each pixel over 2×2 first, so it is nearest upsampling and the mirrored kernel
        weight = tensors.take(names.weight(k), (channels, outputs, 3, 3)).transpose(0, 1).flip(2, 3)
    else:
        weight = tensors.take(names.weight(k), (outputs, channels, 3, 3))
    layer = convolution(weight.contiguous() * math.sqrt(2 / (9 * channels)), tensors.take(names.bias(k), (outputs,)))
    return nn.Sequential(PixelNorm(), Growing(layer) if up else layer, nn.LeakyReLU(0.2, inplace=True))


def _rgb(tensors: Tensors, names: Dialect, block: int, channels: int) -> nn.Module:
    weight_key, bias_key = names.rgb(block)
    weight = tensors.take(weight_key, (None, channels, 1, 1)) / math.sqrt(channels)
    bias = tensors.take(bias_key, weight.shape[:1])
    if weight.shape[0] not in (1, 3):
        raise CheckpointError(f"{weight_key} draws {weight.shape[0]} channels; a picture has 1 or 3")
    tensors.pass_over(*(key for coarser in range(block) for key in names.rgb(coarser)))
    return nn.Sequential(PixelNorm(), convolution(weight, bias), *([nn.Hardtanh()] if names.clamps else []))
