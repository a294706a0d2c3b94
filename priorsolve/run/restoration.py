"""Restore photos by a recipe: in batches, one record each, resumable; one bad photo never stops the rest."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from priorsolve.files import WriteError, write_atomically
from priorsolve.metrics import METRICS
from priorsolve.photos.names import output_names
from priorsolve.priors import Prior, load_prior
from priorsolve.recipe.build import (
    build_noise,
    build_operators,
    build_solver,
    check_faces,
    refuse_marks,
    rehearse,
)
from priorsolve.recipe.recipe import Recipe
from priorsolve.run.advance import OnAdvance
from priorsolve.run.album import grey_of, is_unfinished, share_colours
from priorsolve.run.answers import Tools
from priorsolve.run.claims import refuse_where_busy
from priorsolve.run.devices import DTYPES, device_called, dtype_of, must_name_device
from priorsolve.run.diagnosis import Limits
from priorsolve.run.fingerprint import Fingerprint
from priorsolve.run.intake import take_in
from priorsolve.run.jobs import Reader
from priorsolve.run.keeping import Keeper
from priorsolve.run.outfolder import check_writable, refuse_foreign, refuse_mingling, refuse_overwriting, unwritable, working_in
from priorsolve.run.places import FOLDERS, RECIPE, SHEET, places_of
from priorsolve.run.plan import Plan, write_plan
from priorsolve.run.records import Record, pending, strangers
from priorsolve.run.workbench import ShouldStop, Workbench
from priorsolve.showing import checked_path
from priorsolve.types import OnProgress
from priorsolve.typicality import Typicality

DRAWN_AT_ONCE = 16 * 128**2
"""Pixels of the pictures that are searched at a time where they are drawn one by one: 16 of `ffhq128` take 0.7 GB, one of `ffhq1024` 4."""


@dataclass(frozen=True)
class Options:
    """How a run is done; none of it changes a photo's answer but `degrade` and `dtype`, and by its rounding `device`.

    Args:
        degrade: the photos are clean: degrade them first, and measure the result against them. Otherwise they are the measurements.
        device: auto, cpu, cuda, cuda:1 …
        dtype: float32, float64, or bfloat16, in which the network computes while codes are searched (all else is float32): quicker
            where the processor has it, and nearly the same answer. auto is bfloat16 where that was measured to pay, else float32;
            photos that another machine's auto has done stay done.
        batch_size: photos solved side by side; halved by itself where memory is short. See also `at_once`.
        limit: at most this many photos of those to do.
        shard: (i, n): every n-th photo from the i-th on, counted from 0, for n machines on one folder.
        retry_failed: try photos again that failed.
        overwrite: do all photos again.
    """

    degrade: bool = False
    device: str = "auto"
    dtype: str = "auto"
    batch_size: int = 16
    limit: int | None = None
    shard: tuple[int, int] | None = None
    retry_failed: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        must_name_device(self.device)
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
    on_step: OnAdvance | None = None,
    on_download: OnProgress | None = None,
) -> Generator[Record, None, None]:
    """Restore files or folders into `out`, yielding each photo's record as it is done. Photos done before are skipped.

    Writes `images/`, `measurements/`, `records/`, `recipe.yaml` and `run.json`, where it applies `originals/`, `spread/`, `codes/` and
    `album.json`; `priorsolve.report.write_report(out)` makes the report, the contact sheet and the table of them. With `output.album`
    pictures and their metrics change once all are done: the records on the disk tell of that, those yielded do not. `.close()` ends the
    run early, and the same call goes on with it later.

    Raises:
        RecipeError, ValueError: the recipe, the photos, the options or the output folder cannot be used; nothing was done.
        CheckpointError, FetchError: the prior cannot be had.
    """
    return run_of(recipe, photos, out, options).records(on_step, on_download)


def run_of(recipe: Recipe, photos: str | Path | Sequence[str | Path], out: str | Path, options: Options | None) -> Run:
    """What `restore` does, ready. Raises as it does."""
    inputs = photos if isinstance(photos, Iterable) and not isinstance(photos, str) else [photos]
    paths = [checked_path(path, "restore: photos") for path in inputs]
    return Run(recipe, paths, checked_path(out, "restore: out"), options or Options())


class Run:
    """A restoration that is checked and ready: `todo` says what is left, `before` how many photos were done, or failed, earlier,
    `remarks` what is to be said of the files among the photos, `strangers` how many records of another recipe stay in the folder,
    `fingerprint` what decides each photo's answer.

    `plain` is for comparisons, of photos that are degraded without frames: clean photos are taken in 8 bits, and results are written in 8
    bits of sRGB, without their photo's profile and words.

    Raises as `restore` does, before anything is solved; the folder is written to only once prior, operators and solver are built.
    """

    def __init__(self, recipe: Recipe, photos: Sequence[Path], out: Path, options: Options, *, plain: bool = False) -> None:
        self.recipe, self.out, self.options, self._plain = recipe, out, options, plain
        self.noise = build_noise(recipe)
        if recipe.output.album and options.shard is not None:
            raise ValueError(
                "output.album brings all photos together, which a shard has not; leave shard out (--shard), or use Ray (--engine ray)"
            )
        check_writable(out)
        refuse_mingling(out)
        intake = take_in(photos, [*(out / folder for folder in FOLDERS), out / SHEET], [recipe])
        found, self.remarks = intake.photos, intake.sentences()
        self.names = output_names(found, recipe.output.format)
        refuse_overwriting(found, out, self._places())
        refuse_foreign(out, self._places(), recipe.dump())
        if options.shard is not None:
            found = found[options.shard[0] :: options.shard[1]]
        self.fingerprint = fingerprint = Fingerprint(recipe, options.degrade, options.dtype)
        todo, self.before = pending(found, out, fingerprint, retry_failed=options.retry_failed, overwrite=options.overwrite)
        self.todo = todo[: options.limit]
        self._album = recipe.output.album and len(self.todo) == len(todo)  # else its first photos would decide
        self.strangers = strangers(
            out, self.names.keys() - {photo.name for photo in todo[len(self.todo) :]}, fingerprint, fingerprint.of_all
        )
        if self.todo:
            refuse_where_busy(out, options.shard)
        self._equipment: Equipment | None = None

    def prepare(self, on_download: OnProgress | None = None, on_learning: OnProgress | None = None) -> Tools:
        """Load the prior, fetching it if need be, and build what the recipe names, so that its errors come before any work."""
        return self._equipped(on_download, on_learning).tools

    def records(
        self, on_step: OnAdvance | None = None, on_download: OnProgress | None = None, stop: ShouldStop = lambda: False
    ) -> Generator[Record, None, None]:
        """Do what is left, until `stop` says so, and finish the album. Raises FolderBusyError when another run began on it meanwhile."""
        if self.todo:
            yield from self.at_work(self._equipped(on_download).workbench.records(self.todo, on_step, stop))
        elif self._album and is_unfinished(self.out, self.fingerprint.of_all):  # a run ended when only this was left
            with self._holding():
                self._finish_album()

    def at_work(self, records: Generator[Record, None, None]) -> Generator[Record, None, None]:
        """Tell the records of what is left while the folder is held against other runs, with this run's recipe in it.

        When all is done the album is finished; a run that is stopped before, or has a limit, leaves it to the next one.
        """
        with self._holding(), contextlib.closing(records):
            told = 0
            for told, record in enumerate(records, 1):  # noqa: B007 (counts what was told)
                yield record
            if self._album and told == len(self.todo):
                self._finish_album()

    @contextlib.contextmanager
    def _holding(self) -> Iterator[None]:
        with working_in(self.out, self.options.shard):
            try:  # the plan first: without one the next run takes the recipe for somebody's own
                write_plan(self.out, Plan(len(self.todo), self.before["done"], self.before["failed"]), self.options.shard)
                write_atomically(self.out / RECIPE, self.recipe.dump().encode())
            except OSError as error:
                raise unwritable(self.out, error.strerror or error) from None
            yield

    def _finish_album(self) -> None:
        framed = self.recipe.in_frames
        try:
            share_colours(self.out, grey_of(self.recipe), self.fingerprint.of_all, framed=framed)
        except WriteError as error:
            raise unwritable(self.out, error.strerror) from None

    def _equipped(self, on_download: OnProgress | None = None, on_learning: OnProgress | None = None) -> Equipment:
        if self._equipment is None:
            self._equipment = equip(self.recipe, self.out, self.options, on_download, on_learning, plain=self._plain)
        return self._equipment

    def _places(self) -> Iterator[str]:
        """All that may be written, by its path below the folder."""
        return (place for name in self.names for place in places_of(name, self.recipe.output.format))


def at_once(prior: Prior) -> int:
    """How many photos are searched at a time, of however many that are solved side by side.

    On the CPU a style prior draws them one by one, so that more of them take more memory and no less time.
    """
    _, height, width = prior.image_shape
    return max(1, DRAWN_AT_ONCE // (height * width)) if prior.row_by_row else sys.maxsize


@dataclass(frozen=True)
class Equipment:
    """What a recipe needs on one device, built."""

    tools: Tools
    workbench: Workbench


def equip(
    recipe: Recipe,
    out: Path,
    options: Options,
    on_download: OnProgress | None = None,
    on_learning: OnProgress | None = None,
    *,
    plain: bool = False,
) -> Equipment:
    """Load the prior, fetching it if need be, and build what the recipe names, for photos that are kept below `out`.

    `on_download` is called while the weights are fetched, with bytes, `on_learning` while a solver makes what it needs once for a prior.
    `plain` as in `Run`.

    Raises RecipeError, ValueError, CheckpointError or FetchError.
    """
    if options.degrade:
        refuse_marks(recipe)
    device, dtype, noise = device_called(options.device), DTYPES[options.dtype], build_noise(recipe)
    if recipe.output.album:
        grey_of(recipe)
    if options.degrade:
        for metric in recipe.metrics:
            METRICS[metric].fetch()
    prior = load_prior(recipe.prior, on_progress=on_download).to(device, dtype)
    chosen = dtype_of(options.dtype, prior)
    prior = prior.computing(torch.bfloat16 if chosen == "bfloat16" else None)
    operators, solving = build_operators(recipe, tuple(prior.image_shape), device, dtype, clean=options.degrade)
    check_faces(recipe.frame.kind, tuple(prior.image_shape))
    solver = build_solver(recipe, prior)
    if solver.descends:
        solving.check_followed()
    rehearse(solver, solving)
    solver.prepare(on_learning)
    limits = Limits(solver, recipe.seed, shared=not solving.vary) if recipe.output.limit else None
    tools = Tools(recipe, solver, operators, solving, noise, Typicality(prior), limits)
    reader = Reader(recipe, operators, solving, noise, options.degrade, plain)
    keeper = Keeper(out, recipe, Fingerprint(recipe, options.degrade, options.dtype), chosen)
    return Equipment(tools, Workbench(tools, reader, keeper, options.batch_size, searched=at_once(prior)))
