"""Codes that are shaken while they are drawn: what is judged, what stops, and what is told are their own pictures."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from solvers_support import linear, pictures
from torch import Tensor

from priorsolve.losses import l2
from priorsolve.operators.base import Identity
from priorsolve.solvers import Latent, Stop


def test_shaken_codes_are_judged_by_their_own_pictures() -> None:
    prior, y = linear(), pictures(2)
    solver = Latent(prior, begin_at="centre", steps=40, lr=0.0, jitter=3.0)
    solution = solver(y, Identity())
    torch.testing.assert_close(solution.misfit, Latent(prior, begin_at="centre", steps=0)(y, Identity()).misfit)
    assert float(solution.history[0].max()) > float(solution.misfit.max()), "the case is too easy: nothing was shaken"
    moving = replace(solver, lr=0.3, restarts=4, candidates=8, begin_at="sampled")(y, Identity())
    torch.testing.assert_close(moving.misfit, (moving.images - y).square().flatten(1).mean(1))


@pytest.mark.parametrize("rule", [{"noise": 10.0}, {"plateau": 1}])
def test_no_image_stops_by_a_shaken_picture(rule: dict[str, Any]) -> None:
    prior, y = linear(), pictures(2)
    solution = Latent(prior, steps=40, jitter=0.5, restarts=1, **rule)(y, Identity())
    assert bool((solution.steps >= 30).all()), "codes are shaken up to three quarters of the steps"
    torch.testing.assert_close(solution.misfit, (solution.images - y).square().flatten(1).mean(1))


def test_what_diverges_while_shaken_has_the_misfit_of_its_picture() -> None:
    prior, y = linear(), pictures(2)

    def breaks(estimate: Tensor, measured: Tensor, where: Tensor) -> Tensor:
        calls.append(0)
        return l2(estimate, measured, where) * (math.nan if len(calls) == 12 else 1)

    calls: list[int] = []
    solution = Latent(prior, begin_at="centre", steps=40, jitter=3.0, loss=breaks)(y, Identity())
    assert solution.stopped == (Stop.diverged, Stop.diverged)
    torch.testing.assert_close(solution.misfit, (solution.images - y).square().flatten(1).mean(1))
