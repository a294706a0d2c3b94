"""In-range recovery on the real prior, in small: pictures that it can draw are found again from a part of them.

The three samples are easy ones, so that few steps and restarts do; benchmarks/recovery.py says how often the rest are found.
"""

from __future__ import annotations

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


@pytest.mark.parametrize("operator", [hole(), GaussianSensing(m=1000, shape=[3, 64, 64])], ids=["hole", "sensing"])
def test_pictures_of_the_prior_are_found_again(digiface64: Prior, operator: Operator) -> None:
    truth = digiface64.decode(digiface64.sample(3, torch.Generator().manual_seed(1)))
    solver = Latent(digiface64, steps=400, restarts=2, lr=0.3)
    scores = psnr(solver(operator.A(truth), operator).images, truth)
    assert float(scores.median()) >= 35, scores.tolist()
