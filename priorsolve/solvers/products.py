"""Transposed convolutions with weights of their own, as matrix products where maps are small."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, final

from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

_SMALL = 16
"""Pixels of a small map. From 8×8 on a convolution in groups was as quick, from 16×16 on quicker (docs/performance.md)."""

_Pair = tuple[int, int]


@final
class Products(TorchFunctionMode):
    """While it is on, a row's transposed convolution of a small map with one of these weights is a product, pixels by weights.

    A map of few pixels uses each weight only a few times. A convolution first sorts the weights for itself, which costs more than that
    use; a product reads them where they lie. Works for `nn.ConvTranspose2d` without groups, on one row, which vmap makes all rows.
    """

    def __init__(self, weights: Iterable[Tensor]) -> None:
        super().__init__()
        self.own = {id(weight) for weight in weights}

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is F.conv_transpose2d and len(args) == 8 and id(args[1]) in self.own and _fits(args[0], *args[5:]):
            return transposed_convolution(*args[:5])
        return func(*args, **(kwargs or {}))


def transposed_convolution(x: Tensor, weight: Tensor, bias: Tensor | None, stride: _Pair, padding: _Pair) -> Tensor:
    """`F.conv_transpose2d` of one map (1, in, h, w) with a weight (in, out, k, k), as one product: (1, out, H, W)."""
    inputs, outputs, *_ = weight.shape
    kernel = weight.shape[2], weight.shape[3]
    columns = x.reshape(inputs, -1).T @ weight.reshape(inputs, -1)
    if len(columns) == 1 and not any(padding):  # one pixel makes one patch
        made = columns.view(1, outputs, *kernel)
    else:
        height, width = ((x.shape[2 + i] - 1) * stride[i] - 2 * padding[i] + kernel[i] for i in (0, 1))
        made = F.fold(columns.T[None], (height, width), kernel, stride=stride, padding=padding)
    return made if bias is None else made + bias[:, None, None]


def _fits(x: Tensor, output_padding: _Pair, groups: int, dilation: _Pair) -> bool:
    small = len(x) == 1 and x[0, 0].numel() <= _SMALL
    return small and groups == 1 and not any(output_padding) and tuple(dilation) == (1, 1)
