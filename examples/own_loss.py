"""A loss of your own: a plain function of estimate, measurement and mask that gives one number for each image.

Run: python examples/own_loss.py [STEPS]
"""

import sys

import torch
from torch import Tensor

import priorsolve as ps
from priorsolve.losses import l2
from priorsolve.metrics import psnr
from priorsolve.types import Measurements, PerImage


def cauchy(estimate: Measurements, measured: Measurements, where: Tensor) -> PerImage:
    """`mean log(1 + (e − y)² / c²)`, c = 0.1, over what was measured: far out, a wrong pixel hardly counts more than a bad one."""
    values = torch.log1p(((estimate - measured) / 0.1) ** 2)
    return (values * where).flatten(1).sum(1) / where.flatten(1).sum(1).clamp_min(1)


def main(steps: int = 80) -> None:
    """Restore two faces of whose pixels a third are black or white, once with the squares and once with the loss above."""
    prior, A = ps.load_prior("digiface64"), ps.operators.Identity()
    truth = prior.decode(prior.sample(2, rng=torch.Generator().manual_seed(3)))
    y = ps.noise.SaltPepper(0.33)(A.A(truth), rng=torch.Generator().manual_seed(1))
    for name, loss in {"l2": l2, "cauchy": cauchy}.items():
        solution = ps.solvers.Latent(prior, steps=steps, restarts=2, loss=loss)(y, A)
        quality = ", ".join(f"{value:.1f} dB" for value in psnr(solution.images, truth).tolist())
        print(f"{name:6s} {quality}; residual {float(solution.residual.mean()):.4f}, most of it the lost pixels")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
