"""From a photo's file to a measurement. Two situations that must not be confused:

the photo is the measurement (`observe`: real use), or the photo is clean and is degraded first (`photograph`, then `measure`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from priorsolve.files import is_array
from priorsolve.operators.base import Operator
from priorsolve.operators.noise import Noise
from priorsolve.photos.images import Crop, read_cropped
from priorsolve.photos.measurements import measurement_suffix, read_measurement
from priorsolve.photos.pictures import PhotoError
from priorsolve.types import Images, Measurements, Shape


def observe(path: Path, shape: Shape, luma: Sequence[float]) -> tuple[Tensor, Crop | None]:
    """The measurement (`shape`) that the file is, and how a picture was cropped and resized to that shape.

    Where one channel is measured, it has shares of red, green and blue, `luma`, of a photo in colours. Raises PhotoError.
    """
    if is_array(path) or measurement_suffix(shape) == ".npy":
        return read_measurement(path, shape), None
    return read_cropped(path, (shape[1], shape[2]), _channels(shape), luma)


def photograph(path: Path, shape: Shape, *, plain: bool = False) -> tuple[Tensor, Crop]:
    """The clean image (`shape`) that the file is, in 8 bits where `plain`, and how it was cropped and resized to that shape.

    Raises PhotoError.
    """
    if is_array(path):
        raise PhotoError(path, "an array is a measurement, not a photo to degrade; restore it without degrade (--degrade)")
    image, crop = read_cropped(path, (shape[1], shape[2]), _channels(shape))
    return (image * 255).round() / 255 if plain else image, crop


def measure(images: Images, operator: Operator, noise: Noise | None, seeds: list[int]) -> Measurements:
    """`A(x)` with noise where something was measured, each photo's noise from its own seed."""
    with torch.no_grad():
        y = operator.A(images)
        if noise is None:
            return y
        return noise(y, rng=[torch.Generator().manual_seed(seed) for seed in seeds], where=measured_where(operator, images))


def measured_where(operator: Operator, images: Images) -> Measurements:
    """1 where the operator measures something of `images`, 0 in the holes."""
    with torch.no_grad():
        return operator.support(torch.ones_like(images))


def _channels(shape: Shape) -> Literal[1, 3]:
    return 1 if shape[0] == 1 else 3
