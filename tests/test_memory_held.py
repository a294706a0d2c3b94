"""Tuned weights that a search holds: no more of them than it needs."""

from __future__ import annotations

from typing import Any
from weakref import ReferenceType, ref

import pytest
from solvers_support import linear, pictures
from torch import Tensor

from priorsolve.operators.base import Identity
from priorsolve.sampling import solve_several
from priorsolve.solvers import Solution, Solver, Staged, Step
from priorsolve.solvers.task import Task
from priorsolve.solvers.tuned import Tuned


def test_nobody_holds_the_first_values_during_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """They were a seventh copy of each photo's weights."""
    begin, first, held = Tuned.begin, list[ReferenceType[Tensor]](), list[bool]()

    def begun(self: Tuned, *given: Any) -> Task:
        task = begin(self, *given)
        first.extend(map(ref, task.variables.values()))
        return task

    monkeypatch.setattr(Tuned, "begin", begun)
    Tuned(linear(), steps=1, candidates=1)(
        pictures(1), Identity(), on_step=lambda step: held.append(any(value() is not None for value in first))
    )
    assert len(first) == 3
    assert held == [False, False]


def test_of_searches_that_have_ended_no_more_weights_are_held_than_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of every stage were, Adam's moments included, and those of the sample before."""
    call, found, held = Solver.__call__, list[ReferenceType[Tensor]](), list[int]()

    def called(self: Solver, *given: Any, **named: Any) -> Solution:
        solution = call(self, *given, **named)
        found.append(ref(solution.codes["weights:_layer.weight"]))
        return solution

    def count(step: Step) -> None:
        held.append(sum(weights() is not None for weights in found))

    monkeypatch.setattr(Solver, "__call__", called)
    stage, y = Tuned(linear(), steps=1, candidates=1), pictures(1)
    Staged([stage, stage, stage])(y, Identity(), on_step=count)
    assert held == [0, 0, 1, 1, 1, 1], "where the one before ended"
    solve_several(stage, y, Identity(), 3, on_step=count)
    assert held[6:] == [0, 0, 1, 1, 1, 1], "the answer"
