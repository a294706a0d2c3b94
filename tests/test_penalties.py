"""Penalties and projections against their formulas written the long way, loops and all."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from laws_support import few
from prior_support import NOISY, STYLED, made, sampled
from torch import Tensor

from priorsolve import counter_rng, penalties
from priorsolve.counter_rng import normal_hash
from priorsolve.latents import _shrinkage_by_sorting, to_l1_ball
from priorsolve.operators.base import Identity
from priorsolve.operators.mask import Mask
from priorsolve.penalties import (
    PENALTIES,
    check_penalties,
    colinearity,
    euclidean,
    gaussian_penalty,
    geocross,
    layer_spread,
    mahalanobis,
    noise_autocorrelation,
    total_variation,
    weighted,
)
from priorsolve.priors import LinearPrior
from priorsolve.priors.kept import run_form
from priorsolve.solvers import Latent, Multicode, Projector, Tuned
from priorsolve.solvers.target import Measured
from priorsolve.solvers.task import At


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


# -- penalties -------------------------------------------------------------------------------------------------------------------------


def test_gaussian_is_the_squared_length() -> None:
    codes = drawn(3, 2, 4)
    expected = [sum(float(number) ** 2 for number in code.flatten()) for code in codes]
    torch.testing.assert_close(gaussian_penalty(codes), torch.tensor(expected).double())


def test_layer_spread_is_the_mean_square_around_the_layers_mean() -> None:
    codes = drawn(2, 5, 3)
    for code, value in zip(codes, layer_spread(codes), strict=True):
        mean = sum(code) / 5
        assert float(value) == pytest.approx(sum(float((layer - mean).square().sum()) for layer in code) / 15)
    assert layer_spread(codes[:, :1].repeat(1, 5, 1)).abs().max() < 1e-20


def test_total_variation_is_the_mean_jump_across_and_the_mean_jump_down() -> None:
    pictures = drawn(2, 2, 3, 4)
    for picture, value in zip(pictures, total_variation(pictures), strict=True):
        across = [abs(float(c[i, j + 1] - c[i, j])) for c in picture for i in range(3) for j in range(3)]
        down = [abs(float(c[i + 1, j] - c[i, j])) for c in picture for i in range(2) for j in range(4)]
        assert float(value) == pytest.approx(sum(across) / len(across) + sum(down) / len(down))
    assert total_variation(torch.ones(1, 3, 5, 5)) == 0
    torch.testing.assert_close(total_variation(pictures[..., :1, :]), pictures[..., :1, :].diff(dim=-1).abs().mean((1, 2, 3)))
    assert total_variation(pictures[..., :1, :1]).tolist() == [0] * len(pictures), "nothing jumps in a single pixel"


def published_geocross(code: Tensor) -> float:
    """PULSE's `_loss_geocross`, pair by pair: 2·atan2(‖u − v‖, ‖u + v‖), squared, times n, over 8, averaged; of unit vectors here."""
    layers, n = code.shape
    total = 0.0
    for i in range(layers):
        for j in range(layers):
            u, v = code[i] / code[i].norm(), code[j] / code[j].norm()
            a, b = math.sqrt(float((u - v).square().sum()) + 1e-9), math.sqrt(float((u + v).square().sum()) + 1e-9)
            total += n * (2 * math.atan2(a, b)) ** 2
    return total / layers**2 / 8


def test_geocross_is_pulses() -> None:
    codes = drawn(3, 5, 7)
    found = geocross(codes)
    assert found.tolist() == pytest.approx([published_geocross(code) for code in codes], rel=1e-6)
    assert float(found.min()) > 0.1
    # directions count, lengths do not
    same = drawn(1, 1, 7) * torch.tensor([1.0, 2, 5]).view(1, 3, 1)
    assert float(geocross(same)) < 1e-8
    opposite = torch.stack([drawn(7), -drawn(7)])[None]
    assert float(geocross(opposite)) == pytest.approx(7 * math.pi**2 / 8 / 2, rel=1e-3)  # half of the pairs are of a code with itself


def test_geocross_has_a_finite_gradient_where_layers_agree() -> None:
    leaf = drawn(1, 1, 7).repeat(1, 4, 1).requires_grad_()
    (gradient,) = torch.autograd.grad(geocross(leaf).sum(), leaf)
    assert bool(gradient.isfinite().all())


