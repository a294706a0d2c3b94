"""Codes that are shaken while they are drawn: what is judged, what stops, and what is told are their own pictures."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from prior_support import made
from solvers_support import linear, pictures
from torch import Tensor

from priorsolve.counter_rng import normal_hash
from priorsolve.losses import l2
from priorsolve.operators.base import Identity
from priorsolve.solvers import Latent, Staged, Stop
from priorsolve.solvers.target import Measured
from priorsolve.solvers.task import At


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


def test_what_was_never_a_number_has_an_infinite_misfit_however_it_was_searched() -> None:
    """As it has without: then the last misfit that was one counts, and here the picture is looked at anew."""
    prior, y = linear(), pictures(2)
    y[1, 0, 0, 0] = math.nan
    plain = Latent(prior, steps=4, restarts=1, candidates=2)
    solvers = (
        replace(plain, jitter=0.1),
        Latent(linear(torch.float32).computing(torch.bfloat16), steps=4),
        Staged([plain, plain], mean=True),
    )
    for solver in (plain, *solvers):
        solution = solver(y, Identity())
        assert solution.stopped == (Stop.budget, Stop.diverged)
        assert math.isfinite(solution.misfit[0])
        assert solution.misfit[1] == math.inf


@pytest.mark.parametrize(("step", "fade"), [(0, 1.0), (12, 0.36), (30, 0.0)])
def test_codes_are_shaken_in_units_of_their_spread_and_ever_less(step: int, fade: float) -> None:
    prior, seeds = made("stylegan2-skip"), torch.tensor([0])
    y = torch.rand(1, *prior.image_shape, generator=torch.Generator().manual_seed(0))
    solver = Latent(prior, space="w", begin_at="centre", jitter=0.5)
    task = solver.begin(prior, Measured(y, Identity(), tuple(prior.image_shape), like=y), [0], None)
    w = task.variables["w"]
    noise = normal_hash(seeds, step, w[0].numel()).view_as(w)
    expected = prior.decode(w + 0.5 * fade * prior.spread("w") * noise, "w")
    torch.testing.assert_close(task.draw(task.variables, At(step, 40, seeds)), expected)


def test_a_picture_that_looked_perfect_while_shaken_is_no_answer() -> None:
    prior = linear()
    y = prior.decode(torch.full((1, 4), 0.8, dtype=torch.float64))
    calls: list[int] = []

    def perfect_at_first(estimate: Tensor, measured: Tensor, where: Tensor) -> Tensor:
        calls.append(0)
        return l2(estimate, measured, where) * (len(calls) > 30)  # of 40 steps 30 are shaken

    solver = Latent(prior, begin_at="centre", steps=40, jitter=0.1, decay="none", lr=0.1, loss=perfect_at_first)
    middle = Latent(prior, begin_at="centre", steps=0)(y, Identity())
    assert float(solver(y, Identity()).misfit) < 0.5 * float(middle.misfit)
