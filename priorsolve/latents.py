"""Projections: what keeps codes where the prior is at home."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from priorsolve.counter_rng import uniform_hash
from priorsolve.types import Codes


def to_sphere(codes: Codes, parts: Sequence[int] = ()) -> Codes:
    """Codes scaled to length √n, where nearly all standard normal codes of n numbers lie (PULSE, Menon et al. 2020, §3.2).

    Of several vectors (B, L, n) every one is scaled, and so is every part of codes (B, Σ parts), such as noise maps.
    """
    if parts:
        return torch.cat([to_sphere(part) for part in torch.split(codes, [*parts], 1)], 1)
    flat = codes if codes.ndim == 3 else codes.flatten(1)
    length = flat.square().sum(-1, keepdim=True).sqrt().clamp_min(1e-12)
    return (flat * (math.sqrt(flat.shape[-1]) / length)).view_as(codes)


def sized(vectors: Tensor, parts: Sequence[int] = ()) -> Tensor:
    """Vectors (..., n) at length √n: as `to_sphere`, whose last bit rounds otherwise. So is every part of vectors (..., Σ parts)."""
    if parts:
        return torch.cat([sized(part) for part in torch.split(vectors, [*parts], -1)], -1)
    length: Tensor = vectors.norm(dim=-1, keepdim=True)
    scaled: Tensor = vectors * (vectors.shape[-1] ** 0.5 / length.clamp_min(1e-12))
    return scaled


def to_l1_ball(codes: Codes, radius: float | Tensor) -> Codes:
    """The nearest codes with `Σ|c| ≤ radius`, image by image (Duchi et al. 2008, figure 1)."""
    flat = codes.flatten(1)
    sizes = flat.abs().sort(dim=1, descending=True).values
    excess = (sizes.cumsum(1) - radius) / torch.arange(1, flat.shape[1] + 1, device=flat.device, dtype=flat.dtype)
    last = (sizes > excess).sum(1, keepdim=True).clamp_min(1) - 1
    threshold = excess.gather(1, last).clamp_min(0)  # 0: within the ball already
    return (flat.sign() * (flat.abs() - threshold).clamp_min(0)).view_as(codes)


def stochastic_clip(codes: Codes, limit: float, seeds: Tensor, step: int) -> Codes:
    """Codes whose numbers beyond ±`limit` are drawn anew, uniformly within (Lipton & Tripathi 2017, §2).

    `seeds` (B,) makes the draw a row's own: it depends on seed, step and place alone, never on the rest of the batch.
    """
    drawn = (2 * uniform_hash(seeds, step, codes.shape[1:].numel()) - 1).view_as(codes).to(codes) * limit
    return torch.where(codes.abs() > limit, drawn, codes)
