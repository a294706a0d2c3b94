"""Solvers against answers that a formula or a slow and sure method gives, on priors made of matrices alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, final

import pytest
import torch
from scipy.optimize import minimize
from solvers_support import least_squares, linear, pictures, random_mask
from torch import Tensor, nn

from priorsolve.latents import to_l1_ball
from priorsolve.operators.base import Identity, Operator
from priorsolve.operators.mask import Mask
from priorsolve.priors.feedforward import FeedForward
from priorsolve.solvers import Latent, Layered, Multicode, Staged
from priorsolve.types import Images

HIDDEN, CODE, SIDE = 9, 3, 4
PIXELS = 3 * SIDE * SIDE
LBFGS: dict[str, Any] = {"optimiser": "lbfgs", "lr": 1.0, "warmup": 0.0, "decay": "none"}
LBFGS_WEIGHTS: dict[str, Any] = {"optimiser": "lbfgs", "warmup": 0.0, "decay": "none"}


@final
class LinearChain(FeedForward):
    """z (3,) → features@1 (9,) → picture, matrices and biases alone."""

    def __init__(self, widths: Sequence[int] = (CODE, HIDDEN, PIXELS)) -> None:
        rng = torch.Generator().manual_seed(0)
        blocks: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layer = nn.Linear(inputs, outputs, dtype=torch.float64)
            layer.weight.data = torch.randn(outputs, inputs, generator=rng, dtype=torch.float64) / inputs**0.5
            layer.bias.data = 0.1 * torch.randn(outputs, generator=rng, dtype=torch.float64)
            blocks.append(layer)
        blocks[-1] = nn.Sequential(blocks[-1], nn.Unflatten(1, (3, SIDE, SIDE)))
        spaces = {"z": (widths[0],), "features@1": (widths[1],)}
        super().__init__(blocks, spaces, (3, SIDE, SIDE))

    def _picture(self, output: Tensor) -> Images:
        return output


def affine(prior: LinearChain, space: str, operator: Operator) -> tuple[Tensor, Tensor]:
    """The matrix and the offset from codes of `space` to what is measured, by its columns."""
    units = torch.eye(math.prod(prior.spaces[space]), dtype=torch.float64)
    offset = operator.A(prior.decode(torch.zeros_like(units[:1]), space)).flatten(1)
    return (operator.A(prior.decode(units, space)).flatten(1) - offset).T, offset[0]


def measured(operator: Operator, count: int = 2) -> Tensor:
    return operator.A(torch.randn(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2), dtype=torch.float64))


def half() -> Mask:
    known = torch.ones(SIDE, SIDE)
    known[:, 2:] = 0
    return Mask(known).double()


def known_of(operator: Operator) -> Tensor:
    return operator.support(torch.ones(1, 3, SIDE, SIDE, dtype=torch.float64)).flatten() > 0


# -- one code --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{"steps": 400, "lr": 0.3}, {"steps": 30, **LBFGS}], ids=["adam", "lbfgs"])
@pytest.mark.parametrize("operator", [Identity(), random_mask(8, 8)], ids=["identity", "mask"])
@pytest.mark.parametrize("penalty", [0.0, 1e-2])
def test_latent_is_least_squares_and_with_a_penalty_ridge_regression(settings: dict[str, Any], operator: Operator, penalty: float) -> None:
    prior = linear()
    y = operator.A(pictures(2))
    found = Latent(prior, restarts=1, candidates=8, penalties={"gaussian": penalty}, **settings)(y, operator)
    expected = least_squares(prior, operator, y, penalty)
    assert float((found.codes["z"] - expected).abs().max()) < 1e-5
    torch.testing.assert_close(found.images, prior.decode(expected), atol=1e-5, rtol=0)


def test_mahalanobis_in_z_is_ridge_regression_around_the_mean_of_its_samples() -> None:
    """The penalty's centre and spreads are those of 1024 samples, so that the answer is known up to them."""
    prior, weight = linear(), 1e-2
    y = pictures(1)
    samples = prior.sample(1024, torch.Generator().manual_seed(0), "z")
    centre = samples.mean(0)
    variance = samples.var(0)
    found = Latent(prior, steps=30, restarts=1, candidates=8, penalties={"mahalanobis": weight}, **LBFGS)(y, Identity()).codes["z"][0]
    matrix, right, n = prior.weight, y.flatten() - prior.bias, prior.bias.numel()
    pull = torch.diag(weight / (variance * len(centre)))
    expected = torch.linalg.solve(matrix.T @ matrix / n + pull, matrix.T @ right / n + pull @ centre)
    assert float((found - expected).abs().max()) < 1e-5


