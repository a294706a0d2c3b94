"""Where most of a prior's codes lie, how far they spread, and how far from there a code is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import scipy
import torch
from torch import Tensor

from priorsolve.priors.base import Prior
from priorsolve.priors.kept import kept_of
from priorsolve.priors.styled import Styled

_SAMPLES, _OF_MAPS, _OF_LARGE, _LARGE = 499, 199, 99, 1_000_000
"""How many samples measure a space: of features fewer, as the network draws each, and of more than a million numbers fewest."""
_CHUNK = 8
"""Samples at a time: those of features may be gigabytes together."""


@dataclass(frozen=True)
class Distance:
    """A code's distance from the prior's middle in units of its samples' spread: 99 % of them are within `typical`, few beyond `far`."""

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
        if space in ("z", self._prior.first_space) and self._only_direction_counts:
            return Distance(0, 0, math.inf)
        if space == "z":
            n = code.numel()
            quantiles = (math.sqrt(float(scipy.special.chdtri(n, tail)) / n) for tail in (1e-2, 1e-6))
            return Distance(float(code.norm()) / math.sqrt(n), *quantiles)
        if space == "w++" and isinstance(self._prior, Styled):
            code, space = self._prior.taken(code), "w"
        if space not in self._clouds:
            self._clouds[space] = kept_of(self._prior, (Typicality, space), lambda: _cloud(self._prior, space))
        middle, spread, typical = self._clouds[space]
        own = ((code.to(middle) - middle) / spread).square().mean().sqrt()
        return Distance(float(own), typical, 1.5 * typical)

    @cached_property
    def _only_direction_counts(self) -> bool:
        """Whether the network normalises z, as StyleGANs and PGGANs do, and where there are classes their part too."""
        code = self._prior.sample(1, torch.Generator().manual_seed(0))
        return torch.allclose(self._prior.decode(code), self._prior.decode(2 * code), atol=1e-3, rtol=0)


def _cloud(prior: Prior, space: str) -> tuple[Tensor, Tensor, float]:
    """The middle, the spread of each number (of features, of each channel), and the distance within which 99 of 100 samples are.

    That is the k-th nearest of n: k of n + 1 fresh samples are nearer on average, however their distances are distributed.
    """
    of_maps, large = len(prior.spaces[space]) == 3, math.prod(prior.spaces[space]) > _LARGE
    count = _SAMPLES if not of_maps else _OF_LARGE if large else _OF_MAPS
    first = prior.sample(count, torch.Generator().manual_seed(0))
    variances, means = [], []
    for part in torch.split(first, _CHUNK):
        codes = prior.map(part, source=prior.first_space, target=space)
        within, mean = torch.var_mean(codes, (2, 3), correction=0, keepdim=True) if of_maps else (torch.zeros_like(codes), codes)
        variances.append(within)
        means.append(mean)
    within, mean = torch.cat(variances), torch.cat(means)
    middle = mean.mean(0, keepdim=True)
    square = within + (mean - middle).square()
    variance = square.mean(0, keepdim=True)
    whole = variance.mean() + middle.var(correction=0)
    spread = variance.clamp_min(1e-4 * float(whole)).sqrt()  # a number that never changes has no spread
    distances = (square / spread.square()).flatten(1).mean(1).sqrt()
    return middle, spread, float(distances.cpu().kthvalue(math.ceil(0.99 * (count + 1))).values)
