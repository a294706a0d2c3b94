"""In-range recovery on the real prior, in small: pictures that it can draw are found again from a part of them.

The samples are easy ones, so that few steps and restarts do; benchmarks/recovery.py says how often the rest are found.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from priorsolve.metrics import psnr
from priorsolve.operators.base import Operator
from priorsolve.operators.mask import Mask
from priorsolve.operators.sensing import GaussianSensing
from priorsolve.priors import Prior
from priorsolve.solvers import Latent


def hole() -> Operator:
    known = torch.ones(64, 64)
    known[20:44, 20:44] = 0
    return Mask(known)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """On a machine with other work to do, threads that wait for each other take many times as long as one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("operator", "place"), [(hole(), 0), (GaussianSensing(m=1000, shape=[3, 64, 64]), 2)], ids=["hole", "sensing"])
def test_a_picture_of_the_prior_is_found_again(digiface64: Prior, operator: Operator, place: int) -> None:
    truth = digiface64.decode(digiface64.sample(3, torch.Generator().manual_seed(1))[place : place + 1])
    solver = Latent(digiface64, steps=400, restarts=1, lr=0.3)
    assert float(psnr(solver(operator.A(truth), operator).images, truth)) >= 35
