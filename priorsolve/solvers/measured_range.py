"""Measurements of another range than that of pictures in [0, 1]: of 8-bit values, or of pictures in [-1, 1]."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from priorsolve.counter_rng import uniform_hash
from priorsolve.types import Images, Measurements, Shape

_LARGE = 4.0
"""How many times the largest value that an operator makes of a picture a measurement's middle one must be to be of another range."""
_NEGATIVE = 0.25
"""How far below 0 the values of dark places are."""
_SIGNED = 0.1
"""How far below 0 are those that an operator which makes negative ones makes of some picture."""
_FEW = 32
"""Neighbours of which most may be below 0 by chance."""
_WITHIN = 1.5
"""How far values of pictures in [-1, 1] reach, with some noise."""


def must_be_in_range(y: Measurements, where: Tensor, measure: Callable[[Images], Measurements], image_shape: Shape) -> None:
    """Raises ValueError for values that no picture in [0, 1] explains.

    An image whose values are not finite is let in: it alone ends as diverged, and its neighbours are solved.

    Args:
        y: (B, ...)
        where: of y's shape, 1 where something was measured.
        measure: the operator on B pictures; asked only in doubt.
        image_shape: (C, H, W) of these.
    """
    if not bool(((y > _LARGE) | (y < -_NEGATIVE)).any()):
        return
    known = (where > 0) & y.isfinite()
    sizes = torch.where(known, y.abs(), torch.nan).flatten(1).nanmedian(1).values
    dark = _dark(y, known)
    if not bool((dark | (sizes > _LARGE)).any()):
        return
    seed = torch.zeros(1, dtype=torch.long, device=y.device)
    noise = uniform_hash(seed, 0, math.prod(image_shape)).view(1, *image_shape).to(y)
    with torch.no_grad():
        made = measure(noise.repeat(len(y), 1, 1, 1)).flatten(1)
    largest, lowest = made.abs().amax(1), made.amin(1)
    too_large = sizes > _LARGE * largest.clamp_min(1)
    if bool(too_large.any()):
        place = _first(too_large)
        raise ValueError(
            f"measurement {place} has values of about {sizes[place]:.3g}, and the operator makes at most {largest[place]:.3g} of a "
            "picture; pictures are in [0, 1], so divide 8-bit values by 255"
        )
    too_dark = dark & (lowest > -_SIGNED)
    if bool(too_dark.any()):
        place = _first(too_dark)
        low = y[place][known[place]].amin()
        raise ValueError(
            f"measurement {place} has values down to {low:.3g}, and the operator makes none below {lowest[place]:.3g} of a "
            "picture; pictures are in [0, 1], so give (y + 1) / 2"
        )


def _dark(y: Measurements, known: Tensor) -> Tensor:
    """(B,) whether an image has dark places, as pictures in [-1, 1] have: many values well below 0, whose neighbours are below 0 too.

    Noise on a dark picture in [0, 1] may have as many values below 0, but its neighbours are so by chance.
    """
    low = (y < -_NEGATIVE) & known
    many = low.flatten(1).sum(1) > 0.1 * known.flatten(1).sum(1)
    pairs = low[..., :-1] & known[..., 1:]
    agree = pairs & (y[..., 1:] < 0)
    within = torch.where(known, y.abs(), 0).flatten(1).amax(1) <= _WITHIN  # else it is of another range than [-1, 1]
    return many & within & (agree.flatten(1).sum(1) > 0.75 * pairs.flatten(1).sum(1).clamp_min(_FEW))


def _first(true: Tensor) -> int:
    return int(true.nonzero()[0])
