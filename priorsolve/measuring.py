"""From a photo's file to a measurement. Two situations that must not be confused:

the photo is the measurement (`observe`: real use), or the photo is clean and is degraded first (`photograph`, then `measure`).
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from priorsolve.images import PhotoError, measurement_suffix, read_framed, read_measurement
from priorsolve.operators.base import Operator
from priorsolve.operators.noise import Noise
from priorsolve.types import Images, Measurements, Shape


def photo_seed(seed: int, name: str) -> int:
    """A photo's own seed, from the recipe's and the photo's name: the same in any batch, shard or order."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode("utf-8", "surrogatepass")).digest()[:6], "big")


def observe(path: Path, shape: Shape) -> tuple[Tensor, tuple[str, ...]]:
    """The measurement (`shape`) that the file is, and what was done to bring it to that shape.

    A picture is cropped and resized where its size differs, which the notes say. Raises PhotoError with the reason.
    """
    if path.suffix.lower() == ".npy" or measurement_suffix(shape) == ".npy":
        return read_measurement(path, shape), ()
    image, framing = read_framed(path, (shape[1], shape[2]), _channels(shape))
    return image, framing.sentences()


def photograph(path: Path, shape: Shape) -> tuple[Tensor, tuple[str, ...]]:
    """The clean image (`shape`) that the file is, and what was done to bring it to that shape. Raises PhotoError with the reason."""
    if path.suffix.lower() == ".npy":
        raise PhotoError(path, "an array is a measurement, not a photo to degrade; restore it without --degrade")
    image, framing = read_framed(path, (shape[1], shape[2]), _channels(shape))
    return image, framing.sentences()


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
