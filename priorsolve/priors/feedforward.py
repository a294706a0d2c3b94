"""What priors that are a chain of blocks have in common."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from priorsolve.alike import evened
from priorsolve.apart import apart
from priorsolve.counter_rng import normal
from priorsolve.priors.base import Noise, Prior
from priorsolve.priors.labels import with_class
from priorsolve.priors.layers import fused
from priorsolve.priors.spaces import depth
from priorsolve.types import Codes, Images, Shape


class FeedForward(Prior, ABC):
    """A chain: the code enters the first block, a code of `features@k` enters block k, the picture in [−1, 1] leaves the last.

    Args:
        blocks: from code to picture.
        spaces: the first is the chain's entry, where codes are N(0, I).
        image_shape: (C, H, W).
    """

    def __init__(self, blocks: Sequence[nn.Module], spaces: Mapping[str, Shape], image_shape: Shape) -> None:
        super().__init__()
        self._blocks = nn.ModuleList(blocks)
        self._spaces = dict(spaces)
        self._image_shape = image_shape
        self.requires_grad_(False).eval()

    @property
    def image_shape(self) -> Shape:
        return self._image_shape

    @property
    def spaces(self) -> Mapping[str, Shape]:
        return self._spaces

    @property
    def blocks(self) -> Sequence[nn.Module]:
        return list(self._blocks)

    @apart()
    def folded(self) -> Prior:
        return fused(self)

    def _sample(self, n: int, rng: torch.Generator) -> Codes:
        return normal(rng, n, *self.spaces[self.first_space])

    def _decode(self, codes: Codes, space: str, label: Tensor | None, noise: Noise) -> Images:
        return self._picture(self._together(with_class(self, codes, space, label), depth(space), len(self._blocks)))

    def _map(self, codes: Codes, source: str, target: str, label: Tensor | None, truncation: float, noise: Noise) -> Codes:
        start, stop = depth(source), depth(target)
        if start > stop:
            raise ValueError(f"{self}: no map from {source!r} back to {target!r}; maps lead from code to picture")
        return self._together(with_class(self, codes, source, label), start, stop)

    def _check_truncated(self, source: str, target: str) -> None:
        raise ValueError(f"{self}: has no mean style for truncation to move towards; leave it at 1")

    def _together(self, x: Tensor, start: int, stop: int) -> Tensor:
        made = self._run(evened(x), start, stop)
        return made if len(made) == len(x) else made[: len(x)]  # the gradient of a slice is written into zeros, even of all rows

    def _run(self, x: Tensor, start: int, stop: int) -> Tensor:
        for block in self._blocks[start:stop]:
            x = block(x)
        return x

    def _picture(self, output: Tensor) -> Images:
        """The network's output as an image of [0, 1]."""
        return (output + 1) / 2
