"""How far an estimate is from what was measured: one number per image.

Losses that compare features are imported when they are asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from priorsolve.losses.base import Distance, Loss, prepared
from priorsolve.losses.mixture import Mixture
from priorsolve.losses.pixel import L1, L2, DeadZone, Huber, huber, l1, l2
from priorsolve.losses.pyramid import LaplacianPyramid, MultiResolution

if TYPE_CHECKING:
    from priorsolve.losses.features import DiscriminatorFeatures, VGGFeatures
    from priorsolve.losses.lpips import LPIPS

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


_HOMES = {"LPIPS": "lpips", "DiscriminatorFeatures": "features", "VGGFeatures": "features"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'priorsolve.losses' has no attribute {name!r}")
    return getattr(import_module(f"priorsolve.losses.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
