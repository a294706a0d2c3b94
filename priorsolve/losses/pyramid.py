"""Losses at several resolutions, for measurements that are pictures."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from priorsolve.alike import plane_by_plane
from priorsolve.losses.base import Distance, Loss, Preparing, mean_where, must_be_pictures, must_compare, prepared
from priorsolve.losses.pixel import l1
from priorsolve.showing import must_be_as_annotated
from priorsolve.types import Measurements, PerImage


@dataclass(frozen=True)
class MultiResolution(Preparing):
    """`Σₖ loss(↓ᵏe, ↓ᵏy)`: a loss at full size, at half, at a quarter and so on, where ↓ averages 2×2 pixels.

    Coarse levels pull far-off colours and shapes into place (Poirier-Ginter & Lalonde 2023).
    Averages are over what was measured, and count with the share of their pixels that was.

    Args:
        loss: the loss at each size.
        levels: how many sizes at most.
        coarsest: only the last level counts.
        smallest: a picture whose smaller side has no more pixels than this is not halved again, so it is the last level.

    Raises:
        ValueError: `loss` is not a loss, or `levels` or `smallest` is below 1; when called, measurements that are no pictures.
    """

    loss: Loss = l1
    levels: int = 3
    coarsest: bool = False
    smallest: int = 1

    def __post_init__(self) -> None:
        must_compare(self.loss, "loss")
        must_be_as_annotated(self)
        _at_least_one(levels=self.levels, smallest=self.smallest)

    def against(self, measured: Measurements, where: Tensor) -> Distance:
        must_be_pictures(measured, "multi_resolution")
        known = self._masks(where)
        counted = slice(-1 if self.coarsest else 0, None)
        distances = [prepared(self.loss, y, w) for y, w in zip(_sizes(measured, known)[counted], known[counted], strict=True)]

        def distance(estimate: Measurements) -> PerImage:
            return torch.stack([far(e) for far, e in zip(distances, _sizes(estimate, known)[counted], strict=True)]).sum(0)

        return distance

    def _masks(self, where: Tensor) -> list[Tensor]:
        """What was measured at each size."""
        masks = [where]
        while len(masks) < self.levels and min(masks[-1].shape[-2:]) > self.smallest:
            masks.append(halved(masks[-1]))
        return masks


def _sizes(pictures: Tensor, known: list[Tensor]) -> list[Tensor]:
    """The pictures at the size of each mask: means of what was measured."""
    sizes = [pictures]
    for where, coarse in pairwise(known):
        sizes.append(halved(sizes[-1] * where) / coarse.clamp_min(torch.finfo(coarse.dtype).eps))
    return sizes


@dataclass(frozen=True)
class LaplacianPyramid:
    """`Σₖ mean |Lₖ(e − y)|` over a Laplacian pyramid's levels and what is left: edges count at every scale (GLO).

    Bojanowski, Joulin, Lopez-Paz & Szlam, "Optimizing the Latent Space of Generative Networks", ICML 2018. Lₖ is what a
    5×5 Gaussian of σ = 2 takes away at size k; the blurred picture is halved for the next level. Levels weigh the same.

    Args:
        levels: differences before the coarse picture, each at half the size of the last.

    Raises:
        ValueError: levels below 1; when called, measurements that are no pictures, or whose smaller side is below 2^levels.
    """

    levels: int = 3

    def __post_init__(self) -> None:
        must_be_as_annotated(self)
        _at_least_one(levels=self.levels)

    def __call__(self, estimate: Measurements, measured: Measurements, where: Tensor) -> PerImage:
        must_be_pictures(measured, "laplacian_pyramid")
        if min(measured.shape[-2:]) < 2**self.levels:
            size = "×".join(map(str, measured.shape[-2:]))
            raise ValueError(
                f"laplacian_pyramid: {self.levels} levels need pictures of {2**self.levels} pixels, got {size}; use fewer levels"
            )
        where = where.to(measured)  # a mask may be of bool
        rest = (estimate - measured) * where  # all levels are linear, so they are taken of the difference
        values = []
        for _ in range(self.levels):
            blurred = plane_by_plane(_blurred, rest)
            values.append(mean_where((rest - blurred).abs(), where))
            rest, where = halved(blurred), halved(where)
        values.append(mean_where(rest.abs(), where))
        return torch.stack(values).sum(0)


def halved(pictures: Tensor) -> Tensor:
    """(B, C, h, w) to (B, C, ⌈h/2⌉, ⌈w/2⌉): means of 2×2 pixels, of what there is of them at an odd edge."""
    return F.avg_pool2d(pictures, 2, ceil_mode=True, count_include_pad=False)


def _blurred(planes: Tensor) -> Tensor:
    if not len(planes):
        return planes  # no convolution has as many groups
    line = torch.exp(-torch.arange(-2, 3, device=planes.device, dtype=planes.dtype).square() / (2 * 2.0**2))
    line = line / line.sum()
    count = len(planes)
    padded = F.pad(planes, (2, 2, 2, 2), mode="replicate")[None]  # the channels of one picture
    across = F.conv2d(padded, line.view(1, 1, 1, 5).expand(count, 1, 1, 5), groups=count)
    return F.conv2d(across, line.view(1, 1, 5, 1).expand(count, 1, 5, 1), groups=count)[0]


def _at_least_one(**given: int) -> None:
    for name, value in given.items():
        if value < 1:
            raise ValueError(f"{name} is {value}; it must be at least 1")
