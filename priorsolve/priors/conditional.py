"""What class-conditional priors have in common: a label beside z, or the class as part of the code."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from priorsolve.priors.base import Noise
from priorsolve.priors.chance import normal
from priorsolve.priors.feedforward import FeedForward, depth
from priorsolve.priors.labels import class_weights
from priorsolve.types import Codes, Images, Shape


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

    def _decode(self, codes: Codes, space: str, label: Tensor | None, noise: Noise) -> Images:
        codes = self._entered(codes, space, label)
        return self._picture(self._run(codes, depth(space), len(self._blocks)))

    def _map(self, codes: Codes, source: str, target: str, label: Tensor | None, truncation: float, noise: Noise) -> Codes:
        codes = self._entered(codes, source, label)
        start, stop = depth(source), depth(target)
        if start > stop:
            raise ValueError(f"{self}: no map from {source!r} back to {target!r}; maps lead from code to picture")
        if target == "z":
            return codes[:, : self._spaces["z"][0]]
        return self._run(codes, start, stop)

    def _entered(self, codes: Codes, space: str, label: Tensor | None) -> Codes:
        """`codes` as they stand, or with their class where they are of z."""
        if space != "z":
            if label is not None:
                raise ValueError(f"{self}: codes in {space!r} carry their class; leave label out, or use the space 'z'")
            return codes
        if label is None:
            raise ValueError(
                f"{self}: codes in 'z' need a label, class indices (B,) or weights (B, {self._n_classes}); "
                "or use 'z+c', where the class is part of the code"
            )
        if label.shape[:1] != codes.shape[:1]:
            raise ValueError(f"{self}: {codes.shape[0]} codes but a label of shape {tuple(label.shape)}; give each code its class")
        return torch.cat([codes, self.embed(label).to(codes)], 1)
