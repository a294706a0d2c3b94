"""The output folder of a run: whether it can be written, whose files are in it, and what a killed run left half-written."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from priorsolve.files import WriteError, is_leftover, is_temporary, is_there
from priorsolve.photos.names import Photo
from priorsolve.photos.real_places import RealPlaces
from priorsolve.run.claims import Shard, claimed
from priorsolve.run.places import FOLDERS, OTHERS, RECIPE, RECORDS
from priorsolve.run.plan import forget_plans, read_plans
from priorsolve.run.records import has_records

_OF_THE_NAME = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.EISDIR, errno.ENOTDIR, errno.EEXIST)
"""Errors of a file system that are about one photo's name; all others are about every photo."""


COMPARED = "table.csv"
"""What a benchmark writes into its own folder, in which each recipe has a run's."""


def check_writable(out: Path) -> None:
    """Raise ValueError when nothing can be written into `out`. Creates nothing."""
    if why := why_unwritable(out):
        raise unwritable(out, why)


def why_unwritable(folder: Path) -> str:
    """Why nothing can be written into the folder, which need not be there; empty where something can."""
    place = Path(os.path.abspath(folder))  # noqa: PTH100 (`..` must not follow links that are not there)
    while not is_there(place):
        place = place.parent
    if not place.is_dir():
        return f"{place} is a file"
    return "" if os.access(place, os.W_OK | os.X_OK) else f"no permission to write into {place}"


def refuse_photos_own(inputs: Sequence[Path], out: Path) -> None:
    """Raise ValueError when what is written into `out` would lie among the photos, and be taken for some the next time."""
    if any(path.is_dir() and path.resolve() == out.resolve() for path in inputs):
        raise ValueError(f"{out} holds the photos themselves; choose another output folder (--out)")


def unwritable(out: Path, reason: object) -> ValueError:
    """The error for a folder that refuses to be written."""
    return ValueError(f"output folder {out} cannot be written: {reason}; choose another output folder (--out)")


def refuse_unwritable(out: Path, error: Exception) -> None:
    """Raise ValueError where the error says that nothing at all can be written into `out`, rather than a file of some name."""
    if isinstance(error, WriteError) and error.errno not in _OF_THE_NAME:
        raise unwritable(out, error.strerror) from error


def is_run(folder: Path) -> bool:
    """Whether it is a run's output folder."""
    return bool(read_plans(folder)) or has_records(folder)


def has_runs(folder: Path) -> bool:
    """Whether runs' output folders lie in it."""
    return folder.is_dir() and any(is_run(path) for path in folder.iterdir() if path.is_dir())


def refuse_mingling(out: Path) -> None:
    """Raise ValueError when no run was in the folder before and it is a benchmark's, or somebody's own files lie in one where a run writes
    pictures: they would be taken for results."""
    if is_run(out):
        return
    if (out / COMPARED).is_file() and has_runs(out):
        raise ValueError(f"{out} is a benchmark's own folder, and no run's; choose another output folder (--out)")
    for folder in FOLDERS:
        for place, _, names in os.walk(out / folder):
            if own := next((name for name in names if not is_temporary(name)), None):
                told = f"{Path(place, own)} is there, and no run made it, but this one would write among such files"
                raise ValueError(f"{told}; choose another output folder (--out)")


def refuse_foreign(out: Path, targets: Iterable[str], recipe: str) -> None:
    """Raise ValueError when no run was in the folder before and a file of somebody's own is where a run would write one.

    Args:
        targets: the files to be written, by their paths below `out`.
        recipe: the text of the run's `recipe.yaml`; one that says the same is no loss.
    """
    if is_run(out):
        return
    own = out / RECIPE
    other = own.is_file() and own.read_bytes() != recipe.encode()
    refuse_there(out, itertools.chain([RECIPE] if other else [], OTHERS, targets))


def refuse_there(out: Path, targets: Iterable[str]) -> None:
    """Raise ValueError where a file to be written, by its path below `out`, is there; no run was in the folder before."""
    for target in targets:
        if os.path.lexists(f"{out}{os.sep}{target}"):
            raise ValueError(
                f"{out / target} is there, and no run made it, but this one would overwrite it; choose another output folder (--out)"
            )


def refuse_overwriting(photos: Iterable[Photo], out: Path, targets: Iterable[str]) -> None:
    """Raise ValueError when a file to be written, by its path below `out`, is one of the photos."""
    folder = os.path.realpath(out)
    real = RealPlaces()

    def places(path: str) -> set[str]:
        """The file's own, and where it leads if it is a link."""
        own = real.of(path)
        return {own, os.path.realpath(own)} if os.path.islink(own) else {own}  # noqa: PTH114 (as quick as can be)

    own = {place: photo.path for photo in photos for place in places(str(photo.path)) if is_within(place, folder)}
    for target in targets if own else ():
        for place in places(f"{out}{os.sep}{target}"):
            if place in own:
                raise ValueError(f"{own[place]} would be overwritten by its own result; choose another output folder (--out)")


@contextlib.contextmanager
def working_in(out: Path, shard: Shard | None = None) -> Iterator[None]:
    """Be the run that does these photos. One that is alone in the folder removes old plans, and what a killed run left half-written.

    Raises FolderBusyError where another run does them, ValueError when the folder cannot be written.
    """
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(claimed(out, shard, lambda: _tidy(out)))
        except OSError as error:
            raise unwritable(out, error.strerror or error) from None
        yield


def _tidy(out: Path) -> None:
    """Remove old plans, and what a killed run left half-written where a run writes."""
    forget_plans(out)
    for folder in ("", RECORDS, *FOLDERS):
        for place, within, names in os.walk(out / folder):
            if not folder:
                within.clear()
            for name in filter(is_leftover, names):
                Path(place, name).unlink(missing_ok=True)


def is_within(path: str, folder: str) -> bool:
    """Whether the path is the folder's or lies below it; both are real ones."""
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)
