"""Random numbers that are the same on every machine: from torch's own generator, one for each use of a seed, and by counting.

Those by counting depend on their row's seed, the step and their place alone, never on the rest of the batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

STARTS = 0xD1B54A32D192ED03
LIMITS = 0x9E3779B97F4A7C15
"""Uses of a seed: codes among which a search begins, and pictures that tell what a solver can reach."""

FRAMES, SAMPLES = 0x9E3779B97F4B, 0x9E3779B97F4A
"""Strides from a photo's seed to its frames', and from a frame's to its samples'.

They differ, or frame j's sample i would draw what frame i's sample j draws.
"""


def normal(rng: torch.Generator, *shape: int) -> Tensor:
    """N(0, 1), drawn on the CPU and in float32, whatever torch's defaults are and wherever it is used."""
    return torch.randn(*shape, generator=rng, device="cpu", dtype=torch.float32)


def generator_for(use: int, seed: int) -> torch.Generator:
    """One that draws otherwise than `manual_seed(seed)`, with which people draw the pictures that they test solvers on.

    Else these were among a search's starts, and found at once.
    """
    return torch.Generator().manual_seed(seed_for(use, seed))


def seed_for(use: int, seed: int) -> int:
    """What `generator_for` is seeded with."""
    return (seed ^ use) % 2**63


def seed_at(seed: int, index: int, stride: int) -> int:
    """Of the frame or sample `index`, counted from 0; that of the first is `seed` itself, which is below 2⁴⁸."""
    return (seed + index * stride) % 2**48


def row_seeds(seeds: Sequence[int], repeats: int, device: torch.device) -> Tensor:
    """(B·R,) a seed for each of the R rows of every image; the first row's is the image's own. `seeds` are below 2⁶⁴."""
    own = torch.tensor([(seed + 2**63) % 2**64 - 2**63 for seed in seeds], dtype=torch.long, device=device)
    return (own[:, None] + torch.arange(repeats, device=device) * _STRIDE).flatten()


def uniform_hash(seeds: Tensor, step: int | Tensor, count: int) -> Tensor:
    """`count` numbers in [0, 1) for each seed: a counter-based generator (SplitMix64), so that no state is shared or synchronised.

    `step` is that of all, or (rows, 1) whole numbers, one of each seed.
    """
    place = torch.arange(count, device=seeds.device)
    x = (seeds.long()[:, None] * _GOLDEN + step * count + place + 1) * _GOLDEN
    for shift, factor in ((30, _MIX_1), (27, _MIX_2)):
        x = (x ^ ((x >> shift) & ((1 << (64 - shift)) - 1))) * factor
    x = x ^ ((x >> 31) & ((1 << 33) - 1))
    return ((x >> 40) & 0xFFFFFF).float() / 2**24


def normal_hash(seeds: Tensor, step: int | Tensor, count: int) -> Tensor:
    """`count` standard normal numbers for each seed, as `uniform_hash` (Box & Muller 1958)."""
    pairs = (count + 1) // 2
    drawn = uniform_hash(seeds, step, 2 * pairs)
    first, second = drawn[:, :pairs], drawn[:, pairs:]
    radius, angle = (-2 * (1 - first).log()).sqrt(), 2 * math.pi * second
    return torch.cat([radius * angle.cos(), radius * angle.sin()], dim=1)[:, :count]


def normal_like(codes: Tensor, seeds: Tensor, step: int | Tensor) -> Tensor:
    """Standard normal numbers of the shape, type and device of `codes`, each row's by its own of `seeds` (rows,)."""
    return normal_hash(seeds, step, codes.shape[1:].numel()).view_as(codes).to(codes)


_STRIDE = 0x632BE59BD9B4E019
_GOLDEN, _MIX_1, _MIX_2 = (value - 2**64 for value in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
