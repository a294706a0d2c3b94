"""A prior whose best codes are known in closed form: G(z) = W z + b, drawn as a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor, nn

from priorsolve.counter_rng import normal
from priorsolve.priors.base import Noise, Prior
from priorsolve.priors.layers import linear
from priorsolve.types import Codes, Images, Shape


@final
class LinearPrior(Prior):
    """G(z) = reshape(W z + b), z ~ N(0, I). For tests: least squares gives the optimum of any linear measurement.

    Args:
        weight: W, (n, k), n = C·H·W of the picture.
        bias: b, (n,), the picture at z = 0.
        image_shape: (C, H, W).

    Raises:
        ValueError: shapes that disagree.
    """

    def __init__(self, weight: Tensor, bias: Tensor, image_shape: Shape) -> None:
        super().__init__()
        n = math.prod(image_shape)
        if weight.ndim != 2 or weight.shape[0] != n or bias.shape != (n,):
            raise ValueError(
                f"LinearPrior: weight {tuple(weight.shape)} and bias {tuple(bias.shape)} do not draw {image_shape}; "
                f"expected ({n}, k) and ({n},)"
            )
        self._layer = linear(weight.detach().clone(), bias.detach().clone())
        self._image_shape = tuple(image_shape)
        self.requires_grad_(False).eval()

    @classmethod
    def random(cls, k: int, image_shape: Shape, seed: int = 0, dtype: torch.dtype = torch.float32) -> LinearPrior:
        """A prior with `k` directions whose pixels are about 0.5 ± 0.15; the same for the same seed, whatever the dtype."""
        rng = torch.Generator().manual_seed(seed)
        n = math.prod(image_shape)
        weight = torch.randn(n, k, generator=rng, device="cpu", dtype=torch.float64) * (0.14 / math.sqrt(k))
        bias = 0.5 + 0.05 * torch.randn(n, generator=rng, device="cpu", dtype=torch.float64)
        return cls(weight.to(dtype), bias.to(dtype), image_shape)

    @property
    def weight(self) -> Tensor:
        """W, (n, k)."""
        return self._layer.weight

    @property
    def bias(self) -> Tensor:
        """b, (n,)."""
        return self._layer.bias

    @property
    def image_shape(self) -> Shape:
        return self._image_shape

    @property
    def spaces(self) -> Mapping[str, Shape]:
        return {"z": (self._layer.in_features,)}

    @property
    def blocks(self) -> Sequence[nn.Module]:
        return [self._layer]

    def _sample(self, n: int, rng: torch.Generator) -> Codes:
        return normal(rng, n, self._layer.in_features)

    def _decode(self, codes: Codes, space: str, label: Tensor | None, noise: Noise) -> Images:
        images = torch.cat([self._layer(row) for row in torch.split(codes, 1)])  # several are not rounded as one alone
        return images.reshape(-1, *self._image_shape)

    def _map(self, codes: Codes, source: str, target: str, label: Tensor | None, truncation: float, noise: Noise) -> Codes:
        raise ValueError(f"{self}: no map from {source!r} to {target!r}; it has one space")
