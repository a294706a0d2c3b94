"""What callers get wrong is one line that names the thing, the value and the way out. Numbers out of range: test_solvers.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import pytest
import torch
from solvers_support import linear
from torch import nn

from priorsolve.priors import LinearPrior
from priorsolve.solvers import Langevin, Latent, Multicode, Pivotal, Projector, Pulse, Tuned
from priorsolve.solvers.layerwise import Layerwise

# -- settings --------------------------------------------------------------------------------------------------------------------------

SOLVERS: list[Callable[..., Any]] = [Latent, Langevin, Multicode, Pivotal, Projector, Pulse, Tuned, Layerwise]


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    ("prior", "message"),
    [
        ("ffhq128", r"^prior is 'ffhq128'; it must be a Prior; load it first: load_prior\('ffhq128'\)$"),
        (nn.Linear(3, 3), r"^prior is Linear\(.*; it must be a Prior, such as load_prior gives$"),
        (LinearPrior, "^prior is the class LinearPrior; it must be a Prior"),
        (None, "^prior is None"),
    ],
)
def test_a_prior_that_is_none_is_told_at_once(solver: Callable[..., Any], prior: Any, message: str) -> None:
    more = {"noise": 0.1} if solver is Langevin else {}
    with pytest.raises(ValueError, match=message):
        solver(prior, **more)


@pytest.mark.parametrize("loss", ["l1", None, {"huber": {}}, ["l1"], nn.MSELoss(), nn.MSELoss, lambda estimate, measured: estimate])
def test_a_loss_that_is_none_is_told_at_once(loss: Any) -> None:
    message = "is .*; it must be a function of estimate, measurement and mask that gives one number per image, .*names are for recipes$"
    with pytest.raises(ValueError, match=f"^loss {message}"):
        Latent(linear(), loss=loss)
    with pytest.raises(ValueError, match=f"^locality_loss {message}"):
        Pivotal(linear(), locality_loss=loss)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"steps": 10.0}, "^steps is 10.0; it must be a whole number$"),
        ({"steps": "10"}, "^steps is '10'; it must be a whole number$"),
        ({"restarts": None}, "^restarts is None; it must be a whole number$"),
        ({"plateau": 2.5}, "^plateau is 2.5; it must be a whole number$"),
        ({"seed": 0.5}, "^seed is 0.5; it must be a whole number$"),
        ({"lr": "0.1"}, "^lr is '0.1'; it must be a number$"),
        ({"noise": [0.1]}, r"^noise is \[0.1\]; it must be a number$"),
        ({"lr": torch.ones(200)}, "^lr is a Tensor; it must be a number$"),
        ({"penalties": ["gaussian"]}, r"^penalties is \['gaussian'\]; give each its weight by name, such as \{'gaussian': 0.01\}$"),
    ],
)
def test_a_setting_of_another_kind_is_told_at_once(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Latent(linear(), **wrong)


def test_numbers_of_numpy_and_losses_that_prepare_are_settings() -> None:
    class Prepares:
        def against(self, measured: torch.Tensor, where: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
            return lambda estimate: ((estimate - measured) * where).square().flatten(1).mean(1)

    loss: Any = Prepares()
    solver = Latent(linear(), steps=numpy.int64(3), lr=numpy.float32(0.1), plateau=None, loss=loss)  # type: ignore[arg-type]
    plain = Latent(linear(), steps=3, lr=float(numpy.float32(0.1)))
    y = torch.rand(2, 3, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(solver(y, lambda x: x).images, plain(y, lambda x: x).images)