# -- the l1 ball of a round --------------------------------------------------------------------------------------------------------------


def constrained(matrix: Tensor, right: Tensor, start: Tensor, radius: float) -> Tensor:
    """The least ‖M f − r‖² with ‖f − start‖₁ ≤ radius, as a smooth problem of 2n numbers ≥ 0 that SLSQP solves."""
    n = len(start)

    def cost(parts: Any) -> tuple[float, Any]:
        move = torch.from_numpy(parts[:n] - parts[n:])
        residual = matrix @ (start + move) - right
        gradient = 2 * matrix.T @ residual
        return float(residual.square().sum()), torch.cat([gradient, -gradient]).numpy()

    limit = {"type": "ineq", "fun": lambda parts: radius - parts.sum(), "jac": lambda parts: -torch.ones(2 * n).double().numpy()}
    found = minimize(
        cost,
        torch.zeros(2 * n).double().numpy(),
        jac=True,
        bounds=[(0, None)] * (2 * n),
        constraints=[limit],
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 500},
    )
    return start + torch.from_numpy(found.x[:n] - found.x[n:])


@pytest.mark.parametrize("share", [0.2, 0.6])
@pytest.mark.parametrize("operator", [Identity(), half()], ids=["identity", "mask"])
def test_layered_finds_the_best_features_in_the_ball(share: float, operator: Operator) -> None:
    prior = LinearChain()
    y = measured(operator)
    first = Latent(prior, steps=30, restarts=1, candidates=1, **LBFGS)(y, operator)
    start = prior.map(first.codes["z"], source="z", target="features@1")
    matrix, offset = affine(prior, "features@1", operator)
    seen = known_of(operator)
    unit = float(prior.spread("features@1"))
    free = torch.linalg.lstsq(matrix[seen], (y.flatten(1) - offset)[:, seen].T).solution.T
    radius = share * float((free - start).abs().sum(1).min())
    solution = Layered(prior, 1, steps=1500, optimiser="sgd", lr=3.0, decay="none", warmup=0, radius=radius / unit)(
        y, operator, start=first
    )
    for row, found in enumerate(solution.codes["features@1"]):
        expected = constrained(matrix[seen], (y.flatten(1)[row] - offset)[seen], start[row], radius)
        assert float((found - start[row]).abs().sum()) == pytest.approx(radius, rel=1e-6)
        assert float((found - expected).abs().max()) < 2e-4
        # a point of the ball that no step downhill leaves
        slope = matrix[seen].T @ (matrix[seen] @ found - (y.flatten(1)[row] - offset)[seen])
        again = start[row] + to_l1_ball((found - 0.05 * slope - start[row])[None], radius)[0]
        torch.testing.assert_close(again, found, atol=1e-5, rtol=0)


def test_layered_without_a_ball_is_least_squares_of_the_features() -> None:
    prior, operator = LinearChain(), half()
    y = measured(operator)
    matrix, offset = affine(prior, "features@1", operator)
    seen = known_of(operator)
    expected = torch.linalg.lstsq(matrix[seen], (y.flatten(1) - offset)[:, seen].T).solution.T
    for settings in ({"steps": 60, **LBFGS}, {"steps": 1500, "lr": 0.05}):
        found = Layered(prior, 1, **settings)(y, operator)
        assert float((found.codes["features@1"] - expected).abs().max()) < 1e-4


