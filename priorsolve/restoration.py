"""Restore photos by a recipe: in batches, one record each, resumable; one bad photo never stops the rest."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import torch

from priorsolve.answers import Answer, Tools, solve_jobs
from priorsolve.build import DTYPES, build_noise, build_operators, build_prior, build_solver, device_called
from priorsolve.bulk import Bulk
from priorsolve.jobs import Job, Reader, Work
from priorsolve.keeping import Keeper
from priorsolve.measuring import photo_seed, stem
from priorsolve.metrics import METRICS
from priorsolve.outfolder import FOLDERS, check_writable, refuse_overwriting, without_results, working_in, write_recipe
from priorsolve.photos import Photo, find_photos, output_names
from priorsolve.recipe import Recipe, is_per_photo
from priorsolve.records import Record, pending, read_record, record_path
from priorsolve.solvers import OnStep


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
        self._keeper = Keeper(out, self.names, recipe.metrics, self._fingerprint)
        refuse_overwriting(found, out, (place for photo in found for place in self._keeper.places(photo)))
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
            self._tools = Tools(self.recipe, build_solver(self.recipe, prior), operators, solving, self.noise, Bulk(prior))
            write_recipe(self.out, self.recipe.dump())
        return self._tools

    def records(self, on_step: OnStep | None = None, on_download: Callable[[int, int], None] | None = None) -> Iterator[Record]:
        """Do what is left: photos give jobs, jobs are solved in batches, and a photo is kept once all of its own are solved."""
        if not self.todo:
            return
        tools, size = self.prepare(on_download), self.options.batch_size
        reader = Reader(self.recipe, tools.operators, tools.solving, self.noise, self.options.degrade, self.device, self.dtype)
        with working_in(self.out):
            waiting: list[_Turn] = []
            for photo in self.todo:
                try:
                    opened = _Open(reader.read(photo, self._fingerprint(photo)))
                except Exception as error:  # noqa: BLE001 (whatever it is, it must not stop the other photos)
                    yield self._keeper.fail(photo, error)
                    continue
                waiting += [_Turn(opened, job) for job in opened.work.jobs]
                while len(waiting) >= size:
                    yield from self._solve(waiting[:size], tools, on_step)
                    del waiting[:size]
            yield from self._solve(waiting, tools, on_step)

    def _solve(self, turns: Sequence[_Turn], tools: Tools, on_step: OnStep | None) -> Iterator[Record]:
        """Solve together; where that fails, each by itself, so that the culprit is found and named."""
        turns = [turn for turn in turns if not turn.open.failed]
        if not turns:
            return
        start = time.perf_counter()
        try:
            answers, self._fits = solve_jobs(tools, [turn.job for turn in turns], on_step, batch=self._fits)
        except Exception as error:  # noqa: BLE001 (as above)
            if len(turns) == 1:
                turns[0].open.failed = True
                yield self._keeper.fail(turns[0].open.work.photo, error)
            else:
                for turn in turns:
                    yield from self._solve([turn], tools, on_step)
            return
        seconds = (time.perf_counter() - start) / len(turns)
        for turn, answer in zip(turns, answers, strict=True):
            turn.open.answers.append(answer)
            turn.open.seconds += seconds
            if turn.open.is_answered:
                yield self._keep(turn.open)

    def _keep(self, done: _Open) -> Record:
        try:
            return self._keeper.keep(done.work, done.answers, done.seconds)
        except Exception as error:  # noqa: BLE001 (as above)
            return self._keeper.fail(done.work.photo, error)

    def _fingerprint(self, photo: Photo) -> str:
        if self._shared_fingerprint is not None:
            return self._shared_fingerprint
        seed = photo_seed(self.recipe.seed, photo.name)
        return self._mark(self.recipe.fingerprint(stem(photo.name), seed))

    def _mark(self, fingerprint: str) -> str:
        """The fingerprint with those options that change the answer."""
        of_type = "" if self.options.dtype == "float32" else f"-{self.options.dtype}"
        return fingerprint + ("-degraded" if self.options.degrade else "") + of_type


@dataclass
class _Open:
    """A photo whose jobs are being solved, in their order."""

    work: Work
    answers: list[Answer] = field(default_factory=list)
    seconds: float = 0.0
    failed: bool = False

    @property
    def is_answered(self) -> bool:
        return len(self.answers) == len(self.work.jobs)


@dataclass(frozen=True)
class _Turn:
    """One job of a photo."""

    open: _Open
    job: Job
