"""Resampling along one axis, as matrices: Pillow's `resize` in the open."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from priorsolve.apart import apart

Kernel: TypeAlias = Literal["area", "nearest", "bilinear", "bicubic", "lanczos"]


@lru_cache(maxsize=64)
def shrink(size: int, factor: int, kernel: Kernel, dtype: torch.dtype, device: torch.device) -> Tensor:
    """R, (size / factor, size): row i holds the weights of the inputs that make output i; rows sum to 1.

    The kernel is stretched by `factor` (so that nothing aliases), centred on output i and cut at the edges. It is worked out in float64.
    """
    with apart():  # a tensor made in inference mode would break the next training step that meets it
        return _shrink(size, factor, kernel).to(device, dtype)


@lru_cache(maxsize=64)
def shrink_dagger(size: int, factor: int, kernel: Kernel, dtype: torch.dtype, device: torch.device) -> Tensor:
    """R†, (size, size / factor): the pseudo-inverse of `shrink`, worked out in float64."""
    with apart():
        dagger: Tensor = torch.linalg.pinv(_shrink(size, factor, kernel))
        return dagger.to(device, dtype)


def _shrink(size: int, factor: int, kernel: Kernel) -> Tensor:
    inputs = torch.arange(size, dtype=torch.float64)
    if kernel == "nearest":  # Pillow does not stretch this one: it takes the input under the output's centre
        return (inputs == torch.arange(factor // 2, size, factor)[:, None]).double()
    weight, reach = KERNELS[kernel]
    centres = (torch.arange(size // factor, dtype=torch.float64)[:, None] + 0.5) * factor
    first, last = (centres - reach * factor + 0.5).floor(), (centres + reach * factor + 0.5).floor()
    rows = weight((inputs + 0.5 - centres) / factor) * ((first <= inputs) & (inputs < last))
    return rows / rows.sum(1, keepdim=True)


def _area(t: Tensor) -> Tensor:
    return ((t > -0.5) & (t <= 0.5)).double()


def _bilinear(t: Tensor) -> Tensor:
    return (1 - t.abs()).clamp_min(0)


def _bicubic(t: Tensor, a: float = -0.5) -> Tensor:
    """Keys's cubic: (a + 2)t³ − (a + 3)t² + 1 up to 1, a(t³ − 5t² + 8t − 4) up to 2."""
    t = t.abs()
    near, far = ((a + 2) * t - (a + 3)) * t * t + 1, a * (((t - 5) * t + 8) * t - 4)
    return torch.where(t < 1, near, torch.where(t < 2, far, 0))


def _lanczos(t: Tensor) -> Tensor:
    """sinc(t) sinc(t / 3), up to 3."""
    return torch.where(t.abs() < 3, torch.sinc(t) * torch.sinc(t / 3), 0)


KERNELS: dict[Kernel, tuple[Callable[[Tensor], Tensor], float]] = {
    "area": (_area, 0.5),
    "bilinear": (_bilinear, 1.0),
    "bicubic": (_bicubic, 2.0),
    "lanczos": (_lanczos, 3.0),
}
"""Each kernel's formula, and how far it reaches, in outputs."""
