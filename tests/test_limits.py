"""What a solver reaches on the prior's own pictures, and whose fault a fit is."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
from prior_support import made
from solvers_support import linear

import priorsolve as ps
from priorsolve.counter_rng import SAMPLES, seed_at
from priorsolve.diagnosis import bottleneck
from priorsolve.operators import Identity, Mask
from priorsolve.operators.base import Operator
from priorsolve.operators.noise import Gaussian
from priorsolve.priors import LinearPrior
from priorsolve.run.diagnosis import Limits
from priorsolve.solvers import Langevin, Latent, Mirrored, Pivotal, Solves, Staged, Tuned

WRAPS: dict[str, Callable[[Latent], Solves]] = {
    "alone": lambda solver: solver,
    "staged": lambda solver: Staged([solver, solver]),
    "mirrored": lambda solver: Mirrored(Staged([solver])),
}


@pytest.mark.parametrize("wrap", WRAPS)
def test_a_limit_is_searched_without_the_noise_that_the_solver_stops_at(wrap: str) -> None:
    limits = [ps.find_limits(WRAPS[wrap](Latent(linear(), steps=50, lr=0.3, noise=noise)), Identity()) for noise in (0.2, None)]
    assert limits[0] == limits[1]


def test_who_is_to_blame_does_not_hang_on_the_noise_that_the_solver_stops_at() -> None:
    """The search for the limit stopped there, too, and of a picture that the prior cannot draw the solver was said to be the limit."""
    sigma, prior = 0.05, linear()
    rng = torch.Generator().manual_seed(8)
    foreign = prior.decode(prior.sample(1, rng)) + 0.06 * torch.randn(1, 3, 8, 8, generator=rng)
    y = Gaussian(sigma)(foreign, rng=rng)
    said = []
    for noise in (sigma, None):
        solver = Latent(prior, steps=200, restarts=1, candidates=1, lr=0.3, noise=noise)
        limits = ps.find_limits(solver, Identity())
        said.append(ps.diagnose(solver(y, Identity()), prior, noise=sigma, limit=limits, numbers=192)[0][1])
    assert said[0] == said[1]
    assert said[0].startswith("the prior is the limit")


def test_without_noise_no_solver_stops_at_a_level() -> None:
    prior = made("stylegan2-skip")
    tuned, pivotal = Tuned(prior, plateau=5), Pivotal(prior)
    levels = Staged([Tuned(prior, plateau=5, noise=0.1, stop_at=0.2), Pivotal(prior, stop_at=0.1, stop_loss=ps.losses.l1)])
    assert levels.noiseless() == Staged([tuned, pivotal]), "a plateau is no level"
    langevin = Langevin(linear(), noise=0.1)
    assert langevin.noiseless() == langevin, "which cannot do without"


@pytest.mark.parametrize(("noise", "stop_at"), [(0.2, None), (None, 0.04)])
def test_a_solver_that_stopped_where_it_was_told_to_is_the_limit(noise: float | None, stop_at: float | None) -> None:
    """Of the prior's own picture, so the prior is none."""
    prior = linear()
    y = prior.decode(prior.sample(1, torch.Generator().manual_seed(3)))
    solver = Tuned(prior, steps=300, lr=0.05, candidates=1, noise=noise, stop_at=stop_at)
    solution = solver(y, Identity())
    limits = ps.find_limits(solver, Identity())
    said = ps.diagnose(solution, prior, noise=0.01, limit=limits)[0][1]
    assert said == f"the solver is the limit: it stopped where it was told to ({solution.stopped[0].value})"


def test_a_stop_that_came_too_late_is_told_with_what_can_be_done() -> None:
    """It was told to set the noise that it had set."""
    sigma, prior = 0.05, LinearPrior.random(96, (3, 8, 8), 0)
    y = prior.decode(prior.sample(1, torch.Generator().manual_seed(3)))
    y = Gaussian(sigma)(y, rng=torch.Generator().manual_seed(4))
    first = Latent(prior, steps=300, restarts=1, candidates=1)
    for begun, advice in ((first, "the search had gone past it; set noise: 0.05 in every stage"), (replace(first, noise=sigma), "")):
        solution = Staged([begun, Latent(prior, steps=50, noise=sigma)])(y, Identity())
        said = ps.diagnose(solution, prior, noise=sigma)[0][0]
        assert said.endswith(advice) if advice else said.startswith("fits to the noise")
    alone = ps.diagnose(first(y, Identity()), prior, noise=sigma)[0][0]
    assert alone.endswith("it is fitting the noise; set noise: 0.05 in the solver")


def test_the_noise_is_no_part_of_what_a_limit_is_compared_with() -> None:
    """A search on the way to a picture that the prior can draw was above twice its limit by the noise alone, and the prior was blamed."""
    own, sigma = 0.115, 0.2
    for limit, culprit in ((own / 1.9, "solver"), (own / 2.1, "prior")):
        said = bottleneck((own**2 + sigma**2) ** 0.5, limit, noise=sigma)
        assert said.startswith(f"the {culprit} is the limit: ")
        assert f"reaches {limit:.3g}, here 0.115 beyond the noise; " in said


def test_one_limit_for_all_photos_is_the_median_of_several_pictures() -> None:
    """It was that of one, and they scatter by a factor of four."""
    poor = Latent(linear(), steps=0, candidates=20)
    found = [ps.find_limits(poor, Identity(), [seed_at(5, i, SAMPLES)])[0] for i in range(5)]
    assert max(found) > 1.5 * min(found)
    for batch in (None, 2):
        shared = Limits(poor, 5, shared=True)
        assert shared.of(Identity(), [1, 2], batch) == shared.of(Identity(), [3, 4]) == [pytest.approx(statistics.median(found))] * 2


def test_an_operator_with_parameters_for_each_image_takes_as_many_seeds() -> None:
    poor, operator = Latent(linear(), steps=0, candidates=2), Mask(torch.ones(3, 1, 8, 8))
    for seeds in [(0,), range(4)]:
        with pytest.raises(ValueError, match=rf"^find_limits: Mask.* for 3 images, and seeds are {len(seeds)}; .*: seeds=range\(3\)$"):
            ps.find_limits(poor, operator, seeds)
    assert len(ps.find_limits(poor, operator, range(3))) == 3


def test_a_search_that_diverges_is_left_out_of_the_median(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(solver: Solves, operator: Operator, seeds: Sequence[int], batch_size: int | None = None) -> list[float]:
        return [0.3, math.nan, 0.1, 0.2, math.nan]

    monkeypatch.setattr("priorsolve.run.diagnosis.find_limits", found)
    assert Limits(Latent(linear(), steps=0), 5, shared=True).of(Identity(), [1]) == [pytest.approx(0.2)]
