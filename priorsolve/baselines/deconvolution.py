"""What the deconvolutions share: borders, and kernels as scikit-image wants them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def deconvolved(y: Tensor, kernel: Tensor, method: Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]) -> Tensor:
    """`method(channel, kernel)` for every channel of (C, H, W), in float64, with the picture mirrored past its border first.

    The method's own border (periodic, or black) then falls on what is cut off again. A kernel with an even side gets a row or column of
    zeros after its last, so that its middle is where the operator has it.
    """
    h, w = kernel.shape
    odd = np.pad(kernel.double().numpy(), ((0, 1 - h % 2), (0, 1 - w % 2)))
    rows, columns = (min(2 * side, size - 1) for side, size in zip(odd.shape, y.shape[1:], strict=True))
    padded = np.pad(y.double().numpy(), ((0, 0), (rows, rows), (columns, columns)), mode="reflect")
    sharp = np.stack([method(channel, odd) for channel in padded])
    return torch.from_numpy(sharp[:, rows : rows + y.shape[1], columns : columns + y.shape[2]].copy()).to(y)
