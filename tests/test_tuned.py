"""Weights that move: closed forms where there are any, every family's batches as its singles, and priors left as they were."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from prior_support import CHAINS, CLASSES, STYLED, made
from solvers_support import SHAPE, difference, linear, measured, pictures, random_mask

from priorsolve.counter_rng import STARTS, generator_for
from priorsolve.operators.base import Identity
from priorsolve.operators.mask import Mask
from priorsolve.priors import Prior
from priorsolve.solvers import Latent, Pivotal, Staged
from priorsolve.solvers.lean_adam import LeanAdam
from priorsolve.solvers.loop import _improved
from priorsolve.solvers.optimisers import Adam
from priorsolve.solvers.stopping import Stop
from priorsolve.solvers.tuned import Tuned
from priorsolve.solvers.weights import tunable, tuned_picture

N = SHAPE[0] * SHAPE[1] * SHAPE[2]


def settled(**settings: float) -> Tuned:
    """Gradient descent on the weights of the linear prior alone, from one sampled code."""
    return Tuned(linear(), steps=200, lr=0, weights_lr=8, optimiser="sgd", candidates=1, **settings)  # type: ignore[arg-type]


# -- closed forms ----------------------------------------------------------------------------------------------------------------------


def test_gradient_descent_on_linear_weights_finds_the_smallest_change_that_explains_the_picture() -> None:
    """With z held, the least ‖ΔW‖² + ‖Δb‖² with (W + ΔW) z + b + Δb = y is ΔW = r zᵀ / (‖z‖² + 1), Δb = r / (‖z‖² + 1)."""
    prior, y = linear(), pictures(3)
    solution = settled()(y, Identity(), seeds=[4, 5, 6])
    z = solution.codes["z"]
    residual = (y - prior.decode(z)).flatten(1)
    scale = z.square().sum(1) + 1
    torch.testing.assert_close(solution.images, y, atol=1e-6, rtol=0)
    dw = solution.codes["weights:_layer.weight"] - prior.weight
    torch.testing.assert_close(dw, residual[:, :, None] * z[:, None] / scale[:, None, None], atol=1e-6, rtol=0)
    db = solution.codes["weights:_layer.bias"] - prior.bias
    torch.testing.assert_close(db, residual / scale[:, None], atol=1e-6, rtol=0)


def test_weights_of_what_was_not_seen_stay() -> None:
    prior, mask = linear(), random_mask(1, 8, 8)
    y = mask.A(pictures(2))
    solution = settled()(y, mask)
    hidden = (mask.A(torch.ones(1, *SHAPE, dtype=torch.float64)) == 0).flatten()
    dw = solution.codes["weights:_layer.weight"] - prior.weight
    assert float(dw[:, hidden].abs().max()) == 0
    assert float(dw[:, ~hidden].abs().max()) > 1e-3
    assert float(solution.misfit.max()) < 1e-12


def test_an_image_stops_when_its_misfit_is_as_small_as_asked_for() -> None:
    y = pictures(3)
    ran = settled()(y, Identity())
    level = float(ran.history[2].mean())
    solution = settled(stop_at=level)(y, Identity())
    assert solution.stopped == (Stop.quality,) * 3
    assert float(solution.misfit.max()) <= level
    assert float(solution.misfit.min()) > 1e-3 * level, "it went on after it was good enough"
    assert Tuned(linear(), steps=20, candidates=1, stop_at=1e-300)(y, Identity()).stopped == (Stop.budget,) * 3


def test_nll_pulls_the_code_to_zero_at_a_known_rate() -> None:
    """With no data the step of gradient descent on λ·mean z²/2 multiplies z by 1 − lr·λ/n."""
    nothing = Mask(torch.zeros(1, 8, 8))
    solver = Tuned(linear(), steps=10, lr=1, weights_lr=0, optimiser="sgd", candidates=1, nll=0.4)
    begin = Tuned(linear(), steps=0, candidates=1)(pictures(2), Identity()).codes["z"]
    torch.testing.assert_close(solver(pictures(2), nothing).codes["z"], begin * (1 - 0.4 / 4) ** 10, atol=1e-12, rtol=0)


def test_nll_is_of_z_and_not_of_the_class() -> None:
    prior = made("biggan")
    y, nothing, n = measured(prior, 2), Mask(torch.zeros(1, *prior.image_shape[1:])), prior.spaces["z"][0]
    begin = Tuned(prior, steps=0, candidates=1)(y, nothing).codes["z+c"]
    solver = Tuned(prior, steps=10, lr=1, weights_lr=0, optimiser="sgd", candidates=1, tune_class=True, nll=0.4)
    expected = torch.cat([begin[:, :n] * (1 - 0.4 / n) ** 10, begin[:, n:]], 1)
    torch.testing.assert_close(solver(y, nothing).codes["z+c"], expected)


# -- every family ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*CHAINS, *STYLED])
def test_batches_equal_singles_the_fit_gets_better_and_the_prior_stays(name: str) -> None:
    prior = made(name)
    before = {key: value.clone() for key, value in prior.state_dict().items()}
    operator = random_mask(3, 1, *prior.image_shape[1:])
    y, seeds = operator.A(measured(prior, 3)), [7, 8, 9]
    solver = Tuned(prior, steps=6, candidates=4, weights_lr=1e-4, lr=1e-3)
    whole = solver(y, operator, seeds=seeds)
    begin = Tuned(prior, steps=0, candidates=4)(y, operator, seeds=seeds)
    assert bool((whole.misfit < begin.misfit).all())
    for part in ([2, 0], [1]):
        single = solver(y[part], operator.select(torch.tensor(part)), seeds=[seeds[i] for i in part])
        assert difference(single, whole[part]) < 1e-4
    assert before.keys() == prior.state_dict().keys()
    assert all(torch.equal(before[key], value) for key, value in prior.state_dict().items())
    assert not any(parameter.requires_grad for parameter in prior.parameters())


@pytest.mark.parametrize("name", [*CHAINS, *STYLED])
def test_pictures_of_copied_weights_are_the_priors_own_in_every_space(name: str) -> None:
    prior = made(name)
    first = prior.first_space
    start = prior.sample(2, torch.Generator().manual_seed(1))
    for space in prior.spaces:
        if space == "noise" or (space == "z" and name in CLASSES):
            continue
        codes = {space: prior.map(start, source=first, target=space)}
        own = {
            f"weights:{key}": prior.get_parameter(key).detach().repeat(2, *[1] * prior.get_parameter(key).ndim)
            for key in tunable(prior, codes)
        }
        with torch.no_grad():
            torch.testing.assert_close(tuned_picture(prior, {**codes, **own}), prior.decode(codes[space], space), atol=2e-5, rtol=0)


def test_style_priors_on_the_cpu_draw_a_row_exactly_as_alone() -> None:
    prior = made("mobilestylegan")
    solution = Tuned(prior, steps=3, candidates=3)(measured(prior, 3), Identity())
    for i in range(3):
        own = {name: value[[i]] for name, value in solution.codes.items()}
        with torch.no_grad():
            assert torch.equal(tuned_picture(prior, own)[0], tuned_picture(prior, solution.codes)[i])


def test_a_real_prior_with_weights_of_its_own_for_each_photo(digiface64: Prior) -> None:
    operator = random_mask(3, 1, 64, 64)
    y, solver = operator.A(measured(digiface64, 3)), Tuned(digiface64, steps=8, blocks=2, candidates=4)
    whole = solver(y, operator)
    assert difference(solver(y[[1]], operator.select(torch.tensor([1]))), whole[1]) < 1e-4


def test_each_row_draws_with_its_own_weights() -> None:
    prior = made("dcgan")
    codes = prior.sample(1, torch.Generator().manual_seed(1)).repeat(2, 1)
    name = [*tunable(prior, {"z": codes})][-1]
    weight = torch.stack([prior.get_parameter(name), torch.zeros_like(prior.get_parameter(name))]).detach()
    with torch.no_grad():
        drawn = tuned_picture(prior, {"z": codes, f"weights:{name}": weight})
    torch.testing.assert_close(drawn[:1], prior.decode(codes[:1]), atol=1e-6, rtol=0)
    torch.testing.assert_close(drawn[1], torch.full_like(drawn[1], 0.5), atol=1e-6, rtol=0)


# -- stages, blocks and rates ----------------------------------------------------------------------------------------------------------


def test_only_the_leading_blocks_move_and_later_stages_hold_what_they_do_not_unfreeze() -> None:
    prior = made("dcgan")
    y = measured(prior, 2)
    one = Tuned(prior, steps=3, blocks=1, candidates=2)
    first = {id(parameter) for parameter in prior.blocks[0].parameters()}
    own = {f"weights:{name}" for name, parameter in prior.named_parameters() if id(parameter) in first}
    begun = one(y, Identity())
    assert set(begun.codes) == {"z"} | own
    later = Tuned(prior, space="features@1", steps=3, blocks=2)(y, Identity(), start=begun)
    assert set(later.codes) > {"features@1"} | own
    whole = Tuned(prior, steps=0, blocks=len(prior.blocks), candidates=2)(y, Identity())
    assert set(whole.codes) == set(Tuned(prior, steps=0, candidates=2)(y, Identity()).codes)
    for name in own:
        assert torch.equal(later.codes[name], begun.codes[name])
    assert bool((later.misfit < begun.misfit).all())


def test_stages_begin_where_the_last_one_ended() -> None:
    prior = made("biggan")
    y = measured(prior, 2)
    stages = [Tuned(prior, steps=10, blocks=k, candidates=8, nll=0.02) for k in (1, 2, 3)]
    solution = Staged(stages)(y, Identity())
    assert solution.history.shape == (6, 2)
    torch.testing.assert_close(solution.history[[2, 4]], solution.history[[1, 3]], rtol=1e-4, atol=0)
    assert bool((solution.history[-1] < solution.history[0]).all())


def test_a_block_moves_at_its_own_rate() -> None:
    """Adam's first step is the rate itself, whatever the gradient."""
    prior = made("dcgan")
    solution = Tuned(prior, steps=1, weights_lr=1e-5, block_ratio=0.5, lr=0, candidates=1)(measured(prior, 1), Identity())
    place = {id(parameter): k for k, block in enumerate(prior.blocks) for parameter in block.parameters()}
    for name, parameter in prior.named_parameters():
        moved = (solution.codes[f"weights:{name}"][0] - parameter).abs().max()
        torch.testing.assert_close(float(moved), 1e-5 * 0.5 ** place[id(parameter)], rtol=0.02, atol=2e-8)


