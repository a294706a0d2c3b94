"""What keeps codes where the prior is at home: penalties and projections."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from priorsolve.types import Codes, PerImage


def gaussian_penalty(codes: Codes) -> PerImage:
    """`‖z‖²`, the negative log-density of a standard normal code up to a constant (CSGM, Bora et al. 2017, eq. 3)."""
    size: PerImage = codes.flatten(1).square().sum(1)
    return size


def to_sphere(codes: Codes, parts: Sequence[int] = ()) -> Codes:
    """Codes scaled to length √n, where nearly all standard normal codes of n numbers lie (PULSE, Menon et al. 2020, §3.2).

    Of several vectors (B, L, n) every one is scaled, and so is every part of codes (B, Σ parts), such as noise maps.
    """
    if parts:
        return torch.cat([to_sphere(part) for part in torch.split(codes, [*parts], 1)], 1)
    flat = codes if codes.ndim == 3 else codes.flatten(1)
    length = flat.square().sum(-1, keepdim=True).sqrt().clamp_min(1e-12)
    return (flat * (math.sqrt(flat.shape[-1]) / length)).view_as(codes)


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


def row_seeds(seeds: Sequence[int], repeats: int, device: torch.device) -> Tensor:
    """(B·R,) a seed for each of the R rows of every image; the first row's is the image's own. `seeds` are below 2⁶⁴."""
    own = torch.tensor([(seed + 2**63) % 2**64 - 2**63 for seed in seeds], dtype=torch.long, device=device)
    return (own[:, None] + torch.arange(repeats, device=device) * _STRIDE).flatten()


def uniform_hash(seeds: Tensor, step: int, count: int) -> Tensor:
    """`count` numbers in [0, 1) for each seed: a counter-based generator (SplitMix64), so that no state is shared or synchronised."""
    place = torch.arange(count, device=seeds.device)
    x = (seeds.long()[:, None] * _GOLDEN + step * count + place + 1) * _GOLDEN
    for shift, factor in ((30, _MIX_1), (27, _MIX_2)):
        x = (x ^ ((x >> shift) & ((1 << (64 - shift)) - 1))) * factor
    x = x ^ ((x >> 31) & ((1 << 33) - 1))
    return ((x >> 40) & 0xFFFFFF).float() / 2**24


def normal_hash(seeds: Tensor, step: int, count: int) -> Tensor:
    """`count` standard normal numbers for each seed, as `uniform_hash` (Box & Muller 1958)."""
    pairs = (count + 1) // 2
    drawn = uniform_hash(seeds, step, 2 * pairs)
    first, second = drawn[:, :pairs], drawn[:, pairs:]
    radius, angle = (-2 * (1 - first).log()).sqrt(), 2 * math.pi * second
    return torch.cat([radius * angle.cos(), radius * angle.sin()], dim=1)[:, :count]


_STRIDE = 0x632BE59BD9B4E019
_GOLDEN, _MIX_1, _MIX_2 = (value - 2**64 for value in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
