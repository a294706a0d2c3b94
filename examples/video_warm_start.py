"""A video: each frame starts from the solution of the one before, which saves most of the passes through the generator.

Run: python examples/video_warm_start.py [STEPS]
"""

import sys

import torch

import priorsolve as ps
from priorsolve.metrics import psnr
from priorsolve.solvers import Latent, Solution, Staged
from priorsolve.types import Images, Measurements

FRAMES = 5
NOISE = 0.03
ENOUGH = 1.2 * NOISE
"""The residual at which every frame stops, so that the ways there can be compared."""


class Counted:
    """An operator that counts the pictures it measures: one for each pass through the generator."""

    def __init__(self, operator: ps.operators.Operator) -> None:
        self.operator, self.passes = operator, 0

    def A(self, x: Images) -> Measurements:
        self.passes += len(x)
        return self.operator.A(x)


def film(prior: ps.priors.Prior) -> Images:
    """(FRAMES, 3, 64, 64): a face that slowly turns into another."""
    one, other = prior.sample(2, rng=torch.Generator().manual_seed(3))
    angle = torch.linspace(0, 0.1 * (FRAMES - 1), FRAMES)[:, None]
    return prior.decode(angle.cos() * one + angle.sin() * other)


def main(steps: int = 100) -> None:
    """Enlarge every frame, noisy and half as tall and wide, from nothing and from the frame before."""
    prior, A = ps.load_prior("digiface64"), Counted(ps.operators.Downsample(2))
    frames = film(prior)
    y = ps.noise.Gaussian(NOISE)(A.A(frames), rng=torch.Generator().manual_seed(0))

    warm = Latent(prior, space="features@1", steps=steps, lr=0.05, warmup=0, decay="none", noise=ENOUGH)
    cold = Staged([Latent(prior, steps=min(30, steps), restarts=2, candidates=32), warm])
    before: Solution | None = None
    total = {"cold": 0, "warm": 0}
    for i in range(FRAMES):
        said = []
        for name, solver, start in [("cold", cold, None), ("warm", cold if before is None else warm, before)]:
            A.passes = 0
            solution = solver(y[i : i + 1], A, start=start)
            total[name] += A.passes
            quality = float(psnr(solution.images, frames[i : i + 1]))
            said.append(f"{name} {A.passes:3d} passes, residual {float(solution.residual):.4f}, {quality:.1f} dB")
        before = solution  # the warm one
        print(f"frame {i}: {'; '.join(said)}")
    print(f"passes saved by warm starts: {1 - total['warm'] / total['cold']:.0%}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
