"""Some images of a solution, a start for a batch in parts, and several solutions asked for in Python."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from solvers_support import Heavy, difference, linear, pictures, random_mask
from torch import Tensor

import priorsolve as ps
from priorsolve.operators.base import Identity
from priorsolve.operators.mask import Mask
from priorsolve.solvers import Latent, Solution, solve_fitting, start_at


def solved(count: int = 3) -> Solution:
    return Latent(linear(), steps=3, restarts=1)(pictures(count), Identity(), seeds=list(range(count)))


def rows(solution: Solution, index: list[int]) -> Solution:
    """The solution of these images alone."""
    return Solution(
        solution.images[index],
        {name: codes[index] for name, codes in solution.codes.items()},
        solution.misfit[index],
        solution.residual[index],
        solution.steps[index],
        tuple(solution.stopped[i] for i in index),
        solution.history[:, index],
    )


def same(one: Solution, other: Solution) -> None:
    for name in ("images", "misfit", "residual", "steps", "history"):
        assert torch.equal(getattr(one, name), getattr(other, name)), name
    assert one.codes.keys() == other.codes.keys()
    assert all(torch.equal(code, other.codes[name]) for name, code in one.codes.items())
    assert one.stopped == other.stopped


@pytest.mark.parametrize(
    ("index", "places"),
    [
        (1, [1]),
        (-1, [2]),
        (slice(1, None), [1, 2]),
        (slice(None, None, -1), [2, 1, 0]),
        ([2, 0, -3], [2, 0, 0]),
        ([], []),
        (torch.tensor([2, 1]), [2, 1]),
        (torch.tensor(2), [2]),
        (torch.tensor([True, False, True]), [0, 2]),
        ([False, True, False], [1]),
    ],
)
def test_some_images_of_a_solution(index: Any, places: list[int]) -> None:
    solution = solved()
    same(solution[index], rows(solution, places))
    assert len(solution[index]) == len(places)
    assert len(solution) == 3


def test_images_of_a_solution_can_be_gone_through_and_are_starts() -> None:
    solution = solved()
    singles = list(solution)
    assert len(singles) == 3
    same(singles[1], solution[1:2])
    singles[1].images.zero_()
    assert float(solution.images[1].abs().max()) > 0, "they are copies"
    assert len(Latent(linear(), steps=1)(pictures(3)[1:2], Identity(), start=solution[1])) == 1


@pytest.mark.parametrize("index", [1.5, "a", None, True, torch.tensor([True, False]), torch.zeros(1, 1, dtype=torch.long)])
def test_an_index_that_is_none_is_told(index: Any) -> None:
    with pytest.raises(ValueError, match=r"^an index is .*; give a place, a slice, places, or a mask of 3 images$"):
        solved()[index]


@pytest.mark.parametrize("index", [3, -4, [0, 7], torch.tensor([3])])
def test_an_image_that_is_not_there_is_told(index: Any) -> None:
    with pytest.raises(IndexError, match=r"^there is no image -?\d in a solution of 3$"):
        solved()[index]


def test_a_solution_goes_to_another_device() -> None:
    solution = solved()
    same(solution.to("cpu"), solution)
    there = solution.to("meta")
    assert {value.device.type for value in (there.images, there.misfit, there.residual, there.steps, there.history)} == {"meta"}
    assert there.codes["z"].device.type == "meta"


@pytest.mark.parametrize("limit", [5, 2, 1])
def test_a_batch_in_parts_begins_where_it_is_told(limit: int) -> None:
    known = random_mask(5, 1, 8, 8).known
    y = Mask(known).A(pictures(5))
    solver, start = Latent(linear(), steps=5, lr=0.05), start_at(linear(), torch.randn(5, 4, generator=torch.Generator().manual_seed(1)))
    found, size = solve_fitting(solver, y, Heavy(known, limit), start=start)
    assert size == limit
    assert difference(found, solver(y, Mask(known), start=start)) < 1e-6
    with pytest.raises(ValueError, match="the start holds 4 images, got 5 measurements"):
        solve_fitting(solver, y, Mask(known), start=start[:4])
    with pytest.raises(ValueError, match=r"^start is 3; give a solver's solution"):
        solve_fitting(solver, y, Mask(known), start=3)  # type: ignore[arg-type]


def test_several_solutions_by_a_name_of_the_library() -> None:
    mask, solver = random_mask(8, 8), Latent(linear(), steps=3, restarts=1)
    y = mask.A(pictures(2))
    several = ps.solve_several(solver, y, mask, 3, noise=ps.noise.Gaussian(0.05))
    answer, samples, batch = several
    assert (answer, samples, batch) == (several.answer, several.samples, several.batch_size)
    assert isinstance(samples, ps.Samples)
    assert samples.images.shape == (2, 3, 3, 8, 8)
    assert samples.spread.shape == (2, 8, 8)
    assert batch == 2
    same(answer, solver(y, mask))
    other = ps.solve_several(replace(solver, seed=1), y, mask, 3, noise=ps.noise.Gaussian(0.05)).samples
    assert other is not None
    assert other != samples, "samples are equal to themselves only"
    assert not bool((other.images == samples.images).flatten(2).all(2).any()), "each depends on the solver's seed"

    def measure(x: Tensor) -> Tensor:
        return mask.A(x)

    assert ps.solve_several(solver, y, measure, 2, noise=ps.noise.Gaussian(0.05)).samples is not None
    for k in (0, True):
        with pytest.raises(ValueError, match=rf"^k is {k}; give a whole number of solutions, at least 1$"):
            ps.solve_several(solver, y, mask, k)
    with pytest.raises(ValueError, match=r"^on_step is 'x'; give a function of a Step, or None$"):
        ps.solve_several(solver, y, mask, 2, on_step="x")  # type: ignore[arg-type]


def test_several_solutions_are_told_in_a_line() -> None:
    several = ps.solve_several(Latent(linear(), steps=2, restarts=1, candidates=2), pictures(2), Identity(), 3)
    assert "samples=Samples(3 of each of 2 × 3×8×8; the others around the first)" in repr(several)
    assert len(repr(several)) < 200


def test_complex_measurements_are_told_the_way() -> None:
    with pytest.raises(ValueError, match=r"give torch.view_as_real\(y\), and let the operator make the same$"):
        Latent(linear(), steps=2)(torch.fft.fft2(pictures(2)), torch.fft.fft2)
    found = Latent(linear(), steps=2)(torch.view_as_real(torch.fft.fft2(pictures(2))), lambda x: torch.view_as_real(torch.fft.fft2(x)))
    assert len(found) == 2
