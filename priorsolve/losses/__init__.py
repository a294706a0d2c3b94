"""How far an estimate is from what was measured: one number per image.

Losses that need weights are in `losses.lpips` and `losses.features`.
"""

from priorsolve.losses.base import Distance, Loss, prepared
from priorsolve.losses.mixture import Mixture
from priorsolve.losses.pixel import L1, L2, DeadZone, Huber, huber, l1, l2
from priorsolve.losses.pyramid import LaplacianPyramid, MultiResolution

__all__ = [
    "L1",
    "L2",
    "DeadZone",
    "Distance",
    "Huber",
    "LaplacianPyramid",
    "Loss",
    "Mixture",
    "MultiResolution",
    "huber",
    "l1",
    "l2",
    "prepared",
]
