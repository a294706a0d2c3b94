"""Where a mapping network puts its w: the mean, and the coordinates in which they are roughly a standard normal cloud.

P and P_N are Zhu et al.'s ("Improved StyleGAN Embedding: Where are the Good Latents?", 2020): p = leaky ReLU of slope 5 of w undoes the
mapping's last activation, and p_n are its principal coordinates, each divided by its standard deviation.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from priorsolve.priors.chance import normal

_BATCH = 4096


@final
class Whitening(nn.Module):
    """w̄ and the map between w (B, n) and p_n (B, n), which has an exact inverse."""

    w_mean: Tensor
    """w̄, (n,)."""
    p_mean: Tensor
    """(n,)."""
    components: Tensor
    """The principal directions of p, one a column, (n, n)."""
    deviations: Tensor
    """The standard deviations along them, (n,), largest first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        for name, shape in (("w_mean", (width,)), ("p_mean", (width,)), ("components", (width, width)), ("deviations", (width,))):
            self.register_buffer(name, torch.empty(shape, device="meta"))

    @staticmethod
    @torch.no_grad()
    def measured(mapping: nn.Module, width: int, n: int = 65_536, seed: int = 0) -> dict[str, Tensor]:
        """The tensors of a `Whitening` (its state) from the w of `n` codes z drawn with `seed`; sums in float64."""
        rng = torch.Generator().manual_seed(seed)
        device = next(mapping.parameters()).device
        sums = [torch.zeros(width, dtype=torch.float64), torch.zeros(width, dtype=torch.float64)]
        products = torch.zeros(width, width, dtype=torch.float64)
        for start in range(0, n, _BATCH):
            z = normal(rng, min(_BATCH, n - start), width)
            w = mapping(z.to(device)).cpu().double()
            p = F.leaky_relu(w, 5.0)
            sums = [sums[0] + w.sum(0), sums[1] + p.sum(0)]
            products += p.T @ p
        w_mean, p_mean = (total / n for total in sums)
        variances, components = torch.linalg.eigh(products / n - torch.outer(p_mean, p_mean))
        deviations = variances.clamp_min(1e-12).sqrt()
        tensors = {"w_mean": w_mean, "p_mean": p_mean, "components": components.flip(1), "deviations": deviations.flip(0)}
        return {name: tensor.float().contiguous() for name, tensor in tensors.items()}

    def whitened(self, w: Tensor) -> Tensor:
        """p_n of w."""
        return (F.leaky_relu(w, 5.0) - self.p_mean) @ self.components / self.deviations

    def coloured(self, p_n: Tensor) -> Tensor:
        """w of p_n."""
        return F.leaky_relu((p_n * self.deviations) @ self.components.T + self.p_mean, 0.2)

    def truncated(self, w: Tensor, truncation: float) -> Tensor:
        """w̄ + ψ (w − w̄), of w or of every row of w+."""
        return w if truncation == 1 else torch.lerp(self.w_mean.expand_as(w), w, truncation)
