"""Restore photos by a recipe: in batches, one record each, resumable; one bad photo never stops the rest."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor

from priorsolve.build import DTYPES, Operators, build_noise, build_prior, build_solver, device_called
from priorsolve.components import RecipeError
from priorsolve.consistency import put_back
from priorsolve.files import write_atomically
from priorsolve.images import PhotoError, measurement_suffix, write_image, write_measurement
from priorsolve.measuring import measure, measured_where, observe, photo_seed, photograph
from priorsolve.metrics import METRICS
from priorsolve.operators.base import LinearOperator, Operator
from priorsolve.photos import Photo, find_photos, output_names
from priorsolve.recipe import Recipe, is_per_photo
from priorsolve.records import Record, pending, write_record
from priorsolve.solvers import OnStep, Solution, Solver, Staged
from priorsolve.solvers.fit import solve_fitting


@dataclass(frozen=True)
class Options:
    """How a run is done; none of it changes a photo's answer but `degrade` and `dtype`.

    Args:
        degrade: the photos are clean: degrade them first, and measure the result against them. Otherwise they are the measurements.
        device: auto, cpu, cuda, cuda:1 …
        dtype: float32 or float64.
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
            raise ValueError(f"dtype {self.dtype!r} is unknown; use {' or '.join(DTYPES)}")
        if self.batch_size < 1:
            raise ValueError(f"batch size is {self.batch_size}; it must be at least 1")
        if self.limit is not None and self.limit < 0:
            raise ValueError(f"limit is {self.limit}; it must be at least 0")
        if self.shard is not None and not 0 <= self.shard[0] < self.shard[1]:
            i, n = self.shard
            raise ValueError(f"shard {i}/{n}: shards are counted from 0, so use 0/n to (n - 1)/n")


