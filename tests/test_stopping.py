"""Restarts, halving, and when an image stops: each by itself."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from prior_support import made
from solvers_support import SHAPE, difference, least_squares, linear, pictures, random_mask
from torch.utils._python_dispatch import TorchDispatchMode

from priorsolve.counter_rng import STARTS, generator_for
from priorsolve.operators.base import Identity
from priorsolve.priors import LinearPrior
from priorsolve.solvers import Langevin, Latent, Projector, Pulse, Solver, Staged, Stop
from priorsolve.solvers.stopping import RUNNING, Rules, Watch
from priorsolve.types import Images, Measurements

# -- restarts and seeds ----------------------------------------------------------------------------------------------------------------


class Tally(Identity):
    """Counts the rows it measures."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def _A(self, x: Images) -> Measurements:
        self.sizes.append(len(x))
        return x

    @property
    def in_loop(self) -> list[int]:
        """Without the candidates (measured at once where all images have 16 in all) and the final pictures."""
        return self.sizes[1:-1]


@pytest.mark.parametrize(
    ("restarts", "halving", "expected"),
    [(4, True, {8: 9, 4: 8, 2: 8}), (5, True, {10: 7, 6: 6, 4: 6, 2: 6}), (3, False, {6: 25}), (1, True, {2: 25})],
)
def test_halving_drops_half_of_each_images_restarts_at_equal_intervals(restarts: int, halving: bool, expected: dict[int, int]) -> None:
    operator = Tally()
    Latent(linear(), steps=24, restarts=restarts, candidates=8, halving=halving)(pictures(2), operator)
    assert Counter(operator.in_loop) == expected


def test_halving_keeps_the_better_ones() -> None:
    """Moves of no size: what is left is what started best, image by image."""
    prior, y = linear(), pictures(3)
    whole = Latent(prior, steps=12, restarts=8, candidates=8, lr=0)(y, Identity())
    best = Latent(prior, steps=0, restarts=1, candidates=8)(y, Identity())
    assert torch.equal(whole.codes["z"], best.codes["z"])


def test_seeds_are_each_images_own() -> None:
    solver, y = Latent(linear(), steps=3, candidates=4, seed=7), pictures(3)
    mixed = solver(y, Identity(), seeds=[7, 2**64 - 1, 9])
    assert torch.equal(solver(y, Identity()).images[0], mixed.images[0])
    assert not torch.equal(solver(y, Identity()).images[1], mixed.images[1])
    assert torch.equal(solver(y, Identity(), seeds=[1, 2**64 - 1, 3]).images[1], mixed.images[1])


# -- stopping --------------------------------------------------------------------------------------------------------------------------


def test_stops_at_the_noise() -> None:
    """From y = G(z) + n the best residual is below σ by the prior's 4 numbers; the solver must stop on its way there."""
    prior, sigma = linear(), 0.05
    rng = torch.Generator().manual_seed(4)
    y = prior.decode(prior.sample(2, rng)) + sigma * torch.randn(2, *SHAPE, generator=rng, dtype=torch.float64)
    floor = (prior.decode(least_squares(prior, Identity(), y)) - y).square().flatten(1).mean(1).sqrt()
    level = float(floor.max()) * 1.2
    full = Latent(prior, steps=300, restarts=1)(y, Identity())
    solution = Latent(prior, steps=300, restarts=1, noise=level)(y, Identity())
    assert solution.stopped == (Stop.noise, Stop.noise)
    assert bool((solution.residual <= level).all())
    assert bool((solution.residual > level * 0.8).all()), "it stops at the first step below, not at the next look"
    assert bool((solution.steps < 300).all())
    assert full.stopped == (Stop.budget, Stop.budget)
    torch.testing.assert_close(full.residual, floor)
    unreachable = Latent(prior, steps=60, restarts=1, noise=float(floor.min()) * 0.99)(y, Identity())
    assert unreachable.stopped == (Stop.budget, Stop.budget)


