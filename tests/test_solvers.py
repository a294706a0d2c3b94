"""Solvers against closed forms and at their edges. Restarts and stopping: test_stopping.py. Batches: test_solver_batches.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from solvers_support import SHAPE, least_squares, linear, pictures, random_mask
from torch import Tensor

from priorsolve.consistency import put_back
from priorsolve.counter_rng import STARTS, generator_for
from priorsolve.losses import Loss, huber, l1, l2
from priorsolve.operators.base import Identity, Operator
from priorsolve.operators.blur import disk_blur, gaussian_blur, motion_blur
from priorsolve.operators.downsample import Downsample
from priorsolve.operators.gray import Gray
from priorsolve.operators.holes import Holes
from priorsolve.operators.mask import Mask
from priorsolve.operators.sensing import FastSensing, GaussianSensing
from priorsolve.priors import Prior, load_prior
from priorsolve.solvers import Latent, Layered, Mirrored, Staged, Step, Stop, Tuned, picture, start_at
from priorsolve.types import Images, Measurements

LINEAR: dict[str, Operator] = {
    "identity": Identity(),
    "gray": Gray(),
    **{f"downsample-{kernel}": Downsample(2, kernel) for kernel in ("area", "nearest", "bilinear", "bicubic", "lanczos")},
    "mask": random_mask(8, 8),
    "masks-per-image": random_mask(2, 1, 8, 8),
    "soft-mask": Mask(torch.linspace(0, 1, 64).view(8, 8)),
    "holes": Holes(boxes=[[0.2, 0.2, 0.7, 0.6]]),
    "gaussian-blur": gaussian_blur(0.8),
    "motion-blur": motion_blur(3, 30),
    "disk-blur": disk_blur(1.5),
    "gaussian-sensing": GaussianSensing(m=40, shape=list(SHAPE)),
    **{f"fast-{name}": FastSensing(m=40, transform=name, shape=list(SHAPE)) for name in ("hadamard", "dct", "fft")},
    "gray-mask": Gray() @ random_mask(8, 8),
    "downsample-masks-per-image": Downsample(2, "area") @ random_mask(2, 1, 8, 8),
    "sensing-blur": GaussianSensing(m=40, shape=list(SHAPE)) @ gaussian_blur(0.8),
}
PIXEL_LOSSES: dict[str, Loss] = {"l2": l2, "l1": l1, "huber": huber}


@pytest.mark.parametrize("name", LINEAR)
def test_finds_the_least_squares_optimum(name: str) -> None:
    prior, operator = linear(), LINEAR[name]
    y = operator.A(pictures(2))
    solution = Latent(prior, steps=400, restarts=1, candidates=8, lr=0.3)(y, operator)
    expected = least_squares(prior, operator, y)
    assert float((solution.codes["z"] - expected).abs().max()) < 1e-5
    torch.testing.assert_close(solution.images, prior.decode(expected), atol=1e-5, rtol=0)
    torch.testing.assert_close(solution.residual, solution.misfit.sqrt())
    assert float(solution.misfit.min()) > 1e-6, "the case is too easy to tell an optimum from a perfect fit"


@pytest.mark.parametrize("name", ["identity", "masks-per-image", "gaussian-sensing", "downsample-bicubic"])
def test_finds_the_optimum_in_float32(name: str) -> None:
    prior, operator = linear(torch.float32), LINEAR[name]
    y = operator.A(pictures(2, torch.float32))
    solution = Latent(prior, steps=400, restarts=2, candidates=8, lr=0.3)(y.double(), operator)  # y is brought to the prior's type
    assert solution.images.dtype == torch.float32
    assert float((solution.codes["z"] - least_squares(prior, operator, y)).abs().max()) < 2e-3
    torch.testing.assert_close(solution.images, prior.decode(least_squares(prior, operator, y).float()), atol=3e-4, rtol=0)


@pytest.mark.parametrize("penalty", [1e-3, 1e-1])
@pytest.mark.parametrize("name", ["gray", "masks-per-image", "gaussian-sensing"])
def test_the_penalty_is_ridge_regression(name: str, penalty: float) -> None:
    prior, operator = linear(), LINEAR[name]
    y = operator.A(pictures(2))
    solution = Latent(prior, steps=500, restarts=1, candidates=8, lr=0.3, penalties={"gaussian": penalty})(y, operator)
    expected = least_squares(prior, operator, y, penalty)
    assert float((solution.codes["z"] - expected).abs().max()) < 1e-5
    assert float((expected - least_squares(prior, operator, y)).abs().max()) > 1e-2


def test_l1_ignores_outliers_and_l2_does_not() -> None:
    prior = linear()
    z = prior.sample(1, torch.Generator().manual_seed(3))
    y = prior.decode(z)
    y[0, 1, 2:4] += 5
    found = {name: Latent(prior, steps=400, restarts=1, lr=0.3, loss=loss)(y, Identity()).codes["z"] for name, loss in PIXEL_LOSSES.items()}
    assert float((found["l1"] - z).abs().max()) < 1e-3
    assert float((found["huber"] - z).abs().max()) < float((found["l2"] - z).abs().max()) / 5


def test_losses_are_their_formulas_and_see_only_what_was_measured() -> None:
    estimate, measured = torch.tensor([[0.05, 1.0, 9.0]]), torch.tensor([[0.0, 0.5, 0.0]])
    where = torch.tensor([[1.0, 1.0, 0.0]])
    expected = {"l2": (0.0025 + 0.25) / 2, "l1": 0.55 / 2, "huber": (0.05**2 / 2 + 0.1 * 0.45) / 2}
    for name, loss in PIXEL_LOSSES.items():
        assert loss(estimate, measured, where).item() == pytest.approx(expected[name], rel=1e-5), name
        assert loss(estimate, measured, torch.zeros(1, 3)).item() == 0, name


def test_holes_may_hold_anything() -> None:
    prior, operator = linear(), random_mask(8, 8)
    y = operator.A(pictures(1))
    solver = Latent(prior, steps=20)
    holey = torch.where(operator.known > 0, y, torch.nan)
    assert torch.equal(solver(holey, operator).images, solver(y, operator).images)


# -- best so far, budget, history ------------------------------------------------------------------------------------------------------


def test_the_best_seen_comes_out_even_if_the_way_led_off() -> None:
    prior = linear()
    y = pictures(2)
    at_start = Latent(prior, steps=0, restarts=1)(y, Identity())
    wild = Latent(prior, steps=30, restarts=1, lr=1e3, warmup=0)(y, Identity())
    assert torch.equal(wild.images, at_start.images)
    assert torch.equal(wild.misfit, at_start.misfit)
    expected = (wild.images - y).square().flatten(1).mean(1)
    torch.testing.assert_close(wild.misfit, expected)


def test_no_steps_keep_the_best_candidate() -> None:
    prior, y = linear(), pictures(2)
    solution = Latent(prior, steps=0, restarts=3, candidates=50, seed=5)(y, Identity())
    codes = prior.sample(50, generator_for(STARTS, 5))
    misfit = (prior.decode(codes)[None] - y[:, None]).square().flatten(2).mean(2)
    torch.testing.assert_close(solution.codes["z"], codes[misfit.argmin(1)])
    torch.testing.assert_close(solution.misfit, misfit.amin(1))
    assert solution.steps.tolist() == [0, 0]
    assert solution.stopped == (Stop.budget, Stop.budget)
    assert solution.history.shape == (1, 2)


@pytest.mark.parametrize(("steps", "told"), [(0, [0]), (7, [0, 7]), (10, [0, 10]), (25, [0, 10, 20, 25])])
def test_progress_is_told_and_kept(steps: int, told: list[int]) -> None:
    seen: list[Step] = []
    solution = Latent(linear(), steps=steps, restarts=2)(pictures(3), Identity(), on_step=seen.append)
    assert [step.index for step in seen] == told
    assert {step.steps for step in seen} == {steps}
    torch.testing.assert_close(torch.stack([step.misfit for step in seen]), solution.history)
    assert bool((solution.history.diff(dim=0) <= 0).all())
    assert torch.equal(solution.history[-1], solution.misfit)
    assert all(bool(step.active.all()) and len(step.active) == 3 for step in seen)
    assert solution.steps.tolist() == [steps] * 3


def test_an_empty_batch_is_answered() -> None:
    solution = Latent(linear(), steps=20)(pictures(0), Identity())
    assert solution.images.shape == (0, *SHAPE)
    assert solution.codes["z"].shape == (0, 4)
    assert solution.history.shape == (3, 0)
    assert solution.stopped == ()


# -- stages ----------------------------------------------------------------------------------------------------------------------------


def test_stages_go_on_where_the_last_one_ended() -> None:
    prior, y = linear(), pictures(2)
    first, second = Latent(prior, steps=15, restarts=2), Latent(prior, steps=30, lr=0.05, plateau=4)
    seen: list[Step] = []
    staged = Staged([first, second])(y, Identity(), seeds=[3, 4], on_step=seen.append)
    one = first(y, Identity(), seeds=[3, 4])
    two = second(y, Identity(), start=one)
    assert torch.equal(staged.images, two.images)
    assert torch.equal(staged.steps, one.steps + two.steps)
    assert staged.stopped == two.stopped
    assert torch.equal(staged.history, torch.cat([one.history, two.history]))
    assert bool((staged.history.diff(dim=0) <= 1e-15).all()), "the second stage begins no worse than the first ended"
    assert [step.index for step in seen][:4] == [0, 10, 15, 15]
    assert {step.steps for step in seen} == {45} == {Staged([first, second]).steps}
    with pytest.raises(ValueError, match="at least one stage"):
        Staged([])


def test_what_stages_say_of_themselves() -> None:
    """One that goes by gradients is enough; the seed is the first one's, and misfits are told in the last one's loss."""
    first, last = Latent(linear(), steps=0, seed=3), Latent(linear(), steps=5, seed=4, loss=l1)
    both, y = Staged([first, last], mean=True), pictures(2)
    assert (both.seed, both.loss, both.descends, Staged([first]).descends) == (3, l1, True, False)
    told = Staged([first, replace(last, begin_at="centre")])
    assert told.varied() == told, "a later stage begins where the one before ended, whatever it is told"
    found = both(y, Identity())
    torch.testing.assert_close(found.misfit, (found.images - y).abs().flatten(1).mean(1))


# -- operators of others ---------------------------------------------------------------------------------------------------------------


class Physics:
    """Like a deepinv physics: no Operator, an `.A`, parameters for each image, only ever the whole batch."""

    def __init__(self, masks: Tensor) -> None:
        self.masks = masks

    def A(self, x: Images) -> Measurements:
        assert len(x) == len(self.masks), "called with a part of the batch, or with restarts as images"
        return self.masks * x


@pytest.mark.parametrize("plain", [False, True])
def test_foreign_operators_equal_ours(plain: bool) -> None:
    """Of unequal seeds, with restarts, and with one image done long before the other."""
    prior, ours = linear(), random_mask(3, 1, 8, 8)
    physics, y = Physics(ours.known.double()), ours.A(pictures(3))
    y[1] = (prior.decode(prior.sample(8, generator_for(STARTS, 5))[6:7]) * ours.known[1])[0]
    # where a foreign operator measured nothing nobody knows, so that the misfit is a mean over all pixels
    rescale = ours.known.double().mean((1, 2, 3))
    solver = Latent(prior, steps=24, restarts=3, candidates=8, noise=1e-6)
    theirs = solver(y, physics.A if plain else physics, seeds=[4, 5, 6])
    mine = solver(y, ours, seeds=[4, 5, 6])
    torch.testing.assert_close(theirs.images, mine.images)
    torch.testing.assert_close(theirs.misfit, mine.misfit * rescale)
    assert theirs.stopped == mine.stopped == (Stop.budget, Stop.noise, Stop.budget)
    assert torch.equal(theirs.steps, mine.steps)


# -- refusals --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("y", "operator", "seeds", "message"),
    [
        (torch.rand(2, 3, 8, 8), Gray(), None, r"Gray.*\(1, 8, 8\).*\(3, 8, 8\)"),
        (torch.rand(2, 3, 4, 4), Downsample(3), None, "divisible by 3"),
        (torch.rand(2, 3, 8, 8), random_mask(3, 1, 8, 8), None, "parameters for 3 images, got 2"),
        (torch.rand(2, 3, 8, 8), GaussianSensing(m=10), None, "shape is not known"),
        (torch.rand(2, 3, 8, 8), lambda x: x.mean(1, keepdim=True), None, r"\(1, 8, 8\) from \(3, 8, 8\) images, got \(3, 8, 8\)"),
        (torch.rand(2, 3, 8, 8), lambda x: x[:1], None, None),
        (torch.rand(2, 3, 8, 8), lambda x: x.detach(), None, "no gradient"),
        (torch.rand(2, 3, 8, 8), "gray", None, "method A, or a function"),
        (torch.tensor(0.5), Identity(), None, r"shape \(B, ...\)"),
        (torch.rand(2, 3, 8, 8) * 1j, Identity(), None, "real measurements"),
        (torch.rand(2, 3, 8, 8), Identity(), [1], "1 seeds for 2"),
        (torch.rand(2, 3, 8, 8), Identity(), [1, -1], "at least 0"),
    ],
)
def test_wrong_arguments_are_one_clear_error(y: Tensor, operator: Any, seeds: Sequence[int] | None, message: str | None) -> None:
    with pytest.raises(ValueError, match=message):
        Latent(linear(), steps=2)(y, operator, seeds=seeds)


def test_a_start_must_fit() -> None:
    prior = linear()
    solution = Latent(prior, steps=0)(pictures(2), Identity())
    with pytest.raises(ValueError, match="holds 2 images, got 3"):
        Latent(prior, steps=1)(pictures(3), Identity(), start=solution)
    other = replace(solution, codes={"w": solution.codes["z"]})
    with pytest.raises(ValueError, match="no way to 'z'"):
        Latent(prior, steps=1)(pictures(2), Identity(), start=other)


# -- what the caller has around it -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_works_where_gradients_are_off(mode: Any) -> None:
    prior, y, operator = linear(), pictures(2), random_mask(8, 8)
    solver = Latent(prior, steps=12)
    expected = solver(operator.A(y), operator)
    with mode():
        found = solver(operator.A(y), operator)
    assert torch.equal(found.images, expected.images)
    assert not expected.images.requires_grad
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in prior.parameters())


def test_a_prior_is_folded_where_gradients_are_off(digiface64: Prior) -> None:
    """Its folded weights are made in the call, and a tensor that is made in inference mode takes part in no backward pass."""
    y, stages = (
        torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)),
        [Latent(digiface64, steps=2, restarts=1, candidates=2), Layered(digiface64, 2, steps=2)],
    )
    expected = Staged(stages, mean=True)(y, Identity())
    with torch.inference_mode():
        found = Staged(stages, mean=True)(y, Identity())
    assert torch.equal(found.images, expected.images)


def test_a_prior_loaded_where_gradients_are_off(digiface64: Prior) -> None:
    with torch.inference_mode():
        prior = load_prior("digiface64")
    y = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    for solver in (Latent(prior, steps=2, candidates=2), Tuned(prior, steps=2, candidates=2)):
        assert torch.equal(solver(y, Identity()).images, replace(solver, prior=digiface64)(y, Identity()).images)


def test_a_prior_made_where_gradients_are_off_is_refused() -> None:
    with torch.inference_mode():
        prior = linear()
    with pytest.raises(ValueError, match=r"was made under torch\.inference_mode, whose tensors let no gradient through; make it outside"):
        Latent(prior)


def test_a_callers_autocast_changes_nothing(digiface64: Prior) -> None:
    A = gaussian_blur(0.6)  # which is soon undone
    y = A.A(torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    first = Latent(digiface64, steps=2, restarts=1, candidates=2)
    staged = Staged([first, Layered(digiface64, 2, steps=2)], mean=True)
    for solver in (first, staged, Mirrored(first, own_detail=1.0), Tuned(digiface64, steps=1, candidates=2)):
        expected = solver(y, A)
        with torch.autocast("cpu", torch.bfloat16):
            found = solver(y, A)
            kept = put_back(found.images, y, A)
            drawn = picture(digiface64, expected.codes) if solver is first else expected.images
            begun = start_at(digiface64, expected.codes["z"]).images if solver is first else expected.images
        assert torch.equal(found.images, expected.images)
        assert torch.equal(found.misfit, expected.misfit)
        assert torch.equal(kept, put_back(expected.images, y, A))
        torch.testing.assert_close(drawn, expected.images, atol=1e-5, rtol=0)
        torch.testing.assert_close(begun, expected.images, atol=1e-5, rtol=0)


def test_nothing_given_is_changed() -> None:
    prior, operator, y = linear(), random_mask(8, 8), pictures(2)
    before, state = y.clone(), torch.random.get_rng_state()
    first = Latent(prior, steps=12)(y, operator)
    codes = first.codes["z"].clone()
    Latent(prior, steps=12)(y, operator, start=first)
    assert torch.equal(y, before)
    assert torch.equal(first.codes["z"], codes)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_last_state_may_be_the_answer() -> None:
    """Gradient descent on a linear prior is z_n = z* + (I − η·H)ⁿ (z₀ − z*), H = 2 (AW)ᵀ(AW)/m; here it overshoots more and more."""
    prior, operator, y = linear(), Identity(), pictures(2)
    steps, best = 5, least_squares(prior, operator, y)
    H = 2 * prior.weight.T @ prior.weight / prior.weight.shape[0]
    rate = 2.2 / float(torch.linalg.eigvalsh(H).max())
    keys: dict[str, Any] = {
        "steps": steps,
        "restarts": 1,
        "candidates": 1,
        "optimiser": "sgd",
        "lr": rate,
        "unit": "raw",
        "warmup": 0.0,
        "decay": "none",
    }
    begun = Latent(prior, **{**keys, "steps": 0})(y, operator).codes["z"]
    last = Latent(prior, **keys, keep="last")(y, operator)
    expected = best + (begun - best) @ torch.linalg.matrix_power(torch.eye(4) - rate * H, steps).T
    torch.testing.assert_close(last.codes["z"], expected)
    kept = Latent(prior, **keys)(y, operator)
    assert bool((kept.misfit <= last.misfit).all())
    assert bool((kept.misfit < last.misfit).any())
    torch.testing.assert_close(last.misfit, (last.images - y).square().mean((1, 2, 3)))
