"""A stand-in for the mapping network: standard normal codes, one for each layer, that a formula turns into styles."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from priorsolve.priors.base import Prior
from priorsolve.priors.kept import once

_SAMPLES = 4096


@dataclass(frozen=True)
class Proxy:
    """`w = leaky ReLU₀.₂(σ·z + μ)`, μ and σ (n,) being the mean and spread of leaky ReLU₅(w), which undoes the mapping's last activation.

    Source: PULSE (Menon et al. 2020) and ILO (Daras et al. 2021), which measure them on a million codes; here on 4096 of a fixed seed.
    """

    mean: Tensor
    deviation: Tensor

    @staticmethod
    def of(prior: Prior) -> Proxy:
        """Measured on the prior's own w. Raises ValueError for a prior without styles."""
        if "w" not in prior.spaces:
            raise ValueError(f"{prior}: has no styles w, only {', '.join(prior.spaces)}; use latent")
        return once(prior, Proxy, lambda: _measured(prior))

    def coloured(self, z: Tensor) -> Tensor:
        """Styles (..., n) of codes (..., n)."""
        return F.leaky_relu(z * self.deviation + self.mean, 0.2)

    def whitened(self, w: Tensor) -> Tensor:
        """Codes of styles: the exact inverse."""
        return (F.leaky_relu(w, 5.0) - self.mean) / self.deviation


def _measured(prior: Prior) -> Proxy:
    straight = F.leaky_relu(prior.sample(_SAMPLES, torch.Generator().manual_seed(0), "w"), 5.0)
    return Proxy(straight.mean(0), straight.std(0).clamp_min(1e-12))