def test_noise_is_judged_on_what_was_measured() -> None:
    """A mask hides 40 %: a mean over all pixels would be too small by √0.6 and stop too early."""
    prior, operator = linear(), random_mask(8, 8)
    y = operator.A(pictures(1))
    solution = Latent(prior, steps=100, restarts=1, noise=0.06)(y, operator)
    residual = (operator.A(solution.images) - y).square().sum() / (3 * operator.known.sum())
    torch.testing.assert_close(solution.residual[0], residual.sqrt())
    assert solution.stopped == (Stop.noise,)
    assert float(solution.residual) <= 0.06


def test_noise_is_judged_by_the_residual_of_the_answer() -> None:
    """The code that fits best is long, and by the penalty another one is the answer."""
    prior, y = linear(), pictures(1, seed=2)
    nearest = Latent(prior, steps=0, restarts=1, candidates=4)(y, Identity())
    level = 1.01 * float(nearest.residual)
    solver = Latent(prior, steps=12, restarts=4, candidates=4, lr=0, halving=False, penalties={"gaussian": 1.0}, noise=level)
    solution = solver(y, Identity())
    assert float(solution.residual) > 1.1 * level
    assert solution.stopped == (Stop.budget,)


def test_stops_on_a_plateau() -> None:
    """With no moves the objective never gains: every image stops after just that many steps."""
    solution = Latent(linear(), steps=100, restarts=2, lr=0, plateau=13)(pictures(2), Identity())
    assert solution.stopped == (Stop.plateau, Stop.plateau)
    assert solution.steps.tolist() == [13, 13]
    moving = Latent(linear(), steps=400, restarts=1, lr=0.3, plateau=20)(pictures(2), Identity())
    assert moving.stopped == (Stop.plateau, Stop.plateau)
    assert bool((moving.steps > 20).all())
    assert moving.history.shape == (41, 2), "a history is as long whenever its images stop"


@pytest.mark.parametrize(
    "solver",
    [lambda prior, **rule: Pulse(prior, steps=40, **rule), lambda prior, **rule: Projector(prior, steps=40, jitter=0, whiteness=0, **rule)],
    ids=["pulse", "projector"],
)
def test_solvers_of_styles_stop_by_the_same_rules(solver: Callable[..., Solver]) -> None:
    prior = made("stylegan2-skip")
    y = torch.rand(2, *prior.image_shape, generator=torch.Generator().manual_seed(0))
    still = solver(prior, lr=0, plateau=5)(y, Identity())
    assert still.stopped == (Stop.plateau, Stop.plateau)
    assert bool((still.steps < 20).all())
    near = solver(prior, noise=10.0)(y, Identity())
    assert near.stopped == (Stop.noise, Stop.noise)
    assert near.steps.tolist() == [0, 0]


def test_the_projector_does_not_stop_while_it_shakes() -> None:
    prior = made("stylegan2-skip")
    y = torch.rand(1, *prior.image_shape, generator=torch.Generator().manual_seed(0))
    assert Projector(prior, steps=40, noise=10.0)(y, Identity()).steps.tolist() == [30]


def test_each_image_has_a_plateau_of_its_own() -> None:
    prior = linear()
    middle = prior.decode(torch.zeros(1, 4, dtype=torch.float64))
    y = torch.cat([middle, middle + 0.3, pictures(1)])
    solver = Latent(prior, begin_at="centre", steps=200, plateau=12, lr=0.05, decay="none", warmup=0)
    together, alone = solver(y, Identity()), [solver(row[None], Identity()) for row in y]
    assert together.steps.tolist() == [int(each.steps) for each in alone]
    assert together.stopped == tuple(each.stopped[0] for each in alone)
    assert len(set(together.steps.tolist())) == 3


