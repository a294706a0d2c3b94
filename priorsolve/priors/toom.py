"""Transposed convolutions of 4×4 pixels with two fifths of the products, for many maps at a time.

Along one axis such a convolution multiplies polynomials: four pixels by the two taps that make even places, and by the two that make odd
ones. Each product has five coefficients and is known from its values at five points (Toom 1963; Winograd 1980 for filters). So five
products do the work of eight, along both axes 25 that of 64. Small matrices lead to the points and back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from priorsolve.priors.frozen import FrozenLayer, Product

_POINTS = (0.0, 0.75, -0.75, 2.0, -2.0)
"""Few digits are lost at these; at 0, ±1, 2 and infinity more than twice as many."""


@final
class Toom(FrozenLayer):
    """A doubling (B, I, 4, 4) → (B, O, 8, 8) with 4×4 weights, half the time of a convolution's for 64 maps and more.

    For a single one it takes twice as long, since the weights at 25 points are 6 times as many. Both agree to 2e-6.
    """

    def _prepared(self, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
        inputs, outputs = weight.shape[:2]
        values, taps, coefficients = _powers(4), _powers(2), torch.linalg.inv(_powers(5))
        # tap 2a + 1 − s makes place s of every two: by a, c (taps), s, t (places), outputs, inputs
        parts = weight.reshape(inputs, outputs, 2, 2, 2, 2).permute(2, 4, 3, 5, 1, 0).flip(2, 3).reshape(4, -1)
        matrices = (torch.kron(taps, taps).to(weight) @ parts).view(25, 4 * outputs, inputs).to(dtype)
        ones = _powers(5).sum(1)  # at the points, of coefficients that are all 1
        biases = (torch.kron(ones, ones).to(bias)[:, None] * bias.repeat(4)).to(dtype)
        products = [Product(matrix, own) for matrix, own in zip(matrices, biases, strict=True)]
        to_points = torch.kron(values, values).to(dtype)
        # of the five coefficients even places take the first four, odd ones the last four
        sides = coefficients[:4], coefficients[1:]
        to_places = torch.stack([torch.kron(down, right) for down in sides for right in sides]).to(dtype)

        def doubled(x: Tensor) -> Tensor:
            count = len(x)
            at_points = (to_points @ x.permute(2, 3, 0, 1).reshape(16, -1)).view(25, count, inputs).unbind()
            made = [product(rows).view(count, 4, outputs).transpose(0, 1) for product, rows in zip(products, at_points, strict=True)]
            places = (to_places @ torch.stack(made, 1).flatten(2)).view(2, 2, 4, 4, count, outputs)
            return places.permute(2, 0, 3, 1, 4, 5).reshape(8, 8, count, outputs).permute(2, 3, 0, 1)

        return doubled


def _powers(count: int) -> Tensor:
    """(5, count) the powers of the points that `count` coefficients are multiplied with; float64."""
    return torch.tensor(_POINTS, dtype=torch.float64)[:, None] ** torch.arange(count)
