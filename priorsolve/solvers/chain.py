"""A generator as a chain of layers: an affine map and an increasing function of each number."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy
import scipy
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from priorsolve.priors.base import Prior
from priorsolve.types import Codes, Images, Shape

_SHAPES = (nn.Flatten, nn.Unflatten, nn.Identity, nn.Dropout)
_AFFINE = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm1d, nn.BatchNorm2d, *_SHAPES)
_ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.Sigmoid, nn.Softplus)
_COLUMNS = 256
"""Unit vectors that go through an affine map at a time while its matrix is read off."""


@dataclass(frozen=True)
class Layer:
    """`activation(affine(x))`, in float64 on the CPU."""

    block: int
    """The place in `prior.blocks`, for messages."""
    affine: nn.Sequential
    activation: nn.Module | None
    in_shape: Shape
    inputs: int
    outputs: int

    def __call__(self, x: Tensor) -> Tensor:
        """(B, *in_shape) or (B, inputs) → (B, ...)."""
        x = self.affine(x.reshape(-1, *self.in_shape))
        return x if self.activation is None else self.activation(x.clone())  # some work in place

    def matrix(self) -> tuple[Any, NDArray[numpy.float64]]:
        """W (outputs, inputs), sparse, and b (outputs,) of the affine map, normalisations and all."""
        bias = self.affine(torch.zeros(1, *self.in_shape, dtype=torch.float64)).flatten()
        parts = []
        for units in torch.split(torch.eye(self.inputs, dtype=torch.float64), _COLUMNS):
            columns = self.affine(units.reshape(-1, *self.in_shape)).reshape(len(units), -1) - bias
            columns[columns.abs() <= 1e-14 * bias.abs()] = 0  # rounding, where a unit does not reach
            parts.append(scipy.sparse.csr_array(columns.T.numpy()))
        return scipy.sparse.hstack(parts, format="csr"), bias.numpy()


@dataclass(frozen=True)
class Chain:
    """The layers from a code of the prior's first space to its picture, which is `scale`·output + `offset`."""

    layers: Sequence[Layer]
    image_shape: Shape
    scale: float
    offset: float

    @staticmethod
    @torch.no_grad()
    def of(prior: Prior, who: str) -> Chain:
        """The prior's own chain, copied. Raises ValueError, beginning with `who`, naming the block that is no such layer."""
        codes = prior.sample(2, torch.Generator().manual_seed(0))
        layers, x = [], codes.cpu().double()
        for block, affine, activation in _split(prior, who):
            shape = tuple(x.shape[1:])
            layer = Layer(block, affine, activation, shape, math.prod(shape), 0)
            try:
                x = layer(x)
            except RuntimeError as error:
                raise ValueError(f"{who}: block {block} of {prior} does not take what the block before it makes ({error})") from None
            layers.append(replace(layer, outputs=math.prod(x.shape[1:])))
        images = prior.decode(codes).cpu().double()
        for scale, offset in ((1.0, 0.0), (0.5, 0.5)):
            if x[0].numel() == images[0].numel() and torch.allclose(scale * x.reshape(images.shape) + offset, images, rtol=0, atol=1e-3):
                return Chain(layers, tuple(prior.image_shape), scale, offset)
        raise ValueError(f"{who}: {prior} does not draw what its blocks make one after another; use the solver latent")

    def picture(self, x: Codes, start: int) -> Images:
        """(B, C, H, W) from what enters layer `start`."""
        for layer in self.layers[start:]:
            x = layer(x)
        return self.scale * x.reshape(-1, *self.image_shape) + self.offset


def _split(prior: Prior, who: str) -> Iterator[tuple[int, nn.Sequential, nn.Module | None]]:
    """(block, affine part, activation) from code to picture; what only reshapes the picture at the end is left out."""
    waiting: list[nn.Module] = []
    first = block = 0
    for block, outer in enumerate(prior.blocks):
        for module in _leaves(outer):
            if not _understood(module):
                raise ValueError(
                    f"{who}: block {block} of {prior} has a {type(module).__name__}, which it cannot invert; it can invert "
                    "Linear, Conv2d, ConvTranspose2d, BatchNorm, ReLU, LeakyReLU, Tanh, Sigmoid and Softplus; use the solver latent"
                )
            module = copy.deepcopy(module).to("cpu", torch.float64)
            if isinstance(module, _ACTIVATIONS):
                yield first, nn.Sequential(*waiting), module
                waiting = []
            else:
                first = first if waiting else block
                waiting.append(module)
    if any(not isinstance(module, _SHAPES) for module in waiting):
        yield first, nn.Sequential(*waiting), None


def _leaves(module: nn.Module) -> Iterator[nn.Module]:
    if isinstance(module, nn.Sequential):
        for part in module:
            yield from _leaves(part)
    else:
        yield module


def _understood(module: nn.Module) -> bool:
    """Whether it is exactly what its class says; a class of the same kind might do more."""
    if type(module) is nn.LeakyReLU:
        return module.negative_slope > 0
    if type(module) is nn.Softplus:
        return bool(module.beta == 1)
    return type(module) in (*_AFFINE, *_ACTIVATIONS)
