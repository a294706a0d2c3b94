"""torch's default type, which a program may have set for itself, changes no code, picture or answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import pytest
import torch
from prior_support import CHAINS, NOISY, made
from torch import Tensor

from priorsolve.losses.lpips import LPIPS
from priorsolve.operators import JPEG, disk_blur, gaussian_blur, lines, motion_blur
from priorsolve.operators.downsample import Downsample
from priorsolve.operators.drawing import draw_boxes, draw_half, draw_strokes
from priorsolve.operators.holes import Holes
from priorsolve.operators.lines import Lines
from priorsolve.operators.mask import join_masks
from priorsolve.priors import Prior, load_prior
from priorsolve.solvers import Langevin, Latent, Mirrored


@contextmanager
def double_by_default() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def answers(prior: Prior) -> Mapping[str, Tensor]:
    A = Downsample(2)
    codes = prior.sample(2, torch.Generator().manual_seed(0))
    images = prior.decode(codes)
    found = {"codes": codes, "images": images, "centre": prior.decode(prior.centre(prior.first_space))}
    found["solved"] = Latent(prior, steps=2, restarts=2, candidates=3, jitter=0.1)(A.A(images), A).images
    if prior.noise_size:
        found["maps"] = prior.sample(1, torch.Generator().manual_seed(1), "noise")
        found["shaken"] = prior.decode(codes, noise="random")
    return found


@pytest.mark.parametrize("name", [*NOISY, *CHAINS])
def test_priors_answer_alike(name: str) -> None:
    prior = made(name)
    before = answers(prior)
    with double_by_default():
        same(answers(prior), before)


def test_a_prior_that_is_loaded_then_answers_alike() -> None:
    before = answers(load_prior("digiface64"))
    with double_by_default():
        same(answers(load_prior("digiface64")), before)


def drawn() -> Mapping[str, Tensor]:
    boxes = draw_boxes(96, 64, boxes=[[0.2, 0.2, 0.5, 0.7]])
    strokes = draw_strokes(96, 64, thickness="thin", seed=99)  # here and in the lines rounding decides of one point
    lines._known.cache_clear()
    joined = join_masks([Holes(half="left"), Lines(9, seed=451)], (1, 48, 32)).known
    return {"boxes": boxes, "half": draw_half(96, 64, side="top"), "strokes": strokes, "joined": joined}


def measured() -> Mapping[str, Tensor]:
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float32, device="cpu")
    blurs = {
        "gaussian": gaussian_blur(1.0),
        "circular": gaussian_blur(2.0, "circular"),
        "disk": disk_blur(1.5),
        "motion": motion_blur(3.0, 30.0),
    }
    found = {name: blur.A(x) for name, blur in blurs.items()}
    return found | {
        "dagger": blurs["circular"].A_dagger(x),
        "jpeg": JPEG(50).A(x),
        "jpeg of 7": JPEG(7).A(x),
        "both": (JPEG(50) @ blurs["disk"]).A(x),
    }


@pytest.mark.parametrize("work", [drawn, measured])
def test_masks_are_drawn_and_operators_measure_alike(work: Callable[[], Mapping[str, Tensor]]) -> None:
    """On another default device, too."""
    before = work()
    with double_by_default():
        same(work(), before)
    with torch.device("meta"):
        same(work(), before)


def test_mirrored_detail_is_alike() -> None:
    """Its own detail is by a blur that is made in the call."""
    prior, A = made("dcgan"), Downsample(2)
    y = A.A(prior.decode(prior.sample(1, torch.Generator().manual_seed(0))))
    solver = Mirrored(Latent(prior, steps=2, restarts=1, candidates=2), own_detail=1.0)
    before = solver(y, A).images
    with double_by_default():
        assert torch.equal(solver(y, A).images, before)
    with torch.device("meta"):
        assert torch.equal(solver(y, A).images, before)


def same(found: Mapping[str, Tensor], before: Mapping[str, Tensor]) -> None:
    assert found.keys() == before.keys()
    for key, value in found.items():
        assert value.dtype == torch.float32, key
        assert torch.equal(value, before[key]), key


def test_samples_are_drawn_alike() -> None:
    prior, A = made("dcgan"), Downsample(2)
    y = A.A(prior.decode(prior.sample(1, torch.Generator().manual_seed(0))))
    solver = Langevin(prior, noise=0.3, steps=3, candidates=2)
    before = solver(y, A)
    with double_by_default():
        found = solver(y, A)
    same({"images": found.images, **found.codes}, {"images": before.images, **before.codes})


def test_lpips_answers_alike() -> None:
    a, b = torch.rand(2, 1, 3, 64, 64, generator=torch.Generator().manual_seed(0)).unbind()
    where = torch.ones_like(a)
    where[..., 20:40, 20:40] = 0  # in which both are shown the same drawn pattern
    before = LPIPS("alex")(a, b, where)
    with double_by_default():
        assert torch.equal(LPIPS("alex")(a, b, where), before)
