"""Several damages at once: a classical method for each, one after another."""

from __future__ import annotations

from functools import partial

from priorsolve.baselines.base import Baseline
from priorsolve.baselines.biharmonic import smooth
from priorsolve.baselines.enlarge import resized
from priorsolve.baselines.undo import HARD, hard_parts, undo
from priorsolve.baselines.wiener import filtered
from priorsolve.operators.base import Operator


def _several(operator: Operator) -> bool:
    parts = hard_parts(operator) or []
    return sum(any(isinstance(part, kind) for part in parts) for kind in HARD) > 1


CLASSICAL = Baseline("classical", _several, partial(undo, fill=smooth, enlarge=resized, sharpen=filtered))
"""Last damage first: biharmonic inpainting, bicubic enlarging, the Wiener filter, grey copied to three channels."""
