"""Compressed sensing: m random numbers in place of a picture of n = C·H·W, by a dense matrix or by a fast transform."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Literal, final

import torch
from torch import Tensor
from torch.autograd import Function

from priorsolve.alike import in_fours, in_pairs, rows_apart
from priorsolve.counter_rng import normal
from priorsolve.onednn import product, rounds_alike
from priorsolve.operators.base import LinearOperator, shape_text
from priorsolve.operators.transforms import TRANSFORMS
from priorsolve.showing import checked_seed, is_number, is_whole, must_be_number, shown
from priorsolve.types import Images, Measurements, Shape


class Sensing(LinearOperator, ABC):
    """A random linear measurement of the whole picture: (B, C, H, W) → (B, m).

    It has an inherent size. In a recipe `shape` may be left out: whoever knows the prior calls `for_shape`.

    Args:
        m: how many numbers are measured; or
        ratio: m over n, above 0; m is rounded and at least 1.
        seed: of the random draw, which is made on the CPU and so is the same on every device.
        shape: [C, H, W] of the images.
    """

    def __init__(self, m: int | None, ratio: float | None, seed: int, shape: list[int] | tuple[int, ...] | None) -> None:
        super().__init__()
        name = type(self).__name__
        if (m is None) == (ratio is None):
            raise ValueError(f"{name}: give one of m (how many numbers) and ratio (m over C·H·W), got m={m} and ratio={ratio}")
        if m is not None and not (is_whole(m) and m >= 1):
            raise ValueError(f"{name}: m must be a whole number of 1 or more, got {shown(m)}")
        if ratio is not None and not (is_number(ratio) and 0 < ratio < math.inf):
            raise ValueError(f"{name}: ratio must be above 0, got {shown(ratio)}")
        sized = isinstance(shape, Sequence) and len(shape) == 3 and all(is_whole(side) and side >= 1 for side in shape)
        if shape is not None and not sized:
            raise ValueError(f"{name}: shape must be [C, H, W], such as [3, 64, 64], got {shown(shape)}")
        self.m, self.ratio, self.seed = m, ratio, checked_seed(seed, name)
        self.shape = None if shape is None else tuple(shape)

    @property
    def n(self) -> int:
        """How many numbers an image has."""
        return math.prod(self._sized())

    @property
    def rows(self) -> int:
        """How many numbers are measured."""
        return self.m if self.m is not None else max(1, round((self.ratio or 0) * self.n))

    @abstractmethod
    def for_shape(self, shape: Shape) -> Sensing:
        """The same operator with `shape` (C, H, W) fixed; itself where it already is.

        Raises:
            ValueError: another shape is fixed already.
        """

    def out_shape(self, in_shape: Shape) -> Shape:
        if tuple(in_shape) != self._sized():
            raise self._refuse(shape_text(self._sized()), in_shape)
        return (self.rows,)

    def in_shape(self, out_shape: Shape) -> Shape:
        shape = self._sized()
        if tuple(out_shape) != (self.rows,):
            raise self._refuse(shape_text((self.rows,)), out_shape, "measurements")
        return shape

    def support(self, inside: Images) -> Measurements:
        """1 everywhere, for every number sees the whole picture (its answer to a white one may still be 0)."""
        return inside.new_ones(len(inside), *self.out_shape(tuple(inside.shape[1:])))

    def extra_repr(self) -> str:
        amount = f"m={self.m}" if self.m is not None else f"ratio={self.ratio}"
        return f"{amount}, seed={self.seed}, shape={None if self.shape is None else list(self.shape)}"

    def _sized(self) -> Shape:
        if self.shape is None:
            raise ValueError(f"{self}: the images' shape is not known; pass shape=[3, 64, 64], or call for_shape((3, 64, 64))")
        return self.shape

    def _is_for(self, shape: Shape) -> bool:
        if self.shape not in (None, tuple(shape)):
            raise ValueError(f"{self}: is for images of shape {list(self._sized())}, asked for {list(shape)}; leave shape out")
        return self.shape is not None


@final
class GaussianSensing(Sensing):
    """A dense matrix of independent normal numbers: the classic of compressed sensing (Bora et al. 2017), for small pictures.

    y = M x,   M[i, j] ~ N(0, 1/m)          Aᵀ y = Mᵀ y          A† by conjugate gradients

    So `E‖y‖² = ‖x‖²`. A† is exact to rounding unless m is within a few per cent of n, where the matrix is nearly singular and float32
    may leave A A† y about 1e-4 away from y. The numbers are drawn in float32, and are the same in float64 (which copies the matrix
    at every call, unless the operator is moved with `.double()`).

    Args:
        m, ratio, seed, shape: see `Sensing`.
        limit_gb: the largest matrix allowed, in GB of float32.

    Raises:
        ValueError: the matrix would be larger than `limit_gb`; the message names the fast alternative.
    """

    matrix: Tensor

    def __init__(
        self,
        m: int | None = None,
        ratio: float | None = None,
        seed: int = 0,
        limit_gb: float = 2.0,
        shape: list[int] | None = None,
    ) -> None:
        super().__init__(m, ratio, seed, shape)
        must_be_number(limit_gb, "GaussianSensing: limit_gb")
        self.limit_gb = limit_gb
        if shape is None:
            return
        size_gb = 4e-9 * self.rows * self.n
        if size_gb > limit_gb:
            amount = f"m={m}" if m is not None else f"ratio={ratio}"
            raise ValueError(
                f"{self}: its matrix of {self.rows} × {self.n} would take {size_gb:.3g} GB, above limit_gb={limit_gb:g}; "
                f"use fast_sensing / FastSensing({amount}, seed={seed}), which stores no matrix, or raise limit_gb"
            )
        with torch.inference_mode(False):
            rng = torch.Generator().manual_seed(self.seed)
            matrix = normal(rng, self.rows, self.n)
            self.register_buffer("matrix", matrix.div_(math.sqrt(self.rows)))

    def for_shape(self, shape: Shape) -> GaussianSensing:
        return self if self._is_for(shape) else GaussianSensing(self.m, self.ratio, self.seed, self.limit_gb, list(shape))

    def _A(self, x: Images) -> Measurements:
        return _product(x.flatten(1), self.matrix.to(x))

    def _A_adjoint(self, y: Measurements) -> Images:
        return _product(y, self.matrix.to(y), back=True).view(-1, *self._sized())


def _product(rows: Tensor, matrix: Tensor, back: bool = False) -> Tensor:
    apply: Callable[..., Tensor] = _Product.apply
    return apply(rows, matrix, back)


class _Product(Function):
    """Rows (B, n) times a matrix (m, n): (B, m); or `back`, rows (B, m) to (B, n).

    By oneDNN, for the order in which torch's own adds up depends on how many rows there are; on the way back, for which oneDNN would first
    sort the matrix, it is the same for all multiples of four. Where neither is sure, each row is a product of its own.
    """

    @staticmethod
    def forward(rows: Tensor, matrix: Tensor, back: bool) -> Tensor:
        def formula(rows: Tensor) -> Tensor:
            return rows @ matrix if back else product(rows, matrix)

        if len(rows) and rows.device.type == "cpu" and not rounds_alike():
            return torch.cat([formula(row) for row in rows_apart(rows)])
        return in_fours(formula, rows)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, ctx.matrix, ctx.back = inputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return _product(gradients[0], ctx.matrix, not ctx.back), None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor) -> Tensor:
        return _product(tangents[0], ctx.matrix, ctx.back)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], rows: Tensor, matrix: Tensor, back: bool) -> tuple[Tensor, int]:
        made = _product(rows.movedim(in_dims[0], 0).flatten(0, 1), matrix, back)
        return made.view(info.batch_size, -1, made.shape[1]), 0


@final
class FastSensing(Sensing):
    """Random signs, an orthonormal transform, and a random choice of m of its n coefficients: for pictures of any size.

    y = √(n/m) S T D x          Aᵀ y = √(n/m) D Tᵀ Sᵀ y          A† = (m/n) Aᵀ, as the rows are orthogonal

    D holds ±1 at random, S keeps m distinct rows chosen at random. `E‖y‖² = ‖x‖²`; subsampled randomised transforms sense about as
    well as a Gaussian matrix (Do, Gan, Nguyen and Tran, "Fast and efficient compressive sensing using structurally random
    matrices", 2012) and cost n log n and no memory to speak of. Float32 and float64 (Hadamard: any type if n is a power of two).

    Args:
        m, ratio, seed, shape: see `Sensing`; m at most n.
        transform: "hadamard" (of any length, see `transforms.hadamard`), "dct" or "fft".
    """

    signs: Tensor
    chosen: Tensor

    def __init__(
        self,
        m: int | None = None,
        ratio: float | None = None,
        transform: Literal["hadamard", "dct", "fft"] = "hadamard",
        seed: int = 0,
        shape: list[int] | None = None,
    ) -> None:
        super().__init__(m, ratio, seed, shape)
        if transform not in [*TRANSFORMS]:
            raise ValueError(f"FastSensing: transform must be one of {', '.join(TRANSFORMS)}, got {transform!r}")
        self.transform = transform
        if shape is None:
            return
        if self.rows > self.n:
            raise ValueError(f"{self}: can measure at most n = {self.n} numbers of such an image, got m = {self.rows}")
        with torch.inference_mode(False):
            rng = torch.Generator().manual_seed(self.seed)
            signs = torch.randint(0, 2, (self.n,), generator=rng, dtype=torch.int8, device="cpu") * 2 - 1
            chosen = torch.randperm(self.n, generator=rng, device="cpu")[: self.rows].sort().values
            self.register_buffer("signs", signs)
            self.register_buffer("chosen", chosen)

    def for_shape(self, shape: Shape) -> FastSensing:
        return self if self._is_for(shape) else FastSensing(self.m, self.ratio, self.transform, self.seed, list(shape))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, transform={self.transform!r}"

    def _A(self, x: Images) -> Measurements:
        self._check_type(x)
        coefficients = in_pairs(TRANSFORMS[self.transform].forward, x.flatten(1) * self.signs.to(x.device))
        return math.sqrt(self.n / self.rows) * coefficients.index_select(1, self.chosen.to(x.device))

    def _A_adjoint(self, y: Measurements) -> Images:
        self._check_type(y)
        coefficients = y.new_zeros(len(y), self.n).index_copy(1, self.chosen.to(y.device), y)
        x = in_pairs(TRANSFORMS[self.transform].inverse, coefficients) * self.signs.to(y.device)
        return math.sqrt(self.n / self.rows) * x.view(-1, *self._sized())

    def _A_dagger(self, y: Measurements) -> Images:
        return self.rows / self.n * self._A_adjoint(y)

    def _check_type(self, given: Tensor) -> None:
        """Raises ValueError for a type without a transform: an FFT, which the cosine transform too is, has no short ones."""
        by_fft = self.transform != "hadamard" or self.n & (self.n - 1)
        if by_fft and given.dtype not in (torch.float32, torch.float64):
            raise ValueError(f"{self}: computes in float32 and float64, got {given.dtype}; give it .float()")
