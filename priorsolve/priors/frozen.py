"""Layers with frozen weights, as the CPU does them fastest: channels last, and gradients of nothing but what enters.

Pictures are (B, C, H, W) as everywhere; in memory a pixel's channels lie side by side. Other layouts are right too, only slower.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F

from priorsolve.apart import apart
from priorsolve.onednn import ALONE, has_onednn, multiplies, product

_ROWS = 320
"""Rows that a packed matrix is sorted for; others are as quick. For a single row oneDNN would sort otherwise, and round otherwise."""

_ALIKE = 64
"""Rows that a product in bfloat16 always takes at a time, zeros among them if need be. oneDNN's kernels for AMX add a row up in an order
that depends on how many there are, and what is rounded otherwise soon differs in all digits that bfloat16 has."""

_SHORT = 128
"""Numbers in a row whose sum they never split."""


@final
class Cast(nn.Module):
    """A tensor that stays as it is, in the type that a pass computes in: brought to it once, and not at every pass.

    It may move to another device.
    """

    own: Tensor

    def __init__(self, own: Tensor) -> None:
        super().__init__()
        self.register_buffer("own", own.detach(), persistent=False)
        self._other: Tensor | None = None

    def forward(self, dtype: torch.dtype) -> Tensor:
        if dtype == self.own.dtype:
            return self.own
        if self._other is None or (self._other.dtype, self._other.device) != (dtype, self.own.device):
            with apart():
                self._other = self.own.to(dtype)
        return self._other


def type_of_pass(x: Tensor) -> torch.dtype:
    """What a pass that `x` enters computes in: autocast's type, or where there is none its own.

    A `Function` of ours has no autocast in its backward, so what enters one is brought to this type before.
    """
    kind = x.device.type
    there = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    return torch.get_autocast_dtype(kind) if there else x.dtype


class FrozenLayer(nn.Module, ABC):
    """A layer whose weights stay. On the CPU, in float32 and bfloat16, it takes its own way, else the plain layer's."""

    def __init__(self, plain: nn.ConvTranspose2d | nn.Linear) -> None:
        super().__init__()
        self.plain = plain
        self._made: dict[torch.dtype, Callable[[Tensor], Tensor]] = {}

    def forward(self, x: Tensor) -> Tensor:
        dtype = type_of_pass(x)
        if x.device.type != "cpu" or dtype not in (torch.float32, torch.bfloat16):
            made: Tensor = self.plain(x)
            return made
        if dtype not in self._made:
            with apart():
                weight = self.plain.weight.detach()
                outputs = self.plain.out_features if isinstance(self.plain, nn.Linear) else self.plain.out_channels
                bias = weight.new_zeros(outputs) if self.plain.bias is None else self.plain.bias.detach()
                self._made[dtype] = self._prepared(weight, bias, dtype)
        return self._made[dtype](x.to(dtype))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_made": {}}  # made again, wherever it comes to

    @abstractmethod
    def _prepared(self, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
        """The layer as a function of maps of this type, all that weights alone decide done."""


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (B, C, H, W) through the 1×1 convolution of `weight` (O, C, 1, 1).

    On one thread torch makes it a matrix product of MKL, which knows AVX-512 on Intel's processors only; oneDNN does it on all, twice as
    quickly. A dilated convolution goes there, and with 1×1 weights it is the same convolution.
    """
    wide = x.device.type == "cpu" and x.dtype in (torch.float32, torch.bfloat16) and x.numel() > ALONE and _has_wide_vectors()
    return F.conv2d(x, weight, bias, dilation=2 if wide else 1)


@final
class Product:
    """Rows (M, K) times a matrix (N, K) that stays as it is, plus a bias (N,): (M, N). Gradients reach the rows.

    The matrix is sorted once, there and back, as oneDNN's kernels read it, which are twice as quick as others (see `pointwise`). A row's
    numbers are the same, to the last bit, whatever rows stand beside it. Matrix, bias and rows are all of one type, float32 or bfloat16.
    Where oneDNN multiplies by no such matrix the product is torch's own.
    """

    def __init__(self, matrix: Tensor, bias: Tensor | None = None) -> None:
        self._there, self._back, self._bias = _sorted(matrix), _sorted(matrix.T), bias

    def __call__(self, rows: Tensor) -> Tensor:
        apply: Callable[..., Tensor] = _Product.apply
        return apply(rows, self._there, self._back, self._bias)


class _Product(Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, matrix: Tensor, back: Tensor, bias: Tensor | None) -> Tensor:
        ctx.matrices = back, matrix
        alike = rows.dtype == torch.bfloat16 and rows.shape[1] > _SHORT
        together = _ALIKE if alike else max(len(rows), 2)  # a row alone would be added up in another order
        missing = -len(rows) % together
        parts = torch.split(F.pad(rows, (0, 0, 0, missing)) if missing else rows, together)
        made = [product(part, matrix, bias) for part in parts]
        whole = made[0] if len(made) == 1 else torch.cat(made)
        return whole[: len(rows)].clone() if missing else whole

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        apply: Callable[..., Tensor] = _Product.apply
        return apply(gradients[0], *ctx.matrices, None), None, None, None


def _sorted(matrix: Tensor) -> Tensor:
    if not multiplies(matrix):
        return matrix
    made: Tensor = torch.ops.mkldnn._reorder_linear_weight(matrix.contiguous(), _ROWS)
    return made


def depthwise(x: Tensor, weight: Tensor, mirrored: Tensor) -> Tensor:
    """x (B, C, H, W), each channel convolved with its own k×k of `weight` (C, 1, k, k), k odd, zeros around.

    Args:
        mirrored: the weights turned by half, which lead the gradient back.
    """
    apply: Callable[..., Tensor] = _Depthwise.apply
    return apply(x, weight, mirrored)


class _Depthwise(Function):
    """The gradient is the same convolution with mirrored weights. torch's own takes three times as long, in bfloat16 six times."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, mirrored: Tensor) -> Tensor:
        ctx.save_for_backward(weight, mirrored)
        return F.conv2d(x, weight, padding=weight.shape[-1] // 2, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        weight, mirrored = ctx.saved_tensors
        return depthwise(gradients[0], mirrored, weight), None, None


def _has_wide_vectors() -> bool:
    return has_onednn() and torch.backends.cpu.get_cpu_capability() == "AVX512"
