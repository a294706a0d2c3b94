"""Pictures on the way: drawn when `on_step` asks, as the search would give them, and kept by nobody."""

from __future__ import annotations

import gc
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from prior_support import made
from solvers_support import SHAPE, linear, pictures, random_mask
from torch import Tensor

from priorsolve.operators.base import Identity
from priorsolve.priors.base import Prior
from priorsolve.run.advance import Odometer
from priorsolve.solvers import Latent, Layered, Mirrored, Projector, Solves, Staged, Step, Tuned, solve_fitting
from priorsolve.solvers.loop import Loop
from priorsolve.types import Images


class Film:
    """Asks for the pictures of every step."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.frames: list[Images] = []

    def __call__(self, step: Step) -> None:
        self.steps.append(step)
        self.frames.append(step.images())


SOLVERS: dict[str, tuple[str, Callable[[Prior], Solves]]] = {
    "projector": ("stylegan2-skip", lambda prior: Projector(prior, steps=12)),
    "layered": ("stylegan2-skip", lambda prior: Layered(prior, block=2, steps=12, moving_maps=1)),
    "tuned": ("dcgan", lambda prior: Tuned(prior, steps=12, candidates=2)),
}


def same(found: Any, expected: Any) -> None:
    assert torch.equal(found.images, expected.images)
    assert torch.equal(found.history, expected.history)


@pytest.mark.parametrize("name", SOLVERS)
def test_the_last_picture_is_the_solutions_and_asking_changes_nothing(name: str) -> None:
    family, make = SOLVERS[name]
    prior = made(family)
    y = torch.rand(2, *prior.image_shape, generator=torch.Generator().manual_seed(0))
    film = Film()
    found = make(prior)(y, Identity(), on_step=film)
    assert torch.equal(film.frames[-1], found.images)
    assert not torch.equal(film.frames[0], found.images)
    same(found, make(prior)(y, Identity()))


def test_every_picture_is_the_one_whose_misfit_is_told() -> None:
    """Of all restarts' the best, of images that stopped too, in the order of the photos."""
    prior, y = linear(), pictures(3)
    y[1] = prior.decode(torch.zeros(1, 4, dtype=torch.float64))
    film = Film()
    found = Latent(prior, steps=40, restarts=3, plateau=6, noise=0.01)(y, Identity(), on_step=film)
    assert len(set(found.steps.tolist())) > 1
    for step, frames in zip(film.steps, film.frames, strict=True):
        torch.testing.assert_close((frames - y).square().flatten(1).mean(1), step.misfit)
    assert torch.equal(film.frames[-1], found.images)


def test_stages_and_parts_pass_pictures_on() -> None:
    prior, mask = linear(torch.float32), random_mask(*SHAPE[1:])
    y, film = mask.A(pictures(3, torch.float32)), Film()
    solver = Staged([Latent(prior, steps=10), Latent(prior, steps=5)])
    first = solver.stages[0](y, mask)
    found = solver(y, mask, on_step=film)
    assert [step.index for step in film.steps] == [0, 10, 10, 15]
    for frames, expected in zip(film.frames[1:], (first, first, found), strict=True):
        torch.testing.assert_close(frames, expected.images)
    parts = Film()
    whole, _ = solve_fitting(solver, y, mask, on_step=parts, batch_size=2)
    assert torch.equal(torch.cat([parts.frames[3], parts.frames[7]]), whole.images)


def test_a_mirror_images_pictures_are_the_right_way_round() -> None:
    solver, y, film = Latent(linear(), steps=10), pictures(2), Film()
    Mirrored(solver)(y, Identity(), on_step=film)
    assert torch.equal(film.frames[1], solver(y, Identity()).images)
    assert torch.equal(film.frames[3], solver(y.flip(-1), Identity()).images.flip(-1))


def test_pictures_are_the_searchs_whoever_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread knows neither that no gradient is taken, without which a network is exact, nor that a batch is drawn row by row."""
    prior, frames, singly = made("dcgan").computing(torch.bfloat16), list[Images](), list[bool]()
    told = type(prior)._goes_by_row

    def goes_by_row(self: Prior, *given: Any) -> bool:
        singly.append(self.row_by_row)
        return told(self, *given)

    def on_step(step: Step) -> None:
        with ThreadPoolExecutor(1) as pool:
            frames.extend([step.images(), pool.submit(step.images).result()])
        with torch.enable_grad():
            frames.append(step.images())
        with torch.inference_mode():
            frames.append(step.images())

    monkeypatch.setattr(type(prior), "_goes_by_row", goes_by_row)
    y = prior.decode(prior.sample(3, torch.Generator().manual_seed(1)))
    singly.clear()
    found = Latent(prior, steps=10, candidates=4, optimiser="lbfgs")(y, Identity(), on_step=on_step)
    assert all(torch.equal(frame, frames[0]) for frame in frames[:4])
    assert all(torch.equal(frame, found.images) for frame in frames[4:])
    assert len(frames) == 8
    assert not any(frame.requires_grad or frame.is_inference() for frame in frames)
    assert all(singly)
    torch.testing.assert_close(found.images, made("dcgan").decode(found.codes["z"]), atol=1e-4, rtol=0)


def test_what_is_told_of_a_run_has_them() -> None:
    frames: list[Tensor] = []
    on_step = Odometer().during([1.0], lambda advance: frames.append(advance.images()))
    found = Latent(linear(), steps=3)(pictures(1), Identity(), on_step=on_step)
    assert torch.equal(frames[-1], found.images)


def test_a_step_that_is_kept_keeps_nothing_of_the_search() -> None:
    kept: list[Step] = []

    def keep(step: Step) -> None:
        kept.append(step)
        step.images()
        copied: Step = pickle.loads(pickle.dumps(step))
        assert torch.equal(copied.misfit, step.misfit)
        with pytest.raises(RuntimeError, match=r"ask for step.images\(\) in it$"):
            copied.images()

    Latent(linear(), steps=3)(pictures(2), Identity(), on_step=keep)
    gc.collect()
    assert not any(type(each) is Loop for each in gc.get_objects())
    with pytest.raises(RuntimeError, match=r"^a step's pictures can be drawn while on_step runs, and it has returned; ask for"):
        kept[0].images()
