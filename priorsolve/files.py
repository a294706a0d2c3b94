"""Files: written whole or not at all, and what may be asked of them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, TypeAlias

TEMPORARY = ".tmp"
_OWN = re.compile(r"\.(run-)?[0-9a-f]{16}\.tmp")

Write: TypeAlias = Callable[[Path, bytes], None]
"""Writes the data to the path, as `write_atomically` does."""


class WriteError(OSError):
    """A file that could not be written, which its `filename` names; any other OSError is of reading."""


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` to `path` by way of a hidden file in the same folder; missing parent folders are made.

    A reader, or a run killed half-way, sees the old file or the new one and never a part. Raises WriteError when the
    folder cannot be written; nothing is left behind then.
    """
    with together() as write:
        write(path, data)


@contextlib.contextmanager
def together(instead_of: Path | None = None) -> Iterator[Write]:
    """Yields what writes files that stay hidden until all are written, and then appear in that order; `instead_of` goes just before.

    Where anything fails until then, all is as it was. Raises WriteError as `write_atomically`.
    """
    hidden: list[tuple[Path, Path]] = []

    def write(path: Path, data: bytes) -> None:
        # A short name of its own: a photo's name may already be as long as the file system allows.
        temporary = path.parent / f".{uuid.uuid4().hex[:16]}{TEMPORARY}"
        hidden.append((temporary, path))
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())

    try:
        yield write
        if instead_of is not None:
            with writing(instead_of):
                instead_of.unlink(missing_ok=True)
        for temporary, path in hidden:
            with writing(path):
                temporary.replace(path)
    except BaseException:
        for temporary, _ in hidden:
            with contextlib.suppress(OSError):  # a disk that is gone, or read-only now
                temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """An OSError within it is a WriteError that names `path`."""
    try:
        yield
    except OSError as error:
        raise WriteError(error.errno, error.strerror, str(path)) from error


def sha256_of(file: BinaryIO) -> str:
    """Of what is left of the file, as 64 hex digits."""
    digest = hashlib.sha256()
    while piece := file.read(1 << 20):
        digest.update(piece)
    return digest.hexdigest()


def digest_of(path: Path) -> str:
    """The SHA-256 of what the file holds, as 64 hex digits."""
    with path.open("rb") as file:
        return sha256_of(file)


def is_file(path: str | Path) -> bool:
    """Whether a file is there; False, where Path's own raises, for a name too long or below a folder that may not be looked into.

    Quicker than Path's own, too, where there are many.
    """
    return os.path.isfile(path)  # noqa: PTH113


def is_filled(path: str | Path) -> bool:
    """Whether a file is there and not empty; as `is_file`. It is looked at once: meanwhile it may go."""
    try:
        about = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(about.st_mode) and about.st_size > 0


def is_array(path: Path) -> bool:
    """Whether a file's name is that of an array of numpy's."""
    return path.suffix.lower() == ".npy"


def is_folder(path: str | Path) -> bool:
    """Whether a folder is there; as `is_file`."""
    return os.path.isdir(path)  # noqa: PTH112


def is_there(path: str | Path) -> bool:
    """Whether anything is there: a file, a folder, a pipe; as `is_file`."""
    return os.path.exists(path)  # noqa: PTH110


def is_leftover(name: str) -> bool:
    """Whether a file of this name is what a killed run of ours left half-written."""
    return _OWN.fullmatch(name) is not None


def is_temporary(name: str) -> bool:
    """Whether a file or folder of this name is hidden or half-written, by us or by others, and so not meant when what holds it is given."""
    return name.startswith(".") or name.endswith(("~", TEMPORARY, ".part", ".crdownload"))


def legible(text: str) -> str:
    """`text` with the bytes of a file name that are no Unicode written out (`\\udcff`), so that every writer takes it."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
