"""Projections: what keeps codes where the prior is at home."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from priorsolve.alike import of_long_rows
from priorsolve.counter_rng import uniform_hash
from priorsolve.types import Codes


def to_sphere(codes: Codes, parts: Sequence[int] = ()) -> Codes:
    """Codes scaled to length √n, where nearly all standard normal codes of n numbers lie (PULSE, Menon et al. 2020, §3.2).

    Of several vectors (B, L, n) every one is scaled, and so is every part of codes (B, Σ parts), such as noise maps; numbers beyond the
    parts stay.
    """
    if parts:
        *each, rest = torch.split(codes, [*parts, codes.shape[1] - sum(parts)], 1)
        return torch.cat([*map(to_sphere, each), rest], 1)
    flat = codes if codes.ndim == 3 else codes.flatten(1)
    length = of_long_rows(lambda rows: rows.square().sum(-1, keepdim=True), flat).sqrt().clamp_min(1e-12)
    return (flat * (math.sqrt(flat.shape[-1]) / length)).view_as(codes)


def sized(vectors: Tensor, parts: Sequence[int] = ()) -> Tensor:
    """Vectors (..., n) at length √n: as `to_sphere`, whose last bit rounds otherwise. So is every part of vectors (..., Σ parts)."""
    if parts:
        return torch.cat([sized(part) for part in torch.split(vectors, [*parts], -1)], -1)
    length: Tensor = vectors.norm(dim=-1, keepdim=True)
    scaled: Tensor = vectors * (vectors.shape[-1] ** 0.5 / length.clamp_min(1e-12))
    return scaled


@torch.no_grad()
def to_l1_ball(codes: Codes, radius: float | Tensor) -> Codes:
    """The nearest codes with `Σ|c| ≤ radius`, image by image: each number comes nearer to 0 by the t at which that is so.

    Source: Duchi et al., "Efficient Projections onto the ℓ1-Ball for Learning in High Dimensions", ICML 2008.
    """
    flat = codes.flatten(1)
    sizes = flat.abs()
    if flat.device.type == "cpu":
        t = sizes.new_tensor([_shrinkage(row, float(radius)) for row in sizes]).view(-1, 1)
    else:  # looking at each would wait for the device
        t = _shrinkage_by_sorting(sizes, radius)
    return (flat.sign() * (sizes - t).clamp_min(0)).view_as(codes)


def _shrinkage(sizes: Tensor, radius: float) -> float:
    """The least t ≥ 0 with `Σ max(s − t, 0) ≤ radius`, of sizes (n,): Newton's method on a convex sum, which ends at the answer.

    It takes a few looks at the numbers, a tenth of the time that it takes to sort half a million of them.
    """
    t, above = 0.0, sizes.numel()
    excess = float(sizes.sum()) - radius
    while excess > 0:
        t += excess / above
        still = int(torch.count_nonzero(sizes > t))
        if still in (0, above):
            break
        above, excess = still, float(F.softshrink(sizes, t).sum()) - radius
    return t


def _shrinkage_by_sorting(sizes: Tensor, radius: float | Tensor) -> Tensor:
    """The same for each row (B, n): (B, 1), with nothing read back (Duchi et al., figure 1)."""
    largest = sizes.sort(dim=1, descending=True).values
    t = (largest.cumsum(1) - radius) / torch.arange(1, sizes.shape[1] + 1, device=sizes.device, dtype=sizes.dtype)
    last = (largest > t).sum(1, keepdim=True).clamp_min(1) - 1
    return t.gather(1, last).clamp_min(0)


def stochastic_clip(codes: Codes, limit: float, seeds: Tensor, step: int) -> Codes:
    """Codes whose numbers beyond ±`limit` are drawn anew, uniformly within (Lipton & Tripathi 2017, §2).

    `seeds` (B,) makes the draw a row's own: it depends on seed, step and place alone, never on the rest of the batch.
    """
    drawn = (2 * uniform_hash(seeds, step, codes.shape[1:].numel()) - 1).view_as(codes).to(codes) * limit
    return torch.where(codes.abs() > limit, drawn, codes)
