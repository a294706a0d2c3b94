"""Where codes must stay: on their sphere, and within the clip."""

from __future__ import annotations

import re

import pytest
import torch
from prior_support import made
from solvers_support import linear, pictures

from priorsolve.latents import to_sphere
from priorsolve.operators.base import Identity
from priorsolve.solvers import Latent
from priorsolve.solvers.target import Measured
from priorsolve.solvers.task import At


def test_the_sphere_is_never_left() -> None:
    prior, y = linear(), pictures(2)
    for solver in (Latent(prior, steps=0, sphere=True), Latent(prior, steps=50, sphere=True)):
        torch.testing.assert_close(solver(y, Identity()).codes["z"].norm(dim=1), torch.full((2,), 2.0, dtype=torch.float64))
    other = Latent(prior, steps=30)(y, Identity())
    restarted = Latent(prior, steps=0, sphere=True)(y, Identity(), start=other)
    torch.testing.assert_close(restarted.codes["z"], other.codes["z"] * 2 / other.codes["z"].norm(dim=1, keepdim=True))
    with pytest.raises(ValueError, match=r"^begin_at is 'centre', which is 0 in 'z', and from 0 no way leads to a sphere; begin"):
        Latent(prior, sphere=True, begin_at="centre")


def test_the_middle_is_put_on_the_sphere_and_within_the_clip() -> None:
    prior = made("stylegan2-skip")
    y = torch.rand(2, *prior.image_shape, generator=torch.Generator().manual_seed(0))
    maps = Latent(prior, space="noise", steps=0, sphere=True, begin_at="centre")(y, Identity()).codes["noise"]
    torch.testing.assert_close(maps, to_sphere(prior.centre("noise"), prior.noise_sizes).expand(2, -1))
    clipped = Latent(prior, space="w", steps=0, clip=0.1, begin_at="centre")(y, Identity()).codes["w"]
    assert float(clipped.abs().max()) < 0.1001


def test_a_class_is_on_no_sphere() -> None:
    """In z+c the embedding is as long as it is: z alone keeps its length."""
    prior = made("biggan")
    (n,) = prior.spaces["z"]
    y = torch.rand(2, *prior.image_shape, generator=torch.Generator().manual_seed(0))
    free = Latent(prior, steps=0, candidates=1, restarts=1)(y, Identity()).codes["z+c"]
    begun = Latent(prior, steps=0, candidates=1, restarts=1, sphere=True)(y, Identity()).codes["z+c"]
    assert torch.equal(begun[:, n:], free[:, n:])
    torch.testing.assert_close(begun[:, :n], to_sphere(free[:, :n]))
    moved = Latent(prior, steps=3, candidates=1, restarts=1, sphere=True, keep="last")(y, Identity()).codes["z+c"]
    torch.testing.assert_close(moved[:, :n].norm(dim=1), torch.full((2,), n**0.5))
    assert not torch.equal(moved[:, n:], begun[:, n:])
    with pytest.raises(ValueError, match=r"^begin_at is 'centre', which is 0 in 'z\+c', and from 0 no way leads to a sphere; begin"):
        Latent(prior, sphere=True, begin_at="centre")


@pytest.mark.parametrize("space", ["w", "w+", "w++", "s", "features@2"])
def test_codes_that_are_not_normal_lie_on_no_sphere(space: str) -> None:
    with pytest.raises(ValueError, match=rf"^sphere .* those of '{re.escape(space)}' are none; leave it out, or use z, p_n, p_n\+, noise$"):
        Latent(made("mobilestylegan"), space=space, sphere=True)


def test_clipping_holds_from_the_first_candidate_on() -> None:
    prior, y = linear(), pictures(2)
    for steps in (0, 40):
        codes = Latent(prior, steps=steps, clip=0.5, restarts=2)(y, Identity()).codes["z"]
        assert float(codes.abs().max()) <= 0.5
    free = Latent(prior, steps=40, restarts=2)(y, Identity()).codes["z"]
    assert float(free.abs().max()) > 0.5


def test_what_leaves_the_clip_is_drawn_anew_at_every_step() -> None:
    prior, y, seeds = linear(), pictures(1), torch.tensor([7])
    task = Latent(prior, clip=0.5, restarts=1).begin(prior, Measured(y, Identity(), tuple(prior.image_shape), like=y), [7], None)
    outside = {**task.variables, "z": torch.full((1, 4), 9.0, dtype=torch.float64)}
    first, second = (task.project(outside, At(step, 3, seeds))["z"] for step in (0, 1))
    assert float((first - second).abs().min()) > 0
