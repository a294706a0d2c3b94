"""Switches for what slipped in published programs: off by default, and then as those programs do."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from prior_support import made
from test_dcgan import random_state
from test_tuned import measured

from priorsolve.operators.base import Identity
from priorsolve.priors import DCGAN
from priorsolve.solvers import Layered, Multicode, Staged
from priorsolve.solvers.drawing import picture
from priorsolve.solvers.instance import batch_norms
from priorsolve.solvers.tuned import Tuned


@pytest.mark.parametrize("name", ["dcgan", "stylegan2-skip"])
def test_mganprior_divides_its_mixture_once_more(name: str) -> None:
    prior = made(name)
    y = measured(prior, 2)
    plain = Multicode(prior, codes=4, steps=0, candidates=6)
    once, twice = plain(y, Identity()), dataclasses.replace(plain, divide_again=True)(y, Identity())
    deep = next(space for space in once.codes if space.startswith("features@"))
    torch.testing.assert_close(twice.codes[deep], once.codes[deep] / 4)
    assert torch.equal(twice.codes["mix"], once.codes["mix"])
    assert not torch.allclose(twice.images, once.images, atol=1e-3)
    torch.testing.assert_close(picture(prior, twice.codes), twice.images)


def test_a_normalisation_behind_the_mixture_hides_it() -> None:
    prior = made("pggan")
    y = measured(prior, 2)
    plain = Multicode(prior, codes=3, steps=3, candidates=6, optimiser="sgd", lr=0.1, mix_lr=0.0)
    divided = dataclasses.replace(plain, divide_again=True)
    torch.testing.assert_close(divided(y, Identity()).images, plain(y, Identity()).images, atol=1e-4, rtol=0)


def test_a_divided_mixture_goes_on_from_the_picture_before() -> None:
    prior = made("stylegan2-skip")
    y = measured(prior, 2)
    first = Multicode(prior, codes=3, steps=2, divide_again=True)(y, Identity())
    again = Multicode(prior, codes=3, steps=0, divide_again=True)(y, Identity(), start=first)
    torch.testing.assert_close(again.images, first.images, atol=1e-5, rtol=1e-5)


def test_dgp_loses_the_sign_of_gains() -> None:
    state = dict(random_state())
    gain = next(key for key, value in state.items() if key.endswith(".weight") and value.ndim == 1)
    state[gain] = torch.where(torch.arange(len(state[gain])) % 2 == 0, -1.0, 1.0) * state[gain].abs()
    prior = DCGAN.from_state(state)
    y = measured(prior, 2)
    signed = Tuned(prior, steps=0, candidates=3, instance_norm=True)
    ours, theirs = signed(y, Identity()), dataclasses.replace(signed, unsigned_gain=True)(y, Identity())
    plain = Tuned(prior, steps=0, candidates=3)(y, Identity())
    torch.testing.assert_close(ours.images, plain.images, atol=1e-5, rtol=0)
    assert not torch.allclose(theirs.images, plain.images, atol=1e-2)
    first = next(iter(batch_norms(prior)))
    scale, shift = theirs.codes[f"weights:{first}.instance"].unbind(1)
    torch.testing.assert_close(scale, ours.codes[f"weights:{first}.instance"][:, 0].abs())
    assert torch.equal(shift, ours.codes[f"weights:{first}.instance"][:, 1])
    with pytest.raises(ValueError, match="unsigned_gain is about how instance_norm begins, which is off"):
        Tuned(prior, unsigned_gain=True)


def test_ilo_drops_the_picture_drawn_so_far() -> None:
    prior = made("stylegan2-skip")
    y = measured(prior, 2)
    first = Multicode(prior, block=2, codes=2, steps=2)(y, Identity())
    kept = Layered(prior, block=3, steps=0)(y, Identity(), start=first)
    torch.testing.assert_close(kept.images, first.images, atol=1e-5, rtol=1e-5)
    dropped = Layered(prior, block=3, steps=0, drop_picture=True)(y, Identity(), start=first)
    features = kept.codes["features@3"].clone()
    features[:, -3:] = 0
    torch.testing.assert_close(dropped.images, picture(prior, {**kept.codes, "features@3": features}))
    assert not torch.allclose(dropped.images, kept.images, atol=1e-3)
    rounds = Staged([Layered(prior, block=k, steps=3, drop_picture=True, radius=50, keep="last") for k in (2, 3)])
    moved = rounds(y, Identity(), start=first)
    assert not moved.codes["features@3"][:, -3:].any()
    assert moved.codes["features@3"].any()


def test_ilo_moves_no_picture_drawn_so_far() -> None:
    prior = made("stylegan2-skip")
    y = measured(prior, 2)
    first = Multicode(prior, block=2, codes=2, steps=2)(y, Identity())
    begun = Layered(prior, block=3, steps=0)(y, Identity(), start=first).codes["features@3"]
    for held in (False, True):
        settings = {"steps": 3, "radius": 50, "keep": "last", "hold_picture": held}
        moved = Layered(prior, block=3, **settings)(y, Identity(), start=first).codes["features@3"]  # type: ignore[arg-type]
        assert torch.equal(moved[:, -3:], begun[:, -3:]) is held
        assert not torch.equal(moved[:, :-3], begun[:, :-3])
    other = made("mobilestylegan")  # with nothing to hold
    y = measured(other, 1)
    free, held_ = (Layered(other, block=3, steps=2, hold_picture=hold)(y, Identity()) for hold in (False, True))
    assert torch.equal(free.images, held_.images)


@pytest.mark.parametrize("name", ["mobilestylegan", "stylegan2-resnet", "dcgan"])
def test_other_features_hold_no_picture(name: str) -> None:
    with pytest.raises(ValueError, match=r"drop_picture: features of .* carry no picture"):
        Layered(made(name), block=2, drop_picture=True)