def test_the_class_stays_unless_it_is_tuned() -> None:
    prior = made("biggan")
    y, size = measured(prior, 2), prior.spaces["z"][0]
    begin = Tuned(prior, steps=0, candidates=3)(y, Identity()).codes["z+c"]
    for tuned in (False, True):
        code = Tuned(prior, steps=3, candidates=3, tune_class=tuned)(y, Identity()).codes["z+c"]
        assert torch.equal(code[:, size:], begin[:, size:]) is not tuned
        assert not torch.equal(code[:, :size], begin[:, :size])


def test_candidates_are_judged_by_the_loss_for_the_start() -> None:
    prior, y = made("dcgan"), measured(made("dcgan"), 1)

    def darkest(estimate: torch.Tensor, measured: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
        return estimate.flatten(1).mean(1)

    begin = Tuned(prior, steps=0, candidates=20, start_loss=darkest)(y, Identity())
    everyone = prior.decode(prior.sample(20, generator_for(STARTS, 0)))
    torch.testing.assert_close(begin.images.mean(), everyone.mean((1, 2, 3)).min(), atol=1e-5, rtol=0)


def test_sampled_z_has_the_spread_asked_for_and_the_class_its_own() -> None:
    prior, y = made("biggan"), measured(made("biggan"), 1)
    size = prior.spaces["z"][0]
    wide, narrow = (Tuned(prior, steps=0, candidates=1, sample_std=std)(y, Identity()).codes["z+c"] for std in (1.0, 0.3))
    torch.testing.assert_close(narrow[:, :size], 0.3 * wide[:, :size])
    assert torch.equal(narrow[:, size:], wide[:, size:])


def test_after_a_code_in_w_the_synthesis_is_tuned_and_not_the_mapping() -> None:
    prior = made("stylegan2-skip")
    y = measured(prior, 2)
    found = Latent(prior, space="w", steps=3, restarts=1, candidates=2)(y, Identity())
    solution = Tuned(prior, space="w", steps=5)(y, Identity(), start=found)
    assert not any("mapping" in name for name in solution.codes)
    assert any("affine" in name for name in solution.codes)
    assert bool((solution.misfit < found.misfit).all())


def test_restarts_have_weights_of_their_own_and_the_best_is_kept() -> None:
    prior = made("dcgan")
    y = measured(prior, 2)
    alone = Tuned(prior, steps=5, candidates=6)(y, Identity())
    several = Tuned(prior, steps=5, candidates=6, restarts=3)(y, Identity())
    assert bool((several.misfit <= alone.misfit * (1 + 1e-5)).all())
    assert several.codes["weights:_blocks.0.1.weight"].shape[0] == 2


@pytest.mark.parametrize("beta1", [0.0, 0.9])
def test_the_lean_adam_moves_as_the_plain_one(beta1: float) -> None:
    rng = torch.Generator().manual_seed(0)
    start = {"z": torch.randn(3, 4, generator=rng), "weights:a": torch.randn(3, 5, 2, generator=rng)}
    scale = {"z": torch.tensor([1.0, 1.0, 0.0, 2.0]), "weights:a": torch.tensor(0.3)}
    lean, plain, moved, expected = LeanAdam(beta1), Adam(beta1, epsilon=1e-8), start, start
    for step in range(4):
        gradients = {name: torch.randn(value.shape, generator=rng) for name, value in moved.items()}
        gradients["weights:a"] = torch.randn(len(moved["weights:a"]), 2, 5, generator=rng).mT  # as a matrix's may lie under vmap
        before = {name: value.clone() for name, value in moved.items()}
        after = lean.move(moved, gradients, step, 0.1, scale)
        assert all(torch.equal(before[name], moved[name]) for name in before), "the old values are still needed"
        moved, expected = after, plain.move(expected, gradients, step, 0.1, scale)
        torch.testing.assert_close(moved, expected)
        if step == 1:
            rows = torch.tensor([2, 0])
            lean.keep(rows)
            plain.keep(rows)
            moved, expected = ({name: value[rows] for name, value in each.items()} for each in (moved, expected))


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("count", [1, 2])
def test_every_weight_moves_against_its_own_gradient(name: str, count: int) -> None:
    prior = made(name).double()
    y = measured(prior, count)
    codes = Tuned(prior, steps=0, candidates=1, weights_lr=0)(y, Identity()).codes
    own = {f"weights:{key}": prior.get_parameter(key).detach() for key in tunable(prior, codes)}
    own = {key: value.expand(count, *value.shape).clone().requires_grad_() for key, value in own.items()}
    gradients = torch.autograd.grad((tuned_picture(prior, {**codes, **own}) - y).square().flatten(1).mean(1).sum(), [*own.values()])
    moved = Tuned(prior, steps=1, candidates=1, lr=0, weights_lr=1e-3, keep="last")(y, Identity()).codes
    for (key, value), gradient in zip(own.items(), gradients, strict=True):
        expected = 1e-3 * gradient / (gradient.abs() + 1e-8)  # Adam's first step
        torch.testing.assert_close(value.detach() - moved[key], expected, atol=1e-6, rtol=0)


def test_weights_of_many_rows_are_tuned_in_their_own_type() -> None:
    """Where rows are drawn together."""
    prior = made("dcgan")
    y = measured(prior, 2)
    exact, half = (Tuned(each, steps=2, candidates=2)(y, Identity()) for each in (prior, prior.computing(torch.bfloat16)))
    assert difference(exact, half) < 1e-6


def test_what_a_stage_begins_with_stays_as_it_was() -> None:
    """The best may be the moving tensors themselves, and its rows are exchanged in place: nobody else's may change by that."""
    prior = made("dcgan")
    y = measured(prior, 3)
    found = Tuned(prior, steps=2, candidates=2)(y, Identity())
    before = {name: value.clone() for name, value in found.codes.items()}
    for solver in (Tuned(prior, steps=25, weights_lr=0.02), Tuned(prior, steps=25, optimiser="sgd", weights_lr=1e-3)):
        later = solver(y, Identity(), start=found)
        assert all(torch.equal(found.codes[name], value) for name, value in before.items())
        assert bool((later.misfit <= found.misfit).all())
        with torch.no_grad():
            torch.testing.assert_close(tuned_picture(prior, later.codes), later.images)
            torch.testing.assert_close((later.images - y).square().flatten(1).mean(1), later.misfit)


@pytest.mark.parametrize(("name", "spaces"), [("dcgan", ["features@1", "features@2"]), ("stylegan2-skip", ["w", "w+", "features@2"])])
def test_a_later_space_begins_at_the_tuned_picture(name: str, spaces: list[str]) -> None:
    """What the weights before that space learnt is in the code there."""
    prior = made(name)
    first = Tuned(prior, space="z", steps=3, candidates=2, weights_lr=0.01, keep="last")
    for solver in (first, replace(first, carry_moments=True), *([replace(first, instance_norm=True)] if name == "dcgan" else [])):
        found = solver(measured(prior, 2), Identity())
        for space in spaces:
            on = Tuned(prior, space=space, steps=0, carry_moments=solver.carry_moments)(measured(prior, 2), Identity(), start=found)
            assert torch.equal(on.images, found.images), space
            with torch.no_grad():
                plain = prior.map(found.codes["z"], source="z", target=space)
            assert float((on.codes[space] - plain).abs().max()) > 1e-3, space


def test_the_best_takes_only_the_rows_that_are_better() -> None:
    value, best = torch.ones(3, 2), torch.zeros(3, 2)
    better = torch.tensor([False, True, False])
    assert _improved(best, value, torch.ones(3, dtype=torch.bool)) is value
    assert _improved(best, best, better) is best
    assert torch.equal(_improved(best, value, ~better & better), torch.zeros(3, 2))
    torch.testing.assert_close(_improved(best, value, better), torch.tensor([[0.0, 0], [1, 1], [0, 0]]))
    assert torch.equal(value, torch.ones(3, 2))


# -- what makes no sense ---------------------------------------------------------------------------------------------------------------


def test_what_makes_no_sense_is_refused_in_a_line() -> None:
    prior = made("dcgan")
    refused: list[tuple[dict[str, Any], str]] = [
        ({"blocks": 9}, "blocks is 9; .* has 4: give 1 to 4"),
        ({"blocks": 0}, "blocks is 0"),
        ({"weights_lr": 0, "lr": 0}, "nothing would move"),
        ({"optimiser": "lbfgs"}, "optimiser is 'lbfgs'; it must be one of adam, sgd"),
        ({"tune_class": True}, "codes of 'z' have no class"),
        ({"space": "features@1", "nll": 0.1}, "nll is 0.1, which is for codes of z"),
        ({"space": "features@1", "sample_std": 0.5}, "sample_std is 0.5"),
        ({"stop_at": 0.0}, "stop_at is 0.0; it must be above 0"),
        ({"space": "w"}, "space 'w' is not one of the prior's"),
    ]
    for settings, words in refused:
        with pytest.raises(ValueError, match=words):
            Tuned(prior, **settings)
    y = measured(prior, 1)
    found = Tuned(prior, steps=1, candidates=1)(y, Identity())
    with pytest.raises(ValueError, match=r"tuned weights, which only .*, or start at its code alone: start_at\(prior, solution"):
        Latent(prior, steps=1)(y, Identity(), start=found)
    with pytest.raises(ValueError, match="depends on no weight of the first 1 blocks; unfreeze more blocks, or use a space before them"):
        Tuned(prior, space="features@1", blocks=1, steps=1, candidates=1)(y, Identity())
    begun = Tuned(prior, steps=1, candidates=1)(y, Identity())
    other = replace(begun, codes={"z": begun.codes["z"], "weights:nowhere": torch.zeros(1, 2)})
    with pytest.raises(ValueError, match=r"tuned weights nowhere of shape \(2,\) and has none; use the prior they were tuned of"):
        Tuned(prior, steps=1)(y, Identity(), start=other)


@pytest.mark.parametrize("name", ["dcgan", "stylegan2-skip"])
def test_the_prior_keeps_its_own_weights_while_it_is_tuned_so_that_threads_may_share_it(name: str) -> None:
    """Whoever draws with the prior meanwhile, here from within, sees the tensors that it always had."""
    prior = made(name)
    own, seen = dict(prior.named_parameters()), list[bool]()

    def look(*_: object) -> None:
        now = dict(prior.named_parameters())
        seen.append(now.keys() == own.keys() and all(now[key] is value for key, value in own.items()))

    prior.blocks[0].register_forward_hook(look)
    y = measured(made(name), 2)
    stages = Staged([Tuned(prior, steps=2, candidates=2), Pivotal(prior, steps=2, locality=0.1 if name == "stylegan2-skip" else 0.0)])
    stages(y, Identity())
    assert len(seen) >= 6
    assert all(seen)


@pytest.mark.parametrize("count", [1, 2])
def test_weights_that_lie_transposed_move_as_others(count: int) -> None:
    plain, turned = linear(torch.float32), linear(torch.float32)
    weight = turned.get_parameter("_layer.weight")
    weight.data = weight.data.T.contiguous().T
    settings: dict[str, Any] = {"steps": 5, "candidates": 2, "weights_lr": 1e-2}
    moved, expected = (Tuned(prior, **settings)(pictures(count, torch.float32), Identity()) for prior in (turned, plain))
    torch.testing.assert_close(moved.codes, expected.codes, atol=1e-5, rtol=1e-5)
    assert float((moved.images - turned.decode(moved.codes["z"])).abs().max()) > 1e-2, "nothing was tuned"
