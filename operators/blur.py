"""Blur: a convolution that keeps the picture's size. Recipes make one with `gaussian_blur`, `motion_blur`, `disk_blur`, `file_blur`."""

from __future__ import annotations

from typing import Literal, TypeAlias, final, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from priorsolve.alike import plane_by_plane
from priorsolve.operators.base import LinearOperator
from priorsolve.operators.kernels import disk_kernel, gaussian_kernel, motion_kernel, read_kernel
from priorsolve.types import Images, Measurements, Shape

Padding: TypeAlias = Literal["reflect", "replicate", "circular", "zero"]
_TORCH_NAME: dict[Padding, str] = {"reflect": "reflect", "replicate": "replicate", "circular": "circular", "zero": "constant"}

FFT_FROM = 100
"""Kernels of at least this many entries are applied by FFT: beyond 9×9 it was the faster on a CPU, for images from 64² to 1024²."""


@final
class Blur(LinearOperator):
    """Convolution with one kernel, every channel by itself, the picture continued past its border by `padding`.

    y[i] = Σⱼ h[j] x̃[i + c − j]          x̃ = P x, the padded picture; c = ⌊k / 2⌋, per axis
    A = H P          Aᵀ = Pᵀ Hᵀ          A† = F⁻¹ (conj ĥ / |ĥ|²) F where ĥ ≠ 0, for circular; else by conjugate gradients

    A true convolution: a single bright point comes out as the kernel, not mirrored (equal to `scipy.ndimage.convolve`).

    A† drops the frequencies that the kernel erases to within rounding. Where it takes conjugate gradients, A A† y is within 1e-9 of y
    (float64) or 2e-5 (float32) only while the kernel keeps 1e-3 of every frequency, as Gaussians up to σ = 0.8 do. For wider kernels
    the 1000 steps end earlier: A A† y is within 1e-4 of the measurement of a photo (2e-4 of noise) in either type, and A† y
    lacks the finest detail. Choose padding="circular" where A† must be exact; in a composition it takes conjugate gradients all the same.

    Args:
        kernel: (h, w), any size, finite, of positive sum: it is divided by its sum.
        padding: "reflect" (mirror, the border pixel once), "replicate" (the border pixel again and again),
            "circular" (the picture repeats) or "zero" (black).
    """

    kernel: Tensor
    _rounded: Tensor

    def __init__(self, kernel: Tensor, padding: Padding = "reflect") -> None:
        super().__init__()
        if not isinstance(kernel, Tensor) or kernel.is_complex():
            given = "complex numbers" if isinstance(kernel, Tensor) else f"a {type(kernel).__name__}"
            raise ValueError(f"Blur: expected a kernel as a real tensor (h, w), got {given}; torch.as_tensor(...) makes one")
        if kernel.ndim != 2 or kernel.numel() == 0:
            raise ValueError(f"Blur: kernel must be of shape (h, w), got {tuple(kernel.shape)}")
        if padding not in get_args(Padding):
            raise ValueError(f"Blur: padding must be one of {', '.join(get_args(Padding))}, got {padding!r}")
        with torch.inference_mode(False):
            kernel = kernel.detach().to(torch.float64).clone()
            total = float(kernel.sum())
            if not total > 1e-12 * float(kernel.abs().sum()):  # also catches nan
                raise ValueError(f"Blur: kernel must be finite and of positive sum, got the sum {total:g}")
            self.kernel = kernel / total  # no buffer: not every device has float64
            self.register_buffer("_rounded", self.kernel.float(), persistent=False)
        self.padding = padding
        (h, w) = self.size = tuple(kernel.shape)
        self.before, self.after = ((h - 1) // 2, (w - 1) // 2), (h // 2, w // 2)

    def extra_repr(self) -> str:
        return f"kernel {self.size[0]}×{self.size[1]}, padding={self.padding!r}"

    def out_shape(self, in_shape: Shape) -> Shape:
        if len(in_shape) != 3:
            raise self._refuse("(B, C, H, W)", in_shape)
        least = [{"reflect": pad + 1, "circular": pad}.get(self.padding, 1) for pad in self.after]
        if in_shape[1] < least[0] or in_shape[2] < least[1]:
            raise self._refuse(f"(B, C, ≥{least[0]}, ≥{least[1]}), or padding='replicate'", in_shape)
        return in_shape

    def in_shape(self, out_shape: Shape) -> Shape:
        return self.out_shape(out_shape)

    def _A(self, x: Images) -> Measurements:
        return plane_by_plane(self._blurred, x)

    def _blurred(self, planes: Tensor) -> Tensor:
        (top, left), (bottom, right) = self.before, self.after
        return _convolve(F.pad(planes, (left, right, top, bottom), mode=_TORCH_NAME[self.padding]), self._kernel_for(planes))

    def _A_adjoint(self, y: Measurements) -> Images:
        padded = plane_by_plane(lambda planes: _convolve_transposed(planes, self._kernel_for(y)), y)
        for axis in (0, 1):
            padded = _fold(padded, self.before[axis], self.after[axis], self.padding, dim=axis + 2)
        return padded

    def _kernel_for(self, like: Tensor) -> Tensor:
        return (self.kernel if like.dtype == torch.float64 else self._rounded).to(like)

    def _A_dagger(self, y: Measurements) -> Images:
        if self.padding != "circular":
            return super()._A_dagger(y)
        if y.dtype not in (torch.float32, torch.float64):  # half precision has no FFT of every length
            return self._A_dagger(y.float()).to(y)
        size = y.shape[-2:]
        point = torch.zeros(1, *size, dtype=y.dtype, device=y.device)
        point[..., 0, 0] = 1
        h = torch.fft.rfft2(self._blurred(point))
        strength = h.abs()
        kept = strength > 8 * torch.finfo(y.dtype).eps * strength.amax()
        inverse = torch.where(kept, h.conj() / (strength**2).where(kept, 1), 0)
        return plane_by_plane(lambda planes: torch.fft.irfft2(inverse * torch.fft.rfft2(planes), s=size), y)


def gaussian_blur(sigma: float, padding: Padding = "reflect") -> Blur:
    """A Gaussian of standard deviation `sigma` pixels, cut at 4 σ."""
    return Blur(gaussian_kernel(sigma), padding)


def motion_blur(length: float, angle: float = 0.0, padding: Padding = "reflect") -> Blur:
    """A straight camera movement of `length` pixels, at `angle` degrees anticlockwise from the horizontal."""
    return Blur(motion_kernel(length, angle), padding)


def disk_blur(radius: float, padding: Padding = "reflect") -> Blur:
    """A lens out of focus: a disk of `radius` pixels."""
    return Blur(disk_kernel(radius), padding)


def file_blur(file: str, padding: Padding = "reflect") -> Blur:
    """The kernel in an image or in a `.npy` array (h, w), divided by its sum."""
    return Blur(read_kernel(file), padding)


def _convolve(x: Tensor, h: Tensor) -> Tensor:
    """`H`: where the kernel lies wholly inside planes `x`, so `(height − h + 1, width − w + 1)` come out."""
    if h.numel() < FFT_FROM:
        return _correlate(x, h.flip(0, 1))
    period = _period(x.shape[-2:])
    y: Tensor = torch.fft.irfft2(_spectrum(x, period) * _spectrum(h, period), s=period)
    return y[..., h.shape[0] - 1 : x.shape[-2], h.shape[1] - 1 : x.shape[-1]].to(x)


def _convolve_transposed(y: Tensor, h: Tensor) -> Tensor:
    """`Hᵀ`: correlation with the kernel wherever it touches `y`, so `(height + h − 1, width + w − 1)` come out."""
    y = F.pad(y, (h.shape[1] - 1, 0, h.shape[0] - 1, 0))
    if h.numel() < FFT_FROM:
        return _correlate(F.pad(y, (0, h.shape[1] - 1, 0, h.shape[0] - 1)), h)
    period = _period(y.shape[-2:])
    x: Tensor = torch.fft.irfft2(_spectrum(y, period) * _spectrum(h, period).conj(), s=period)
    return x[..., : y.shape[-2], : y.shape[-1]].to(y)


def _fold(y: Tensor, before: int, after: int, padding: Padding, dim: int) -> Tensor:
    """`Pᵀ` along one axis: every padded pixel is added to the one that it was copied from."""
    size = y.shape[dim] - before - after
    left, x, right = torch.split(y, [before, size, after], dim)
    if padding == "zero":
        return x
    pieces = {
        "reflect": [(left.flip(dim), 1), (right.flip(dim), size - 1 - after)],
        "replicate": [(left.sum(dim, keepdim=True), 0), (right.sum(dim, keepdim=True), size - 1)],
        "circular": [(left, size - before), (right, 0)],
    }
    x = x.clone()
    for piece, start in pieces[padding]:
        x.narrow(dim, start, piece.shape[dim]).add_(piece)
    return x


def _correlate(planes: Tensor, h: Tensor) -> Tensor:
    """As the channels of one picture: torch takes up to fifty times as long for a batch of single channels."""
    return F.conv2d(planes[None], h.expand(len(planes), 1, *h.shape).contiguous(), groups=len(planes))[0]


def _spectrum(x: Tensor, period: list[int]) -> Tensor:
    """In float32 at least: half precision has no FFT of every length, and torch's convolution of it may never end on a CPU."""
    spectrum: Tensor = torch.fft.rfft2(x if x.dtype in (torch.float32, torch.float64) else x.float(), s=period)
    return spectrum


def _period(size: torch.Size) -> list[int]:
    """The next lengths without a prime factor above 5, which the FFT is fast at."""
    return [next(n for n in range(length, 2 * length + 1) if pow(30, 64, n) == 0) for length in size]