@pytest.mark.parametrize("layers", [10, 14, 18])
def test_a_batch_costs_what_its_codes_cost(layers: int) -> None:
    """To the last bit, gradients too: a search that goes by them would end elsewhere beside other photos."""
    codes = drawn(3, layers, 512).float()

    def costs(penalty: Callable[[Tensor], Tensor], rows: Tensor) -> tuple[Tensor, Tensor]:
        leaf = rows.clone().requires_grad_()
        value = penalty(leaf)
        return value.detach(), torch.autograd.grad(value.sum(), leaf)[0]

    for penalty in (geocross, gaussian_penalty, layer_spread):
        value, gradient = costs(penalty, codes)
        for i in range(3):
            own, own_gradient = costs(penalty, codes[i : i + 1])
            assert torch.equal(value[i : i + 1], own), penalty.__name__
            assert torch.equal(gradient[i : i + 1], own_gradient), penalty.__name__
    assert geocross(codes[:0]).shape == (0,)


def test_colinearity_is_one_minus_the_cosine_over_all_pairs() -> None:
    codes = drawn(3, 4, 6)
    for code, value in zip(codes, colinearity(codes), strict=True):
        cosines = [float(a @ b / (a.norm() * b.norm())) for a in code for b in code]
        assert float(value) == pytest.approx(sum(abs(1 - cosine) for cosine in cosines))
    assert float(colinearity(drawn(1, 1, 6) * torch.tensor([1.0, 2, 5]).view(1, 3, 1))) < 1e-12


def test_noise_autocorrelation_is_the_projectors() -> None:
    """StyleGAN2's projector, pixel by pixel: neighbours to the left and above, around the edge, at every size down to 8."""
    shapes = [(4, 4), (8, 8), (16, 16), (32, 32)]
    maps = drawn(2, sum(height * width for height, width in shapes)) + 0.1

    def expected(row: Tensor) -> float:
        total, place = 0.0, 0
        for height, width in shapes:
            level = row[place : place + height * width].view(height, width)
            place += height * width
            while True:
                size = level.shape[0]
                pixels = level.tolist()
                across = sum(pixels[i][j] * pixels[i][j - 1] for i in range(size) for j in range(size)) / size**2
                down = sum(pixels[i][j] * pixels[i - 1][j] for i in range(size) for j in range(size)) / size**2
                total += across**2 + down**2
                if size <= 8:
                    break
                level = (level[::2, ::2] + level[1::2, ::2] + level[::2, 1::2] + level[1::2, 1::2]) / 4
        return total

    assert noise_autocorrelation(maps, shapes).tolist() == pytest.approx([expected(row) for row in maps], rel=1e-9)


def test_noise_autocorrelation_of_maps_by_hand() -> None:
    """4² of rows 1, 2, 3, 4, whose neighbours across are equal; and 16² of ones, which its 8² average repeats."""
    rows = torch.arange(1.0, 5).double()[:, None].expand(4, 4).flatten()
    across, down = (1 + 4 + 9 + 16) / 4, (1 * 4 + 2 * 1 + 3 * 2 + 4 * 3) / 4
    maps = torch.stack([torch.cat([rows, torch.ones(256).double()]), torch.cat([torch.zeros(16).double(), 2 * torch.ones(256).double()])])
    assert noise_autocorrelation(maps, [(4, 4), (16, 16)]).tolist() == [across**2 + down**2 + 4, 4 * 4.0**2]


@pytest.mark.parametrize("name", NOISY)
def test_latent_in_noise_pays_what_the_projector_pays(name: str) -> None:
    prior = made(name)
    y = torch.zeros(2, *prior.image_shape)
    measured, at = Measured(y, Identity(), tuple(prior.image_shape), like=y), At(0, 1, torch.zeros(2, dtype=torch.long))
    latent = Latent(prior, space="noise", restarts=1, candidates=1, penalties={"noise_autocorrelation": 1e3})
    maps, paid = drawn(2, prior.noise_size).float().cumsum(1), []
    for solver in (latent, Projector(prior, whiteness=1e3)):
        task = solver.begin(prior, measured, [3, 4], None)
        paid.append(task.penalty({**task.variables, "noise": maps}, at))
    assert torch.equal(paid[0], paid[1])
    torch.testing.assert_close(paid[0], 1e3 * noise_autocorrelation(maps, prior.noise_shapes))
    assert float(paid[0].min()) > 0


