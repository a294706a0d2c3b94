"""Degradation operators: what happened to the picture, one per file, with formulas."""

from priorsolve.operators.base import Composed, ComposedLinear, Identity, LinearOperator, Operator, compose, factors
from priorsolve.operators.blur import Blur, disk_blur, file_blur, gaussian_blur, motion_blur
from priorsolve.operators.clip import Clip
from priorsolve.operators.downsample import Downsample
from priorsolve.operators.gray import Gray
from priorsolve.operators.holes import Holes
from priorsolve.operators.jpeg import JPEG
from priorsolve.operators.laws import check_laws, dot_test
from priorsolve.operators.lines import Lines
from priorsolve.operators.mask import Mask, join_masks
from priorsolve.operators.mirror import Mirror
from priorsolve.operators.photons import FixedPhotons
from priorsolve.operators.pillow import PillowJPEG, PillowResize
from priorsolve.operators.quantize import Quantize
from priorsolve.operators.sensing import FastSensing, GaussianSensing

__all__ = [
    "JPEG",
    "Blur",
    "Clip",
    "Composed",
    "ComposedLinear",
    "Downsample",
    "FastSensing",
    "FixedPhotons",
    "GaussianSensing",
    "Gray",
    "Holes",
    "Identity",
    "LinearOperator",
    "Lines",
    "Mask",
    "Mirror",
    "Operator",
    "PillowJPEG",
    "PillowResize",
    "Quantize",
    "check_laws",
    "compose",
    "disk_blur",
    "dot_test",
    "factors",
    "file_blur",
    "gaussian_blur",
    "join_masks",
    "motion_blur",
]
