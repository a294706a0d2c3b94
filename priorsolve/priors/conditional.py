"""What class-conditional priors have in common: a label beside z, or the class as part of the code."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from priorsolve.counter_rng import normal
from priorsolve.priors.base import Noise
from priorsolve.priors.feedforward import FeedForward
from priorsolve.priors.labels import class_weights
from priorsolve.types import Codes, Shape


class ClassConditional(FeedForward, ABC):
    """A chain whose entry is z and a class.

    The space `z+c` holds z and after it the class as the network sees it, so that both can be optimised together; sampling starts
    there, z ~ N(0, I) and a class drawn uniformly. `z` alone takes its class from `label`. Codes of `features@k` carry the class
    that later blocks still need, so a label goes with `z` only.

    Args:
        blocks: from code to picture.
        spaces: `z+c`, `z`, then `features@k`.
        image_shape: (C, H, W).
        n_classes: how many classes a label may name.
    """

    def __init__(self, blocks: Sequence[nn.Module], spaces: Mapping[str, Shape], image_shape: Shape, n_classes: int) -> None:
        super().__init__(blocks, spaces, image_shape)
        self._n_classes = n_classes

    @property
    def n_classes(self) -> int:
        return self._n_classes

    @abstractmethod
    def _embed(self, weights: Tensor) -> Tensor:
        """(B, c) the class as the network sees it, of (B, n_classes) weights."""

    def embed(self, label: Tensor) -> Tensor:
        return self._embed(class_weights(label, self._n_classes, self).to(next(self.parameters())))

    def _draw(self, n: int, rng: torch.Generator) -> Tensor:
        """`n` codes in z, on the CPU."""
        return normal(rng, n, *self._spaces["z"])

    def _sample(self, n: int, rng: torch.Generator) -> Codes:
        z = self._draw(n, rng)
        classes = torch.randint(self._n_classes, (n,), generator=rng, device="cpu")
        return torch.cat([z, self.embed(classes).to(z)], 1)

    def _centre(self, space: str) -> Codes:
        z = next(self.parameters()).new_zeros(1, *self._spaces["z"])
        mean = self.embed(z.new_full((1, self._n_classes), 1 / self._n_classes))
        return self.map(torch.cat([z, mean], 1), source="z+c", target=space)

    def _map(self, codes: Codes, source: str, target: str, label: Tensor | None, truncation: float, noise: Noise) -> Codes:
        mapped = super()._map(codes, source, target, label, truncation, noise)
        return mapped[:, : self._spaces["z"][0]] if target == "z" else mapped
