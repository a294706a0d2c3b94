"""A picture as it is seen in a mirror."""

from __future__ import annotations

from typing import final

from priorsolve.operators.base import LinearOperator
from priorsolve.types import Images, Measurements, Shape


@final
class Mirror(LinearOperator):
    """Left and right exchanged: `(A @ Mirror())(x)` is what A measures of the mirror image of x.

    y[…, j] = x[…, W − 1 − j]          Aᵀ y = A† y = A y
    """

    def __init__(self) -> None:
        super().__init__()

    def out_shape(self, in_shape: Shape) -> Shape:
        return in_shape

    def in_shape(self, out_shape: Shape) -> Shape:
        return out_shape

    def support(self, inside: Images) -> Measurements:
        return inside.flip(-1)

    def _A(self, x: Images) -> Measurements:
        return x.flip(-1)

    def _A_adjoint(self, y: Measurements) -> Images:
        return y.flip(-1)

    def _A_dagger(self, y: Measurements) -> Images:
        return y.flip(-1)
