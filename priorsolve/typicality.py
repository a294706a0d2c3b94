"""Where most of a prior's codes lie, how far they spread, and how far from there a code is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import scipy
import torch
from torch import Tensor

from priorsolve.priors.base import Prior
from priorsolve.priors.styled import Styled

_NUMBERS, _FEWEST, _MOST = 8_000_000, 16, 512


def typical_spread(prior: Prior, space: str, most: int, axes: Any = 0) -> tuple[Tensor, Tensor, Tensor]:
    """The mean and the spread of each number of the prior's codes, (1, *spaces[space]) or 1 along `axes`, and the samples that say so.

    The samples are of a fixed seed, `most` or as many as fit in 32 MB of float32.
    """
    count = min(max(_NUMBERS // math.prod(prior.spaces[space]), _FEWEST), most)
    samples = prior.sample(count, torch.Generator().manual_seed(0), space)
    middle, spread = samples.mean(axes, keepdim=True), samples.std(axes, keepdim=True)
    return middle, spread.clamp_min(1e-2 * float(samples.std())), samples  # a number that never changes has no spread


@dataclass(frozen=True)
class Distance:
    """A code's distance from the prior's middle in units of its samples' spread; 99 % of them are within `typical`, none beyond `far`."""

    value: float
    typical: float
    far: float

    def sentence(self, space: str) -> str:
        if self.far == math.inf:
            return f"typical: only the direction of {space} counts"
        facts = f"{space} is {self.value:.2f} of the prior's spread from its middle, 99 of 100 samples are within {self.typical:.2f}"
        if self.value <= self.far:
            return f"{'typical' if self.value <= self.typical else 'unusual'}: {facts}"
        return f"far outside what the prior was trained on: {facts}; details may be invented"


class Typicality:
    """How typical a code is of the prior, measured on the prior's own samples, once for each space.

    A code's distance is |z|/√n in z, with the chi-square quantiles; elsewhere each number counts in units of its standard deviation (in
    features, its channel's), and of w++ every w that a filter takes is judged as one of w: a mean of a layer's would hide how far they are
    apart. The whitening behind p_n is no measure for w: halfway to w̄, where faces are most typical, its distance is large.
    """

    def __init__(self, prior: Prior) -> None:
        self._prior = prior
        self._clouds: dict[str, tuple[Tensor, Tensor, float]] = {}

    def knows(self, space: str) -> bool:
        """Whether codes of that name can be judged; noise maps and tuned weights are no codes."""
        return space in self._prior.spaces and space != "noise"

    @torch.no_grad()
    def distance(self, code: Tensor, space: str) -> Distance:
        """The distance of one code (1, ...) of `space`."""
        if space == "z":
            n = code.numel()
            if self._prior.first_space == "z" and self._only_direction_counts:
                return Distance(0, 0, math.inf)
            quantiles = (math.sqrt(float(scipy.special.chdtri(n, tail)) / n) for tail in (1e-2, 1e-6))
            return Distance(float(code.norm()) / math.sqrt(n), *quantiles)
        if space == "w++" and isinstance(self._prior, Styled):
            code, space = self._prior.taken(code), "w"
        middle, spread, typical = self._cloud(space)
        own = ((code.to(middle) - middle) / spread).square().mean().sqrt()
        return Distance(float(own), typical, 1.5 * typical)

    def _cloud(self, space: str) -> tuple[Tensor, Tensor, float]:
        """The middle, the spread of each number, and the distance within which 99 of 100 samples are."""
        if space not in self._clouds:
            of_maps = len(self._prior.spaces[space]) == 3
            middle, spread, samples = typical_spread(self._prior, space, _MOST, (0, 2, 3) if of_maps else 0)
            theirs = ((samples - middle) / spread).flatten(1).square().mean(1).sqrt()
            self._clouds[space] = middle, spread, float(theirs.cpu().quantile(0.99))
        return self._clouds[space]

    @cached_property
    def _only_direction_counts(self) -> bool:
        """Whether the network normalises z, as StyleGANs and PGGANs do."""
        z = self._prior.sample(1, torch.Generator().manual_seed(0))
        return torch.allclose(self._prior.decode(z), self._prior.decode(2 * z), atol=1e-3, rtol=0)
