"""Products with a matrix by oneDNN: quick on all processors, and the order in which a row is added up is the same in any batch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

ALONE = 20480
"""Numbers up to which torch convolves a single picture without oneDNN, and so rounds it otherwise than several."""


def has_onednn() -> bool:
    """Whether this torch was built with it."""
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return available


def product(rows: Tensor, matrix: Tensor, bias: Tensor | None = None) -> Tensor:
    """Rows (M, K) times a matrix (N, K), plus a bias (N,), by oneDNN where it is: (M, N). Without gradients."""
    if not matrix.is_mkldnn and not (has_onednn() and matrix.device.type == "cpu" and matrix.dtype in (torch.float32, torch.bfloat16)):
        return F.linear(rows, matrix, bias)
    made: Tensor = torch.ops.mkldnn._linear_pointwise(rows, matrix, bias, "none", [], "")
    return made