@pytest.mark.parametrize(("first", "factor", "stops"), [(1, 0.998, False), (1, 0.9999, True), (-1, 1.002, False), (-1, 1.0001, True)])
def test_a_gain_of_more_than_a_thousandth_is_progress_of_either_sign(first: float, factor: float, stops: bool) -> None:
    watch, alive, verdicts = Watch.start(1, torch.zeros(1)), torch.ones(1, dtype=torch.bool), set()
    for step in range(12):
        value = torch.tensor([first * factor**step])
        verdicts.add(int(watch.verdict(Rules(plateau=3), step, value, value, value, alive)))
    assert (verdicts != {RUNNING}) is stops


def test_an_image_that_stopped_stays_where_an_operator_must_see_all() -> None:
    prior = linear()
    y = prior.decode(torch.tensor([[0.1] * 4, [1.5] * 4], dtype=torch.float64))
    solver = Latent(prior, begin_at="centre", steps=60, lr=0.1, decay="none", noise=0.02, keep="last")
    expected, found = solver(y, Identity()), solver(y, lambda x: x)
    assert difference(found, expected) < 1e-12
    assert int(found.steps[0]) < int(found.steps[1])


def test_a_finished_image_leaves_and_the_others_go_on() -> None:
    prior, operator, y = linear(), Tally(), pictures(2)
    y[0] = prior.decode(prior.sample(4, generator_for(STARTS, 0)))[2]  # one of its own candidates: solved at once
    solution = Latent(prior, steps=30, restarts=1, candidates=4, noise=1e-4)(y, operator)
    assert solution.stopped == (Stop.noise, Stop.budget)
    assert solution.steps.tolist() == [0, 30]
    assert operator.in_loop == [2] + [1] * 30
    alone = Latent(prior, steps=30, restarts=1, candidates=4, noise=1e-4)(y[1:], Identity())
    torch.testing.assert_close(solution.images[1:], alone.images)


def test_an_image_that_leaves_takes_its_own_residual_along() -> None:
    """Without moves the other's is never taken again."""
    prior, y = linear(), pictures(2)
    y[0] = prior.decode(prior.sample(4, generator_for(STARTS, 0)))[2]
    solution = Latent(prior, steps=3, restarts=1, candidates=4, noise=1e-4, lr=0)(y, Identity())
    assert solution.stopped == (Stop.noise, Stop.budget)
    assert solution.steps.tolist() == [0, 3]


class Breaking(Identity):
    """Not a number in one row of batches of a certain size, from a certain call on."""

    def __init__(self, row: int, size: int, call: int = 0) -> None:
        super().__init__()
        self.row, self.size, self.call, self.calls = row, size, call, 0

    def _A(self, x: Images) -> Measurements:
        self.calls += 1
        factor = torch.ones(len(x), 1, 1, 1, dtype=x.dtype)
        if self.calls > self.call and len(x) == self.size:
            factor[self.row] = torch.nan
        return factor * x


def test_a_diverged_image_leaves_its_neighbours_alone() -> None:
    prior, y = linear(), pictures(3)
    factor = torch.tensor([1.0, torch.nan, 1.0]).view(3, 1, 1, 1)
    solver = Latent(prior, steps=40, restarts=2)
    solution, clean = solver(y, lambda x: factor * x), solver(y, lambda x: x)
    assert [stop.name for stop in solution.stopped] == ["budget", "diverged", "budget"]
    torch.testing.assert_close(solution.images[[0, 2]], clean.images[[0, 2]])
    assert solution.misfit[1] == math.inf
    assert bool(solution.images.isfinite().all()), "a best effort always comes out"
    measured = y.clone()
    measured[1, 0, 0, 0] = torch.nan
    assert solver(measured, Identity()).stopped == solution.stopped
    torch.testing.assert_close(solver(measured, Identity()).images[[0, 2]], clean.images[[0, 2]])


