"""The mapping network of the StyleGANs: a latent z, and a class where there are classes, to a style w."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from priorsolve.counter_rng import normal
from priorsolve.priors.errors import CheckpointError
from priorsolve.priors.layers import normalised
from priorsolve.priors.layout import empty, numbered, shape_of

MEAN = "mapping.w_avg"


@final
class Dense(nn.Module):
    """y = x (W·g)ᵀ + b·m, g = m/√inputs (`gain`): weights kept at unit scale, with the learning-rate multiplier m applied as they are used.

    Args:
        inputs, outputs: numbers in and out.
        multiplier: m.
        active: whether a leaky ReLU (0.2, times √2) follows.
    """

    def __init__(self, inputs: int, outputs: int, multiplier: float = 1.0, *, active: bool = False) -> None:
        super().__init__()
        self.weight, self.bias = empty(outputs, inputs), empty(outputs)
        self.gain, self._multiplier, self._active = multiplier / math.sqrt(inputs), multiplier, active

    @property
    def matrix(self) -> Tensor:
        """W·g."""
        return self.weight * self.gain

    def forward(self, x: Tensor) -> Tensor:
        bias = self.bias if self._multiplier == 1 else self.bias * self._multiplier
        y = F.linear(x, self.matrix, bias)
        return F.leaky_relu(y, 0.2) * math.sqrt(2) if self._active else y


@final
class MappingNetwork(nn.Module):
    """z (B, z_dim), and after it the embedded class (B, n_features) where there are classes, to w (B, w_dim). `w_avg` is the mean w, w̄.

    w̄ is (w_dim,), or (L, w_dim) in files that keep one for each layer.
    """

    w_avg: Tensor
    embed: Dense
    fc0: Dense

    def __init__(self, state: Mapping[str, Tensor], multiplier: float) -> None:
        """Sizes come from the tensors `mapping.*` of `state`; raises CheckpointError where they make no network."""
        super().__init__()
        depth = len(numbered(state, "mapping.fc", ".weight"))
        width = shape_of(state, "mapping.fc0.weight", 2)[1]
        self.n_features, self.n_classes = 0, 0
        if "mapping.embed.weight" in state:
            self.n_features, self.n_classes = shape_of(state, "mapping.embed.weight", 2)
            self.embed = Dense(self.n_classes, self.n_features)
        self.z_dim = width - self.n_features
        if self.z_dim < 1:
            raise CheckpointError(f"mapping.fc0.weight takes {width} numbers, {self.n_features} of them the class; no room is left for z")
        for i in range(depth):
            outputs = shape_of(state, f"mapping.fc{i}.weight", 2)[0]
            self.add_module(f"fc{i}", Dense(width, outputs, multiplier, active=True))
            width = outputs
        self.w_dim, self._depth = width, depth
        shape = shape_of(state, MEAN, 1, 2) if MEAN in state else (width,)
        self.register_buffer("w_avg", torch.empty(shape, device="meta"))

    def drawn(self, start: int, n: int, rng: torch.Generator) -> Tensor:
        """Codes `start` to `start + n` of many: z, and after it one class after another where there are classes."""
        z = normal(rng, n, self.z_dim).to(self.fc0.weight)
        if not self.n_classes:
            return z
        # the columns, for a row of weights for each of many classes would be the largest tensor of all
        columns = self.embed.weight[:, torch.arange(start, start + n, device="cpu") % self.n_classes]
        return torch.cat([z, columns.T * self.embed.gain + self.embed.bias], 1)

    def forward(self, code: Tensor) -> Tensor:
        z, embedded = code[:, : self.z_dim], code[:, self.z_dim :]
        x = torch.cat([normalised(z), normalised(embedded)], dim=1) if self.n_features else normalised(z)
        for i in range(self._depth):
            x = self.get_submodule(f"fc{i}")(x)
        return x.to(code.dtype)  # what follows may meet w̄, which is of that type whatever the layers compute in
