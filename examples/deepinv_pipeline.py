"""In a deepinv pipeline: its physics, loop and metrics with our solver, and our operator as its physics.

Run: pip install "deepinv>=0.5", then python examples/deepinv_pipeline.py [STEPS]
"""

import sys

import deepinv
import torch

import priorsolve as ps
from priorsolve.interop.deepinv import as_reconstructor, to_physics


def main(steps: int = 60) -> None:
    """Restore faces of which deepinv has dropped half the pixels, and compare in deepinv's own test."""
    prior = ps.load_prior("digiface64")
    solver = ps.solvers.Latent(prior, steps=steps, restarts=2)
    truth = prior.decode(prior.sample(4, rng=torch.Generator().manual_seed(3))).clamp(0, 1)

    physics = deepinv.physics.Inpainting((3, 64, 64), mask=0.5, rng=torch.Generator().manual_seed(0))
    physics.set_noise_model(deepinv.physics.GaussianNoise(0.02, rng=torch.Generator().manual_seed(1)))
    y = physics(truth)
    solution = solver(y, physics)  # any deepinv physics is an operator; its noise is left out
    print(f"{physics.__class__.__name__}: residual {float(solution.residual.mean()):.4f}")

    photos = [{"x": face, "y": measured} for face, measured in zip(truth, y, strict=True)]
    loader = torch.utils.data.DataLoader[dict[str, torch.Tensor]](photos, batch_size=2)  # type: ignore[arg-type] # a list will do
    quiet = {"verbose": False, "show_progress_bar": False, "non_blocking_transfers": False}
    found = deepinv.test(as_reconstructor(solver), loader, physics, metrics=deepinv.metric.PSNR(), **quiet)
    print(f"deepinv.test: {found['PSNR']:.1f} dB, without a prior {found['PSNR no learning']:.1f} dB")

    ours = to_physics(ps.operators.Gray() @ ps.operators.Downsample(2), ps.noise.Gaussian(0.02), img_size=(3, 64, 64))
    print(f"{ours.operator} in deepinv's adjointness test: {float(ours.adjointness_test()):.1e}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