def test_total_variation_brings_two_flat_halves_nearer() -> None:
    """`min mean (x − y)² + λ·TV(x)`, y of a on the left and b on the right: a third of the pairs across jump, so both move by λ/3."""
    prior = LinearChain((CODE, PIXELS, PIXELS))
    last = next(module for module in prior.modules() if isinstance(module, nn.Linear) and module.in_features == PIXELS)
    last.weight.data, last.bias.data = torch.eye(PIXELS, dtype=torch.float64), torch.zeros(PIXELS, dtype=torch.float64)
    y = torch.full((2, 3, SIDE, SIDE), 0.2, dtype=torch.float64)
    y[0, ..., SIDE // 2 :], y[1, ..., SIDE // 2 :] = 0.8, 0.5
    found = Layered(prior, 1, steps=600, lr=0.05, total_variation=0.15)(y, Identity()).images
    expected = torch.where(y > 0.2, y - 0.05, y + 0.05)
    assert float((found - expected).abs().max()) < 1e-3


def test_rounds_never_get_worse() -> None:
    """What z can draw, the features can; what features in a ball can draw, those without one can."""
    prior, operator = LinearChain(), half()
    y = measured(operator)
    rounds = [
        Latent(prior, steps=30, restarts=1, candidates=1, **LBFGS),
        Layered(prior, 1, steps=100, radius=1.0),
        Layered(prior, 1, steps=100),
    ]
    misfits = [Staged(rounds[:k])(y, operator).misfit for k in (1, 2, 3)]
    assert bool((misfits[1] < 0.99 * misfits[0]).all())
    assert bool((misfits[2] < 0.99 * misfits[1]).all())


def test_the_mean_of_two_stages_has_a_residual_of_its_own() -> None:
    """½ (a + b) where a and b are what the stages draw; residual and l2 are root mean square and mean square of y − A(½ (a + b))."""
    prior, operator = LinearChain(), half()
    y = measured(operator)
    stages = [Latent(prior, steps=3, restarts=1, candidates=1), Layered(prior, 1, steps=20)]
    first = stages[0](y, operator)
    both, mean = (Staged(stages, mean=mean)(y, operator) for mean in (False, True))
    images = (first.images + both.images) / 2
    where = operator.support(torch.ones_like(images))
    apart = ((operator.A(images) - y).square().flatten(1).sum(1) / where.flatten(1).sum(1)).sqrt()
    torch.testing.assert_close(mean.images, images)
    torch.testing.assert_close(mean.residual, apart)
    torch.testing.assert_close(mean.misfit, apart.square())
    assert bool((apart - both.residual).abs().min() > 1e-3)


# -- several codes ---------------------------------------------------------------------------------------------------------------------


def test_multicode_reaches_all_that_its_features_span() -> None:
    """Σ α_n ⊙ (W₁ z_n + b₁) with one α for each number is any feature at all, so that the residual is that of least squares in features."""
    prior, operator = LinearChain(), half()
    y = measured(operator)
    matrix, offset = affine(prior, "features@1", operator)
    seen = known_of(operator)
    target = (y.flatten(1) - offset)[:, seen].T
    expected = (matrix[seen] @ torch.linalg.lstsq(matrix[seen], target).solution - target).square().mean(0)
    one = Latent(prior, steps=30, restarts=1, candidates=1, **LBFGS)(y, operator)
    many = Multicode(prior, codes=6, steps=800, candidates=12)(y, operator)
    assert bool((one.misfit > 1.1 * expected).all()), "one code should not do as well"
    torch.testing.assert_close(many.misfit, expected, rtol=1e-3, atol=1e-6)


def test_multicode_with_held_codes_is_least_squares_of_the_weights() -> None:
    """Linear in α: the picture is offset + M·diag(F_n)·α_n summed over the codes."""
    prior, n = LinearChain(), 2
    y = measured(Identity())
    solution = Multicode(prior, codes=n, steps=120, candidates=4, lr=0, mix_lr=1.0, **LBFGS_WEIGHTS)(y, Identity())
    matrix, offset = affine(prior, "features@1", Identity())
    for row in range(len(y)):
        features = prior.map(solution.codes["codes"][row], source="z", target="features@1")
        columns = torch.cat([matrix * code for code in features], 1)
        target = y[row].flatten() - offset
        best = columns @ torch.linalg.lstsq(columns, target[:, None], driver="gelsd").solution[:, 0]
        assert float(solution.misfit[row]) == pytest.approx(float((best - target).square().mean()), rel=1e-4)
        mixed = (solution.codes["mix"][row] * features).sum(0)
        torch.testing.assert_close(solution.codes["features@1"][row], mixed)
        torch.testing.assert_close(solution.images[row].flatten(), matrix @ mixed + offset)


def test_one_code_with_its_weight_held_is_latent() -> None:
    prior = LinearChain()
    y = measured(Identity())
    one = Multicode(prior, codes=1, steps=60, candidates=8, lr=1.0, mix_lr=0, **LBFGS_WEIGHTS)(y, Identity())
    plain = Latent(prior, steps=60, restarts=1, candidates=8, **LBFGS)(y, Identity())
    torch.testing.assert_close(one.codes["codes"][:, 0], plain.codes["z"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("again", [False, True])
def test_a_mixture_goes_on_from_one_code(again: bool) -> None:
    """The first code alone draws the start's picture; the others have no weight yet."""
    prior = LinearChain()
    y = measured(Identity())
    start = Latent(prior, steps=10, restarts=1)(y, Identity())
    begun = Multicode(prior, codes=3, steps=0, divide_again=again)(y, Identity(), start=start)
    torch.testing.assert_close(begun.images, start.images)
    assert torch.equal(begun.codes["mix"][:, 1:], torch.zeros(2, 2, HIDDEN).double())
    torch.testing.assert_close(begun.codes["codes"][:, 0], start.codes["z"])
