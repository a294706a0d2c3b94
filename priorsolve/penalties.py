"""What a code, or its picture, costs for being unlikely: one number per image, each named as the field names it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from priorsolve.alike import of_long_rows
from priorsolve.priors.base import Prior
from priorsolve.priors.kept import once
from priorsolve.showing import must_be_number
from priorsolve.types import Codes, Images, PerImage

Penalty = Callable[[Codes], PerImage]

_NUMBERS = 8_000_000
"""Of samples that tell what is typical: 32 MB of float32."""


def gaussian_penalty(codes: Codes) -> PerImage:
    """`‖z‖²`, the negative log-density of a standard normal code up to a constant (CSGM, Bora et al. 2017, eq. 3)."""
    return of_long_rows(lambda rows: rows.square().sum(1), codes.flatten(1))


def total_variation(images: Images) -> PerImage:
    """`mean |x_{i,j+1} − x_{i,j}| + mean |x_{i+1,j} − x_{i,j}|` of pictures (B, C, H, W): small where they are flat (Rudin, Osher & Fatemi
    1992, the anisotropic form)."""
    steps = [each for each in (images.diff(dim=-1), images.diff(dim=-2)) if each.numel()]  # of a single row or column there is none
    return sum((of_long_rows(lambda rows: rows.abs().mean(1), each.flatten(1)) for each in steps), start=images.new_zeros(len(images)))


def layer_spread(codes: Codes) -> PerImage:
    """`mean (w_i − w̄_x)²` over w+ (B, L, n), w̄_x the mean of the image's own layers; 0 for codes of w.

    The distance to W that e4e keeps small (Tov et al. 2021, §4).
    """
    value: PerImage = (codes - codes.mean(1, keepdim=True)).square().flatten(1).mean(1)
    return value


def geocross(codes: Codes) -> PerImage:
    """PULSE's cross loss (Menon et al. 2020): the mean over pairs of layers of n·θ²/8, θ being the angle between their codes.

    PULSE takes 2·atan2(‖u − v‖, ‖u + v‖) of the codes as they are, which is their angle where they are equally long. Its w nearly are: the
    two differ by about 0.1 %. ILO's codes are on a sphere.
    """
    # row by row: torch's atan2 rounds what is left over at the end of a tensor otherwise than the rest
    return torch.cat([_crossed(row) for row in torch.split(codes, 1)])


def _crossed(codes: Codes) -> PerImage:
    directions = F.normalize(codes, dim=-1)
    difference = (directions[:, :, None] - directions[:, None]).square().sum(-1).add(1e-9).sqrt()
    total = (directions[:, :, None] + directions[:, None]).square().sum(-1).add(1e-9).sqrt()
    angles = 2 * torch.atan2(difference, total)
    value: PerImage = codes.shape[-1] * angles.square().flatten(1).mean(1) / 8
    return value


def colinearity(codes: Codes) -> PerImage:
    """`Σ_ij |1 − cos(w_i, w_j)|` over all pairs of layers (BRGM, Marinescu et al. 2020)."""
    directions = F.normalize(codes, dim=-1)
    value: PerImage = (1 - directions @ directions.transpose(1, 2)).abs().flatten(1).sum(1)
    return value


def noise_autocorrelation(maps: Tensor, shapes: Sequence[tuple[int, int]]) -> PerImage:
    """How far noise maps (B, N), end to end, are from white: Σ over maps and their 2× averages down to 8² of the squared mean product with
    their neighbours to the right and below (StyleGAN2's projector, Karras et al. 2020, appendix D)."""
    total, place = maps.new_zeros(len(maps)), 0
    for height, width in shapes:
        level = maps[:, place : place + height * width].view(-1, 1, height, width)
        place += height * width
        while True:
            products = [(level * level.roll(1, dims=axis)).flatten(1) for axis in (2, 3)]
            total = total + sum(of_long_rows(lambda rows: rows.mean(1), each).square() for each in products)
            if min(level.shape[-2:]) <= 8:
                break
            level = F.avg_pool2d(level, 2)
    return total


def mahalanobis(prior: Prior, space: str) -> Penalty:
    """`mean ((c − c̄)/σ)²`, c̄ and σ being the mean and spread of each number of the prior's codes: about 1 for samples.

    Measured on samples of a fixed seed, 1024 or as many as fit in 32 MB. Whitening by principal components would not do for
    styles: halfway to w̄, where faces are most typical, few of its numbers are small.
    """
    centre, spread = _typical(prior, space)
    return lambda codes: ((codes - centre) / spread).square().flatten(1).mean(1)


def euclidean(prior: Prior, space: str) -> Penalty:
    """`mean (c − c̄)²/σ²`, σ² being the mean over all numbers of the prior's codes of their squared distance from c̄: about 1 for samples.

    As `mahalanobis`, with one spread for all numbers: what BRGM's program computes (Marinescu et al. 2020).
    """
    centre, spread = _typical(prior, space)
    variance = spread.square().mean()
    return lambda codes: (codes - centre).square().flatten(1).mean(1) / variance


def _typical(prior: Prior, space: str) -> tuple[Tensor, Tensor]:
    """The mean and the spread of each number of the prior's codes; layers of w+ and filters of w++ are codes of w."""
    space = "w" if space in ("w+", "w++") else space
    return once(prior, ("typical", space), lambda: _measured(prior, space))


def _measured(prior: Prior, space: str) -> tuple[Tensor, Tensor]:
    """As `_typical`, of the space itself: (1, *spaces[space]) each."""
    count = min(max(_NUMBERS // math.prod(prior.spaces[space]), 16), 1024)
    samples = prior.sample(count, torch.Generator().manual_seed(0), space)
    spread = samples.std(0, keepdim=True)
    return samples.mean(0, keepdim=True), spread.clamp_min(1e-2 * float(samples.std()))  # a number that never changes has no spread


def weighted(prior: Prior, space: str, weights: Mapping[str, float] | None) -> Penalty:
    """`Σ λ·penalty` of the penalties that `weights` names, for codes of `space`; 0 where it names none."""
    made: dict[str, Callable[[], Penalty]] = {
        "gaussian": lambda: gaussian_penalty,
        "mahalanobis": lambda: mahalanobis(prior, space),
        "euclidean": lambda: euclidean(prior, space),
        _OF_MAPS: lambda: partial(noise_autocorrelation, shapes=prior.noise_shapes),
    }
    parts = [(weight, _OF_LAYERS.get(name) or made[name]()) for name, weight in (weights or {}).items() if weight]
    return lambda codes: sum((weight * penalty(codes) for weight, penalty in parts), start=codes.new_zeros(len(codes)))


def check_penalties(prior: Prior, space: str, weights: Mapping[str, float] | None) -> None:
    """Raises ValueError for an unknown name, a negative weight, or a penalty of layers or of noise maps for other codes."""
    weights = {} if weights is None else weights
    if not isinstance(weights, Mapping):
        raise ValueError(f"penalties is {weights!r}; give each its weight by name, such as {{'gaussian': 0.01}}")
    for name, weight in weights.items():
        if name not in PENALTIES:
            raise ValueError(f"penalties: no penalty is called {name!r}; known: {', '.join(PENALTIES)}")
        must_be_number(weight, f"penalties.{name}")
        if weight < 0:
            raise ValueError(f"penalties.{name} is {weight}; it must be at least 0")
        if name in _OF_LAYERS and len(prior.spaces[space]) != 2:
            raise ValueError(f"penalties.{name} compares layers, and codes of {space!r} have none; use it in w+")
        if name == _OF_MAPS and not prior.noise_size:
            raise ValueError(f"penalties.{name} is of noise maps, and {prior} has none; leave it out")
        if name == _OF_MAPS and space != "noise":
            raise ValueError(f"penalties.{name} applies to noise maps, not to codes of {space!r}; use it in 'noise'")


_OF_LAYERS: dict[str, Penalty] = {"geocross": geocross, "colinearity": colinearity, "layer_spread": layer_spread}
_OF_MAPS = "noise_autocorrelation"
PENALTIES = ("gaussian", "mahalanobis", "euclidean", *_OF_LAYERS, _OF_MAPS)
