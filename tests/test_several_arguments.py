"""What several solutions cannot be asked with is told in one line, before the search where it can be."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from solvers_support import linear, pictures

import priorsolve as ps
from priorsolve.losses import l2
from priorsolve.noise import Gaussian
from priorsolve.operators import Identity
from priorsolve.solvers import Latent, Solution, Step, solve_fitting


def few() -> Latent:
    return Latent(linear(), steps=2, restarts=1, candidates=2)


def never(step: Step) -> None:
    raise AssertionError("the search has begun")


@pytest.mark.parametrize("solver", [linear(), Latent, "latent", None])
def test_what_is_no_solver_is_told(solver: Any) -> None:
    with pytest.raises(ValueError, match=r"^solve_several: solver is .*; it must be a solver, such as Latent\(prior\)$"):
        ps.solve_several(solver, pictures(2), Identity(), 2)
    with pytest.raises(ValueError, match=r"^solve_fitting: solver is .*; it must be a solver, such as Latent\(prior\)$"):
        solve_fitting(solver, pictures(2), Identity())


class Nearly:
    """All that solves but for two things."""

    prior, steps, seed, loss, samples, no_start, descends = linear(), 2, 0, l2, False, "", True
    prepare = varied = noisier = passes = __call__ = few().__call__


def test_what_an_own_solver_lacks_is_told() -> None:
    with pytest.raises(
        ValueError, match=r"^solve_fitting: solver is .*; it must be a solver, such as .*, and has no amplifies, noiseless$"
    ):
        solve_fitting(Nearly(), pictures(2), Identity())  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (3, 3, 8, 8), (1, 2, 3, 8, 8), (2, 8, 3)])
def test_a_where_of_another_size_is_told_before_the_search(shape: tuple[int, ...]) -> None:
    y, where, rng = pictures(2), torch.ones(shape), torch.Generator().manual_seed(0)
    told = rf"where is of shape \({', '.join(map(str, shape))}\); the measurements are \(2, 3, 8, 8\), give one number for each$"
    with pytest.raises(ValueError, match=f"^solve_several: {told}"):
        ps.solve_several(few(), y, Identity(), 2, noise=Gaussian(0.1), where=where, on_step=never)
    with pytest.raises(ValueError, match=rf"^Gaussian\(sigma=0.1\): {told}"):
        Gaussian(0.1)(y, rng=rng, where=where)


@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (1, 1, 8, 8), (8, 8), (8,), ()])
def test_a_where_that_is_broadcastable_is_that_of_all(shape: tuple[int, ...]) -> None:
    y, where = pictures(2), torch.zeros(shape)
    assert torch.equal(Gaussian(0.1)(y, rng=torch.Generator(), where=where), y)
    _, samples, _ = ps.solve_several(few(), y, Identity(), 2, noise=Gaussian(0.1), where=where)
    assert samples is not None


def test_a_finish_that_is_no_function_is_told_before_the_search() -> None:
    finish: Any = "put_back"
    with pytest.raises(ValueError, match=r"^finish is 'put_back'; give a function of a solution and a measurement$"):
        ps.solve_several(few(), pictures(2), Identity(), 2, noise=Gaussian(0.1), finish=finish, on_step=never)


@pytest.mark.parametrize(
    ("made", "given"),
    [
        (lambda images: None, "a NoneType"),
        (lambda images: images[:1], r"a tensor of shape \(1, 3, 8, 8\)"),
        (lambda images: images[0], r"a tensor of shape \(3, 8, 8\)"),
        (lambda images: images.numpy(), "a ndarray"),
    ],
)
def test_a_finish_that_gives_no_picture_for_each_photo_is_told(made: Any, given: str) -> None:
    def finish(solution: Solution, measured: torch.Tensor) -> Any:
        return made(solution.images)

    with pytest.raises(ValueError, match=rf"^finish gives {given} for 2 photos; it must give a picture for each, \(2, C, H, W\)$"):
        ps.solve_several(few(), pictures(2), Identity(), 2, noise=Gaussian(0.1), finish=finish)


def test_a_finish_may_give_pictures_of_another_size() -> None:
    def finish(solution: Solution, measured: torch.Tensor) -> torch.Tensor:
        return solution.images[..., :4, :4]

    found = ps.solve_several(few(), pictures(2), Identity(), 2, noise=Gaussian(0.1), finish=finish)
    assert found.samples is not None
    assert found.samples.images.shape == (2, 2, 3, 4, 4)
