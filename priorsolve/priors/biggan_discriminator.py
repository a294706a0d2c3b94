"""BigGAN's discriminator from ajbrock's `D` files, as the network whose features DGP compares (Pan et al. 2020, §3.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from priorsolve.priors.biggan_layers import brock_attention, brock_convolution, brock_linear, brock_norm
from priorsolve.priors.errors import CheckpointError, first_names
from priorsolve.priors.layers import fused
from priorsolve.priors.layout import numbered
from priorsolve.priors.tensors import Tensors
from priorsolve.types import Images


def recognises(state: Mapping[str, Tensor]) -> bool:
    """Whether the tensors' names are those of ajbrock's discriminator."""
    return {"embed.weight", "linear.u0", "blocks.0.0.conv1.u0"} <= state.keys() and "shared.weight" not in state


@final
class BigGANDiscriminator(nn.Module):
    """Images to an ordered list of features, and to a score. Frozen, in eval mode; any height and width that its pooling allows.

    Weights are divided by their spectral norm on loading.
    """

    def __init__(self, stages: list[nn.Module], score: nn.Linear, embedding: Tensor) -> None:
        super().__init__()
        self._stages = nn.ModuleList(stages)
        self._score = score
        self._embedding = nn.Parameter(embedding)
        self.requires_grad_(False).eval()

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> BigGANDiscriminator:
        """The discriminator of an ajbrock state dict, any size.

        Raises:
            CheckpointError: a tensor is missing, unknown, of the wrong shape or not finite; the line names it.
        """
        if not recognises(state):
            raise CheckpointError(
                f"not a BigGAN discriminator: no embed.weight and blocks.0.0.conv1.u0; the first tensors are {first_names(state)}"
            )
        count = 1 + max(numbered(state, "blocks."))
        tensors = Tensors(state, f"BigGAN discriminator of {count} blocks")
        channels = 3
        stages: list[nn.Module] = []
        for i in range(count):
            block = _Block(tensors, f"blocks.{i}.0", channels, first=i == 0, last=i == count - 1)
            channels = block.conv2.out_channels
            stages.append(block)
            if f"blocks.{i}.1.gamma" in tensors:
                stages.append(brock_attention(tensors, f"blocks.{i}.1", channels))
        score = brock_linear(tensors, "linear", (1, channels), bias=True)
        weight = tensors.take("embed.weight", (None, channels))
        embedding = brock_norm(tensors, "embed", weight)(weight)
        tensors.finish()
        return fused(cls(stages, score, embedding))

    def features(self, images: Images) -> list[Tensor]:
        """What every residual block and every attention layer makes, in order, and last the pooled vector (B, C).

        `images` (B, 3, H, W) are of [0, 1]; at the trained size 128 there are eight features, at 256 nine.
        """
        h = 2 * images - 1
        features = []
        for stage in self._stages:
            h = stage(h)
            features.append(h)
        return [*features, h.relu().sum((2, 3))]

    def forward(self, images: Images, label: Tensor | None = None) -> Tensor:
        """(B,) scores, larger for what looks real; with a label, also for what looks like its class.

        `label` is class indices (B,) or weights (B, n_classes).
        """
        pooled = self.features(images)[-1]
        score: Tensor = self._score(pooled)[:, 0]
        if label is None:
            return score
        own = label.to(pooled) @ self._embedding if label.ndim == 2 else self._embedding[label]
        return score + (own * pooled).sum(1)


@final
class _Block(nn.Module):
    """ReLU, convolution, ReLU, convolution, half the side; beside it a shortcut. The first has no ReLU before it, the last no pooling."""

    def __init__(self, tensors: Tensors, name: str, channels: int, *, first: bool, last: bool) -> None:
        super().__init__()
        self._first = first
        self.conv1 = brock_convolution(tensors, f"{name}.conv1", (None, channels, 3, 3))
        self.conv2 = brock_convolution(tensors, f"{name}.conv2", (None, self.conv1.out_channels, 3, 3))
        shortcut = f"{name}.conv_sc.weight" in tensors
        outputs = self.conv2.out_channels
        self.shortcut = brock_convolution(tensors, f"{name}.conv_sc", (None, channels, 1, 1)) if shortcut else nn.Identity()
        if (self.shortcut.out_channels if isinstance(self.shortcut, nn.Conv2d) else channels) != outputs:
            raise CheckpointError(
                f"{name}.conv_sc.weight is missing or not as wide as {name}.conv2.weight, {outputs}; save the whole file again"
            )
        # the original gives every block that pools a 1×1 shortcut
        self._pools = shortcut and not last

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv2(self.conv1(x if self._first else x.relu()).relu())
        # pooling and a 1×1 convolution may change places: a quarter of the work
        if self._pools:
            h, x = F.avg_pool2d(h, 2), F.avg_pool2d(x, 2)
        return torch.add(h, self.shortcut(x))
