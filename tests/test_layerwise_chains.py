"""What chains of blocks layerwise takes: those that draw what their blocks make, with activations of any kind."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from states_support import mlp_state
from torch import Tensor, nn

from priorsolve.operators.base import Identity
from priorsolve.priors.feedforward import FeedForward
from priorsolve.priors.layers import linear as layer
from priorsolve.solvers.layerwise import Layerwise
from priorsolve.types import Images


class Plain(FeedForward):
    def __init__(self, *activations: nn.Module, draws: Callable[[Tensor], Tensor] = lambda x: x) -> None:
        state = [*mlp_state((16, 64), bias=0.1).values()]
        super().__init__([nn.Sequential(layer(*state), *activations, nn.Unflatten(1, (1, 8, 8)))], {"z": (16,)}, (1, 8, 8))
        self.draws = draws

    def _picture(self, output: Tensor) -> Images:
        return self.draws(output)


def test_near_is_not_what_blocks_make() -> None:
    with pytest.raises(ValueError, match="does not draw what its blocks make"):
        Layerwise(Plain(nn.Tanh(), draws=lambda x: 0.95 * x))


def test_activations_that_work_in_place_are_undone_too() -> None:
    prior = Plain(nn.LeakyReLU(0.2, inplace=True), nn.LeakyReLU(0.5, inplace=True)).double()
    z = prior.sample(2, torch.Generator().manual_seed(3))
    solution = Layerwise(prior)(prior.decode(z), Identity())
    assert float((solution.codes["z"] - z).abs().max()) < 1e-5
    assert float(solution.history.max()) < 1e-9
