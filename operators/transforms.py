"""Orthonormal real transforms of the last axis, of any length, each with its inverse (which is its transpose)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Transform(NamedTuple):
    """`inverse(forward(x)) = x`, and both keep the length of every vector."""

    forward: Callable[[Tensor], Tensor]
    inverse: Callable[[Tensor], Tensor]


def dct(x: Tensor) -> Tensor:
    """The cosine transform (DCT-II), by one FFT (Makhoul 1980): `c[k] = √(2/n) Σᵢ x[i] cos(π k (2i + 1) / 2n)`, `c[0]` over √2."""
    n = x.shape[-1]
    folded = torch.cat([x[..., ::2], x[..., 1::2].flip(-1)], -1)
    z = torch.fft.rfft(folded, norm="ortho") * _quarter_turn(x, -1)
    c = torch.cat([z.real, -z.imag[..., 1 : (n + 1) // 2].flip(-1)], -1)
    return c * _dct_scale(x)


def idct(c: Tensor) -> Tensor:
    """The inverse of `dct` (DCT-III)."""
    n = c.shape[-1]
    c = c / _dct_scale(c)
    mirrored = torch.cat([torch.zeros_like(c[..., :1]), c[..., 1:].flip(-1)], -1)  # c[n − k], and c[n] = 0
    z = torch.complex(c, -mirrored)[..., : n // 2 + 1] * _quarter_turn(c, 1)
    folded = torch.fft.irfft(z, n=n, norm="ortho")
    x = torch.empty_like(folded)
    x[..., ::2], x[..., 1::2] = folded[..., : (n + 1) // 2], folded[..., (n + 1) // 2 :].flip(-1)
    return x


def real_fft(x: Tensor) -> Tensor:
    """The Fourier transform of a real vector as a real vector: `[ẑ₀, √2 Re ẑ₁…, (ẑₙ⸝₂,) √2 Im ẑ₁…]`, with ẑ over √n."""
    n = x.shape[-1]
    z = torch.fft.rfft(x, norm="ortho")
    return torch.cat([z.real * _pair_scale(x), math.sqrt(2) * z.imag[..., 1 : (n + 1) // 2]], -1)


def inverse_real_fft(c: Tensor) -> Tensor:
    """The inverse of `real_fft`."""
    n = c.shape[-1]
    real, imaginary = c[..., : n // 2 + 1], c[..., n // 2 + 1 :]
    none = torch.zeros_like(real[..., :1])
    imaginary = torch.cat([none, imaginary / math.sqrt(2)] + ([none] if n % 2 == 0 else []), -1)
    x: Tensor = torch.fft.irfft(torch.complex(real / _pair_scale(c), imaginary), n=n, norm="ortho")
    return x


def hadamard(x: Tensor) -> Tensor:
    """The Walsh-Hadamard transform, `H₂ₙ = [[Hₙ, Hₙ], [Hₙ, −Hₙ]] / √2`, in natural order.

    A length n = 2ᵃ·b with b odd and above 1 has no such transform; `C_b ⊗ H₂ₐ`, with the cosine transform of length b, stands in for
    it, as it too is orthonormal and mixes all of x: so nothing is padded, and rows stay orthogonal at every length.
    """
    blocks = _by_power_of_two(x)
    return _along_blocks(dct, _butterflies(blocks)).reshape(x.shape)


def inverse_hadamard(c: Tensor) -> Tensor:
    """The inverse of `hadamard`."""
    return _butterflies(_along_blocks(idct, _by_power_of_two(c))).reshape(c.shape)


TRANSFORMS = {
    "hadamard": Transform(hadamard, inverse_hadamard),
    "dct": Transform(dct, idct),
    "fft": Transform(real_fft, inverse_real_fft),
}


def _butterflies(x: Tensor) -> Tensor:
    shape, half = x.shape, 1
    while half < shape[-1]:
        upper, lower = x.reshape(*shape[:-1], -1, 2, half).unbind(-2)
        x = torch.stack([upper + lower, upper - lower], -2)
        half *= 2
    return x.reshape(shape) / math.sqrt(shape[-1])


def _by_power_of_two(x: Tensor) -> Tensor:
    """(…, n) → (…, b, 2ᵃ)."""
    n = x.shape[-1]
    return x.reshape(*x.shape[:-1], -1, n & -n)


def _along_blocks(transform: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return x if x.shape[-2] == 1 else transform(x.mT).mT


def _quarter_turn(like: Tensor, sign: int) -> Tensor:
    """`exp(± i π k / 2n)` for k up to n/2."""
    n = like.shape[-1]
    angle = torch.arange(n // 2 + 1, dtype=like.dtype, device=like.device) * (sign * math.pi / (2 * n))
    return torch.polar(torch.ones_like(angle), angle)


def _dct_scale(like: Tensor) -> Tensor:
    scale = torch.full(like.shape[-1:], math.sqrt(2), dtype=like.dtype, device=like.device)
    scale[0] = 1
    return scale


def _pair_scale(like: Tensor) -> Tensor:
    """√2 where a frequency stands for itself and its mirror image, 1 at frequency 0 and, for even n, at n/2."""
    n = like.shape[-1]
    scale = torch.full((n // 2 + 1,), math.sqrt(2), dtype=like.dtype, device=like.device)
    scale[0] = 1
    if n % 2 == 0:
        scale[-1] = 1
    return scale
