"""Resampling along one axis, as matrices: Pillow's `resize` in the open, and what published programs have in its place."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from priorsolve.apart import apart

Kernel: TypeAlias = Literal["area", "nearest", "bilinear", "bicubic", "lanczos", "lanczos2", "aliased_bilinear", "aliased_bicubic"]


@lru_cache(maxsize=64)
def shrink(size: int, factor: int, kernel: Kernel, dtype: torch.dtype, device: torch.device) -> Tensor:
    """R, (size / factor, size): row i holds the weights of the inputs that make output i; rows sum to 1.

    The kernel is centred on output i and, unless it is an aliased one, stretched by `factor`. Pillow's are cut at the edges; the others
    see the edge go on. It is worked out in float64.
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
    if kernel == "nearest":  # Pillow does not stretch this one: it takes the input under the output's centre
        return (torch.arange(size) == torch.arange(factor // 2, size, factor)[:, None]).double()
    shape = KERNELS[kernel]
    stretch = 1 if shape.aliases else factor
    reach = shape.reach * stretch
    beyond = math.ceil(reach) if shape.goes_on else 0
    inputs = torch.arange(-beyond, size + beyond, dtype=torch.float64)
    centres = (torch.arange(size // factor, dtype=torch.float64)[:, None] + 0.5) * factor
    first, last = (centres - reach + 0.5).floor(), (centres + reach + 0.5).floor()
    rows = shape.weight((inputs + 0.5 - centres) / stretch) * ((first <= inputs) & (inputs < last))
    rows = rows / rows.sum(1, keepdim=True)
    return rows.new_zeros(len(rows), size).index_add(1, inputs.clamp(0, size - 1).long(), rows)


def _area(t: Tensor) -> Tensor:
    return ((t > -0.5) & (t <= 0.5)).double()


def _bilinear(t: Tensor) -> Tensor:
    return (1 - t.abs()).clamp_min(0)


def _bicubic(t: Tensor, a: float = -0.5) -> Tensor:
    """Keys's cubic: (a + 2)t³ − (a + 3)t² + 1 up to 1, a(t³ − 5t² + 8t − 4) up to 2."""
    t = t.abs()
    near, far = ((a + 2) * t - (a + 3)) * t * t + 1, a * (((t - 5) * t + 8) * t - 4)
    return torch.where(t < 1, near, torch.where(t < 2, far, 0))


def _lanczos(t: Tensor, lobes: int) -> Tensor:
    """sinc(t) sinc(t / lobes), up to as many."""
    return torch.where(t.abs() < lobes, torch.sinc(t) * torch.sinc(t / lobes), 0)


@dataclass(frozen=True)
class _Shape:
    """A kernel's formula, how far it reaches (in outputs; in inputs where it `aliases`), and whether edge pixels go on beyond the edge."""

    weight: Callable[[Tensor], Tensor]
    reach: float
    aliases: bool = False
    goes_on: bool = False


KERNELS: dict[Kernel, _Shape] = {
    "area": _Shape(_area, 0.5),
    "bilinear": _Shape(_bilinear, 1.0),
    "bicubic": _Shape(_bicubic, 2.0),
    "lanczos": _Shape(partial(_lanczos, lobes=3), 3.0),
    "lanczos2": _Shape(partial(_lanczos, lobes=2), 2.0, goes_on=True),
    "aliased_bilinear": _Shape(_bilinear, 1.0, aliases=True, goes_on=True),
    "aliased_bicubic": _Shape(partial(_bicubic, a=-0.75), 2.0, aliases=True, goes_on=True),
}
