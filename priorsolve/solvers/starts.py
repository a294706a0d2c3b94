"""Where a search begins: the sampled codes whose pictures explain the measurement best, or the middle of the prior."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from priorsolve.losses import Loss
from priorsolve.priors.base import Prior
from priorsolve.solvers.target import Measured
from priorsolve.types import Codes, Images

CHUNK = 16
"""Sampled codes drawn at a time while the best are looked for."""

Sample = Callable[[int, int], Codes]
"""`sample(seed, count)`: codes of an image with this seed."""


def best_sampled(
    measured: Measured, seeds: Sequence[int], sample: Sample, draw: Callable[[Codes], Images], loss: Loss, candidates: int, restarts: int
) -> Codes:
    """(B·R, ...): for each image the R of its sampled codes whose pictures explain its measurement best."""
    count = max(candidates, restarts)
    samples = {seed: sample(seed, count) for seed in dict.fromkeys(seeds)}
    if not samples:
        return sample(0, 1)[:0]
    if count == restarts:
        return torch.cat([samples[seed] for seed in seeds])
    everyone = torch.arange(measured.count, device=measured.y.device)
    misfit = []
    for first in range(0, count, CHUNK):
        drawn = {seed: draw(codes[first : first + CHUNK]) for seed, codes in samples.items()}
        images = torch.cat([drawn[seed] for seed in seeds])
        target = measured.target(everyone, len(images) // measured.count)
        misfit.append(target.misfit(target.estimate(images), loss).view(measured.count, -1))
    places = torch.cat(misfit, dim=1).argsort(dim=1, stable=True)[:, :restarts]  # not a number counts as worst
    return torch.cat([samples[seed][place] for seed, place in zip(seeds, places, strict=True)])


def sampled(prior: Prior, space: str, seed: int, count: int) -> Codes:
    """`count` codes of the prior's, from the image's seed."""
    return prior.sample(count, torch.Generator().manual_seed(seed), space)
