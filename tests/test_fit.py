"""Batches that do not fit in memory, with the fault injected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from solvers_support import Heavy, difference, linear, pictures, random_mask
from torch import Tensor, nn

from priorsolve.operators.base import Identity, Operator
from priorsolve.operators.mask import Mask
from priorsolve.out_of_memory import is_out_of_memory
from priorsolve.solvers import Langevin, Latent, Solver, Staged, Step
from priorsolve.solvers.fit import solve_fitting
from priorsolve.solvers.solution import joined
from priorsolve.types import Images, Measurements

FAULTS: list[Callable[[], BaseException]] = [
    lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    lambda: RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    lambda: RuntimeError("[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"),
    lambda: RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
    lambda: RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    lambda: MemoryError(),
]


def latent(steps: int = 12) -> Latent:
    return Latent(linear(torch.float32), steps=steps, restarts=1, candidates=1)


@pytest.mark.parametrize("solver", [latent(), Staged([latent(), latent(5)])], ids=["latent", "staged"])
@pytest.mark.parametrize(
    ("limit", "batch", "fitted"), [(7, None, 7), (4, None, 4), (3, None, 2), (1, None, 1), (2, 2, 2), (3, 5, 3), (9, 20, 20)]
)
def test_parts_that_fit_give_the_whole_answer(solver: Solver | Staged, limit: int, batch: int | None, fitted: int) -> None:
    known = random_mask(7, 1, 8, 8).known
    y = Mask(known).A(pictures(7, torch.float32))
    seeds = list(range(7))
    solution, size = solve_fitting(solver, y, Heavy(known, limit), seeds=seeds, batch_size=batch)
    assert size == fitted
    assert difference(solution, solver(y, Mask(known), seeds=seeds)) < 1e-4


@pytest.mark.parametrize("fault", FAULTS)
def test_every_way_of_running_out_is_understood(fault: Callable[[], BaseException]) -> None:
    assert is_out_of_memory(fault())
    known = random_mask(4, 1, 8, 8).known
    y = Mask(known).A(pictures(4, torch.float32))
    assert solve_fitting(latent(), y, Heavy(known, 2, fault))[1] == 2


def test_the_size_that_fitted_is_where_the_next_batch_starts() -> None:
    known, tried = random_mask(6, 1, 8, 8).known, list[int]()
    y = Mask(known).A(pictures(6, torch.float32))
    _, size = solve_fitting(latent(), y, Heavy(known, 3, tried=tried))
    assert max(tried) == 6
    tried.clear()
    solve_fitting(latent(), y, Heavy(known, 3, tried=tried), batch_size=size)
    assert max(tried) == 3


def test_when_not_even_one_fits_the_error_says_how_large_it_was() -> None:
    known = random_mask(2, 1, 8, 8).known
    y = Mask(known).A(pictures(2, torch.float32))
    with pytest.raises(MemoryError, match=r"not even one image.*\(3, 8, 8\) images.*measurements of shape \(3, 8, 8\).*fewer restarts"):
        solve_fitting(latent(), y, Heavy(known, 0))


def test_other_errors_pass() -> None:
    known = random_mask(2, 1, 8, 8).known
    y = Mask(known).A(pictures(2, torch.float32))
    with pytest.raises(RuntimeError, match="a bug"):
        solve_fitting(latent(), y, Heavy(known, 1, lambda: RuntimeError("a bug")))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_an_operator_for_any_image_serves_the_parts_itself() -> None:
    class Picky(Heavy):
        def select(self, index: Tensor) -> Mask:
            raise AssertionError("nothing to select from")

    known = random_mask(8, 8).known
    y = Mask(known).A(pictures(3, torch.float32))
    solution, size = solve_fitting(latent(), y, Picky(known, 2))
    assert size == 2
    assert difference(solution, latent()(y, Mask(known))) < 1e-4


def test_operators_of_others_cannot_be_parted() -> None:
    def heavy(x: Images) -> Measurements:
        if len(x) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return x

    y = pictures(2, torch.float32)
    with pytest.raises(MemoryError, match=r"2 images do not fit.*cannot be parted"):
        solve_fitting(latent(), y, heavy)
    with pytest.raises(ValueError, match="not one of priorsolve's operators"):
        solve_fitting(latent(), y, lambda x: x, batch_size=1)
    several_lines = nn.Sequential(nn.Identity(), nn.Identity())
    with pytest.raises(ValueError, match=r"^a Sequential: is not one of priorsolve's operators, so 2 .* in parts of 1$"):
        solve_fitting(latent(), y, several_lines, batch_size=1)
    assert solve_fitting(latent(), y, lambda x: x)[1] == 2
    assert solve_fitting(latent(), y[:1], heavy)[0].images.shape == (1, 3, 8, 8)


def test_arguments_are_checked_before_parting() -> None:
    y, operator = pictures(3, torch.float32), random_mask(4, 1, 8, 8)
    for batch in (None, 2):
        with pytest.raises(ValueError, match="parameters for 4 images, got 3"):
            solve_fitting(latent(), y, operator, batch_size=batch)
    with pytest.raises(ValueError, match="2 seeds for 3"):
        solve_fitting(latent(), y, random_mask(8, 8), seeds=[1, 2], batch_size=2)
    wrong: Any
    for wrong in (0, 2.5, "2"):
        with pytest.raises(ValueError, match=rf"^batch_size is {wrong!r}; it must be a whole number of at least 1$"):
            solve_fitting(latent(), y, random_mask(8, 8), batch_size=wrong)


def test_progress_is_told_part_after_part() -> None:
    operator: Operator = random_mask(8, 8)
    seen: list[Step] = []
    solve_fitting(latent(), operator.A(pictures(3, torch.float32)), operator, on_step=seen.append, batch_size=2)
    assert [(step.index, len(step.misfit)) for step in seen] == [(0, 2), (10, 2), (12, 2), (0, 1), (10, 1), (12, 1)]


def test_each_part_begins_at_its_own_start() -> None:
    y = pictures(3, torch.float32)
    start = latent()(y, Identity(), seeds=[3, 4, 5])
    for limit in (9, 2, 1):
        solution, _ = solve_fitting(latent(0), y, Heavy(torch.ones(3, 1, 8, 8), limit), start=start)
        assert torch.equal(solution.codes["z"], start.codes["z"])


def test_empty_batches_and_joining() -> None:
    operator = random_mask(8, 8)
    y = operator.A(pictures(3, torch.float32))
    assert solve_fitting(latent(), y[:0], operator, batch_size=4)[0].images.shape == (0, 3, 8, 8)
    none, size = solve_fitting(latent(), y[:0], operator)
    assert len(none) == 0
    assert len(solve_fitting(latent(), y, operator, batch_size=size)[0]) == 3, "what fitted is where the next batch starts"
    whole = latent()(y, operator)
    assert difference(joined([whole[0], whole[[1, 2]]]), whole) == 0
    assert torch.equal(joined([whole[0], whole[[1, 2]]]).codes["z"], whole.codes["z"])


def test_memory_that_runs_out_while_curvature_is_looked_for_is_no_fault_of_the_operators() -> None:
    tried: list[int] = []

    class Short(Mask):
        def _A(self, x: Images) -> Measurements:
            tried.append(len(x))
            if len(x) > 1 and torch.is_grad_enabled():
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return super()._A(x)

    solver, known = Langevin(linear(), noise=0.1, steps=2, candidates=1), torch.ones(8, 8)
    solution, size = solve_fitting(solver, pictures(2), Short(known))
    assert (len(solution), size, max(tried)) == (2, 1, 2)
