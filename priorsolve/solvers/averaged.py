"""A solution whose pictures are not those of its codes, such as a mean of several."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from priorsolve.losses import Loss
from priorsolve.solvers.solution import Solution
from priorsolve.solvers.target import Measured
from priorsolve.types import HasA, Images, Measurements


def with_images(
    solution: Solution, images: Images, y: Measurements, operator: HasA | Callable[[Images], Measurements], loss: Loss
) -> Solution:
    """The solution with `images` (B, C, H, W) and with their own misfit and residual; codes, steps, stops and history stay.

    Args:
        y, operator: as in the solver's own call.
        loss: what compares A(images) with y.
    """
    target = Measured(y, operator, tuple(images.shape[1:]), like=images).target(torch.arange(len(images)), 1)
    with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
        estimate = target.estimate(images)
        return replace(solution, images=images, misfit=target.final_misfit(estimate, loss), residual=target.residual(estimate))
