"""The benchmark's table: what is pooled, what is left out, and what is said where methods cannot be compared."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from priorsolve.comparison.summary import Mean, Score, infinite, pooled, summarised, unpaired
from priorsolve.comparison.tables import CAPTION, write_tables
from priorsolve.sampling import Samples


def scores(method: str, values: dict[str, list[float]], row: int = 0, first: int = 0) -> list[Score]:
    """One of each photo, from `first` on."""
    count = len(next(iter(values.values())))
    return [Score("r", method, f"{first + i}", {key: each[i] for key, each in values.items()}, row) for i in range(count)]


@pytest.mark.parametrize("directions", [2, 6])
def test_the_spread_of_honest_samples_is_1_of_their_error(directions: int) -> None:
    """The values of a photo err together, in few directions, so that the mean of the photos' own ratios is far above 1."""
    rng, photos, k = torch.Generator().manual_seed(0), 4000, 4
    W = torch.randn(directions, 3 * 4 * 4, generator=rng, dtype=torch.float64)
    middle, drawn = (torch.randn(photos, n, directions, generator=rng, dtype=torch.float64) for n in (1, k))
    clean = torch.randn(photos, directions, generator=rng, dtype=torch.float64) + middle[:, 0]
    told = Samples(((middle + drawn) @ W).view(photos, k, 3, 4, 4)).calibration((clean @ W).view(photos, 3, 4, 4))
    ratios, errors = told["spread_to_error"], told["guessed_error"]
    assert float(ratios.mean()) > 1.1
    found = pooled(ratios.tolist(), errors.tolist())
    assert found.mean == pytest.approx(1, abs=0.03)
    covered = []
    for some in range(0, photos, 8):
        few = pooled(ratios[some : some + 8].tolist(), errors[some : some + 8].tolist())
        assert few.half is not None
        covered.append(abs(few.mean - 1) <= few.half)
    assert np.mean(covered) == pytest.approx(0.95, abs=0.04)


def test_the_error_is_that_of_what_was_guessed() -> None:
    images = torch.zeros(1, 2, 3, 4, 4)
    images[:, :, :, 0] = 0.5
    images[:, 1, :, 0] += 0.2
    told = Samples(images, around_first=True).calibration(torch.zeros(1, 3, 4, 4))
    assert told["guessed_error"].tolist() == pytest.approx([0.5])
    assert told["spread_to_error"].tolist() == pytest.approx([0.4])


def test_pooled_by_hand() -> None:
    found = pooled([1.0, 0.5, math.nan], [0.1, 0.2, math.nan])
    assert found.mean == pytest.approx(math.sqrt((0.01 + 0.01) / (0.01 + 0.04)))
    assert found.half == pytest.approx(12.7062 * math.sqrt(0.5 * (0.25**2 + 0.25**2)), rel=1e-4)  # of 2: left out, they are 0.5 and 1
    assert pooled([0.5], [0.5]) == Mean(0.5, None)
    assert pooled([0.0, 0.0], [0.2, 0.3]) == Mean(0, 0)
    assert math.isnan(pooled([math.nan], [math.nan]).mean)


def test_a_photo_in_which_nothing_was_guessed_is_left_out() -> None:
    told = {"coverage": [math.nan, 0.5, 0.7], "spread_to_error": [math.nan, 1.0, 1.0], "guessed_error": [math.nan, 0.1, 0.2]}
    (line,) = summarised(scores("latent", told))
    assert list(line.means) == ["coverage", "spread_to_error"]
    assert line.means["coverage"].mean == pytest.approx(0.6)
    assert line.means["spread_to_error"].mean == pytest.approx(1)
    exact = scores("latent", {"coverage": [1.0], "spread_to_error": [math.inf], "guessed_error": [0.0]})
    assert infinite(exact) == [], "no mean is: where nothing errs there is no ratio to pool"
    (none,) = summarised(scores("copy", {key: [math.nan] for key in told}))
    assert all(math.isnan(each.mean) for each in none.means.values())


def test_means_of_other_photos_are_told_of_and_rows_keep_their_places(tmp_path: Path) -> None:
    some = [*scores("copy", {"psnr": [20.0, math.inf]}, row=1), *scores("latent", {"psnr": [30.0]}, row=0, first=1)]
    assert [line.method for line in summarised(some)] == ["latent", "copy"]
    assert unpaired(some) == ["r latent: 1 of 2 photos; means are not of the same photos"]
    assert infinite(some) == ["r copy: psnr is infinite for 1 of 2 photos"]
    assert unpaired(some[1:]) == infinite(some[2:]) == []
    assert unpaired(some, [("r", "tv"), ("r", "copy")]) == ["r tv: 0 of 2 photos", *unpaired(some)], "it is not in the table"
    write_tables(tmp_path, some)
    text = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert text.index("| r | latent") < text.index("| r | copy") < text.index(unpaired(some)[0]) < text.index(infinite(some)[0])
    assert text.index(infinite(some)[0]) < text.index(CAPTION)
    with (tmp_path / "table.csv").open() as stream:
        assert [row["method"] for row in csv.DictReader(stream)] == ["latent", "copy"]
