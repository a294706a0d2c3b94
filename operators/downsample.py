"""Super-resolution: the picture was made smaller."""

from __future__ import annotations

from typing import final, get_args

from priorsolve.alike import in_pairs
from priorsolve.operators.base import LinearOperator
from priorsolve.operators.resample import Kernel, shrink, shrink_dagger
from priorsolve.showing import is_number, shown
from priorsolve.types import Images, Measurements, Shape

_ROWS = 16
"""So many lines of pictures, and more, MKL makes shorter alike. Fewer it adds up in another order where two pixels are left of each."""


@final
class Downsample(LinearOperator):
    """Height and width divided by a whole `factor`, as Pillow's `resize` does it: (B, C, H, W) → (B, C, H/factor, W/factor).

    y = R_h x R_wᵀ          Aᵀ y = R_hᵀ y R_w          A† y = R_h† y (R_w†)ᵀ

    R_h and R_w resample one axis (see `resample`); the pseudo-inverse of a Kronecker product is the product of the pseudo-inverses.
    `kernel` is Pillow's filter, stretched so that nothing aliases: "area" averages blocks (Pillow's BOX), "bicubic" has a = −0.5,
    "lanczos" three lobes; "nearest" keeps one pixel of each block. Others are what published programs shrink with: "lanczos2" has two
    lobes (Deep Image Prior's), "aliased_bilinear" and "aliased_bicubic" (a = −0.75) look at no more than the 2 or 4 pixels around an
    output's centre, as torch's `interpolate` does without antialiasing. These take pixels beyond the edge for those at it.

    Raises:
        ValueError: `factor` is below 1, the kernel has no such name, or height or width cannot be divided by `factor`.
    """

    def __init__(self, factor: int, kernel: Kernel = "bicubic") -> None:
        super().__init__()
        self.factor = checked_factor(factor, "Downsample")
        if kernel not in get_args(Kernel):
            raise ValueError(f"Downsample: there is no kernel {kernel!r}; choose one of {', '.join(get_args(Kernel))}")
        self.kernel: Kernel = kernel

    def out_shape(self, in_shape: Shape) -> Shape:
        if len(in_shape) != 3 or in_shape[1] % self.factor or in_shape[2] % self.factor:
            raise self._refuse(f"(B, C, H, W) with H and W divisible by {self.factor}", in_shape)
        channels, height, width = in_shape
        return channels, height // self.factor, width // self.factor

    def in_shape(self, out_shape: Shape) -> Shape:
        if len(out_shape) != 3:
            raise self._refuse("(B, C, h, w)", out_shape, "measurements")
        channels, height, width = out_shape
        return channels, height * self.factor, width * self.factor

    def _A(self, x: Images) -> Measurements:
        R_h, R_w = (shrink(size, self.factor, self.kernel, x.dtype, x.device) for size in x.shape[2:])
        return in_pairs(lambda rows: R_h @ rows @ R_w.T, x, least=-(-_ROWS // (x.shape[1] * len(R_h))))

    def _A_adjoint(self, y: Measurements) -> Images:
        R_h, R_w = (shrink(size * self.factor, self.factor, self.kernel, y.dtype, y.device) for size in y.shape[2:])
        return R_h.T @ y @ R_w

    def _A_dagger(self, y: Measurements) -> Images:
        P_h, P_w = (shrink_dagger(size * self.factor, self.factor, self.kernel, y.dtype, y.device) for size in y.shape[2:])
        return P_h @ y @ P_w.T

    def extra_repr(self) -> str:
        return f"factor={self.factor}, kernel={self.kernel}"


def checked_factor(factor: float, who: str) -> int:
    """By how much pictures become smaller. Raises ValueError, a line that begins with `who`, unless it is whole and at least 1."""
    if not (is_number(factor) and factor >= 1) or factor % 1:
        raise ValueError(f"{who}: factor must be a whole number of at least 1, got {shown(factor)}")
    return int(factor)
