"""Products with a matrix by oneDNN: quick on all processors, and the order in which a row is added up is the same in any batch."""

from __future__ import annotations

import platform

import torch
from torch import Tensor
from torch.nn import functional as F

ALONE = 20480
"""Numbers up to which torch convolves a single picture without oneDNN, and so rounds it otherwise than several."""


def has_onednn() -> bool:
    """Whether this torch was built with it."""
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return available


def rounds_alike() -> bool:
    """Whether rows that the CPU computes together are rounded as each is alone, with the care that `alike.py` takes.

    That was found of oneDNN on x86 alone. Where torch has none, as on Macs, or it is switched off, other libraries multiply, each in its
    own order; on ARM oneDNN itself leads to one.
    """
    return has_onednn() and bool(torch.backends.mkldnn.enabled) and platform.machine() in ("x86_64", "AMD64")


def multiplies_bfloat16() -> bool:
    """Whether it is there and computes in bfloat16, for which the processor must have more than AVX2."""
    return has_onednn() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def multiplies(matrix: Tensor) -> bool:
    """Whether it multiplies by such a matrix on this machine."""
    if matrix.device.type != "cpu":
        return False
    return multiplies_bfloat16() if matrix.dtype == torch.bfloat16 else matrix.dtype == torch.float32 and has_onednn()


def product(rows: Tensor, matrix: Tensor, bias: Tensor | None = None) -> Tensor:
    """Rows (M, K) times a matrix (N, K), plus a bias (N,), by oneDNN where it can: (M, N). Without gradients."""
    if not (matrix.is_mkldnn or multiplies(matrix)):
        return F.linear(rows, matrix, bias)
    made: Tensor = torch.ops.mkldnn._linear_pointwise(rows, matrix, bias, "none", [], "")
    return made