def test_a_mixture_pays_its_codes_mean() -> None:
    prior = made("dcgan")
    y = torch.zeros(2, *prior.image_shape)
    solver = Multicode(prior, codes=3, candidates=3, penalties={"gaussian": 0.5})
    task = solver.begin(prior, Measured(y, Identity(), tuple(prior.image_shape), like=y), [3, 4], None)
    found = task.penalty(task.variables, At(0, 1, torch.zeros(2, dtype=torch.long)))
    torch.testing.assert_close(found, 0.5 * task.variables["codes"].square().sum(2).mean(1))


def test_latent_in_noise_makes_its_maps_white() -> None:
    """Where nothing was measured, only the penalty moves them."""
    prior = made("mobilestylegan")
    nothing = Mask(torch.zeros(1, 1, *prior.image_shape[1:]))
    y = torch.zeros(1, *prior.image_shape)
    maps, shapes = drawn(1, prior.noise_size).float().cumsum(1), prior.noise_shapes
    start = replace(Latent(prior, space="w", steps=0)(y, nothing), codes={"w": prior.centre("w"), "noise": maps / maps.std()})
    moved = Latent(prior, space="noise", steps=60, lr=0.1, penalties={"noise_autocorrelation": 1.0})(y, nothing, start=start)
    assert float(noise_autocorrelation(moved.codes["noise"], shapes)) < 0.05 * float(noise_autocorrelation(start.codes["noise"], shapes))


def test_noise_autocorrelation_knows_white_from_smooth() -> None:
    white = drawn(1, 64 * 64)
    smooth = torch.nn.functional.avg_pool2d(drawn(1, 1, 66, 66), 3, 1).flatten(1)
    smooth = smooth / smooth.std()
    assert float(noise_autocorrelation(white, [(64, 64)])) < 0.05
    assert float(noise_autocorrelation(smooth, [(64, 64)])) > 0.5


@pytest.mark.parametrize("name", STYLED)
def test_mahalanobis_is_about_one_for_the_priors_own_styles(name: str) -> None:
    prior = made(name)
    w = prior.sample(2000, torch.Generator().manual_seed(7), "w")
    far = w.mean(0) + 3 * (w - w.mean(0))
    penalty = mahalanobis(prior, "w")
    assert float(penalty(w).mean()) == pytest.approx(1, abs=0.15)
    assert float(penalty(far).mean()) > 2 * float(penalty(w).mean())
    wplus = w[:5, None].repeat(1, 4, 1)
    torch.testing.assert_close(mahalanobis(prior, "w+")(wplus), penalty(w[:5]), rtol=1e-5, atol=1e-6)


def test_euclidean_is_brgms_penalty_of_a_vectors_spread() -> None:
    """`bayesmap_recon.py`: the mean square of w/σ − w̄/σ, σ² the mean over samples of Σ (w − w̄)²; theirs is n times smaller."""
    prior = made("stylegan2-skip")
    samples, codes = prior.sample(1024, torch.Generator().manual_seed(0), "w"), drawn(3, *prior.spaces["w+"]).float()
    middle, n = samples.mean(0), samples.shape[1]
    sigma = float((samples - middle).square().sum() / len(samples)) ** 0.5
    theirs = [float((code / sigma - middle / sigma).square().mean()) for code in codes]
    assert euclidean(prior, "w+")(codes).tolist() == pytest.approx([n * value for value in theirs], rel=2e-3)
    assert float(euclidean(prior, "w")(samples).mean()) == pytest.approx(1, abs=2e-3)
    # of the same code, one spread for each number tells otherwise
    assert euclidean(prior, "w+")(codes).tolist() != pytest.approx(mahalanobis(prior, "w+")(codes).tolist(), rel=0.01)


@pytest.mark.parametrize("name", ["stylegan2-skip", "stylegan2-classes", "dcgan", "biggan"])
def test_mahalanobis_is_about_one_in_every_space(name: str) -> None:
    prior = made(name)
    for space in prior.spaces:
        if space == "z" and prior.n_classes:
            continue  # needs a label, so that no solver moves it
        codes = prior.sample(200, torch.Generator().manual_seed(7), space)
        values = mahalanobis(prior, space)(codes)
        assert values.shape == (200,)
        # numbers that never change cost nothing, and in features rare large ones are missing from the few samples measured
        assert float(values.mean()) == pytest.approx(1, abs=0.45 if space.startswith("features") else 0.25), space


