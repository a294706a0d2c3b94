"""Switches for what slipped in published programs: off by default, and then as those programs do."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from prior_support import made
from solvers_support import measured
from states_support import dcgan_state
from torch import Tensor

from benchmarks.reference_loops import Stage, dgp
from priorsolve.losses import Mixture, l2
from priorsolve.operators.base import Identity
from priorsolve.priors import DCGAN, Prior
from priorsolve.solvers import Layered, Multicode, Solution, Staged, start_at
from priorsolve.solvers.delta import load_delta, save_delta
from priorsolve.solvers.drawing import picture
from priorsolve.solvers.instance_norm import batch_norms
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
    state = dict(dcgan_state())
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
    by_fewer = math.sqrt(16 / 15)  # of 4×4 pixels, as torch.std counts
    torch.testing.assert_close(scale, ours.codes[f"weights:{first}.instance"][:, 0].abs() * by_fewer, rtol=1e-3, atol=1e-5)
    assert torch.equal(shift, ours.codes[f"weights:{first}.instance"][:, 1])
    with pytest.raises(ValueError, match="unsigned_gain is about how instance_norm begins, which is off"):
        Tuned(prior, unsigned_gain=True)


STAGES = [Stage(1, 1e-3, 1e-2), Stage(2, 1e-3, 1e-2), Stage(4, 5e-4, 1e-3)]


def in_stages(prior: Prior, *, start: Solution, y: Tensor, **settings: Any) -> Solution:
    """`STAGES` as `tuned` goes through them, from the code that DGP's loop begins at; the last state, as theirs."""
    common: dict[str, Any] = {"steps": 4, "nll": 0.02, "loss": Mixture([(l2, 40.0)]), "keep": "last", **settings}
    stages = [Tuned(prior, blocks=stage.blocks, weights_lr=stage.weights_lr, lr=stage.lr, **common) for stage in STAGES]
    return Staged(stages)(y, Identity(), start=start)


def test_dgp_hands_adams_moments_from_stage_to_stage() -> None:
    prior = DCGAN.from_state(dcgan_state())
    y = measured(DCGAN.from_state(dcgan_state(seed=1)), 1)
    start = start_at(prior, dgp(prior, Identity().A, y, stages=[], select=3).codes, "z")
    loop = dgp(prior, Identity().A, y, stages=STAGES, steps=4, select=3).images
    carried, anew = in_stages(prior, start=start, y=y, carry_moments=True), in_stages(prior, start=start, y=y)
    torch.testing.assert_close(carried.images, loop, atol=2e-5, rtol=0)
    assert float((anew.images - loop).abs().max()) > 1e-3
    assert "Adam's moments" in repr(carried)
    # weights that did not move yet have moments too, and all of the twelve steps
    moving = [name for name in carried.codes if not name.startswith("adam:")]
    assert all(int(carried.codes[f"adam:steps:{name}"]) == 12 and f"adam:second:{name}" in carried.codes for name in moving)


def test_carried_momentum_is_torchs_own_adam_going_on() -> None:
    prior = DCGAN.from_state(dcgan_state())
    y = measured(DCGAN.from_state(dcgan_state(seed=1)), 2)
    settings: dict[str, Any] = {"lr": 0.01, "weights_lr": 1e-3, "beta1": 0.9, "keep": "last", "candidates": 2}
    once = Tuned(prior, steps=8, **settings)(y, Identity())
    parts = Staged([Tuned(prior, steps=5, carry_moments=True, **settings), Tuned(prior, steps=3, carry_moments=True, **settings)])
    torch.testing.assert_close(parts(y, Identity()).images, once.images, atol=1e-5, rtol=0)
    anew = Staged([Tuned(prior, steps=5, **settings), Tuned(prior, steps=3, **settings)])(y, Identity())
    assert float((anew.images - once.images).abs().max()) > 1e-3


