"""Small decoders made of matrices: the VAE and the MLP that compressed sensing with generative models is shown on (MNIST, 28²)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Literal, final

from torch import Tensor, nn

from priorsolve.apart import apart
from priorsolve.priors.decoders_frozen import frozen
from priorsolve.priors.errors import CheckpointError, first_names
from priorsolve.priors.feedforward import FeedForward
from priorsolve.priors.layers import linear
from priorsolve.priors.layout import numbered
from priorsolve.priors.tensors import Tensors
from priorsolve.types import Images, Shape

Hidden = Literal["relu", "softplus", "tanh"]
Output = Literal["sigmoid", "tanh"]

_HIDDEN: Mapping[Hidden, type[nn.Module]] = {"relu": nn.ReLU, "softplus": nn.Softplus, "tanh": nn.Tanh}
_OUTPUT: Mapping[Output, type[nn.Module]] = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh}
_ENCODER = re.compile(r"(fc1|fc2\d?|encoder\..*)\.(weight|bias)")


def recognises(state: Mapping[str, Tensor]) -> bool:
    """Whether the tensors are matrices and biases alone, in an order that their names show, from a few numbers to a square picture."""
    names = _layers(state)
    matrices = [state.get(f"{name}.weight") for name in names]
    if len(names) < 2 or any(value.ndim > 2 for value in state.values()):
        return False
    first, last = matrices[0], matrices[-1]
    if first is None or last is None or first.ndim != 2 or last.ndim != 2:
        return False
    shape = _square(last.shape[0])
    # what ends in a handful of numbers is a classifier
    return shape is not None and shape[1] >= 8 and first.shape[1] < last.shape[0]


@final
class Decoder(FeedForward):
    """z (n,) → matrix, bias, activation, as often as there are layers → picture. z is N(0, I).

    Behind a sigmoid the network's own output is already in [0, 1], and `decode` gives it as it is; behind a tanh, (output + 1) / 2.
    `features@k` is (width,).
    """

    def __init__(self, blocks: Sequence[nn.Module], spaces: Mapping[str, Shape], image_shape: Shape, output: Output) -> None:
        super().__init__(blocks, spaces, image_shape)
        self._output = output

    @classmethod
    def from_state(
        cls, state: Mapping[str, Tensor], *, hidden: Hidden = "relu", output: Output | None = None, image_shape: Shape | None = None
    ) -> Decoder:
        """The decoder in the layers `fc3`, `fc4` of pytorch/examples' VAE, in `decoder.0`, `decoder.2`, …, or in `0`, `2`, ….

        Args:
            hidden: the activation between layers, which no file states; CSGM's own MNIST decoder has softplus.
            output: the activation of the picture; left out, sigmoid for a VAE's decoder and tanh for the plain layers of a GAN.
            image_shape: (C, H, W); left out, a square grey picture, or else a square one of three colours.

        Raises:
            CheckpointError: a tensor is missing, unknown, of the wrong shape or not finite; the line names it.
        """
        names = _layers(state)
        if not names:
            raise CheckpointError(
                f"not a decoder of matrices: no layers fc3 and fc4, decoder.0 or 0; the first tensors are {first_names(state)}"
            )
        tensors = Tensors(state, f"decoder of {len(names)} layers")
        width = tensors.shape(f"{names[0]}.weight", 2)[1]
        if output is None:
            output = "tanh" if names[0].isdecimal() else "sigmoid"
        blocks: list[nn.Module] = []
        spaces: dict[str, Shape] = {"z": (width,)}
        for k, name in enumerate(names):
            weight = tensors.take(f"{name}.weight", (None, width))
            width = weight.shape[0]
            layer = linear(weight, tensors.take(f"{name}.bias", (width,)))
            if k < len(names) - 1:
                spaces[f"features@{k + 1}"] = (width,)
                blocks.append(nn.Sequential(layer, _HIDDEN[hidden]()))
        image_shape = image_shape or _square(width)
        if image_shape is None or math.prod(image_shape) != width:
            raise CheckpointError(f"{names[-1]}.weight draws {width} numbers, which are not a picture of {image_shape}; give image_shape")
        blocks.append(nn.Sequential(layer, _OUTPUT[output](), nn.Unflatten(1, image_shape)))
        tensors.pass_over(*(key for key in state if _ENCODER.fullmatch(key)))
        tensors.finish()
        return cls(blocks, spaces, image_shape, output)

    @apart()
    def folded(self) -> Decoder:
        blocks = [nn.Sequential(*map(frozen, block.children())) for block in self._blocks]
        return type(self)(blocks, self._spaces, self._image_shape, self._output).computing(self.computes)

    def _picture(self, output: Tensor) -> Images:
        return output if self._output == "sigmoid" else (output + 1) / 2


def _layers(state: Mapping[str, Tensor]) -> Sequence[str]:
    """The names of the decoder's layers, in order; none where they are not known."""
    if "fc3.weight" in state:
        return ["fc3", "fc4"]
    for prefix in ("decoder.", ""):
        if numbers := numbered(state, prefix, ".weight"):
            return [f"{prefix}{number}" for number in numbers]
    return []


def _square(n: int) -> Shape | None:
    """The shape of a square picture of `n` numbers, one colour or three."""
    for colours in (1, 3):
        side = math.isqrt(n // colours)
        if side and colours * side * side == n:
            return (colours, side, side)
    return None
