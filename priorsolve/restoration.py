"""Restore photos by a recipe: in batches, one record each, resumable; one bad photo never stops the rest."""

from __future__ import annotations

import contextlib
import errno
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from priorsolve.build import DTYPES, Operators, build_noise, build_operators, build_prior, build_solver, device_called
from priorsolve.bulk import Bulk
from priorsolve.components import RecipeError
from priorsolve.consistency import put_back, surrogate_notes
from priorsolve.diagnosis import diagnose, known_noise
from priorsolve.images import Framing, PhotoError, measurement_suffix, write_image, write_measurement
from priorsolve.measuring import covered, measure, measured_where, observe, photo_seed, photograph, stem
from priorsolve.metrics import METRICS
from priorsolve.operators.base import LinearOperator, Operator
from priorsolve.outfolder import (
    FOLDERS,
    Places,
    check_writable,
    places_of,
    refuse_overwriting,
    unwritable,
    without_results,
    working_in,
    write_recipe,
)
from priorsolve.photos import Photo, find_photos, output_names
from priorsolve.recipe import Recipe, is_per_photo
from priorsolve.records import Record, pending, read_record, record_path, write_record
from priorsolve.sampling import Samples, solve_several
from priorsolve.solvers import OnStep, Solution, Solver, Staged


@dataclass(frozen=True)
class Options:
    """How a run is done; none of it changes a photo's answer but `degrade` and `dtype`.

    Args:
        degrade: the photos are clean: degrade them first, and measure the result against them. Otherwise they are the measurements.
        device: auto, cpu, cuda, cuda:1 …
        dtype: float32, float64, or bfloat16, in which the network computes while codes are searched (all else is float32): quicker
            where the processor has it, and nearly the same answer.
        batch_size: photos solved side by side; halved by itself where memory is short.
        limit: at most this many photos of those to do.
        shard: (i, n): every n-th photo from the i-th on, counted from 0, for n machines on one folder.
        retry_failed: try photos again that failed.
        overwrite: do all photos again.
    """

    degrade: bool = False
    device: str = "auto"
    dtype: str = "float32"
    batch_size: int = 16
    limit: int | None = None
    shard: tuple[int, int] | None = None
    retry_failed: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype {self.dtype!r} is unknown; use {', '.join(DTYPES)}")
        if self.batch_size < 1:
            raise ValueError(f"batch size is {self.batch_size}; it must be at least 1")
        if self.limit is not None and self.limit < 0:
            raise ValueError(f"limit is {self.limit}; it must be at least 0")
        if self.shard is not None and not 0 <= self.shard[0] < self.shard[1]:
            i, n = self.shard
            raise ValueError(f"shard {i}/{n}: shards are counted from 0, so use 0/n to (n - 1)/n")


def restore(
    recipe: Recipe,
    photos: str | Path | Sequence[str | Path],
    out: str | Path,
    options: Options | None = None,
    *,
    on_step: OnStep | None = None,
    on_download: Callable[[int, int], None] | None = None,
) -> Iterator[Record]:
    """Restore files or folders into `out`, yielding each photo's record as it is done. Photos done before are skipped.

    Writes `images/`, `measurements/`, `records/` and `recipe.yaml`; `priorsolve.report.write_report(out)` makes the contact sheet of them.

    Raises:
        RecipeError, ValueError: the recipe, the photos, the options or the output folder cannot be used; nothing was done.
        CheckpointError, FetchError: the prior cannot be had.
    """
    inputs = [photos] if isinstance(photos, str | Path) else photos
    return Run(recipe, [Path(path) for path in inputs], Path(out), options or Options()).records(on_step, on_download)


@dataclass(frozen=True)
class Tools:
    """What the recipe names, built; `solving` are the operators that the solver uses."""

    solver: Solver | Staged
    operators: Operators
    solving: Operators
    bulk: Bulk


@dataclass(frozen=True)
class _Found:
    """What was found for a batch: `images` are those that are written, `notes` one for each."""

    solution: Solution
    images: Tensor
    samples: Samples | None
    notes: Sequence[str]


@dataclass(frozen=True)
class _Job:
    """One photo, read: its measurement, the parts of its operator and of the solver's, and the clean image where it was degraded."""

    photo: Photo
    seed: int
    fingerprint: str
    y: Tensor
    parts: list[Operator]
    solving: list[Operator]
    clean: Tensor | None
    framing: Framing | None


