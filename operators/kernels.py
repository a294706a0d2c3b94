"""Blur kernels as pure functions: float64 tensors (h, w) of odd size that sum to 1, their centre of mass in the middle.

Lengths are in pixels. Angles are in degrees, anticlockwise from the picture's horizontal, as one draws them on paper.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from priorsolve.files import is_array, is_file
from priorsolve.showing import checked_path, is_number, shown

SAMPLES_PER_PIXEL = 64
WIDEST = 1025
"""Pixels of the widest kernel that is made of a number: as wide as the largest prior's picture. Wider ones would take the memory."""


def gaussian_kernel(sigma: float) -> Tensor:
    """`h[i, j] ∝ exp(−(i² + j²) / 2σ²)`, cut at 4 σ as `scipy.ndimage.gaussian_filter` does.

    Raises:
        ValueError: `sigma` (pixels) is not above 0 and at most 128.
    """
    _require_length("gaussian_kernel", "sigma", sigma, most=WIDEST // 8)
    radius = int(4 * sigma + 0.5)
    line = torch.exp(-(_offsets(radius) ** 2) / (2 * sigma**2))
    return _normalised(torch.outer(line, line))


def disk_kernel(radius: float) -> Tensor:
    """A lens out of focus: each pixel weighs the area that it shares with a disk of `radius`.

    The area over a pixel is the integral of the disk's vertical chord `±√(r² − x²)`, clipped to the pixel, by the midpoint rule.

    Raises:
        ValueError: `radius` (pixels) is not above 0 and at most 512.
    """
    _require_length("disk_kernel", "radius", radius, most=WIDEST // 2)
    reach = math.ceil(radius - 0.5 - 1e-9) if radius > 0.5 else 0
    middle = _offsets(reach)
    x = (middle[:, None] + _midpoints(SAMPLES_PER_PIXEL, 1.0)).flatten()
    chord = (radius**2 - x**2).clamp_min(0).sqrt()
    low, high = middle[:, None] - 0.5, middle[:, None] + 0.5
    inside = chord.clamp(low, high) - (-chord).clamp(low, high)
    area = inside.view(len(middle), len(middle), SAMPLES_PER_PIXEL).mean(2)
    return _normalised((area + area.T) / 2)  # the rule is exact along one axis only: share its error between the two


def motion_kernel(length: float, angle: float) -> Tensor:
    """A camera that moves evenly along a straight line: points of the line, each shared bilinearly among its four pixels.

    Raises:
        ValueError: `length` (pixels) is not above 0 and at most 1024, or `angle` (degrees) is not finite.
    """
    _require_length("motion_kernel", "length", length, most=WIDEST - 1)
    if not is_number(angle) or not math.isfinite(angle):
        raise ValueError(f"motion_kernel: angle must be a number of degrees, got {shown(angle)}")
    along = _midpoints(math.ceil(length * SAMPLES_PER_PIXEL), length)
    down, right = -math.sin(math.radians(angle)), math.cos(math.radians(angle))
    rows, columns = (_tents(along * step, reach=math.ceil(length / 2 * abs(step) - 1e-9)) for step in (down, right))
    return _normalised(rows.T @ columns)


def read_kernel(file: str) -> Tensor:
    """The kernel in an image (its channels averaged, bright is heavy) or in a `.npy` array (h, w), of any size.

    Raises:
        ValueError: there is no such file, or it holds no kernel.
    """
    path = checked_path(file, "file_blur: file")
    if not is_file(path):
        raise ValueError(f"file_blur: no kernel file {file!r}; give the path of an image or of a .npy array (h, w)")
    try:
        if is_array(path):
            values = np.load(path, allow_pickle=False)
        else:
            with Image.open(path) as image:
                values = np.asarray(image.convert("RGB") if image.mode in ("P", "RGBA", "LA", "1") else image)
        kernel = torch.from_numpy(np.asarray(values).astype(np.float64, casting="same_kind"))  # complex numbers are of another
    except (OSError, ValueError, TypeError, SyntaxError, EOFError, MemoryError, Image.DecompressionBombError) as error:
        raise ValueError(f"file_blur: cannot read a kernel from {file!r} ({error}); give an image or a .npy array (h, w)") from error
    kernel = kernel.mean(2) if kernel.ndim == 3 else kernel
    if kernel.ndim != 2:
        raise ValueError(f"file_blur: the kernel in {file!r} must be an array (h, w), got shape {tuple(kernel.shape)}")
    return kernel


def _offsets(radius: int) -> Tensor:
    return torch.arange(-radius, radius + 1, dtype=torch.float64, device="cpu")


def _midpoints(count: int, length: float) -> Tensor:
    """The middles of `count` equal pieces of a line of `length` around 0."""
    return (torch.arange(count, dtype=torch.float64, device="cpu") + 0.5) * (length / count) - length / 2


def _tents(position: Tensor, reach: int) -> Tensor:
    """(points, 2·reach + 1): the share of each point that falls to each pixel of a row."""
    return (1 - (position[:, None] - _offsets(reach)).abs()).clamp_min(0)


def _normalised(kernel: Tensor) -> Tensor:
    return kernel / kernel.sum()


def _require_length(what: str, name: str, value: float, *, most: int) -> None:
    if not is_number(value) or not value > 0:  # also catches nan
        raise ValueError(f"{what}: {name} must be above 0 pixels, got {shown(value)}")
    if value > most:
        raise ValueError(f"{what}: {name} must be at most {most} pixels, got {value:g}: no kernel is wider than {WIDEST} pixels")
