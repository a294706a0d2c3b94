"""Few photons and dead pixels, as a stand-in for that noise which a solver can look through."""

from __future__ import annotations

from functools import lru_cache
from typing import final

import torch
from torch import Tensor

from priorsolve.apart import apart
from priorsolve.counter_rng import normal
from priorsolve.operators.base import Operator
from priorsolve.operators.noise import check_photons
from priorsolve.showing import checked_seed
from priorsolve.types import Images, Measurements, Shape

_LEAST = 1e-3


@final
class FixedPhotons(Operator):
    """What the noise `Photons` does to a picture, with normal numbers in place of counts and one draw that stays: for `surrogate`.

    y = clamp(b · (peak·x − ½ + √(peak·x + 0.001) · n) / peak),   x clamped first

    Beside a noisy measurement a loss that sees textures wants an estimate that is as noisy. The clamps' gradient is that of
    sigmoid(2x − 1), so that a clamped pixel can still be corrected. The draw is the same for every picture; the published one is a
    fresh one at every step.

    Args:
        peak: photons at value 1.
        dead: share of pixels that are lost in every channel.
        seed: of the draw.

    Source: Poirier-Ginter & Lalonde, CVPR 2023, benchmark.
    """

    def __init__(self, peak: float, dead: float = 0.0, seed: int = 0) -> None:
        super().__init__()
        check_photons("FixedPhotons", peak, dead)
        self.peak, self.dead, self.seed = peak, dead, checked_seed(seed, "FixedPhotons")

    def extra_repr(self) -> str:
        return f"peak={self.peak}, dead={self.dead}, seed={self.seed}"

    def out_shape(self, in_shape: Shape) -> Shape:
        if len(in_shape) != 3:
            raise self._refuse("(B, C, H, W)", in_shape)
        return in_shape

    def support(self, inside: Images) -> Measurements:
        return inside  # nobody knows which pixels are dead

    def _A(self, x: Images) -> Measurements:
        if x.dtype not in (torch.float32, torch.float64):  # half precision does not count as far
            return self._A(x.float()).to(x)
        drawn, alive = _drawn(self.seed, self.dead, tuple(x.shape[1:]), x.dtype, x.device)
        photons = self.peak * _clamped(x)
        return _clamped(alive * (photons - 0.5 + (photons + _LEAST).sqrt() * drawn) / self.peak)


@lru_cache(maxsize=4)
@apart()
def _drawn(seed: int, dead: float, shape: Shape, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Normal numbers of `shape` (C, H, W), and (H, W): 1 where a pixel is alive. Drawn once per seed, shape, type and place."""
    rng = torch.Generator().manual_seed(seed)
    drawn = normal(rng, *shape)
    alive = torch.rand(shape[-2:], generator=rng, dtype=torch.float32) >= dead
    return drawn.to(device, dtype), alive.to(device, dtype)


def _clamped(x: Tensor) -> Tensor:
    """`x` within [0, 1], with the gradient of a sigmoid."""
    soft = torch.sigmoid(2 * x - 1)
    return x.detach().clamp(0, 1) + (soft - soft.detach())  # adds exactly 0, and the gradient
