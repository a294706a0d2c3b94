"""Fits what data/heads holds: the RGB heads of the priors cut from ffhq1024, and the whitening. Everything is seeded.

    python benchmarks/fit_heads.py whitening HEADS                    w̄ and p_n of ffhq1024 (seconds)
    python benchmarks/fit_heads.py generate SET --chunks 96           codes, features and pictures of ffhq1024 (1–2 s a code)
    python benchmarks/fit_heads.py fit SET HEADS ffhq128              one head; prints its dB on the 64 held-out codes

A head draws the 1024² picture shrunk by area, from the features of an early layer: y = W (s(w) ⊙ x) + b. From features of the picture's
own side it has 3 channels, from those of half the side the 12 of one inverse Haar level; `--at` chooses. Its squared error depends on
a sample through the second moments of its features alone, so those are taken once, at random pixels, and the fit runs on them: Adam for
the style's affine s, and at the end W and b by least squares.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from priorsolve.priors import load_prior
from priorsolve.priors.mobilestylegan import MobileStyleGAN
from priorsolve.priors.whitening import Whitening

HEADS = {"ffhq64": ("features@5", 64), "ffhq128-fast": ("features@5", 128), "ffhq128": ("features@6", 128), "ffhq256": ("features@6", 256)}
SPACES = ["features@4", "features@5", "features@6"]
SAMPLES, HELD, PIXELS, BATCH = 8, 8, 1024, 48
RIDGE = 1e-4


def faces() -> MobileStyleGAN:
    """The whole network."""
    prior = load_prior("ffhq1024")
    assert isinstance(prior, MobileStyleGAN)
    return prior


@torch.inference_mode()
def generate(folder: Path, chunks: int) -> None:
    """Write files of 8 codes w (truncated by ψ uniform in 0.5 to 1), their features (float16) and their pictures at 256²."""
    prior = faces()
    for kind, k in [("held", k) for k in range(HELD)] + [("train", k) for k in range(chunks)]:
        path = folder / f"{kind}-{k:03d}.safetensors"
        if path.exists():
            continue
        rng = torch.Generator().manual_seed(k + (1_000_000 if kind == "held" else 0))
        z, psi = torch.randn(SAMPLES, 512, generator=rng), 0.5 + 0.5 * torch.rand(SAMPLES, 1, generator=rng)
        w = torch.lerp(prior.w_mean[0].expand(SAMPLES, -1), prior.map(z, source="z", target="w"), psi)
        tensors = {space: prior.map(w, source="w", target=space).half() for space in SPACES}
        pictures = [F.avg_pool2d(2 * prior.decode(code[None], "w") - 1, 4) for code in w]
        save_file(tensors | {"w": w, "picture": torch.cat(pictures)}, path)
        print(path.name, flush=True)


def read(folder: Path, kind: str, space: str, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Features, codes w and target pictures in [−1, 1], of all files of one kind."""
    rows = []
    for path in sorted(folder.glob(f"{kind}-*.safetensors")):
        with safe_open(path, framework="pt") as file:
            rows.append([file.get_tensor(key) for key in (space, "w", "picture")])
    features, w, pictures = (torch.cat(column) for column in zip(*rows, strict=True))
    return features, w, F.avg_pool2d(pictures, 256 // side)


def bands(pictures: Tensor) -> Tensor:
    """(B, 3, 2H, 2W) → (B, 12, H, W): one orthonormal Haar level, in the order that `haar` inverts."""
    a, b, c, d = (pictures[..., i::2, j::2] for i in (0, 1) for j in (0, 1))
    return torch.cat([a + b + c + d, torch.stack([a + b - c - d, a - b + c - d, a - b - c + d], 2).flatten(1, 2)], 1) / 2


def moments(features: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of every sample, x with a 1 at its end: x xᵀ (N, C+1, C+1), x yᵀ (N, C+1, Y), y·y (N,), each the mean over random pixels."""
    rng, (n, c) = torch.Generator().manual_seed(0), features.shape[:2]
    squares, products, sizes = torch.empty(n, c + 1, c + 1), torch.empty(n, c + 1, targets.shape[1]), torch.empty(n)
    for i in range(n):
        at = torch.randperm(features[0, 0].numel(), generator=rng)[:PIXELS]
        x = torch.cat([features[i].flatten(1)[:, at].float(), torch.ones(1, len(at))])
        y = targets[i].flatten(1)[:, at]
        squares[i], products[i], sizes[i] = x @ x.T / len(at), x @ y.T / len(at), y.square().mean(1).sum()
    return squares, products, sizes


def least_squares(styles: Tensor, squares: Tensor, products: Tensor) -> Tensor:
    """(Y, C+1): W and b that are best with these styles (N, C+1)."""
    left, right = torch.zeros(squares.shape[1:], dtype=torch.float64), torch.zeros(products.shape[1:], dtype=torch.float64)
    for style, square, product in zip(styles, squares, products, strict=True):
        left += style[:, None] * square * style
        right += style[:, None] * product
    best: Tensor = torch.linalg.solve(left + RIDGE * torch.diag(left.diagonal()), right)
    return best.float().T


def fit(features: Tensor, w: Tensor, pictures: Tensor, mean: Tensor, steps: int, decay: float) -> dict[str, Tensor]:
    """The tensors that `MobileStyleGAN.cut` takes."""
    wide = pictures.shape[-1] > features.shape[-1]
    squares, products, sizes = moments(features, bands(pictures) if wide else pictures)
    n, c = features.shape[:2]
    slope, offset = torch.zeros(c, w.shape[1], requires_grad=True), torch.ones(c, requires_grad=True)
    scale = squares.diagonal(dim1=1, dim2=2).mean(0).sqrt().clamp_min(1e-3).reciprocal()

    def styled(rows: Tensor) -> Tensor:
        return torch.cat([offset + (w[rows] - mean) @ slope.T, torch.ones(len(rows), 1)], 1)

    everyone = torch.arange(n)
    with torch.no_grad():
        start = least_squares(styled(everyone), squares, products) / scale
    weight = start.requires_grad_()
    # the style's slope is met by 512 coordinates of w at once, so it takes smaller steps
    rates = [(slope, 0.001), (offset, 0.02), (weight, 0.006)]
    adam = torch.optim.Adam([{"params": [tensor], "lr": rate} for tensor, rate in rates])
    rng = torch.Generator().manual_seed(0)
    for step in range(steps):
        for group, (_, rate) in zip(adam.param_groups, rates, strict=True):
            group["lr"] = rate * min(1, (step + 1) / 10) * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        rows = torch.randperm(n, generator=rng)[:BATCH]
        v = (weight * scale) * styled(rows)[:, None]
        error = ((v @ squares[rows] * v).sum((1, 2)) - 2 * (v * products[rows].mT).sum((1, 2)) + sizes[rows]).mean() / products.shape[2]
        adam.zero_grad()
        (error + decay * slope.square().sum()).backward()  # type: ignore[no-untyped-call]
        adam.step()
    with torch.no_grad():
        best = least_squares(styled(everyone), squares, products) * (0.5 if wide else 1)  # ½: what `haar` leaves to the weights
        return {
            "weight": best[:, :c, None, None].contiguous(),
            "bias": best[:, c].contiguous(),
            "styles.weight": slope.detach().half(),
            "styles.bias": (offset - slope @ mean).detach(),
        }


@torch.inference_mode()
def decibels(prior: MobileStyleGAN, w: Tensor, pictures: Tensor) -> Tensor:
    """PSNR of each picture, both clamped to [0, 1]."""
    drawn = torch.cat([prior.decode(code[None], "w") for code in w])
    errors = (drawn.clamp(0, 1) - ((pictures + 1) / 2).clamp(0, 1)).square().flatten(1).mean(1)
    return -10 * errors.log10()


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["whitening", "generate", "fit"])
    parser.add_argument("folders", nargs="+", help="SET for generate, HEADS for whitening, SET HEADS NAME for fit")
    parser.add_argument("--chunks", type=int, default=96)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--decay", type=float, default=1e-4)
    parser.add_argument("--at", help="the features to draw from, such as features@6")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    first = Path(options.folders[0])
    first.mkdir(parents=True, exist_ok=True)
    if options.what == "whitening":
        tensors = Whitening.measured(faces().mapping)
        save_file(tensors, first / "ffhq-whitening.safetensors", {"codes": "65536", "seed": "0"})
    elif options.what == "generate":
        generate(first, options.chunks)
    else:
        name, prior = options.folders[2], faces()
        space, side = options.at or HEADS[name][0], HEADS[name][1]
        features, w, pictures = read(first, "train", space, side)
        head = fit(features, w, pictures, prior.w_mean[0], options.steps, options.decay)
        found = decibels(prior.cut(space, head), *read(first, "held", space, side)[1:])
        text = f"{found.mean():.2f} dB (from {found.min():.2f} to {found.max():.2f})"
        save_file(head, Path(options.folders[1]) / f"{name}.safetensors", {"at": space, "codes": str(len(w)), "held out": text})
        print(f"{name}: {len(w)} codes, {text} on {len(found)} held-out codes")


if __name__ == "__main__":
    main()
