"""Recipes and classical baselines on the same clean photos, degraded in the same way: who restores them best, and at what cost.

Everything is judged by what is written: the 8-bit PNG, clamped to [0, 1], of every method alike. The original and the measurement are
made again from the photo, exactly, by the recipe's operator, noise and seeds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor

from priorsolve.baselines import BASELINES, Baseline, Problem
from priorsolve.comparison.contest import Contest, Entry, Place, contests_of
from priorsolve.comparison.summary import CALIBRATION, Score, unpaired
from priorsolve.comparison.variants import Variant
from priorsolve.comparison.written import refuse_taken, remove, sheet_of
from priorsolve.files import WriteError, together
from priorsolve.metrics import METRICS
from priorsolve.photos.identity import identify
from priorsolve.photos.measurements import measurement_suffix, read_measurement
from priorsolve.photos.names import Photo
from priorsolve.photos.pictures import PhotoError, reason_of
from priorsolve.photos.writing import write_tagged
from priorsolve.recipe.components import RecipeError
from priorsolve.recipe.registry import did_you_mean
from priorsolve.run.claims import refuse_where_busy
from priorsolve.run.intake import take_in
from priorsolve.run.measuring import measured_where
from priorsolve.run.outfolder import refuse_unwritable
from priorsolve.run.records import Record, pending, record_path, write_record
from priorsolve.run.restoration import Options, Run
from priorsolve.run.workbench import ShouldStop
from priorsolve.sheet import Row, write_sheet
from priorsolve.solvers import Solves
from priorsolve.types import Shape

SHOWN = 8
"""Photos on a sheet."""
USUAL = ("psnr", "ssim", "lpips")
ORIGINAL, MEASUREMENT = "original", "measurement"
"""What is on a sheet beside the methods."""
Todo: TypeAlias = tuple[Contest, Baseline, Photo]
"""A photo that a baseline has still to do, and the problem that it poses there."""


class Benchmark:
    """A benchmark that is checked and ready. Do each entry's `run.records()`, then the `baseline_records()` of `baseline_work()`, then read
    `scores()`.

    All three can be stopped and begun again: what lies in `out` already is not done twice, but what failed is tried again.

    Args:
        variants: recipes under names of their own.
        photos: files and folders of clean photos.
        out: gets a folder for each recipe, as `priorsolve restore --degrade` writes it, with the baselines' results in `baselines/`.
        options: as for a run; `limit` is the number of photos, from the first on, whether done before or not.
        baselines: whether to compare with those that apply.
        metrics: names of `METRICS`; left out, `USUAL`.

    Raises:
        ValueError, RecipeError: a recipe, a metric, the photos or `out` cannot be used; nothing was done.
    """

    def __init__(
        self,
        variants: Sequence[Variant],
        photos: Sequence[Path],
        out: Path,
        options: Options,
        *,
        baselines: bool = True,
        metrics: Sequence[str] | None = None,
    ) -> None:
        if options.limit == 0:
            raise ValueError("limit is 0, which leaves no photo to compare the recipes on; use 1 or more, or leave it out")
        self.out, self._baselines = out, baselines
        self.metrics = USUAL if metrics is None else tuple(metrics)
        for name in self.metrics:
            if name not in METRICS:
                raise ValueError(f"no metric is called {name!r}; {did_you_mean(name, METRICS)}")
        for variant in variants:
            if variant.name in (ORIGINAL, MEASUREMENT, *BASELINES):
                whose = "a baseline" if variant.name in BASELINES else "a column of the sheet"
                raise ValueError(f"{variant.name} is the name of {whose}; name the recipe, such as my-{variant.name}=RECIPE")
        intake = take_in(photos, [out], [variant.recipe for variant in variants])
        refuse_taken(intake.photos, out, [variant.name for variant in variants])
        self.photos, self.remarks = intake.photos[: options.limit], intake.sentences()
        chosen = {photo.name for photo in self.photos}
        refuse_where_busy(out, None)
        self.entries = []
        for variant in variants:
            recipe = variant.recipe.model_copy(update={"output": variant.recipe.output.model_copy(update={"format": "png"})})
            every = replace(options, degrade=True, limit=None, retry_failed=True)
            run = Run(recipe, photos, out / variant.name, every, plain=True)
            run.todo = [photo for photo in run.todo if photo.name in chosen]
            self.entries.append(Entry(variant.name, recipe, run))

    @cached_property
    def contests(self) -> list[Contest]:
        """The problems posed; the first time the priors are loaded.

        Raises as `Run.prepare`, and ValueError for a metric or a baseline that lacks what it needs.
        """
        found = contests_of(self.entries, self.photos, with_baselines=self._baselines)
        for contest in found:  # now, not after hours, is the time to find something missing
            self._check_metrics(contest.operators.image_shape)
            contest.check_baselines()
        return found

    def expected(self) -> int:
        """How many scores there are when nothing failed. Raises as `contests`."""
        return len(self.photos) * len(self.methods)

    @property
    def methods(self) -> list[tuple[str, str]]:
        """(recipe, method) of each line that the table has when nothing failed, in its order. Raises as `contests`."""
        return [(place.recipe, place.method) for contest in self.contests for place in contest.places]

    def baseline_work(self) -> list[Todo]:
        """What the baselines have still to do."""
        work = []
        for contest in self.contests:
            for baseline in contest.baselines:
                todo, _ = pending(self.photos, contest.place_of(baseline).folder, contest.fingerprint, retry_failed=True)
                work += [(contest, baseline, photo) for photo in todo]
        return work

    def baseline_records(self, work: Sequence[Todo], stop: ShouldStop = lambda: False) -> Iterator[Record]:
        """Do that, one photo at a time, on the CPU, until `stop` says so. Raises ValueError where `out` can no longer be written."""
        for contest, baseline, photo in work:
            if stop():
                break
            yield self._baseline_record(contest, baseline, photo)

    def _baseline_record(self, contest: Contest, baseline: Baseline, photo: Photo) -> Record:
        """What came of it, written too unless the photo's name is too long for that. Raises ValueError where nothing can be written."""
        folder = contest.place_of(baseline).folder
        record = Record(photo.name, "failed", contest.fingerprint(photo), seed=contest.seed(photo))
        whose = ""  # a photo that cannot be read is no baseline's fault
        try:
            record = replace(record, file=identify(photo.path))
            _, problem = contest.pose(photo)
            whose, start = f"{baseline.name}: ", time.perf_counter()
            picture = baseline.restore(problem)
            seconds = time.perf_counter() - start
            image = f"images/{contest.first.run.names[photo.name]}"
            size = (int(picture.shape[1]), int(picture.shape[2]))
            done = replace(record, status="done", image=image, seconds=round(seconds, 6), output_size=size)
            with together(instead_of=record_path(folder, photo.name)) as write:
                write_tagged(folder / image, picture, write=write)
                write_record(folder, done, write)
            return done
        except (ValueError, ArithmeticError, RuntimeError, MemoryError, OSError) as error:  # the other photos go on
            refuse_unwritable(self.out, error)
            record = replace(record, reason=f"{whose}{reason_of(error)}")
        try:
            write_record(folder, record)
        except WriteError as refused:
            refuse_unwritable(self.out, refused)
        return record

    def results(self) -> int:
        """How many scores there are of what is done. Raises as `contests`."""
        return sum(place.record_of(photo) is not None for contest in self.contests for place in contest.places for photo in self.photos)

    def scores(self, stop: ShouldStop = lambda: False, say: Callable[[str], object] = lambda line: None) -> Iterator[Score]:
        """One for each photo and method that succeeded, until `stop` says so. A result that cannot be read is left out, and told of; so is
        a photo that is gone, or another one, since it was restored.

        At the end it is told which methods lack photos that others have.
        """
        methods = self.methods
        found: list[Score] = []
        told: set[str] = set()

        def leave_out(photo: Photo, why: str) -> None:
            if photo.name not in told:
                told.add(photo.name)
                say(f"left out: {photo.name}: {why}")

        for contest in self.contests:
            for photo in self.photos:
                if stop():
                    return
                for place, values in self._judgements(contest, photo, leave_out, say):
                    row = methods.index((place.recipe, place.method))
                    found.append(Score(place.recipe, place.method, photo.name, values, row, (contest.name, contest.first.method)))
                    yield found[-1]
        for line in unpaired(found, methods):
            say(line)

    def write_sheets(self) -> list[Path]:
        """`sheet-<recipe>.png` for each problem: the first photos' original, measurement and every method's picture, with its PSNR.

        Sheets of before that these recipes no longer have are removed.
        """
        written = []
        for contest in self.contests:
            done = [photo for photo in self.photos if any(place.record_of(photo) for place in contest.places)]
            if rows := [row for photo in done[:SHOWN] if (row := self._row(contest, photo)) is not None]:
                written.append(self.out / sheet_of(contest.name))
                write_sheet(written[-1], rows, more=len(done) - len(rows))
        remove(self.out, {sheet_of(entry.name) for entry in self.entries} - {path.name for path in written})
        return written

    def _check_metrics(self, image_shape: Shape) -> None:
        """Raise what a metric raises that lacks its weights, or cannot judge pictures of this shape."""
        flat = torch.full((1, *image_shape), 0.5)
        for name in self.metrics:
            METRICS[name](flat, flat)

    def _judgements(
        self, contest: Contest, photo: Photo, leave_out: Callable[[Photo, str], object], say: Callable[[str], object]
    ) -> Iterator[tuple[Place, Mapping[str, float]]]:
        """What is judged of one photo: each method's values."""
        records = [(place, record) for place in contest.places if (record := place.record_of(photo)) is not None]
        if len(records) < len(contest.places) and any(place.outlives(photo) for place in contest.places):
            leave_out(photo, "it is gone, or another one, since it was restored")
        if not records:
            return
        try:
            clean, problem = contest.pose(photo)
        except (PhotoError, RecipeError) as error:
            leave_out(photo, reason_of(error))
            return
        for place, record in records:
            try:
                picture = _picture(place, record, problem)
            except PhotoError as error:
                path = place.folder / str(record.image)
                say(f"missing: {path}: {error.reason}; delete it, and the same command makes it again")
            else:
                yield place, self._judged(place, record, picture[None], clean, problem)

    def _judged(self, place: Place, record: Record, image: Tensor, clean: Tensor, problem: Problem) -> Mapping[str, float]:
        values = {name: float(METRICS[name](image, clean[None])) for name in self.metrics}
        with torch.no_grad():
            where = measured_where(problem.operator, image)
            square = (problem.operator.A(image) - problem.y[None]).square() * where
        if any(entry.recipe.samples > 1 for entry in self.entries):
            values |= {name: record.metrics.get(name, math.nan) for name in CALIBRATION}
        values["misfit"] = float((square.sum() / where.expand_as(square).sum().clamp_min(1)).sqrt())
        values["seconds"] = record.seconds
        entry = place.entry  # a record has the first sample's steps; the others are taken to need as many
        values["passes"] = 0.0 if entry is None else float(passes_of(entry.run.prepare().solver, record.steps, entry.recipe.samples))
        return values

    def _row(self, contest: Contest, photo: Photo) -> Row | None:
        try:
            clean, problem = contest.pose(photo)
        except (PhotoError, RecipeError):  # told of with the scores
            return None
        pictures, words = {ORIGINAL: clean}, {}
        if measurement_suffix(tuple(problem.y.shape)) == ".png":
            pictures[MEASUREMENT] = problem.y
        for place in contest.places:
            if (record := place.record_of(photo)) is not None:
                try:
                    picture = pictures[place.label] = _picture(place, record, problem)
                except PhotoError:  # told of with the scores
                    continue
                words[place.label] = f"{float(METRICS['psnr'](picture[None], clean[None])):.1f} dB"
        return Row(photo.name, pictures, under=words)


def passes_of(solver: Solves, steps: int, samples: int) -> int:
    """Of all samples; those after the first begin elsewhere."""
    return solver.passes(steps) + (samples - 1) * solver.varied().passes(steps)


def _picture(place: Place, record: Record, problem: Problem) -> Tensor:
    """What the method wrote, (C, H, W) in [0, 1]. Raises PhotoError."""
    return read_measurement(place.folder / str(record.image), problem.image_shape)
