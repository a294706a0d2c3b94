"""What a benchmark's recipes are given, and what is judged: the same problem for all that pose it, told before any work."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import imagecodecs
import numpy as np
import pytest
import run_support as run
import torch
from photo_support import WIDE
from PIL import Image
from torch import Tensor

from priorsolve.baselines import Baseline, Problem
from priorsolve.comparison import benchmark, contest
from priorsolve.comparison.benchmark import Benchmark
from priorsolve.comparison.contest import Entry, Place, contests_of
from priorsolve.comparison.summary import Line, Mean, Score
from priorsolve.comparison.tables import cells, write_tables
from priorsolve.comparison.variants import Variant
from priorsolve.metrics import METRICS
from priorsolve.operators.mask import Mask
from priorsolve.photos.images import read_image
from priorsolve.photos.names import Photo
from priorsolve.recipe.components import RecipeError
from priorsolve.recipe.recipe import Recipe
from priorsolve.run.keeping import _judged
from priorsolve.run.records import Record, write_record
from priorsolve.run.restoration import Options


def bench(tmp_path: Path, recipe: Recipe, photos: Path | None = None) -> Benchmark:
    photos = run.photos(tmp_path / "in", 1) if photos is None else photos
    return Benchmark([Variant("mine", recipe)], [photos], tmp_path / "out", Options(), metrics=["psnr"])


@pytest.mark.usefixtures("digiface64")
@pytest.mark.parametrize(("noise", "rms"), [([], 0.0), ([{"gaussian": {"sigma": 0.05}}], 0.05), ([{"photons": {"peak": 50}}], None)])
def test_baselines_are_told_the_noise(tmp_path: Path, noise: list[Any], rms: float | None) -> None:
    made = bench(tmp_path, run.quick(noise=noise))
    (contest,) = made.contests
    _, problem = contest.pose(made.photos[0])
    assert problem.noise == (None if rms is None else pytest.approx(rms))
    assert contest.fingerprint(made.photos[0]).endswith("-64x64"), "of pictures of another size the answers are others"


@pytest.mark.usefixtures("digiface64")
def test_baselines_apply_where_the_first_photo_lacks_its_mask(tmp_path: Path) -> None:
    photos = run.photos(tmp_path / "in", 2)
    run.picture(0).point(lambda level: 255 * (level > 128)).convert("L").save(tmp_path / "01.png")
    made = bench(tmp_path, run.quick(operator={"mask": {"file": str(tmp_path / "{stem}.png")}}), photos)
    (contest,) = made.contests
    assert [baseline.name for baseline in contest.baselines] == ["copy", "biharmonic", "tv", "pinv"]


def entry(name: str, recipe: Recipe, side: int, channels: int = 3) -> Entry:
    run: Any = SimpleNamespace(prepare=lambda: SimpleNamespace(operators=SimpleNamespace(image_shape=(channels, side, side))))
    return Entry(name, recipe, run)


def test_baselines_of_grey_pictures_are_not_those_of_pictures_in_colours() -> None:
    """Else they count as done when the recipe's prior is exchanged for one in colours, of the same size."""
    photo = Photo(Path("in"), "a.png")
    grey, coloured = (contests_of([entry("a", run.quick(), 64, channels)], [photo], with_baselines=False)[0] for channels in (1, 3))
    assert grey.fingerprint(photo) == f"{coloured.fingerprint(photo)}x1"
    assert coloured.fingerprint(photo).endswith("-64x64")


def test_baselines_are_done_again_where_a_photo_s_mask_was_corrected(tmp_path: Path) -> None:
    photos = [Photo(Path("in"), "a.png"), Photo(Path("in"), "b.png")]
    for photo in photos:
        Image.new("L", (64, 64)).save(tmp_path / photo.name)
    recipe = run.quick(operator={"mask": {"file": str(tmp_path / "{stem}.png")}})

    def fingerprints() -> list[str]:
        (found,) = contests_of([entry("a", recipe, 64)], photos, with_baselines=False)
        return [found.fingerprint(photo) for photo in photos]

    before = fingerprints()
    Image.new("L", (64, 64), 255).save(tmp_path / "b.png")
    assert [old == new for old, new in zip(before, fingerprints(), strict=True)] == [True, False]


def test_a_record_that_is_older_than_what_is_kept_of_files_counts(tmp_path: Path) -> None:
    photo, place = Photo(tmp_path / "gone.png", "a.png"), Place("r", "copy", tmp_path)
    write_record(tmp_path, Record("a.png", "done", "f", image="images/a.png"))
    assert place.record_of(photo) is not None
    assert not place.outlives(photo)


