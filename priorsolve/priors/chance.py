"""Random numbers that are the same on every machine."""

from __future__ import annotations

import torch
from torch import Tensor


def normal(rng: torch.Generator, *shape: int) -> Tensor:
    """N(0, 1), drawn on the CPU and in float32, whatever torch's defaults are and wherever it is used."""
    return torch.randn(*shape, generator=rng, device="cpu", dtype=torch.float32)