def test_moments_belong_to_their_photo(tmp_path: Path) -> None:
    prior = DCGAN.from_state(dcgan_state())
    y = measured(DCGAN.from_state(dcgan_state(seed=1)), 3)
    first = Tuned(prior, blocks=1, steps=20, candidates=4, restarts=2, weights_lr=1e-3, carry_moments=True)
    losses = first(y, Identity()).misfit
    first = dataclasses.replace(first, stop_at=float(losses.max()) * 1.001)  # one photo needs all steps, others leave
    both = Staged([first, Tuned(prior, steps=5, weights_lr=1e-3, carry_moments=True)])
    batch = both(y, Identity())
    taken = batch.codes["adam:steps:z"].long().tolist()
    assert len(set(taken)) > 1
    for i in range(3):
        alone = both(y[i : i + 1], Identity())
        assert alone.codes["adam:steps:z"].long().tolist() == taken[i : i + 1]
        torch.testing.assert_close(alone.images, batch.images[i : i + 1], atol=1e-5, rtol=0)
    # what another solver goes on with, and what is kept of a photo's prior, is without them
    save_delta(prior, batch, 1, tmp_path / "one.safetensors")
    assert set(load_delta(prior, tmp_path / "one.safetensors")[1]) == {"z"}
    further = Tuned(prior, steps=2)(y, Identity(), start=batch)
    assert not any(name.startswith("adam:") for name in further.codes)


@pytest.mark.parametrize("beta1", [0.0, 0.9])
@pytest.mark.parametrize("held", [{"lr": 0.0}, {"weights_lr": 0.0}])
def test_what_begins_to_move_in_a_later_stage_takes_adams_first_step(held: dict[str, Any], beta1: float) -> None:
    """Which is the rate itself: it has seen nothing yet, however many steps the others have."""
    prior = DCGAN.from_state(dcgan_state())
    y = measured(DCGAN.from_state(dcgan_state(seed=1)), 2)
    second = Tuned(prior, steps=1, lr=0.01, weights_lr=1e-3, beta1=beta1, carry_moments=True, keep="last", candidates=2)
    begun = dataclasses.replace(second, steps=30, **held)(y, Identity())
    moved = second(y, Identity(), start=begun)
    rates = {name: 0.01 if name == "z" else 1e-3 for name in moved.codes if not name.startswith("adam:")}
    late = [name for name in rates if f"adam:steps:{name}" not in begun.codes]
    assert ("z" in late) is ("lr" in held)
    assert len(late) in (1, len(rates) - 1)
    for name in rates:
        assert moved.codes[f"adam:steps:{name}"].tolist() == ([1, 1] if name in late else [31, 31])
    for name in late:
        own = begun.codes[name] if name in begun.codes else prior.get_parameter(name.removeprefix("weights:"))
        torch.testing.assert_close(float((moved.codes[name] - own).abs().max()), rates[name], rtol=0.02, atol=0)


def test_only_adams_moments_can_be_carried() -> None:
    with pytest.raises(ValueError, match="carry_moments is about adam's moments; leave it out with sgd"):
        Tuned(made("dcgan"), optimiser="sgd", carry_moments=True)


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
    middle = Layered(prior, block=3, steps=0, drop_picture=True)(y, Identity()).codes["features@3"]
    assert middle.any()
    assert not middle[:, -3:].any()


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


def test_moments_that_are_not_all_there_begin_anew() -> None:
    """Without momentum Adam remembers no first mean, with which a stage that has momentum could go on."""
    prior = made("dcgan")
    y = measured(prior, 2)
    first = Tuned(prior, steps=3, candidates=2, beta1=0.0, carry_moments=True)(y, Identity())
    second = Tuned(prior, steps=2, beta1=0.9, carry_moments=True)
    bare = replace(first, codes={name: code for name, code in first.codes.items() if not name.startswith("adam:")})
    torch.testing.assert_close(second(y, Identity(), start=first).codes, second(y, Identity(), start=bare).codes)
