"""What a prior is: a pretrained generator behind one face, whatever its family."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from priorsolve.types import Codes, Images, Shape

NoiseMode = Literal["const", "none", "random"]


class Prior(nn.Module, ABC):
    """Images from codes. Frozen and in eval mode unless a solver tunes it.

    `blocks` lists the layers from code to picture. `features@k` is the space of what enters block k, so that solvers can mix codes
    there, start there, or unfreeze the blocks front to back, on any prior.
    """

    @property
    @abstractmethod
    def image_shape(self) -> Shape:
        """(C, H, W) of the pictures."""

    @property
    @abstractmethod
    def spaces(self) -> Mapping[str, Shape]:
        """The spaces a code may live in and a code's shape there; the first is where sampling starts."""

    @property
    @abstractmethod
    def blocks(self) -> Sequence[nn.Module]:
        """The layers, in order, from code to picture."""

    @abstractmethod
    def _sample(self, n: int, rng: torch.Generator) -> Codes:
        """`n` codes in the first space, drawn on the CPU."""

    @abstractmethod
    def _decode(self, codes: Codes, space: str, label: Tensor | None, noise: NoiseMode) -> Images:
        """Images in [0, 1], not clamped. The codes' shape has been checked."""

    @abstractmethod
    def _map(self, codes: Codes, source: str, target: str, label: Tensor | None, truncation: float) -> Codes:
        """Codes of `target`. Both spaces exist and differ. Raises ValueError where there is no map."""

    def folded(self) -> Prior:
        """An equal prior that is cheaper to run while its weights stay frozen (normalisations folded into convolutions)."""
        return self

    def sample(self, n: int, rng: torch.Generator, space: str | None = None) -> Codes:
        """`n` codes (n, *spaces[space]) as the prior distributes them; the same for the same `rng` on every device."""
        first = next(iter(self.spaces))
        parameter = next(self.parameters())
        codes = self._sample(n, rng).to(parameter)
        return self.map(codes, source=first, target=space or first)

    def decode(self, codes: Codes, space: str | None = None, *, label: Tensor | None = None, noise: NoiseMode = "const") -> Images:
        """Images (B, C, H, W) of codes (B, *spaces[space]); in [0, 1], not clamped: 2x − 1 is the network's own output.

        Args:
            label: class indices (B,) or weights (B, n_classes), for class-conditional priors.
            noise: what style generators add to their features; no effect on a prior without noise inputs.

        Raises:
            ValueError: no such space, codes of another shape, or a label for a prior without classes.
        """
        space = space or next(iter(self.spaces))
        self._check(codes, space)
        return self._decode(codes, space, label, noise)

    def map(self, codes: Codes, *, source: str, target: str, label: Tensor | None = None, truncation: float = 1.0) -> Codes:
        """Codes of `target` that draw the same pictures as `codes` of `source`. Raises ValueError where there is no map."""
        self._check(codes, source)
        if target not in self.spaces:
            raise ValueError(f"{self}: has no space {target!r}; it has {', '.join(self.spaces)}")
        return codes if source == target else self._map(codes, source, target, label, truncation)

    def _check(self, codes: Codes, space: str) -> None:
        if space not in self.spaces:
            raise ValueError(f"{self}: has no space {space!r}; it has {', '.join(self.spaces)}")
        if tuple(codes.shape[1:]) != tuple(self.spaces[space]):
            expected = ", ".join(map(str, self.spaces[space]))
            raise ValueError(f"{self}: expected codes of shape (B, {expected}) in {space!r}, got {tuple(codes.shape)}")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'×'.join(map(str, self.image_shape))})"
