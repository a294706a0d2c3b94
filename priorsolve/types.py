"""The words for tensors, and their ranges, stated once.

Batch comes first, always. Image values lie in [0, 1] at every public boundary; a generator may overshoot,
and nothing clamps it before a picture is written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt
from torch import Tensor

Shape: TypeAlias = tuple[int, ...]
"""A shape without its batch axis, such as (3, 64, 64)."""

Images: TypeAlias = Tensor
"""(B, C, H, W), float, values in [0, 1]."""

Measurements: TypeAlias = Tensor
"""(B, ...), float: whatever an operator makes of images."""

Codes: TypeAlias = Tensor
"""(B, ...), float: points in one of a prior's spaces."""

PerImage: TypeAlias = Tensor
"""(B,): one number per image."""


Floats: TypeAlias = npt.NDArray[np.float32]
"""A picture as files hold it, (H, W, C) or (H, W), values in [0, 1]."""

OnProgress: TypeAlias = Callable[[int, int], None]
"""Called as `progress(done, total)`."""


@runtime_checkable
class HasA(Protocol):
    """What a solver asks of an operator: the noiseless, differentiable map. Every deepinv physics has it."""

    def A(self, x: Images) -> Measurements: ...


AnyOperator: TypeAlias = HasA | Callable[[Images], Measurements]
"""What a solver takes for an operator: any object with a noiseless `.A`, or a function of images."""
