"""What the law tests share: the settings for hypothesis and one call that checks an operator in both precisions."""

from __future__ import annotations

from copy import deepcopy

import torch
from hypothesis import HealthCheck, settings

from priorsolve.operators.base import Operator
from priorsolve.operators.laws import check_laws
from priorsolve.types import Shape

few = settings(max_examples=8, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow])
"""Few examples, the same ones on every run: `@few` below `@given(...)`."""


def check_everywhere(operator: Operator, in_shape: Shape, batch: int | None = None) -> None:
    """Every law that applies, in float64 and in float32, each on a copy of the operator cast to it."""
    for dtype in (torch.float64, torch.float32):
        check_laws(deepcopy(operator).to(dtype), in_shape, batch=batch, dtype=dtype)