def test_a_chain_that_begins_at_no_number_leaves_its_neighbours_alone() -> None:
    """The steps of all are found at once: an eigenvalue problem that is not finite was refused for every row."""
    prior, y = linear(), pictures(3).square()
    chain = Staged([Latent(prior, steps=4, begin_at="regressed", bank=16), Langevin(prior, noise=0.1, steps=5)])
    clean = chain(y, lambda x: x.square())  # of which the derivative hangs on the code
    y[1, 0, 0, 0] = torch.nan
    solution = chain(y, lambda x: x.square())
    assert [stop.name for stop in solution.stopped] == ["budget", "diverged", "budget"]
    assert torch.equal(solution.images[[0, 2]], clean.images[[0, 2]])


def test_a_diverged_image_keeps_its_best() -> None:
    prior, y = linear(), pictures(2)
    solver = Latent(prior, steps=20, restarts=1, candidates=8)
    solution = solver(y, Breaking(row=1, size=2, call=7))  # before step 0 come the candidates
    assert solution.stopped == (Stop.budget, Stop.diverged)
    assert solution.steps.tolist() == [20, 6]
    torch.testing.assert_close(solution.images[0], solver(y, Identity()).images[0])
    torch.testing.assert_close(solution.misfit[1], (solution.images[1] - y[1]).square().mean())
    assert float(solution.misfit[1]) < float(solution.history[0, 1])


@pytest.mark.parametrize("halving", [False, True])
def test_a_diverged_restart_does_not_stop_its_image(halving: bool) -> None:
    """One of three breaks after a while; the image goes on with the others and ends at the optimum."""
    prior, y = linear(), pictures(1)
    solution = Latent(prior, steps=400, restarts=3, candidates=16, lr=0.3, halving=halving)(y, Breaking(row=0, size=3, call=5))
    assert solution.stopped == (Stop.budget,)
    assert float((solution.codes["z"] - least_squares(prior, Identity(), y)).abs().max()) < 1e-5


def test_halving_drops_what_diverged_however_good_it_was_before() -> None:
    """The better one of two breaks before the other is dropped: it stays the answer, and the other one is moved on."""
    prior, y = linear(), pictures(1)
    solution = Latent(prior, steps=12, restarts=2, candidates=16, lr=0)(y, Breaking(row=0, size=2, call=3))
    assert solution.stopped == (Stop.budget,)
    assert solution.steps.tolist() == [12]
    assert torch.equal(solution.codes["z"], Latent(prior, steps=0, restarts=1, candidates=16)(y, Identity()).codes["z"])


def test_what_diverged_just_before_halving_leaves_its_best() -> None:
    prior, y = linear(), pictures(1)
    given: dict[str, Any] = {"steps": 12, "candidates": 16, "lr": 0.1, "warmup": 0}
    both = Latent(prior, **given, restarts=2)(y, Breaking(row=0, size=2, call=6))  # the candidates, steps 0 to 4; halved after step 6
    first = Latent(prior, **given, restarts=1)(y, Breaking(row=0, size=1, call=6))
    assert float(both.misfit) <= float(first.misfit) + 1e-12


def test_a_huge_rate_in_float32_diverges_without_an_exception() -> None:
    solution = Latent(linear(torch.float32), steps=20, restarts=1, lr=1e30)(pictures(2, torch.float32), Identity())
    assert solution.stopped == (Stop.diverged, Stop.diverged)
    assert bool(solution.images.isfinite().all())


class _Syncs(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the calls that wait for the device: those that read a value, or whose result's size depends on one."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func._schema.name in {"aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::equal"}
        return func(*args, **(kwargs or {}))


def test_the_device_is_waited_for_only_at_every_tenth_step() -> None:
    counts = []
    for steps in (11, 19):  # both look at steps 0, 10 and the last
        with _Syncs() as syncs:  # type: ignore[no-untyped-call]
            Latent(LinearPrior.random(4, SHAPE), steps=steps, halving=False, noise=1e-9, plateau=99, clip=2.0)(
                pictures(2, torch.float32), Identity()
            )
        counts.append(syncs.count)
    assert counts[0] == counts[1] > 0