def test_recipes_share_a_contest_where_problem_and_size_are_the_same() -> None:
    other = run.quick(seed=7)
    entries = [entry("a", run.quick(), 64), entry("b", run.quick(samples=2), 64), entry("c", run.quick(), 128), entry("d", other, 64)]
    found = contests_of(entries, [], with_baselines=False)
    assert [[each.name for each in contest.entries] for contest in found] == [["a", "b"], ["c"], ["d"]]
    with pytest.raises(RecipeError, match=r"^e: frame: a benchmark compares pictures of the prior's size; use center$"):
        contests_of([entry("e", run.quick(frame="tiles"), 64)], [], with_baselines=False)


@pytest.mark.usefixtures("digiface64")
def test_a_metric_that_cannot_judge_is_told_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(images: Tensor, reference: Tensor) -> Tensor:
        raise ValueError("no weights")

    monkeypatch.setitem(METRICS, "psnr", replace(METRICS["psnr"], function=lacking))
    with pytest.raises(ValueError, match="no weights"):
        bench(tmp_path, run.quick()).expected()


@pytest.mark.usefixtures("digiface64")
def test_results_lose_nothing_in_a_jpeg_and_a_baseline_s_failure_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    run.picture(0).save(tmp_path / "in" / "a.jpg")

    def everything(operator: object) -> bool:
        return True

    def fails(problem: object) -> Tensor:
        raise ValueError("no way")

    monkeypatch.setattr(contest, "BASELINES", {"copy": Baseline("copy", everything, fails)})
    made = bench(tmp_path, run.quick(samples=3), tmp_path / "in")
    (record,) = made.entries[0].run.records()
    assert str(record.image).endswith(".png")
    (failed,) = made.baseline_records(made.baseline_work())
    assert (failed.status, failed.reason) == ("failed", "copy: no way")
    (score,) = made.scores()
    assert score.values["passes"] == 3 * made.entries[0].run.prepare().solver.passes(record.steps)


@pytest.mark.usefixtures("digiface64")
@pytest.mark.parametrize("error", [ValueError, ArithmeticError, RuntimeError, MemoryError])
def test_what_a_baseline_failed_of_is_tried_again_and_costs_no_other_photo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    errors: list[Exception] = [error("no way")]

    def grey(problem: Problem) -> Tensor:
        while errors:
            raise errors.pop()
        return torch.full(problem.image_shape, 0.5)

    monkeypatch.setattr(contest, "BASELINES", {"copy": Baseline("copy", bool, grey)})
    made = bench(tmp_path, run.quick(), run.photos(tmp_path / "in", 2))
    assert [record.status for record in made.baseline_records(made.baseline_work())] == ["failed", "done"]
    assert [(record.name, record.status) for record in made.baseline_records(made.baseline_work())] == [("00.png", "done")]


@pytest.mark.usefixtures("digiface64")
def test_baselines_are_given_the_very_noise_of_the_recipe(tmp_path: Path) -> None:
    made = bench(tmp_path, run.quick(noise={"gaussian": {"sigma": 0.1}}, seed=7))
    (record,) = made.entries[0].run.records()
    written = read_image(tmp_path / "out" / "mine" / str(record.measurement), (64, 64))
    torch.testing.assert_close(made.contests[0].pose(made.photos[0])[1].y.clamp(0, 1), written, rtol=0, atol=0.5001 / 255)


@pytest.mark.usefixtures("digiface64")
@pytest.mark.parametrize(("operator", "seen"), [("gray", ["measurement"]), ({"fast_sensing": {"ratio": 0.1}}, [])])
def test_a_sheet_shows_what_can_be_seen_and_how_near_each_picture_is(tmp_path: Path, operator: Any, seen: list[str]) -> None:
    made = Benchmark(
        [Variant("mine", run.quick(operator=operator, output={}))],
        [run.photos(tmp_path / "in", 1)],
        tmp_path / "out",
        Options(),
        baselines=False,
    )
    assert made.metrics == ("psnr", "ssim", "lpips"), "which the command's help names"
    made.metrics = ("psnr",)
    assert [record.status for record in made.entries[0].run.records()] == ["done"]
    (score,) = made.scores()
    row = made._row(made.contests[0], made.photos[0])
    assert row is not None
    assert list(row.pictures) == ["original", *seen, "mine"]
    assert row.under == {"mine": f"{score.values['psnr']:.1f} dB"}
    assert made.write_sheets() == [tmp_path / "out" / "sheet-mine.png"]


