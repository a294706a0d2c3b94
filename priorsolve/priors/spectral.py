"""Layers whose weights are divided by their spectral norm while they draw: their parameter is W, as it was trained and is tuned."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from priorsolve.priors.layers import convolution, holding, linear


@final
class SpectralNorm(nn.Module):
    """W ↦ W / σ, where the rows of the matrix are W's first axis. σ = uᵀ W v has gradients, u and v have none.

    Args:
        u: (rows,), as stored.
        v: (columns,), as stored, as torch's spectral_norm has it. Left out, both come of one power step from u in every pass, as in
            ajbrock's code: v = Wᵀu / ‖Wᵀu‖, then u = W v / ‖W v‖.
    """

    u: Tensor
    v: Tensor | None

    def __init__(self, u: Tensor, v: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("u", u)
        self.register_buffer("v", v)

    def norm(self, weight: Tensor) -> Tensor:
        """σ."""
        u, v, matrix = self.u, self.v, weight.flatten(1)
        with torch.autocast(weight.device.type, enabled=False):  # σ counts in every number of the layer
            if v is not None:
                return u @ (matrix @ v)
            with torch.no_grad():
                v = F.normalize(u @ matrix, dim=0, eps=1e-12)
            along = matrix @ v
            return F.normalize(along.detach(), dim=0, eps=1e-12) @ along

    def divided(self, made: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """What a layer made with W, divided by σ in the place of W, which would take a copy of it, plus b."""
        scale = (1 / self.norm(weight)).to(made)
        return made * scale if bias is None else torch.addcmul(bias.to(made), made, scale)

    def forward(self, weight: Tensor) -> Tensor:
        return weight / self.norm(weight)


@final
class SpectralLinear(nn.Linear):
    """x (W/σ)ᵀ + b."""

    def __init__(self, weight: Tensor, bias: Tensor | None, norm: SpectralNorm) -> None:
        super().__init__(weight.shape[1], weight.shape[0], bias=False, device="meta")
        holding(self, weight, bias)
        self.spectral = norm

    def forward(self, input: Tensor) -> Tensor:
        return self.spectral.divided(F.linear(input, self.weight), self.weight, self.bias)

    def fused(self) -> nn.Linear:
        """The same with W/σ for its weight."""
        return linear(self.spectral(self.weight.detach()), _copied(self.bias)).requires_grad_(False)


@final
class SpectralConvolution(nn.Conv2d):
    """The convolution of W/σ that keeps height and width, plus b.

    Args:
        outputs: draw so many of its channels, the first; the others count in σ.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, norm: SpectralNorm, outputs: int | None = None) -> None:
        rows, inputs, kernel, _ = weight.shape
        super().__init__(inputs, rows if outputs is None else outputs, kernel, padding=kernel // 2, bias=False, device="meta")
        holding(self, weight, None if bias is None else bias[: self.out_channels].clone())
        self.spectral = norm

    def forward(self, input: Tensor) -> Tensor:
        made = F.conv2d(input, self.weight[: self.out_channels], padding=self.padding)
        return self.spectral.divided(made, self.weight, None if self.bias is None else self.bias[:, None, None])

    def fused(self) -> nn.Conv2d:
        """The same with W/σ for its weight."""
        weight: Tensor = self.spectral(self.weight.detach())
        return convolution(weight[: self.out_channels].clone(), _copied(self.bias)).requires_grad_(False)


def _copied(bias: Tensor | None) -> Tensor | None:
    return None if bias is None else bias.detach().clone()
