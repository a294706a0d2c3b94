"""What the deconvolutions share: borders, and kernels as scikit-image wants them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from priorsolve.operators import Blur
from priorsolve.operators.blur import Padding


def deconvolved(y: Tensor, blur: Blur, method: Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]) -> Tensor:
    """`method(channel, kernel)` for every channel of (C, H, W), in float64, with the picture continued past its border first.

    The method's own border (periodic, or black) then falls on what is cut off again. A kernel with an even side gets a row or column of
    zeros after its last, so that its middle is where the operator has it.
    """
    h, w = blur.kernel.shape
    odd = np.pad(blur.kernel.double().numpy(), ((0, 1 - h % 2), (0, 1 - w % 2)))
    rows, columns = (max(min(2 * side, size - 1), side // 2) for side, size in zip(odd.shape, y.shape[1:], strict=True))
    padded = np.pad(y.double().numpy(), ((0, 0), (rows, rows), (columns, columns)), mode=_continued(blur.padding, odd))
    sharp = np.stack([method(channel, odd) for channel in padded])
    return torch.from_numpy(sharp[:, rows : rows + y.shape[1], columns : columns + y.shape[2]].copy()).to(y)


def _continued(padding: Padding, kernel: NDArray[np.float64]) -> Literal["wrap", "reflect", "edge"]:
    """How a blurred picture goes on past its border, as `numpy.pad` calls it.

    Repeated, or mirrored, where that is what the blur makes of the repeated or mirrored original; else by its border pixels again and
    again. A mirrored picture has mirrored blur past its border, which a lopsided kernel does not explain.
    """
    if padding == "circular":
        return "wrap"
    symmetric = np.allclose(kernel, kernel[::-1]) and np.allclose(kernel, kernel[:, ::-1])
    return "reflect" if padding == "reflect" and symmetric else "edge"
