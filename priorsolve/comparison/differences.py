"""Methods compared photo by photo: how much one is better than another on the same photos, and how surely."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from priorsolve.comparison.summary import CALIBRATION, Mean, Score, by_method, interval

NOT_COMPARED = ("seconds", "passes", *CALIBRATION)
"""What is no measure of a written picture."""


@dataclass(frozen=True)
class Difference:
    """What a method's values are above those of the recipe `minus`, in the mean over the `n` photos that both have."""

    recipe: str
    method: str
    minus: str
    n: int
    means: Mapping[str, Mean]


def differences(scores: Sequence[Score]) -> list[Difference]:
    """One for each method whose scores say what they are compared `against`, in the order of the table, if both have a photo.

    The interval is Student's, over the photos' differences: what makes a photo hard for both drops out, so that it tells two methods apart
    where their own intervals overlap. A mean is NaN where a photo's difference is not finite.
    """
    groups = by_method(scores)
    found = []
    for (recipe, method), group in groups.items():
        against = group[0].against
        if against is None or against == (recipe, method):
            continue
        others = {score.photo: score.values for score in groups.get(against, [])}
        pairs = [(score.values, others[score.photo]) for score in group if score.photo in others]
        if pairs:
            keys = [key for key in pairs[0][0] if key not in NOT_COMPARED]
            means = {key: _mean([own[key] - other[key] for own, other in pairs]) for key in keys}
            found.append(Difference(recipe, method, against[0], len(pairs), means))
    return found


def _mean(values: Sequence[float]) -> Mean:
    return interval(values) if all(map(math.isfinite, values)) else Mean(math.nan, None)