@pytest.mark.parametrize("name", PENALTIES)
def test_a_penalty_is_a_number_of_each_image_by_itself(name: str) -> None:
    prior = made("stylegan2-skip")
    space = "noise" if name == "noise_autocorrelation" else "w+"
    other = "gaussian" if name != "gaussian" else "mahalanobis"
    penalty = weighted(prior, space, {name: 0.5, other: 0.0})
    codes = drawn(4, *prior.spaces[space]).float()
    whole = penalty(codes)
    assert whole.shape == (4,)
    torch.testing.assert_close(torch.cat([penalty(code[None]) for code in codes]), whole)
    assert len({round(value, 4) for value in whole.tolist()}) == 4
    both = weighted(prior, space, {name: 1.5, other: 0.1})(codes)
    torch.testing.assert_close(both, 3 * whole + 0.1 * weighted(prior, space, {other: 1.0})(codes))
    assert not weighted(prior, space, None)(codes).any()


def test_wrong_penalties_are_refused() -> None:
    prior = made("stylegan2-skip")
    with pytest.raises(ValueError, match="no penalty is called 'ridge'; known: gaussian"):
        check_penalties(prior, "z", {"ridge": 1.0})
    with pytest.raises(ValueError, match=r"penalties\.gaussian is nan"):
        check_penalties(prior, "z", {"gaussian": math.nan})
    for space in ("z", "w", "w++", "s", "features@2"):
        with pytest.raises(ValueError, match="compares layers, and codes of"):
            check_penalties(prior, space, {"geocross": 1.0})
    maps = "noise_autocorrelation"
    check_penalties(prior, "w+", dict.fromkeys(set(PENALTIES) - {maps}, 1.0))
    check_penalties(prior, "noise", {"gaussian": 1.0, "mahalanobis": 1.0, maps: 1.0})
    for space in ("z", "w+", "features@2"):
        with pytest.raises(ValueError, match=rf"^penalties\.{maps} applies to noise maps, not to codes of '.*'; use it in 'noise'$"):
            check_penalties(prior, space, {maps: 1.0})
    for solver in (Latent, Multicode, Tuned):
        with pytest.raises(ValueError, match=rf"^penalties\.{maps} is of noise maps, and DCGAN.* has none; leave it out$"):
            solver(made("dcgan"), penalties={maps: 1.0})


# -- the l1 ball -----------------------------------------------------------------------------------------------------------------------


def nearest_by_bisection(code: Tensor, radius: float) -> Tensor:
    """The soft threshold at which the size is the radius, found by halving."""
    if float(code.abs().sum()) <= radius:
        return code
    low, high = 0.0, float(code.abs().max())
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if float((code.abs() - middle).clamp_min(0).sum()) > radius else (low, middle)
    return code.sign() * (code.abs() - high).clamp_min(0)


numbers = st.floats(-5, 5, allow_nan=False).map(lambda value: round(value, 3))


@given(st.lists(st.lists(numbers, min_size=6, max_size=6), min_size=1, max_size=4), st.floats(0.05, 12))
@few
def test_the_l1_ball_gives_the_nearest_point(rows: list[list[float]], radius: float) -> None:
    codes = torch.tensor(rows).double()
    found = to_l1_ball(codes.view(-1, 2, 3), radius).flatten(1)
    expected = torch.stack([nearest_by_bisection(code, radius) for code in codes])
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=0)
    assert float(found.abs().sum(1).max()) <= radius + 1e-9
    torch.testing.assert_close(to_l1_ball(found, radius), found, atol=1e-12, rtol=0)
    inside = codes.abs().sum(1) <= radius
    assert torch.equal(found[inside], codes[inside])
    by_sorting = codes.sign() * (codes.abs() - _shrinkage_by_sorting(codes.abs(), radius)).clamp_min(0)  # what GPUs do
    torch.testing.assert_close(by_sorting, expected, atol=1e-9, rtol=0)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.99, 1.01])
def test_half_a_million_numbers_come_into_the_l1_ball(share: float) -> None:
    codes = torch.randn(2, 2**19, generator=torch.Generator().manual_seed(0)) * torch.tensor([[1.0], [1e-3]])
    radius = share * float(codes[0].abs().sum())
    found = to_l1_ball(codes, radius)
    torch.testing.assert_close(found[0], nearest_by_bisection(codes[0].double(), radius).float(), atol=1e-6, rtol=0)
    assert torch.equal(found[1], codes[1])
    assert torch.equal(found[:1], to_l1_ball(codes[:1], radius))


