"""Methods compared photo by photo."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from priorsolve.comparison.differences import differences
from priorsolve.comparison.summary import Score, summarised
from priorsolve.comparison.tables import PAIRED, paired_cells, write_tables

FIRST = ("r", "latent")


def scores(method: str, psnr: list[float], row: int, recipe: str = "r", photos: str = "abcdefgh") -> list[Score]:
    values = [{"psnr": value, "misfit": 0.0, "seconds": 1.0, "passes": 9.0} for value in psnr]
    return [Score(recipe, method, photo, each, row, FIRST) for photo, each in zip(photos, values, strict=False)]


def test_a_difference_is_a_paired_t_test() -> None:
    """Two methods whose intervals overlap far, but of which one is better on every photo."""
    rng = np.random.default_rng(0)
    hard = rng.normal(25, 4, 8)
    own = hard + rng.normal(-0.5, 0.2, 8)
    some = [*scores("latent", hard.tolist(), 0), *scores("tv", own.tolist(), 1)]
    first, second = (line.means["psnr"] for line in summarised(some))
    assert first.half is not None
    assert abs(first.mean - second.mean) < first.half
    (found,) = differences(some)
    assert (found.recipe, found.method, found.minus, found.n, list(found.means)) == ("r", "tv", "r", 8, ["psnr", "misfit"])
    low, high = stats.ttest_rel(own, hard).confidence_interval(0.95)
    mean, half = found.means["psnr"].mean, found.means["psnr"].half
    assert half is not None
    assert (mean - half, mean + half) == pytest.approx((low, high))
    assert high < 0


def test_only_photos_that_both_have_are_compared_whatever_their_order() -> None:
    some = [*scores("latent", [20.0, 30.0], 0), *scores("tv", [33.0, 24.0, 1.0], 1, photos="bax"), *scores("copy", [5.0], 2, photos="x")]
    (found,) = differences(some)
    assert (found.method, found.n) == ("tv", 2)
    assert found.means["psnr"].mean == pytest.approx(3.5)


def test_nothing_is_compared_without_the_recipe_that_all_are_compared_with() -> None:
    assert differences([*scores("tv", [20.0], 1), *scores("copy", [21.0], 2)]) == []
    assert differences([Score("r", "latent", "a", {"psnr": 20.0}), Score("r", "tv", "a", {"psnr": 21.0}, 1)]) == []


def test_a_difference_of_infinite_values_is_not_told() -> None:
    (found,) = differences([*scores("latent", [math.inf, 30.0], 0), *scores("tv", [math.inf, 20.0], 1)])
    assert paired_cells([found]) == (["recipe", "method", "minus", "n", "psnr", "misfit"], [["r", "tv", "r", "2", "–", "+0.0000 ± 0.0000"]])
    (one,) = differences([*scores("latent", [30.0], 0), *scores("tv", [20.0], 1)])
    assert paired_cells([one])[1] == [["r", "tv", "r", "1", "-10.00", "+0.0000"]], "one photo has no interval"


def test_they_are_written_below_the_table_and_go_when_there_are_none(tmp_path: Path) -> None:
    some = [*scores("tv", [21.0, 24.0], 1, recipe="other"), *scores("latent", [20.0, 22.0], 0)]
    write_tables(tmp_path, some)
    with (tmp_path / "differences.csv").open() as stream:
        (row,) = csv.DictReader(stream)
    assert (row["recipe"], row["method"], row["minus"], row["n"]) == ("other", "tv", "r", "2")
    assert float(row["psnr"]) == pytest.approx(1.5)
    assert float(row["psnr_ci95"]) == pytest.approx(12.7062 * 0.5, rel=1e-4)
    text = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert text.index("| other | tv | 2 | 22.50") < text.index("| other | tv | r | 2 | +1.50 ± 6.35") < text.index(PAIRED)
    write_tables(tmp_path, some[2:])
    assert not (tmp_path / "differences.csv").exists()
    assert PAIRED not in (tmp_path / "table.md").read_text(encoding="utf-8")
