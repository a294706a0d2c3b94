"""Means over photos with their confidence, and what stands in the way of comparing them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95

COVERAGE, RATIO, ERROR = CALIBRATION = ("coverage", "spread_to_error", "guessed_error")
"""What records say of the spread where a recipe draws samples. NaN is a photo in which nothing was guessed, or a method without spread."""


@dataclass(frozen=True)
class Score:
    """How one method did on one photo. `values` has the same keys, in the order of the table, for all methods."""

    recipe: str
    method: str
    photo: str
    values: Mapping[str, float]
    row: int = 0
    """The method's in the table: the lowest comes first."""
    against: tuple[str, str] | None = None
    """(recipe, method) with which it is compared photo by photo."""


@dataclass(frozen=True)
class Mean:
    """A mean and half the width of its 95 % confidence interval; None where one photo, or an infinite value, leaves it unknown."""

    mean: float
    half: float | None


@dataclass(frozen=True)
class Line:
    """How one method did on `n` photos."""

    recipe: str
    method: str
    n: int
    means: Mapping[str, Mean]


def interval(values: Sequence[float]) -> Mean:
    """The mean with Student's interval, t₀.₉₇₅(n − 1) · s / √n, s with n − 1. Raises ValueError for no values."""
    if not values:
        raise ValueError("there is nothing to take the mean of")
    mean = float(np.mean(values))
    if len(values) < 2 or not math.isfinite(mean):
        return Mean(mean, None)
    return Mean(mean, float(_reach(len(values)) * np.std(values, ddof=1) / math.sqrt(len(values))))


def pooled(ratios: Sequence[float], errors: Sequence[float]) -> Mean:
    """√(mean spread² / mean error²) over the photos where both are known, from each one's spread / error and error; NaN where none is.

    The interval is the jackknife's, with Student's t: what is left out in turn is a photo. A mean of ratios would be above 1 where the
    spread is honest: by 1.17 where each photo's values err together in 5 directions.
    """
    known = [(ratio, error) for ratio, error in zip(ratios, errors, strict=True) if math.isfinite(ratio * error)]
    if not known:
        return Mean(math.nan, None)
    squares = np.array([((ratio * error) ** 2, error**2) for ratio, error in known])
    total = squares.sum(0)
    found = math.sqrt(total[0] / total[1])
    if len(known) < 2:
        return Mean(found, None)
    others = total - squares
    return Mean(found, _reach(len(known)) * math.sqrt((len(known) - 1) * np.var(np.sqrt(others[:, 0] / others[:, 1]))))


def summarised(scores: Sequence[Score]) -> list[Line]:
    """One line for each recipe and method, by their rows, else in the order met."""
    return [
        Line(recipe, method, len(group), {key: _mean(key, group) for key in group[0].values if key != ERROR})
        for (recipe, method), group in by_method(scores).items()
    ]


def unpaired(scores: Sequence[Score], methods: Sequence[tuple[str, str]] = ()) -> list[str]:
    """A sentence on each method that lacks photos which another one has; `methods`, (recipe, method), are those that may have none."""
    photos = len({score.photo for score in scores})
    counts = dict.fromkeys(methods, 0) | {method: len(group) for method, group in by_method(scores).items()}
    return [
        f"{recipe} {method}: {count} of {photos} photos{'; means are not of the same photos' if count else ''}"
        for (recipe, method), count in counts.items()
        if count < photos
    ]


def infinite(scores: Sequence[Score]) -> list[str]:
    """A sentence on each method and column whose mean is infinite."""
    counts = {
        (*method, key): (sum(math.isinf(score.values[key]) for score in group), len(group))
        for method, group in by_method(scores).items()
        for key in group[0].values
        if key not in CALIBRATION
    }
    return [f"{recipe} {method}: {key} is infinite for {n} of {of} photos" for (recipe, method, key), (n, of) in counts.items() if n]


def by_method(scores: Sequence[Score]) -> dict[tuple[str, str], list[Score]]:
    """The scores of each (recipe, method), in the order of the table."""
    groups: dict[tuple[str, str], list[Score]] = {}
    for score in sorted(scores, key=lambda score: score.row):
        groups.setdefault((score.recipe, score.method), []).append(score)
    return groups


def _mean(key: str, scores: Sequence[Score]) -> Mean:
    """With its interval, but for times: the photos of a batch share one, which says nothing of how times vary."""
    values = [score.values[key] for score in scores]
    if key == RATIO:
        return pooled(values, [score.values[ERROR] for score in scores])
    if key == COVERAGE:
        values = [value for value in values if math.isfinite(value)] or [math.nan]
    found = interval(values)
    return Mean(found.mean, None) if key == "seconds" else found


def _reach(count: int) -> float:
    """Student's t₀.₉₇₅(count − 1)."""
    from scipy.stats import t  # slow to import

    return float(t.ppf((1 + LEVEL) / 2, count - 1))
