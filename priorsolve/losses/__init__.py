"""How far an estimate is from what was measured: one number per image. What is here needs no weights; see also `lpips` and `vgg`."""

from priorsolve.losses.base import Distance, Loss, prepared
from priorsolve.losses.mixture import Mixture
from priorsolve.losses.pixel import L1, L2, DeadZone, Huber, huber, l1, l2
from priorsolve.losses.pyramid import LaplacianPyramid, MultiResolution

LOSSES: dict[str, Loss] = {"l2": l2, "l1": l1, "huber": huber}
"""The pixel losses as they are without settings; `priorsolve list losses` knows all."""

__all__ = [
    "L1",
    "L2",
    "LOSSES",
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
