"""Inpainting: some of the pixels are missing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from priorsolve.operators.base import LinearOperator
from priorsolve.showing import shown
from priorsolve.types import Images, Measurements, Shape


class Masking(LinearOperator, ABC):
    """Every pixel times its mask value m: 1 where the picture is known, 0 in a hole, between the two on a soft edge.

    y = m·x          Aᵀ y = m·y          A† y = y / m where m > 0, else 0

    Measurements keep the images' shape, (B, C, H, W), with zeros in the holes. A leaf supplies `_known_for`: m itself.
    """

    @abstractmethod
    def _known_for(self, like: Tensor) -> Tensor:
        """m, (1|B, 1|C, H, W), for images as tall and wide as `like`, on its device and in its dtype."""

    def out_shape(self, in_shape: Shape) -> Shape:
        if len(in_shape) != 3:
            raise self._refuse("(B, C, H, W)", in_shape)
        return in_shape

    def in_shape(self, out_shape: Shape) -> Shape:
        return self.out_shape(out_shape)

    def _A(self, x: Images) -> Measurements:
        return self._known_for(x) * x

    def _A_adjoint(self, y: Measurements) -> Images:
        return self._known_for(y) * y

    def _A_dagger(self, y: Measurements) -> Images:
        m = self._known_for(y)
        return torch.where(m > 0, y / torch.where(m > 0, m, 1), 0)

    def support(self, inside: Images) -> Measurements:
        """1 where a pixel is known, be it at a soft edge, and inside the image."""
        return (self._known_for(inside) > 0) * inside

    def known_of(self, in_shape: Shape) -> Tensor:
        """m, (1|B, 1|C, H, W), for images of `in_shape` (C, H, W); float32, on the CPU. Raises ValueError, as `join_masks` does."""
        return join_masks([self], in_shape).known


class Mask(Masking):
    """Inpainting with a mask at hand; boxes, strokes and files: `Holes`, which recipes call `mask`.

    `known` is 1 where a pixel is known and 0 in the hole; values between are soft edges. It is (H, W), (1|C, H, W), or
    (B, 1|C, H, W) for one mask per image; a batch of one serves any number of images. It may be boolean or of any number type, and
    is copied.

    y = m·x          Aᵀ y = m·y          A† y = y / m where m > 0, else 0

    Raises:
        ValueError: `known` is no dense real tensor, or has another shape, or values that are not in [0, 1].
    """

    known: Tensor

    def __init__(self, known: Tensor) -> None:
        super().__init__()
        if not isinstance(known, Tensor):
            raise ValueError(f"Mask: expected a mask as a tensor, got a {type(known).__name__}; torch.as_tensor(...) makes one")
        if known.is_complex() or known.layout != torch.strided:
            given = "complex numbers" if known.is_complex() else f"a layout of {known.layout}"
            raise ValueError(f"Mask: expected a dense tensor of real numbers, got {given}; .real or .to_dense() makes one")
        if known.ndim not in (2, 3, 4) or 0 in known.shape[-3:]:
            raise ValueError(f"Mask: expected a mask of shape (H, W), (1|C, H, W) or (B, 1|C, H, W), got {tuple(known.shape)}")
        if not bool(((known >= 0) & (known <= 1)).all()):
            low, high = known.min().item(), known.max().item()
            raise ValueError(f"Mask: values must lie in [0, 1], 1 where a pixel is known, got {low:g} to {high:g}; scale or clamp them")
        with torch.inference_mode(False):  # a tensor made in inference mode would break the solve that meets it
            known = known.detach().clone() if known.is_floating_point() else known.to(torch.float32, copy=True)
            self.register_buffer("known", known.reshape(*[1] * (4 - known.ndim), *known.shape))

    @property
    def batch(self) -> int | None:
        return None if len(self.known) == 1 else len(self.known)

    def out_shape(self, in_shape: Shape) -> Shape:
        _, channels, height, width = self.known.shape
        if len(in_shape) != 3 or in_shape[1:] != (height, width) or channels not in (1, in_shape[0]):
            raise self._refuse(f"(B, {'C' if channels == 1 else channels}, {height}, {width})", in_shape)
        return in_shape

    def select(self, index: Tensor) -> Mask:
        return self if self.batch is None else Mask(self.known[index.to(self.known.device)])

    def _known_for(self, like: Tensor) -> Tensor:
        return self.known.to(like)

    def extra_repr(self) -> str:
        batch, _, height, width = self.known.shape
        missing = 100 * float((self.known == 0).double().sum()) / max(self.known.numel(), 1)
        return f"{'' if self.batch is None else f'{batch} × '}{height}×{width}, {missing:.0f}% missing"


def join_masks(operators: Sequence[Masking], in_shape: Shape) -> Mask:
    """One `Mask` for a batch of images of `in_shape` (C, H, W), from the operators of the single images, in their order.

    Float32, on the CPU. An operator that is itself for several images counts as that many.

    Raises:
        ValueError: there is none, one is no mask, or one does not serve images of this shape.
    """
    if not operators:
        raise ValueError("join_masks: expected at least one mask, got none")
    for operator in operators:
        if not isinstance(operator, Masking):
            raise ValueError(f"join_masks: {shown(operator)} is no mask; it joins Mask, Holes and Lines")
        operator.out_shape(in_shape)
    masks = [operator._known_for(torch.empty(in_shape, dtype=torch.float32, device="cpu")) for operator in operators]
    channels = max(mask.shape[1] for mask in masks)
    return Mask(torch.cat([mask.expand(-1, channels, -1, -1) for mask in masks]))