def test_what_is_no_number_stays_so_in_the_l1_ball() -> None:
    for value in (torch.nan, torch.inf):
        found = to_l1_ball(torch.tensor([[1.0, value], [1.0, 2.0]]), 1.0)
        assert not bool(found[0].isfinite().all())
        assert found[1].tolist() == [0.0, 1.0]


def test_nothing_in_the_ball_is_nearer() -> None:
    code, radius = drawn(1, 8) * 2, 3.0
    found = to_l1_ball(code, radius)
    others = drawn(5000, 8, seed=1)
    others = others * (
        radius * torch.rand(5000, 1, generator=torch.Generator().manual_seed(2)).double() / others.abs().sum(1, keepdim=True)
    )
    assert float((others - code).norm(dim=1).min()) > float((found - code).norm())
    # the way to any point of a convex set makes no sharp angle with the way back to the code
    assert float(((others - found) @ (code - found).T).max()) <= 1e-9
    assert torch.equal(to_l1_ball(code, 0.0), torch.zeros(1, 8).double())
    torch.testing.assert_close(to_l1_ball(code, torch.tensor(radius)), found)


# -- random numbers of one's own -------------------------------------------------------------------------------------------------------


def test_hashed_normal_numbers_are_normal() -> None:
    drawn = torch.stack([normal_hash(torch.arange(40), step, 51) for step in range(50)])  # (step, seed, place): 102 000 numbers
    n = drawn.numel()
    assert abs(float(drawn.mean())) < 4 / n**0.5
    assert abs(float(drawn.square().mean()) - 1) < 4 * (2 / n) ** 0.5
    assert abs(float(drawn.pow(3).mean())) < 4 * (15 / n) ** 0.5
    assert abs(float(drawn.pow(4).mean()) - 3) < 4 * (96 / n) ** 0.5
    for axis in range(3):
        a, b = drawn.narrow(axis, 0, drawn.shape[axis] - 1), drawn.narrow(axis, 1, drawn.shape[axis] - 1)
        assert abs(float((a * b).mean())) < 4 / a.numel() ** 0.5
    # both numbers of a pair come from the same two draws
    pairs, odd = drawn[:, :, :26], drawn[:, :, 26:]
    assert abs(float((pairs[:, :, :25] * odd).mean())) < 4 / odd.numel() ** 0.5
    assert bool(drawn.isfinite().all())


def test_hashed_normal_numbers_are_of_each_row_alone() -> None:
    seeds = torch.tensor([3, 2**62, -5])
    whole = normal_hash(seeds, 4, 7)
    assert torch.equal(normal_hash(seeds[1:2], 4, 7), whole[1:2])
    assert torch.equal(normal_hash(seeds.flip(0), 4, 7), whole.flip(0))
    assert not torch.equal(normal_hash(seeds, 5, 7), whole)


def test_a_linear_prior_has_its_code_as_it_is() -> None:
    prior = LinearPrior.random(6, (3, 4, 4))
    codes = prior.sample(4000, torch.Generator().manual_seed(1))
    assert float(mahalanobis(prior, "z")(codes).mean()) == pytest.approx(1, abs=0.15)


def test_what_is_typical_of_one_space_is_not_taken_for_another() -> None:
    """Of the form that solvers run it is measured once, for each space."""
    form = run_form(made("stylegan2-skip"))
    for penalty in (mahalanobis, euclidean):
        for space in ("z", "w", "s"):
            codes = sampled(form, 3, space)
            torch.testing.assert_close(penalty(form, space)(codes), penalty(made("stylegan2-skip"), space)(codes))


def test_of_the_largest_features_a_few_samples_tell_what_is_typical(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(penalties, "_NUMBERS", 10)  # fewer than one code has
    prior = made("dcgan")
    values = mahalanobis(prior, "features@1")(sampled(prior, 4, "features@1"))
    assert bool(values.isfinite().all())


def test_hashed_normal_numbers_are_finite_where_0_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is once in 16 million numbers."""
    monkeypatch.setattr(counter_rng, "uniform_hash", lambda seeds, step, count: torch.zeros(len(seeds), count))
    assert bool(normal_hash(torch.tensor([1, 2]), 0, 5).isfinite().all())
