"""DCGAN's layers for the CPU while their weights stay as they are: products of matrices where these are quicker than convolutions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

from priorsolve.priors.frozen import FrozenLayer, Product


@final
class First(FrozenLayer):
    """One pixel (B, I, 1, 1) → (B, O, k, k), as one product: 6 ms in place of 39 for 320 codes, there and back."""

    def _prepared(self, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
        _, outputs, *sides = weight.shape
        product = Product(weight.permute(2, 3, 1, 0).flatten(0, 2).to(dtype), bias.repeat(sides[0] * sides[1]).to(dtype))
        return lambda x: product(x.flatten(1)).view(len(x), *sides, outputs).permute(0, 3, 1, 2)


@final
class Last(FrozenLayer):
    """The doubling to few channels, (B, I, H, W) → (B, 3, 2H, 2W): each pixel's 4×4 patch is a product, and patches add up.

    For so few channels torch's own reaches a fifth of the speed that it has for many.
    """

    def _prepared(self, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
        product = Product(weight.permute(2, 3, 1, 0).flatten(0, 2).to(dtype))
        apply: Callable[..., Tensor] = _Patches.apply
        return lambda x: apply(x, product, bias.to(dtype), weight.to(dtype))


class _Patches(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, product: Product, bias: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        count, inputs, height, width = x.shape
        patches = product(x.permute(0, 2, 3, 1).reshape(-1, inputs)).view(count, height, width, 4, 4, -1).transpose(2, 3)
        image = bias.repeat(count, height + 1, 2, width + 1, 2, 1)
        for down in (0, 1):
            for right in (0, 1):
                quarter = patches[:, :, 2 * down : 2 * down + 2, :, 2 * right : 2 * right + 2]
                image[:, down : down + height, :, right : right + width] += quarter
        return image.view(count, 2 * height + 2, 2 * width + 2, -1)[:, 1:-1, 1:-1].permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (weight,) = ctx.saved_tensors
        return F.conv2d(gradients[0], weight, stride=2, padding=1), None, None, None
