"""How far an estimate is from what was measured: one number per image."""

from priorsolve.losses.base import Distance, Loss, prepared
from priorsolve.losses.features import DiscriminatorFeatures, VGGFeatures
from priorsolve.losses.lpips import LPIPS
from priorsolve.losses.mixture import Mixture
from priorsolve.losses.pixel import L1, L2, DeadZone, Huber, huber, l1, l2
from priorsolve.losses.pyramid import LaplacianPyramid, MultiResolution

__all__ = [
    "L1",
    "L2",
    "LPIPS",
    "DeadZone",
    "DiscriminatorFeatures",
    "Distance",
    "Huber",
    "LaplacianPyramid",
    "Loss",
    "Mixture",
    "MultiResolution",
    "VGGFeatures",
    "huber",
    "l1",
    "l2",
    "prepared",
]
