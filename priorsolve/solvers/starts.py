"""Where a search begins: at the sampled codes whose pictures explain the measurement best, or at codes from elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from priorsolve.apart import exactly_ungraded
from priorsolve.counter_rng import STARTS, generator_for
from priorsolve.losses import Loss
from priorsolve.priors.base import Prior
from priorsolve.showing import shown
from priorsolve.solvers.checks import must_be_prior
from priorsolve.solvers.solution import Solution
from priorsolve.solvers.stopping import Stop
from priorsolve.solvers.target import Measured, Target
from priorsolve.types import Codes, PerImage

CHUNK = 16
"""Sampled codes drawn at a time while the best are looked for, and pictures compared at a time, unless there are more images."""

Kept = Callable[[Codes, int], Codes]
"""One image's sampled codes put where they must stay; with its seed."""


def start_at(prior: Prior, codes: Codes, space: str | None = None) -> Solution:
    """A start for a solver at codes from elsewhere, such as an encoder's: `solver(y, A, start=start_at(prior, codes, "w"))`.

    Nothing was compared yet, so misfit and residual are infinite.

    Args:
        prior: what draws them.
        codes: (B, *spaces[space]), one for each measurement.
        space: where they live; the prior's first space if left out.

    Raises:
        ValueError: that is no prior, or it has no such space, or codes of another shape there.
    """
    must_be_prior(prior, "start_at: prior")
    if not isinstance(codes, Tensor):
        way = "; give torch.from_numpy(codes)" if type(codes).__name__ == "ndarray" else ""
        raise ValueError(f"start_at: expected codes as a tensor (B, ...), got {shown(codes)}{way}")
    like = next(prior.parameters())
    with exactly_ungraded(like.device.type):
        codes = codes.detach().to(like, copy=True)
        images = prior.decode(codes, space)
        unknown = images.new_full((len(codes),), torch.inf)
        return Solution(
            images=images,
            codes={prior.first_space if space is None else space: codes},
            misfit=unknown,
            residual=unknown,
            steps=torch.zeros(len(codes), dtype=torch.long, device=codes.device),
            stopped=(Stop.budget,) * len(codes),
            history=unknown[None],
        )


def of_class(prior: Prior, codes: Codes, label: int | None) -> Codes:
    """Codes of `z+c` with the class `label` in the place of their own; without one, as they are."""
    if label is None:
        return codes
    own = prior.embed(torch.tensor([label], device=codes.device)).to(codes)
    return torch.cat([codes[:, : prior.spaces["z"][0]], own.expand(len(codes), -1)], 1)


def best_sampled(
    prior: Prior,
    space: str,
    measured: Measured,
    seeds: Sequence[int],
    loss: Loss,
    *,
    candidates: int,
    best: int = 1,
    kept: Kept | None = None,
) -> Codes:
    """(B·best, ...): for each image those of its sampled codes in `space` whose pictures explain its measurement best."""
    count = max(candidates, best)
    samples = {seed: _sample(prior, space, seed, count, kept) for seed in dict.fromkeys(seeds)}
    if not samples:
        return _sample(prior, space, 0, 1, kept)[:0]
    if count == best:
        return torch.cat([samples[seed] for seed in seeds])
    misfit: list[PerImage] = []
    targets: dict[int, Target] = {}
    for first in range(0, count, CHUNK):
        drawn = {seed: prior.decode(codes[first : first + CHUNK], space) for seed, codes in samples.items()}
        # a loss may need far more memory for a picture than the picture takes; a power of two, so that parts are alike
        each = 1 << max(1, CHUNK // len(seeds)).bit_length() - 1
        for part in zip(*(torch.split(drawn[seed], each) for seed in seeds), strict=True):
            repeats = len(part[0])
            target = targets.setdefault(repeats, measured.whole(repeats))  # which keeps what a loss makes of the measurement
            misfit.append(target.misfit(target.estimate(torch.cat(part)), loss).view(measured.count, -1))
    places = torch.cat(misfit, dim=1).argsort(dim=1, stable=True)[:, :best]  # not a number counts as worst
    return torch.cat([samples[seed][place] for seed, place in zip(seeds, places, strict=True)])


def _sample(prior: Prior, space: str, seed: int, count: int, kept: Kept | None) -> Codes:
    codes = prior.sample(count, generator_for(STARTS, seed), space)
    return codes if kept is None else kept(codes, seed)