def restore(
    recipe: Recipe,
    photos: Path | Sequence[Path],
    out: Path,
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
    return Run(recipe, [photos] if isinstance(photos, Path) else photos, out, options or Options()).records(on_step, on_download)


@dataclass(frozen=True)
class _Job:
    """One photo, read: its measurement, its operator's parts, and the clean image where it was degraded."""

    photo: Photo
    seed: int
    fingerprint: str
    y: Tensor
    parts: list[Operator]
    clean: Tensor | None
    notes: tuple[str, ...]


class Run:
    """A restoration that is checked and ready: `todo` says what is left. Raises as `restore` does, before anything is solved."""

    def __init__(self, recipe: Recipe, photos: Sequence[Path], out: Path, options: Options) -> None:
        self.recipe, self.out, self.options = recipe, out, options
        self.device, self.dtype = device_called(options.device), DTYPES[options.dtype]
        self.noise = build_noise(recipe)
        found = find_photos(photos)
        self.names = output_names(found, recipe.output.format)
        if options.shard is not None:
            found = found[options.shard[0] :: options.shard[1]]
        self.found = len(found)
        self._shared_fingerprint = None if any(map(is_per_photo, recipe.operator)) else self._mark(recipe.fingerprint())
        todo = pending(found, out, self._fingerprint, retry_failed=options.retry_failed, overwrite=options.overwrite)
        self.todo = list(islice(todo, options.limit))
        self._tools: tuple[Solver | Staged, Operators] | None = None
        _prepare_folder(out, recipe)

    def prepare(self, on_download: Callable[[int, int], None] | None = None) -> tuple[Solver | Staged, Operators]:
        """Load the prior, fetching it if need be, and build what the recipe names, so that its errors come before any work."""
        if self._tools is None:
            prior = build_prior(self.recipe, self.device, self.dtype, on_download)
            operators = Operators(self.recipe, tuple(prior.image_shape), self.device, self.dtype)
            self._tools = build_solver(self.recipe, prior), operators
        return self._tools

    def records(self, on_step: OnStep | None = None, on_download: Callable[[int, int], None] | None = None) -> Iterator[Record]:
        """Do what is left, batch by batch."""
        if self.todo:
            solver, operators = self._tools or self.prepare(on_download)
            size = self.options.batch_size
            for first in range(0, len(self.todo), size):
                yield from self._batch(self.todo[first : first + size], solver, operators, on_step)

    def _batch(self, photos: Sequence[Photo], solver: Solver | Staged, operators: Operators, on_step: OnStep | None) -> Iterator[Record]:
        jobs = []
        for photo in photos:
            try:
                jobs.append(self._read(photo, operators))
            except (PhotoError, RecipeError, OSError) as error:
                yield self._fail(photo, error)
        yield from self._solve(jobs, solver, operators, on_step)

    def _solve(self, jobs: Sequence[_Job], solver: Solver | Staged, operators: Operators, on_step: OnStep | None) -> Iterator[Record]:
        """Solve together; where that fails, each by itself, so that the culprit is found and named."""
        if not jobs:
            return
        start = time.perf_counter()
        try:
            operator = operators.join([job.parts for job in jobs])
            y = torch.stack([job.y for job in jobs]).to(self.device, self.dtype)
            solution, _ = solve_fitting(solver, y, operator, seeds=[job.seed for job in jobs], on_step=on_step)
            images = self._finish(solution, y, operator)
        except Exception as error:  # noqa: BLE001 (whatever it is, it must not stop the other photos)
            if len(jobs) == 1:
                yield self._fail(jobs[0].photo, error)
            else:
                for job in jobs:
                    yield from self._solve([job], solver, operators, on_step)
            return
        seconds = (time.perf_counter() - start) / len(jobs)
        for index, job in enumerate(jobs):
            if not images[index].isfinite().all():
                yield self._fail(job.photo, ValueError(f"no finite picture was found: {solution.stopped[index].value}"))
            else:
                yield self._keep(job, images[index], solution, index, seconds)

    def _read(self, photo: Photo, operators: Operators) -> _Job:
        seed = photo_seed(self.recipe.seed, photo.name)
        parts = operators.of(PurePosixPath(photo.name).stem, seed)
        fingerprint = self._fingerprint(photo)
        if not self.options.degrade:
            y, notes = observe(photo.path, operators.out_shape)
            operator = operators.join([parts])
            y = y.to(self.device, self.dtype)[None]
            y = y * measured_where(operator, y.new_empty(1, *operators.image_shape))
            return _Job(photo, seed, fingerprint, y[0], parts, None, notes)
        clean, notes = photograph(photo.path, operators.image_shape)
        clean = clean.to(self.device, self.dtype)
        y = measure(clean[None], operators.join([parts]), self.noise, [seed])[0]
        return _Job(photo, seed, fingerprint, y, parts, clean, notes)

    def _finish(self, solution: Solution, y: Tensor, operator: Operator) -> Tensor:
        if self.recipe.output.consistency and isinstance(operator, LinearOperator):
            return put_back(solution.images, y, operator)
        return solution.images

    def _keep(self, job: _Job, image: Tensor, solution: Solution, index: int, seconds: float) -> Record:
        """Write everything, the record last: it is the promise that the rest is there."""
        name = self.names[job.photo.name]
        pictures = {"image": f"images/{name}", "measurement": f"measurements/{_suffixed(name, measurement_suffix(tuple(job.y.shape)))}"}
        write_image(self.out / pictures["image"], image)
        write_measurement(self.out / pictures["measurement"], job.y.clamp(0, 1) if job.y.ndim == 3 else job.y)
        metrics = {}
        if job.clean is not None:
            pictures["original"] = f"originals/{_suffixed(name, '.png')}"
            write_image(self.out / pictures["original"], job.clean)
            metrics = {key: float(METRICS[key](image[None].clamp(0, 1), job.clean[None])) for key in self.recipe.metrics}
        record = Record(
            name=job.photo.name,
            status="done",
            fingerprint=job.fingerprint,
            seed=job.seed,
            misfit=float(solution.misfit[index]),
            steps=int(solution.steps[index]),
            stopped=solution.stopped[index].value,
            metrics=metrics,
            notes=job.notes,
            output_size=(int(image.shape[-2]), int(image.shape[-1])),
            seconds=round(seconds, 3),
            versions=_versions(),
            image=pictures["image"],
            measurement=pictures["measurement"],
            original=pictures.get("original"),
        )
        write_record(self.out, record)
        return record

    def _fail(self, photo: Photo, error: Exception) -> Record:
        record = Record(name=photo.name, status="failed", fingerprint=self._fingerprint(photo), reason=_reason(error), versions=_versions())
        write_record(self.out, record)
        return record

    def _fingerprint(self, photo: Photo) -> str:
        if self._shared_fingerprint is not None:
            return self._shared_fingerprint
        seed = photo_seed(self.recipe.seed, photo.name)
        return self._mark(self.recipe.fingerprint(PurePosixPath(photo.name).stem, seed))

    def _mark(self, fingerprint: str) -> str:
        """The fingerprint with those options that change the answer."""
        return fingerprint + ("-degraded" if self.options.degrade else "") + ("-float64" if self.options.dtype == "float64" else "")


def _reason(error: Exception) -> str:
    """One line. An error that nobody foresaw keeps its type, so that it can be reported."""
    if isinstance(error, PhotoError):
        return error.reason
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.strerror}: {error.filename}"
    text = " ".join(str(error).split())
    return text if isinstance(error, RecipeError | MemoryError) and text else f"{type(error).__name__}: {text}"


def _suffixed(name: str, suffix: str) -> str:
    return name if name.lower().endswith(suffix) else name + suffix


def _prepare_folder(out: Path, recipe: Recipe) -> None:
    try:
        write_atomically(out / "recipe.yaml", recipe.dump().encode())
    except OSError as error:
        raise ValueError(f"output folder {out} cannot be written: {error.strerror or error}; choose another with --out") from None


def _versions() -> dict[str, str]:
    try:
        own = version("priorsolve")
    except PackageNotFoundError:
        own = "checkout"
    return {"priorsolve": own, "torch": torch.__version__, "python": platform.python_version()}