@pytest.mark.usefixtures("digiface64")
def test_a_baseline_s_time_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1.0]

    def grey(problem: Problem) -> Tensor:
        clock[0] += 5
        return torch.full(problem.image_shape, 0.5)

    monkeypatch.setattr(contest, "BASELINES", {"copy": Baseline("copy", bool, grey)})
    monkeypatch.setattr(benchmark, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    made = bench(tmp_path, run.quick(), run.photos(tmp_path / "in", 2))
    assert [record.seconds for record in made.baseline_records(made.baseline_work())] == [5, 5]


def test_a_misfit_is_of_what_was_measured() -> None:
    """A mask hides half: a mean over all pixels would be too small by √0.5."""
    known = torch.tensor([1.0, 0.0]).repeat(4, 2)
    problem = Problem(torch.zeros(3, 4, 4), Mask(known), (3, 4, 4), None)
    made: Any = SimpleNamespace(metrics=(), entries=[])
    place, record = Place("r", "copy", Path()), Record("a", "done", "f")
    values = Benchmark._judged(made, place, record, torch.ones(1, 3, 4, 4), torch.ones(3, 4, 4), problem)
    assert values["misfit"] == pytest.approx(1)


def test_a_misfit_is_told_to_four_digits_and_passes_are_whole() -> None:
    means = {"misfit": Mean(0.01234, 0.00111), "psnr": Mean(20.126, None), "ssim": Mean(0.12345, None), "passes": Mean(120.0, 0.0)}
    _, (row,) = cells([Line("r", "latent", 2, means)])
    assert row == ["r", "latent", "2", "0.0123 ± 0.0011", "20.13", "0.123", "120 ± 0"]


def test_a_photo_s_name_need_not_be_unicode(tmp_path: Path) -> None:
    write_tables(tmp_path, [Score("r", "latent", "a\udcff.png", {"psnr": 20.0})])
    assert (tmp_path / "per_photo.parquet").is_file()


def test_a_frame_in_which_nothing_was_guessed_does_not_count() -> None:
    def judged(*coverages: float) -> dict[str, float]:
        answers: list[Any] = [SimpleNamespace(calibration={"coverage": each}, image=torch.zeros(3, 4, 4)) for each in coverages]
        jobs: list[Any] = [SimpleNamespace(clean=torch.zeros(3, 4, 4)) for _ in coverages]
        return _judged(jobs, answers, [])

    assert judged(math.nan, 0.5, 0.75) == {"coverage": 0.625}
    assert judged(math.nan) == {}


@pytest.mark.usefixtures("digiface64")
def test_the_noise_that_baselines_are_told_is_of_what_was_measured(tmp_path: Path) -> None:
    made = Benchmark(
        [Variant("mine", run.quick(operator={"mask": {"boxes": [[0, 0, 1.0, 0.75]]}}, noise={"poisson": {"peak": 50}}))],
        [run.photos(tmp_path / "in", 1)],
        tmp_path / "out",
        Options(),
        metrics=["psnr"],
    )
    (contest,) = made.contests
    clean, problem = contest.pose(made.photos[0])
    assert problem.noise == pytest.approx(float(clean[:, 48:].mean() / 50) ** 0.5, rel=0.02)


@pytest.mark.usefixtures("digiface64")
def test_photos_of_more_than_8_bits_or_other_colours_are_judged_alike_for_all_methods(tmp_path: Path) -> None:
    """Where nothing is damaged every method is exact; a file in the photo's own bits and profile would not be what others write."""
    folder, values = tmp_path / "in", np.asarray(run.picture(0))
    folder.mkdir()
    Image.fromarray(values).save(folder / "profile.png", icc_profile=WIDE)
    (folder / "deep.png").write_bytes(imagecodecs.png_encode(values.astype("u2") * 257 + np.arange(64, dtype="u2")[:, None, None]))
    Image.fromarray(values[..., 0].astype("u2") * 257 - 100).save(folder / "deep grey.png")
    Image.fromarray(values[..., 0]).save(folder / "grey.png", exif=Image.Exif())
    made = bench(tmp_path, run.quick(operator="identity"), folder)
    assert {record.status for record in made.entries[0].run.records()} == {"done"}
    assert {record.status for record in made.baseline_records(made.baseline_work())} == {"done"}
    values_of = {(score.method, score.photo): (score.values["psnr"], score.values["misfit"]) for score in made.scores()}
    assert values_of == {(method, photo.name): (math.inf, 0) for method in ("latent", "copy", "pinv") for photo in made.photos}
    with Image.open(tmp_path / "out" / "mine" / "images" / "grey.png") as image:
        assert image.mode == "L", "grey stays grey"
