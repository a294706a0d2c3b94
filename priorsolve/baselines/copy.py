"""What is seen without restoring anything."""

from __future__ import annotations

from priorsolve.baselines.base import Baseline
from priorsolve.baselines.undo import hard_parts, undo

COPY = Baseline("copy", lambda operator: hard_parts(operator) is not None, undo)
"""Grey copied to three channels, small pictures enlarged pixel by pixel, holes mid-grey, blur as it is."""
