"""Features of several codes, mixed channel by channel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable


def mixed(features: Tensor, mix: Tensor) -> Tensor:
    """Σ α ⊙ F over the codes, of features (rows, N, C, ...) and weights (rows, N, C): (rows, C, ...). Gradients once."""
    apply: Callable[..., Tensor] = _Mixed.apply
    return apply(features, mix.view(*mix.shape, *[1] * (features.ndim - 3)))


class _Mixed(Function):
    """Code by code, so that the features of all codes, which no cache holds, are read once and no product of their size is written."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, mix: Tensor) -> Tensor:
        ctx.save_for_backward(features, mix)
        total = features[:, 0] * mix[:, 0]
        for n in range(1, mix.shape[1]):
            total.addcmul_(features[:, n], mix[:, n])
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        features, mix = ctx.saved_tensors
        (gradient,) = gradients
        by_mix = [(features[:, n] * gradient).sum_to_size(mix[:, n].shape) for n in range(mix.shape[1])]
        return gradient[:, None] * mix, torch.stack(by_mix, 1)
