"""A batch that may not fit in memory: solved in the largest parts that do."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from priorsolve.operators.base import Operator
from priorsolve.out_of_memory import is_out_of_memory
from priorsolve.showing import is_whole, shown
from priorsolve.solvers.base import Solves, must_be_solver
from priorsolve.solvers.checks import checked_seeds, checked_start, must_be_measurements, unwrapped
from priorsolve.solvers.solution import OnStep, Solution, joined
from priorsolve.types import AnyOperator, Measurements


def solve_fitting(
    solver: Solves,
    y: Measurements,
    operator: AnyOperator,
    *,
    seeds: Sequence[int] | None = None,
    start: Solution | None = None,
    on_step: OnStep | None = None,
    batch_size: int | None = None,
) -> tuple[Solution, int]:
    """The solver's answer for all measurements, and how many fitted in memory at once: start the next batch with that.

    Where memory runs out the batch is halved, down to a single measurement. As images are solved each by itself, the answer is the
    same whatever the parts are.

    Args:
        solver, y, operator, seeds, start: as in the solver's own call. Only operators of `priorsolve.operators` can be parted.
        on_step: told of one part after another, and of a part anew when it is tried again.
        batch_size: the most to solve at once; left out, all of them.

    Raises:
        MemoryError: a single measurement does not fit, or the operator cannot be parted.
        ValueError: `solver` is none, as the solver's own call, or the operator would have to be parted for `batch_size` and cannot be.
    """
    must_be_solver(solver, "solve_fitting: solver")
    must_be_measurements(y)
    operator = unwrapped(operator)
    size = max(len(y), 1) if batch_size is None else batch_size
    if not is_whole(size) or size < 1:
        raise ValueError(f"batch_size is {shown(batch_size)}; it must be a whole number of at least 1")
    seeds = None if seeds is None else checked_seeds(seeds, len(y))
    start = None if start is None else checked_start(start, len(y), next(solver.prior.parameters()))
    parts: list[Solution] = []
    done = 0
    while done < len(y) or not parts:
        stop = min(done + size, len(y))
        own = None if seeds is None else seeds[done:stop]
        begun = start if start is None or stop - done == len(y) else start[done:stop]
        solution = _tried(solver, y[done:stop], _part(operator, done, stop, len(y)), own, begun, on_step)
        if solution is not None:
            parts.append(solution)
            done = stop
        elif stop - done > 1 and isinstance(operator, Operator):
            size = (stop - done + 1) // 2
        else:
            raise MemoryError(_too_large(solver, y[done:stop], operator))
    return joined(parts), size


def _tried(
    solver: Solves,
    y: Measurements,
    operator: AnyOperator,
    seeds: Sequence[int] | None,
    start: Solution | None,
    on_step: OnStep | None,
) -> Solution | None:
    """The solution, or None where memory ran out; by then everything the attempt held is free again."""
    try:
        return solver(y, operator, seeds=seeds, start=start, on_step=on_step)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    torch.cuda.empty_cache()  # nothing where CUDA is not in use
    return None


def _part(operator: AnyOperator, start: int, stop: int, count: int) -> AnyOperator:
    """The operator for the images from `start` to `stop` of all `count`."""
    if stop - start == count:
        return operator
    if not isinstance(operator, Operator):
        raise ValueError(
            f"{shown(operator)}: is not one of priorsolve's operators, so {count} measurements cannot be solved in parts of {stop - start}"
        )
    if operator.batch not in (None, count):
        raise ValueError(f"{operator}: has parameters for {operator.batch} images, got {count} measurements")
    return operator if operator.batch is None else operator.select(torch.arange(start, stop))


def _too_large(solver: Solves, y: Measurements, operator: object) -> str:
    shapes = f"{tuple(solver.prior.image_shape)} images and measurements of shape {tuple(y.shape[1:])}"
    if len(y) == 1:
        return f"not even one image fits in memory, with {shapes}; use fewer restarts, a smaller prior or a machine with more memory"
    return f"{len(y)} images do not fit in memory at once, with {shapes}, and {shown(operator)} cannot be parted; pass fewer at a time"
