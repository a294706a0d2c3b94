"""The pseudo-inverse: the shortest picture that explains the measurement best."""

from __future__ import annotations

from torch import Tensor

from priorsolve.baselines.base import Baseline, Problem
from priorsolve.operators.base import LinearOperator


def pseudo_inverse(problem: Problem) -> Tensor:
    """`A† y`. It knows of no noise: what a blur weakened comes back with its noise blown up."""
    operator = problem.operator
    if not isinstance(operator, LinearOperator):
        raise ValueError(f"{operator} is not linear, so it has no pseudo-inverse")
    return operator.A_dagger(problem.y[None])[0]


PINV = Baseline("pinv", lambda operator: isinstance(operator, LinearOperator), pseudo_inverse)
