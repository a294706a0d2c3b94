"""Colourisation: only a weighted sum of the colours is left."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import torch

from priorsolve.operators.base import LinearOperator
from priorsolve.showing import is_number, shown
from priorsolve.types import Images, Measurements, Shape

WEIGHTS = {"rec601": (0.299, 0.587, 0.114), "rec709": (0.2126, 0.7152, 0.0722), "mean": (1 / 3, 1 / 3, 1 / 3)}
"""Red, green and blue: of television and JPEG, of HDTV and sRGB, and all alike."""


class Gray(LinearOperator):
    """One grey value per pixel: (B, 3, H, W) → (B, 1, H, W). `weights` are a standard's, by name, or three of your own (r, g, b).

    y = w·x = r·red + g·green + b·blue          Aᵀ y = w y          A† y = w y / (w·w)

    Raises:
        ValueError: weights of another name, not three finite numbers, or all zero.
    """

    def __init__(self, weights: Literal["rec601", "rec709", "mean"] | list[float] = "rec601") -> None:
        super().__init__()
        if isinstance(weights, str) and weights not in WEIGHTS:
            raise ValueError(f"Gray: there are no weights {weights!r}; choose one of {', '.join(WEIGHTS)}, or give three numbers")
        own: tuple[float, ...] = tuple(weights) if isinstance(weights, Iterable) and not isinstance(weights, str) else ()
        self.w = WEIGHTS[weights] if isinstance(weights, str) else own
        if len(self.w) != 3 or not all(is_number(w) and math.isfinite(w) for w in self.w) or not any(self.w):
            raise ValueError(f"Gray: weights are three finite numbers (red, green, blue), not all zero, got {shown(weights)}")
        self._given = weights

    def out_shape(self, in_shape: Shape) -> Shape:
        if len(in_shape) != 3 or in_shape[0] != 3:
            raise self._refuse("(B, 3, H, W)", in_shape)
        return 1, *in_shape[1:]

    def in_shape(self, out_shape: Shape) -> Shape:
        if len(out_shape) != 3 or out_shape[0] != 1:
            raise self._refuse("(B, 1, H, W)", out_shape, "measurements")
        return 3, *out_shape[1:]

    def _A(self, x: Images) -> Measurements:
        r, g, b = self.w
        return r * x[:, 0:1] + g * x[:, 1:2] + b * x[:, 2:3]

    def _A_adjoint(self, y: Measurements) -> Images:
        r, g, b = self.w
        return torch.cat([r * y, g * y, b * y], 1)

    def _A_dagger(self, y: Measurements) -> Images:
        return self._A_adjoint(y / sum(w * w for w in self.w))

    def support(self, inside: Images) -> Measurements:
        """1 where any colour that weighs something is known."""
        weighty = [inside[:, i : i + 1] for i, weight in enumerate(self.w) if weight]  # slices: a list of places would be uploaded
        return torch.cat(weighty, 1).amax(1, keepdim=True)

    @property
    def grey(self) -> bool:
        """Not of weights that cancel out: no change that is the same in all colours is seen by them."""
        return abs(sum(self.w)) > 1e-3

    def lift(self, y: Measurements) -> Images:
        """The same change in all three colours, y / (r + g + b): brightness moves and chroma stays, where `A†` would tint.

        It is what exchanging the Y of YCbCr does. Weights that cancel out have no such change; then it is `A†`.
        """
        return (y / sum(self.w)).expand(-1, 3, -1, -1) if self.grey else self.A_dagger(y)

    def within(self, x: Images) -> Images:
        """`x` with its pixels in [0, 1]: those that leave it are moved towards their own grey, just so far that they do not.

        v + t (x − v), v = w·x / (r + g + b): `A` measures the same of it for any t, and hue stays. Pixels inside stay to the last bit.
        Where v itself is no grey of [0, 1] they become black or white. Of weights that cancel out `x` stays as it is.
        """
        if not self.grey:
            return x
        v = (self.A(x) / sum(self.w)).clamp(0, 1)
        t = torch.where(x > 1, (1 - v) / (x - v), torch.where(x < 0, v / (v - x), 1)).amin(1, keepdim=True)
        return torch.where(t < 1, v + t * (x - v), x)

    def extra_repr(self) -> str:
        return f"weights={self._given}"