class Run:
    """A restoration that is checked and ready: `todo` says what is left, `before` how many photos were done, or failed, earlier.

    Raises as `restore` does, before anything is solved; the folder is written to only once prior, operators and solver are built.
    """

    def __init__(self, recipe: Recipe, photos: Sequence[Path], out: Path, options: Options) -> None:
        self.recipe, self.out, self.options = recipe, out, options
        self.device, self.dtype = device_called(options.device), DTYPES[options.dtype]
        self.noise = build_noise(recipe)
        check_writable(out)
        found = without_results(find_photos(photos), photos, [*(out / folder for folder in FOLDERS), out / "sheet.png"])
        self.names = output_names(found, recipe.output.format)
        refuse_overwriting(found, out, (place for photo in found for place in self._places(photo)))
        if options.shard is not None:
            found = found[options.shard[0] :: options.shard[1]]
        self._shared_fingerprint = None if any(map(is_per_photo, recipe.operator)) else self._mark(recipe.fingerprint())
        todo = pending(found, out, self._fingerprint, retry_failed=options.retry_failed, overwrite=options.overwrite)
        self.todo = list(islice(todo, options.limit))
        kept = (read_record(record_path(out, name)) for name in {photo.name for photo in found} - {photo.name for photo in self.todo})
        self.before = Counter(record.status for record in kept if record is not None)
        self._fits = options.batch_size
        self._tools: Tools | None = None

    def prepare(self, on_download: Callable[[int, int], None] | None = None) -> Tools:
        """Load the prior, fetching it if need be, and build what the recipe names, so that its errors come before any work."""
        if self._tools is None:
            if self.options.degrade:
                for metric in self.recipe.metrics:
                    METRICS[metric].fetch()
            prior = build_prior(self.recipe, self.device, self.dtype, on_download)
            prior = prior.computing(torch.bfloat16 if self.options.dtype == "bfloat16" else None)
            operators, solving = build_operators(self.recipe, tuple(prior.image_shape), self.device, self.dtype)
            self._tools = Tools(build_solver(self.recipe, prior), operators, solving, Bulk(prior))
            write_recipe(self.out, self.recipe.dump())
        return self._tools

    def records(self, on_step: OnStep | None = None, on_download: Callable[[int, int], None] | None = None) -> Iterator[Record]:
        """Do what is left, batch by batch."""
        if not self.todo:
            return
        tools = self.prepare(on_download)
        size = self.options.batch_size
        with working_in(self.out):
            for first in range(0, len(self.todo), size):
                yield from self._batch(self.todo[first : first + size], tools, on_step)

    def _batch(self, photos: Sequence[Photo], tools: Tools, on_step: OnStep | None) -> Iterator[Record]:
        jobs = []
        for photo in photos:
            try:
                jobs.append(self._read(photo, tools))
            except Exception as error:  # noqa: BLE001 (whatever it is, it must not stop the other photos)
                yield self._fail(photo, error)
        yield from self._solve(jobs, tools, on_step)

    def _solve(self, jobs: Sequence[_Job], tools: Tools, on_step: OnStep | None) -> Iterator[Record]:
        """Solve together; where that fails, each by itself, so that the culprit is found and named."""
        if not jobs:
            return
        start = time.perf_counter()
        try:
            y = torch.stack([job.y for job in jobs]).to(self.device, self.dtype)
            found = self._found(jobs, y, tools, on_step)
        except Exception as error:  # noqa: BLE001 (as above)
            if len(jobs) == 1:
                yield self._fail(jobs[0].photo, error)
            else:
                for job in jobs:
                    yield from self._solve([job], tools, on_step)
            return
        seconds = (time.perf_counter() - start) / len(jobs)
        for index, job in enumerate(jobs):
            try:
                record = self._keep(job, found, index, seconds, tools.bulk)
            except Exception as error:  # noqa: BLE001 (as above)
                record = self._fail(job.photo, error)
            yield record

    def _read(self, photo: Photo, tools: Tools) -> _Job:
        seed, operators = photo_seed(self.recipe.seed, photo.name), tools.operators
        parts = operators.of(stem(photo.name), seed)
        solving = parts if tools.solving is operators else tools.solving.of(stem(photo.name), seed)
        fingerprint = self._fingerprint(photo)
        if not self.options.degrade:
            observed, framing = observe(photo.path, operators.out_shape)
            operator = operators.join([parts])
            y = covered(observed.to(self.device, self.dtype)[None], operator, is_picture=framing is not None)
            y = y * measured_where(operator, y.new_empty(1, *operators.image_shape))
            return _Job(photo, seed, fingerprint, y[0], parts, solving, None, framing)
        clean, framing = photograph(photo.path, operators.image_shape)
        clean = clean.to(self.device, self.dtype)
        y = measure(clean[None], operators.join([parts]), self.noise, [seed])[0]
        return _Job(photo, seed, fingerprint, y, parts, solving, clean, framing)

    def _found(self, jobs: Sequence[_Job], y: Tensor, tools: Tools, on_step: OnStep | None) -> _Found:
        """Solve, put back what was measured, and say how far the surrogate was off."""
        operator = tools.solving.join([job.solving for job in jobs])
        where = measured_where(operator, y.new_empty(len(y), *tools.operators.image_shape))

        def finish(solution: Solution) -> Tensor:
            if self.recipe.output.consistency and isinstance(operator, LinearOperator):
                return put_back(solution.images, y, operator)
            return solution.images

        solution, samples, self._fits = solve_several(
            tools.solver,
            y,
            operator,
            self.recipe.samples,
            noise=self.noise,
            where=where,
            seeds=[job.seed for job in jobs],
            finish=finish,
            on_step=on_step,
            batch=self._fits,
        )
        images, notes = finish(solution), [""] * len(jobs)
        if tools.solving is not tools.operators:
            notes = surrogate_notes(images, tools.operators.join([job.parts for job in jobs]), operator)
        return _Found(solution, images, samples, notes)

    def _keep(self, job: _Job, found: _Found, index: int, seconds: float, bulk: Bulk) -> Record:
        """Write everything, the record last: it is the promise that the rest is there. An older promise goes first."""
        image, solution = found.images[index], found.solution
        if not image.isfinite().all():
            raise RecipeError(f"no finite picture was found: {solution.stopped[index].value}")
        record_path(self.out, job.photo.name).unlink(missing_ok=True)
        places = self._places(job.photo)
        measured = places.picture if measurement_suffix(tuple(job.y.shape)) == ".png" else places.array
        write_image(self.out / places.restored, image)
        write_measurement(self.out / measured, job.y)
        metrics = {}
        if job.clean is not None:
            write_image(self.out / places.clean, job.clean)
            metrics = {key: _digits(METRICS[key](image[None], job.clean[None])) for key in self.recipe.metrics}
        if found.samples is not None:
            write_image(self.out / places.spread, (4 * found.samples.spread[index])[None])
            if job.clean is not None:
                metrics["coverage"] = _digits(found.samples.coverage(job.clean.expand_as(found.images))[index])
        framed = job.framing.sentences() if job.framing else ()
        record = Record(
            name=job.photo.name,
            status="done",
            fingerprint=job.fingerprint,
            seed=job.seed,
            misfit=_digits(solution.misfit[index]),
            steps=int(solution.steps[index]),
            stopped=solution.stopped[index].value,
            metrics=metrics,
            notes=(*framed, *filter(None, [found.notes[index]])),
            diagnosis=diagnose(solution, index, bulk, noise=known_noise(self.recipe)),
            input_size=job.framing.original if job.framing else None,
            output_size=(int(image.shape[-2]), int(image.shape[-1])),
            seconds=round(seconds, 3),
            versions=_versions(),
            image=places.restored,
            spread=places.spread if found.samples is not None else None,
            measurement=measured,
            original=places.clean if job.clean is not None else None,
        )
        write_record(self.out, record)
        return record

    def _fail(self, photo: Photo, error: Exception) -> Record:
        """The record of a failure, without what an earlier recipe made of the photo. A full disk ends the run: nothing can be kept."""
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise unwritable(self.out, error.strerror) from error
        record = Record(name=photo.name, status="failed", fingerprint=self._fingerprint(photo), reason=_reason(error), versions=_versions())
        with contextlib.suppress(OSError):  # such as for a name that is too long for a record's file: it is told, and tried again
            for place in self._places(photo):
                (self.out / place).unlink(missing_ok=True)
            write_record(self.out, record)
        return record

    def _places(self, photo: Photo) -> Places:
        return places_of(self.names[photo.name])

    def _fingerprint(self, photo: Photo) -> str:
        if self._shared_fingerprint is not None:
            return self._shared_fingerprint
        seed = photo_seed(self.recipe.seed, photo.name)
        return self._mark(self.recipe.fingerprint(stem(photo.name), seed))

    def _mark(self, fingerprint: str) -> str:
        """The fingerprint with those options that change the answer."""
        of_type = "" if self.options.dtype == "float32" else f"-{self.options.dtype}"
        return fingerprint + ("-degraded" if self.options.degrade else "") + of_type


def _reason(error: Exception) -> str:
    """One line. An error that nobody foresaw keeps its type, so that it can be reported."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.strerror}: {error.filename}"
    text = " ".join(str(error.reason if isinstance(error, PhotoError) else error).split())
    return text if isinstance(error, PhotoError | RecipeError | MemoryError) and text else f"{type(error).__name__}: {text}"


def _digits(value: Tensor) -> float:
    """Four digits: more would hang on which photos were solved side by side."""
    return float(f"{float(value):.4g}")


def _versions() -> dict[str, str]:
    try:
        own = version("priorsolve")
    except PackageNotFoundError:
        own = "checkout"
    return {"priorsolve": own, "torch": torch.__version__, "python": platform.python_version()}
