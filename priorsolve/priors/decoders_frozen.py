"""The layers of small decoders while their weights stay as they are: on the CPU a row is rounded as it is in any other batch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import final

import torch
from torch import Tensor, nn

from priorsolve.priors.frozen import FrozenLayer, Product


def frozen(layer: nn.Module) -> nn.Module:
    """The layer, with weights of its own, in the form that rounds so."""
    if type(layer) is nn.Linear:
        return Matrix(copy.deepcopy(layer))
    alike = _ALIKE.get(type(layer))
    return alike() if alike else layer


@final
class Matrix(FrozenLayer):
    """x Wᵀ + b."""

    def _prepared(self, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
        return Product(weight.to(dtype), bias.to(dtype))


@final
class Sigmoid(nn.Module):
    """1 / (1 + e⁻ˣ). The last few numbers of a batch are rounded otherwise by torch's sigmoid, and not by its tanh."""

    def forward(self, x: Tensor) -> Tensor:
        return (1 + torch.tanh(x / 2)) / 2


@final
class Softplus(nn.Module):
    """log (1 + eˣ), of which the same is true."""

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp_min(0) + torch.log1p(torch.exp(-x.abs()))


_ALIKE: Mapping[type[nn.Module], type[nn.Module]] = {nn.Sigmoid: Sigmoid, nn.Softplus: Softplus}
