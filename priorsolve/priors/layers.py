"""Layers made of given tensors, and the few that torch does not have; and whether torch's own mix a batch."""

from __future__ import annotations

import copy
from typing import Protocol, TypeVar, final, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

M = TypeVar("M", bound=nn.Module)


@runtime_checkable
class Foldable(Protocol):
    """A layer that has a form which is cheaper while its weights stay frozen."""

    def fused(self) -> nn.Module:
        """That form, with weights of its own."""


def holding(layer: M, weight: Tensor, bias: Tensor | None) -> M:
    """`layer` itself, of these numbers."""
    layer.register_parameter("weight", nn.Parameter(weight))
    layer.register_parameter("bias", None if bias is None else nn.Parameter(bias))
    return layer


def linear(weight: Tensor, bias: Tensor | None = None) -> nn.Linear:
    """x Wᵀ + b with W (out, in)."""
    return holding(nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta"), weight, bias)


def convolution(weight: Tensor, bias: Tensor | None = None) -> nn.Conv2d:
    """The convolution of W (out, in, k, k), k odd, that keeps height and width."""
    outputs, inputs, kernel, _ = weight.shape
    return holding(nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False, device="meta"), weight, bias)


def normalised(x: Tensor) -> Tensor:
    """x / √(mean over axis 1 of x² + 1e-8): of codes, or at every pixel (Karras et al. 2018, §4.2)."""
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


@final
class PixelNorm(nn.Module):
    """`normalised`, as a layer."""

    def forward(self, x: Tensor) -> Tensor:
        return normalised(x)


def grown(x: Tensor) -> Tensor:
    """Twice the side, each pixel four times."""
    return F.interpolate(x, scale_factor=2, mode="nearest")


@final
class Growing(nn.Module):
    """A 3×3 convolution of the picture at twice its side, each pixel four times."""

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        self.layer = layer

    @property
    def out_channels(self) -> int:
        """How many channels leave."""
        return self.layer.out_channels

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(grown(x))
        return out

    def fused(self) -> nn.ConvTranspose2d:
        """The same in one transposed convolution, which sees every pixel once: 16 products instead of 36.

        Its 4×4 kernel is the mirrored 3×3 kernel, spread over the 2×2 pixels that one becomes.
        """
        layer = fused(self.layer)
        mirrored = F.pad(layer.weight.detach().flip(2, 3), (1, 1, 1, 1))
        kernel = mirrored[..., 1:, 1:] + mirrored[..., :-1, 1:] + mirrored[..., 1:, :-1] + mirrored[..., :-1, :-1]
        one = nn.ConvTranspose2d(self.layer.in_channels, self.layer.out_channels, 4, 2, 1, bias=False, device="meta")
        bias = None if layer.bias is None else layer.bias.detach().clone()
        return holding(one, kernel.transpose(0, 1).contiguous(), bias).requires_grad_(False)


def fused(module: M) -> M:
    """A copy of `module` with every layer fused that can be."""
    # put in place of the layers while copying, so that their weights are not copied first
    replaced: dict[int, nn.Module] = {}
    inside: set[int] = set()
    for part in module.modules():
        if isinstance(part, Foldable) and id(part) not in inside:
            foldable: Foldable = part
            replaced[id(part)] = foldable.fused()
            inside |= {id(child) for child in part.modules()}
    return copy.deepcopy(module, dict(replaced))


def mixes(module: nn.Module) -> bool:
    """Whether it is in training with layers that look at neighbours, note what they see or throw dice."""
    return any(isinstance(part, _BatchNorm | _DropoutNd) and part.training for part in module.modules())


def first_parameter(prior: nn.Module) -> nn.Parameter:
    """Of which device and type the prior's codes are. Raises ValueError for a prior without parameters."""
    parameter = next(prior.parameters(), None)
    if parameter is None:
        raise ValueError(f"{prior}: has no parameter, whose device and type codes have; register one, such as a frozen nn.Parameter")
    return parameter


def must_be_differentiable(prior: nn.Module) -> None:
    """Raises ValueError for a prior without parameters, made where gradients are off, or whose pictures are not their codes' alone."""
    if first_parameter(prior).is_inference():
        raise ValueError(
            f"{prior}: was made under torch.inference_mode, whose tensors let no gradient through; make it outside, "
            "or under torch.inference_mode(False)"
        )
    if mixes(prior):
        raise ValueError(f"{prior}: is in training mode, where a picture depends on its neighbours or on chance; call prior.eval()")
