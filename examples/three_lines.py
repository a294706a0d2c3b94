"""The least there is: a prior, what happened to the picture, and a solver.

Run: python examples/three_lines.py [STEPS]
"""

import sys

import torch

import priorsolve as ps


def main(steps: int = 100) -> None:
    """Enlarge a 16×16 face to 64×64."""
    prior = ps.load_prior("digiface64")
    truth = prior.decode(prior.sample(1, rng=torch.Generator().manual_seed(3)))
    y = ps.operators.Downsample(4).A(truth)  # stands for a photo of yours, (1, 3, 16, 16) in [0, 1]

    A = ps.operators.Downsample(4)
    solution = ps.solvers.Latent(prior, steps=steps)(y, A)
    restored = ps.put_back(solution.images, y, A)

    print(f"{tuple(y.shape)} to {tuple(restored.shape)}: residual {float(solution.residual):.4f}; {solution.stopped[0].value}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
