"""Transposed convolutions with weights of their own, as matrix products where maps are small or channels few."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, final

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from priorsolve.onednn import product

_SMALL = 16
"""Pixels of a small map. From 8×8 on a convolution in groups was as quick, from 16×16 on quicker (docs/performance.md)."""

_FEW = 3
"""Channels of a picture. For so few torch leads the gradient of one row another way than that of several, and rounds otherwise."""

_Pair = tuple[int, int]


@final
class Products(TorchFunctionMode):
    """While it is on, a row's transposed convolution with one of these weights, of a small map or to few channels, is a product.

    A map of few pixels uses each weight only a few times. A convolution first sorts the weights for itself, which costs more than that
    use; a product, pixels by weights, reads them where they lie. Works for `nn.ConvTranspose2d` without groups, on one row, which vmap
    makes all rows.
    """

    def __init__(self, weights: Iterable[Tensor]) -> None:
        super().__init__()
        self.own = {id(weight) for weight in weights}

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is F.conv_transpose2d and len(args) == 8 and id(args[1]) in self.own and _fits(*args[:2], *args[5:]):
            return transposed_convolution(*args[:5])
        return func(*args, **(kwargs or {}))


def transposed_convolution(x: Tensor, weight: Tensor, bias: Tensor | None, stride: _Pair, padding: _Pair) -> Tensor:
    """`F.conv_transpose2d` of one map (1, in, h, w) with a weight (in, out, k, k), as one product: (1, out, H, W)."""
    inputs, outputs, *_ = weight.shape
    kernel = weight.shape[2], weight.shape[3]
    pixels, matrix = x.reshape(inputs, -1), weight.reshape(inputs, -1)
    apply: Callable[..., Tensor] = _Patches.apply
    patches = apply(matrix, pixels)
    if pixels.shape[1] == 1 and not any(padding):  # one pixel makes one patch
        made = patches.view(1, outputs, *kernel)
    else:
        height, width = ((x.shape[2 + i] - 1) * stride[i] - 2 * padding[i] + kernel[i] for i in (0, 1))
        made = F.fold(patches[None], (height, width), kernel, stride=stride, padding=padding)
    return made if bias is None else made + bias[:, None, None]


class _Patches(Function):
    """Weights (..., inputs, M) and pixels (..., inputs, P): the patch that each pixel makes, (..., M, P).

    One product for each row, so that none depends on its neighbours. By oneDNN, which knows AVX-512 on all processors, but for one pixel,
    for which it would sort the weights; and the gradient of the weights, which is large and has few sums in it, is written straight into
    its place, and oneDNN's products cannot be.
    """

    @staticmethod
    def forward(weight: Tensor, pixels: Tensor) -> Tensor:
        each = zip(*(value.reshape(-1, *value.shape[-2:]) for value in (weight, pixels)), strict=True)
        made = torch.stack([_product(x.T, w.T) for w, x in each]).mT
        return made.reshape(*weight.shape[:-2], *made.shape[-2:])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, int | None], weight: Tensor, pixels: Tensor) -> tuple[Tensor, int]:
        rows = [
            value.expand(info.batch_size, *value.shape) if place is None else value.movedim(place, 0)
            for value, place in zip((weight, pixels), in_dims, strict=True)
        ]
        apply: Callable[..., Tensor] = _Patches.apply
        return apply(*rows), 0

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        weight, pixels = ctx.saved_tensors
        gradient = gradients[0].contiguous()
        by_weight, by_pixel = torch.empty_like(weight), torch.empty_like(pixels)
        each = (value.reshape(-1, *value.shape[-2:]) for value in (weight, pixels, gradient, by_weight, by_pixel))
        for w, x, g, to_weight, to_pixel in zip(*each, strict=True):
            to_pixel[:] = _product(w, g.T.contiguous())
            (torch.mul if x.shape[1] == 1 else torch.mm)(x, g.T, out=to_weight)  # the same; MKL's is slow for one pixel
        return by_weight, by_pixel


def _product(rows: Tensor, matrix: Tensor) -> Tensor:
    """Rows (M, K) times a matrix (N, K): (M, N)."""
    if 1 in (len(rows), len(matrix)):
        return torch.mm(rows, matrix.T, out=rows.new_empty(len(rows), len(matrix)))  # with `out` in its own type, whatever is around it
    return product(rows, matrix)


def _fits(x: Tensor, weight: Tensor, output_padding: _Pair, groups: int, dilation: _Pair) -> bool:
    small = x[0, 0].numel() <= _SMALL or weight.shape[1] <= _FEW
    return small and len(x) == 1 and x.dtype == weight.dtype and groups == 1 and not any(output_padding) and tuple(dilation) == (1, 1)
