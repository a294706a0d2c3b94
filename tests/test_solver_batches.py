"""A photo's answer does not depend on its neighbours: batches equal their singles, in any order and in any parts."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from laws_support import few
from solvers_support import difference, linear, pictures, random_mask

from priorsolve.counter_rng import normal_hash, row_seeds, uniform_hash
from priorsolve.latents import sized, stochastic_clip, to_sphere
from priorsolve.operators.base import Identity
from priorsolve.operators.jpeg import JPEG
from priorsolve.priors import Prior, load_prior
from priorsolve.solvers import Latent, Pivotal, Solves, Staged, Tuned

COUNT = 5


@given(
    order=st.permutations(range(COUNT)),
    cuts=st.sets(st.integers(1, COUNT - 1)),
    seeds=st.lists(st.integers(0, 2**64 - 1), min_size=COUNT, max_size=COUNT),
    clip=st.sampled_from([None, 1.0]),
    sphere=st.booleans(),
    stop=st.sampled_from([{}, {"plateau": 4}, {"noise": 0.1}]),
    stages=st.booleans(),
)
@few
def test_any_order_and_any_parts_give_the_same_answers(
    order: list[int], cuts: set[int], seeds: list[int], clip: float | None, sphere: bool, stop: dict[str, float], stages: bool
) -> None:
    one = Latent(linear(torch.float32), steps=25, restarts=3, candidates=6, clip=clip, sphere=sphere, plateau=None)
    last = Latent(one.prior, steps=25, restarts=3, candidates=6, clip=clip, sphere=sphere, **stop)  # type: ignore[arg-type]
    solver = Staged([one, last]) if stages else last
    operator = random_mask(COUNT, 1, 8, 8)
    y = operator.A(pictures(COUNT, torch.float32))
    whole = solver(y, operator, seeds=seeds)
    bounds = [0, *sorted(cuts), COUNT]
    for start, end in pairwise(bounds):
        part = order[start:end]
        solution = solver(y[part], operator.select(torch.tensor(part)), seeds=[seeds[i] for i in part])
        assert difference(solution, whole[part]) < 1e-4


def test_a_real_prior_with_restarts_halving_and_its_own_mask_for_each(digiface64: Prior) -> None:
    operator, solver = random_mask(3, 1, 64, 64), Latent(digiface64, steps=8, restarts=2, candidates=4)
    with torch.no_grad():
        y = operator.A(digiface64.decode(digiface64.sample(3, torch.Generator().manual_seed(8))))
    whole = solver(y, operator, seeds=[1, 1, 2])
    for part in ([2, 0], [1]):
        solution = solver(y[part], operator.select(torch.tensor(part)), seeds=[[1, 1, 2][i] for i in part])
        assert difference(solution, whole[part]) < 1e-4
    assert float((whole.images[0] - whole.images[1]).abs().max()) > 0.01


def test_features_follow_codes_on_a_real_prior(digiface64: Prior) -> None:
    """z first, then the features it makes: the second stage starts from the same picture and only gets better."""
    with torch.no_grad():
        y = digiface64.decode(digiface64.sample(1, torch.Generator().manual_seed(8)))
    z = Latent(digiface64, steps=5, restarts=1, candidates=4)
    solution = Staged([z, Latent(digiface64, space="features@1", steps=5, lr=0.05)])(y, Identity())
    assert solution.codes["features@1"].shape == (1, *digiface64.spaces["features@1"])
    assert solution.history.shape == (4, 1)
    torch.testing.assert_close(solution.history[2], z(y, Identity()).misfit, rtol=1e-4, atol=0)
    assert float(solution.misfit) < 0.9 * float(solution.history[2])


# -- random numbers of one's own -------------------------------------------------------------------------------------------------------


def test_hashed_numbers_are_uniform_and_unrelated() -> None:
    seeds = torch.arange(40)
    drawn = torch.stack([uniform_hash(seeds, step, 50) for step in range(50)])  # (step, seed, place): 100 000 numbers
    assert 0 <= float(drawn.min()) < float(drawn.max()) < 1
    counts = torch.histc(drawn, 20, 0, 1)
    chi_square = float(((counts - 5000).square() / 5000).sum())
    assert chi_square < 43.8, "19 degrees of freedom; p < 0.001 beyond"
    for axis in range(3):
        a, b = drawn.narrow(axis, 0, drawn.shape[axis] - 1), drawn.narrow(axis, 1, drawn.shape[axis] - 1)
        correlation = float(((a - 0.5) * (b - 0.5)).mean()) * 12
        assert abs(correlation) < 4 / a.numel() ** 0.5
    assert len(set(drawn.flatten().tolist())) > 99_000, "24 bits of 100 000 numbers: about 300 meet by chance"


def test_every_row_draws_for_itself() -> None:
    seeds = row_seeds([0, 1, 2**64 - 1], 3, torch.device("cpu"))
    assert len(set(seeds.tolist())) == 9
    assert seeds[::3].tolist() == [0, 1, -1], "an image's first row has its own"
    assert len({*map(tuple, normal_hash(seeds, 4, 7).tolist())}) == 9
    assert torch.equal(seeds[3:6], row_seeds([1], 3, torch.device("cpu")))
    assert torch.equal(uniform_hash(seeds, 4, 7)[5:6], uniform_hash(seeds[5:6], 4, 7))
    assert not torch.equal(uniform_hash(seeds, 4, 7), uniform_hash(seeds, 5, 7))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_clipping_redraws_only_what_left(dtype: torch.dtype) -> None:
    codes = 2 * torch.randn(200, 30, generator=torch.Generator().manual_seed(0)).to(dtype)
    clipped = stochastic_clip(codes, 2.0, torch.arange(200), 3)
    out = codes.abs() > 2
    assert clipped.dtype == dtype
    assert torch.equal(clipped[~out], codes[~out])
    assert float(clipped.abs().max()) <= 2
    redrawn = clipped[out].double() / 2
    n = len(redrawn)
    assert abs(float(redrawn.mean())) < 4 / (3 * n) ** 0.5
    assert abs(float(redrawn.square().mean()) - 1 / 3) < 4 * (4 / 45 / n) ** 0.5
    assert torch.equal(stochastic_clip(codes[7:8], 2.0, torch.tensor([7]), 3), clipped[7:8])


def test_the_sphere_keeps_directions() -> None:
    codes = torch.randn(3, 2, 16, generator=torch.Generator().manual_seed(0))
    on = to_sphere(codes)  # every vector its own
    torch.testing.assert_close(on.norm(dim=-1), torch.full((3, 2), 4.0))
    torch.testing.assert_close(on / 4, codes / codes.norm(dim=-1, keepdim=True))
    maps = to_sphere(codes.flatten(1), [4, 25, 3])
    for part, own in zip(*(torch.split(each, [4, 25, 3], 1) for each in (maps, codes.flatten(1))), strict=True):
        torch.testing.assert_close(part, own * part.shape[1] ** 0.5 / own.norm(dim=1, keepdim=True))
    torch.testing.assert_close(to_sphere(codes[:, :, None]), codes[:, :, None] * 32**0.5 / codes.flatten(1).norm(dim=1).view(3, 1, 1, 1))
    assert torch.equal(to_sphere(torch.zeros(1, 4)), torch.zeros(1, 4))


@pytest.mark.usefixtures("digiface64")
@pytest.mark.parametrize("last", [lambda prior: Tuned(prior, steps=8, candidates=2), lambda prior: Pivotal(prior, steps=8)])
def test_weights_of_its_own_round_the_same_in_a_batch_where_rounding_jumps(last: Callable[[Prior], Solves]) -> None:
    """In one grouped convolution a photo differs by 1e-7, of which JPEG's jumps made 1e-4 in 8 steps, and 0.1 in 20."""
    prior, jpeg = load_prior("digiface64"), JPEG(10)
    y = jpeg.A(prior.decode(prior.sample(3, torch.Generator().manual_seed(5))))
    solver = Staged([Latent(prior, steps=2, restarts=1, candidates=2), last(prior)])
    together = solver(y, jpeg).images
    assert all(torch.equal(together[i], solver(y[i : i + 1], jpeg).images[0]) for i in range(3))


def test_masks_by_themselves_are_solved_as_ever() -> None:
    solver, y, mask = Latent(linear(), steps=5), pictures(2), random_mask(2, 1, 8, 8)
    both = solver(mask.A(y), mask)
    for i in range(2):
        own = mask.select(torch.tensor([i]))
        alone = solver(own.A(y[i : i + 1]), own)
        torch.testing.assert_close(both.images[i : i + 1], alone.images)
        torch.testing.assert_close(both.residual[i : i + 1], alone.residual)
    crossed = solver(mask.A(y), mask.select(torch.tensor([1, 0])))
    assert (crossed.images - both.images).abs().amax((1, 2, 3)).min() > 1e-3


def test_a_vector_of_zeros_stays() -> None:
    assert torch.equal(sized(torch.zeros(2, 4)), torch.zeros(2, 4))
