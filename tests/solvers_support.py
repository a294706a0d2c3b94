"""What the solver tests share: the closed-form answer on a linear prior, and measurements to solve."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from priorsolve.operators.base import Operator
from priorsolve.operators.mask import Mask
from priorsolve.priors import LinearPrior, Prior
from priorsolve.solvers import Solution
from priorsolve.types import Images, Measurements

SHAPE = (3, 8, 8)


def linear(dtype: torch.dtype = torch.float64) -> LinearPrior:
    return LinearPrior.random(4, SHAPE, seed=1, dtype=dtype)


def pictures(count: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Images:
    """Pictures near the prior's, but none of its own: the best misfit is not zero."""
    rng = torch.Generator().manual_seed(seed)
    drawn = linear(torch.float64).decode(torch.randn(count, 4, generator=rng, dtype=torch.float64))
    return (drawn + 0.05 * torch.randn(count, *SHAPE, generator=rng, dtype=torch.float64)).to(dtype)


def measured(prior: Prior, count: int, seed: int = 3) -> Images:
    """Pictures that the prior draws nearly, but not quite."""
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        drawn = prior.decode(prior.sample(count, rng))
    return drawn + 0.1 * torch.randn(drawn.shape, generator=rng).to(drawn)


def random_mask(*shape: int, seed: int = 0) -> Mask:
    return Mask(torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < 0.6)


def least_squares(prior: LinearPrior, operator: Operator, y: Measurements, penalty: float = 0.0) -> Tensor:
    """The codes with the least `mean (A G z − y)² + penalty·‖z‖²`, each image by itself, by the normal equations in float64."""
    weight, bias = prior.weight.double(), prior.bias.double()
    k, answers = weight.shape[1], []
    for i, measured in enumerate(y.double()):
        own = operator if operator.batch is None else operator.select(torch.tensor([i]))
        offset = own.A(bias.view(1, *SHAPE))[0]
        columns = torch.stack([own.A((bias + weight[:, j]).view(1, *SHAPE))[0] - offset for j in range(k)], -1).flatten(0, -2)
        where = own.support(torch.ones(1, *SHAPE, dtype=torch.float64)).expand(1, *offset.shape).flatten() > 0
        matrix, right = columns[where], (measured - offset).flatten()[where]
        n = len(right)
        answers.append(torch.linalg.solve(matrix.T @ matrix / n + penalty * torch.eye(k).double(), matrix.T @ right / n))
    return torch.stack(answers)


def difference(a: Solution, b: Solution) -> float:
    """The largest difference of two solutions' images; everything else about them must agree, too."""
    assert a.stopped == b.stopped
    assert torch.equal(a.steps, b.steps)
    torch.testing.assert_close(a.misfit, b.misfit, atol=1e-5, rtol=1e-3)
    torch.testing.assert_close(a.residual, b.residual, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(a.history, b.history, atol=1e-5, rtol=1e-3)
    return float((a.images - b.images).abs().max())


class Heavy(Mask):
    """A mask for each image that runs out of memory above `limit` rows."""

    def __init__(self, known: Tensor, limit: int, fault: Callable[[], BaseException] = MemoryError, tried: list[int] | None = None) -> None:
        super().__init__(known)
        self.limit, self.fault, self.tried = limit, fault, [] if tried is None else tried

    def select(self, index: Tensor) -> Mask:
        return Heavy(self.known[index], self.limit, self.fault, self.tried)

    def _A(self, x: Images) -> Measurements:
        self.tried.append(len(x))
        if len(x) > self.limit:
            raise self.fault()
        return super()._A(x)


def smooth(count: int) -> Tensor:
    """Dark on the left, bright on the right, in [0, 1]."""
    return torch.linspace(0, 1, 8).expand(count, 3, 8, 8).double()
