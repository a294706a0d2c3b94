"""Measurements, to and from files: pictures where they are some, else arrays."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from priorsolve.files import Write, is_array, write_atomically
from priorsolve.photos.images import as_tensor
from priorsolve.photos.pictures import PhotoError, finish, open_picture, size_of
from priorsolve.photos.writing import write_tagged
from priorsolve.types import Shape


def measurement_suffix(shape: Shape) -> Literal[".png", ".npy"]:
    """How a measurement of this shape (no batch axis) is kept: as a picture where it is one, else as an array."""
    return ".png" if len(shape) == 3 and shape[0] in (1, 3) else ".npy"


def write_measurement(path: Path, y: Tensor, write: Write = write_atomically) -> None:
    """Write one measurement (no batch axis), atomically: `.npy` as float32, any other suffix as `write_image` does.

    A picture holds 8 bits in [0, 1]: a measurement that reaches beyond, or must be exact, belongs in a `.npy`.
    """
    if not is_array(path):
        write_tagged(path, y, write=write)
        return
    data = io.BytesIO()
    np.save(data, y.detach().float().cpu().numpy(), allow_pickle=False)
    write(path, data.getvalue())


def read_measurement(path: Path, shape: Shape) -> Tensor:
    """Read one measurement of exactly `shape` (no batch axis), float32; a picture is never cropped or resized here.

    Raises PhotoError naming the shape found and the one expected, for arrays that are no floats, and for what `read_image` refuses.
    """
    if is_array(path):
        return _read_array(path, shape)
    if measurement_suffix(shape) != ".png":
        raise PhotoError(
            path,
            f"a picture, but the operator measures shape {tuple(shape)}: give a .npy of that shape, "
            "as `priorsolve degrade RECIPE --exact` writes it",
        )
    picture, original, notes = open_picture(path, smallest=1)
    if original != tuple(shape[1:]):
        raise PhotoError(path, f"{original[1]}×{original[0]} pixels, but the operator measures {shape[2]}×{shape[1]}")
    return as_tensor(finish(picture, notes), shape[0], notes)


def _read_array(path: Path, shape: Shape) -> Tensor:
    size_of(path)  # which refuses a pipe
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)  # mapped: the shape is known before anything is read
    except Exception as error:  # a broken head is taken for Python, which raises nearly anything
        raise PhotoError(path, "not a .npy array of numbers, or cut short") from error
    if array.dtype.kind != "f":
        raise PhotoError(path, f"an array of {array.dtype}; a measurement is an array of floats")
    if array.shape != tuple(shape):
        raise PhotoError(path, f"shape {array.shape}, but the operator measures {tuple(shape)}")
    values = np.array(array, dtype=np.float32)
    if not np.isfinite(values).all():
        raise PhotoError(path, "holds NaN or infinite values")
    return torch.from_numpy(values)
