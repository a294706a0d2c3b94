"""Which file a photo was when it was read: another one of the same name is another photo."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Strict

from priorsolve.files import sha256_of
from priorsolve.photos.pictures import PhotoError, size_of

Whole = Annotated[int, Strict()]
"""As records have it: a text, or true, is none."""


@dataclass(frozen=True)
class Identity:
    """A file's size in bytes, when it was changed, in nanoseconds, and the SHA-256 of what it holds, as hex digits."""

    bytes: Whole
    mtime_ns: Whole
    sha256: str

    def is_of(self, path: str | Path) -> bool:
        """Whether `path` holds the same. Only what was changed at another time is read: a copied folder keeps its photos.

        A file that cannot be read is not the same.
        """
        try:
            now = os.stat(path)  # noqa: PTH116 (a start asks this of a hundred thousand)
            if (now.st_size, now.st_mtime_ns) == (self.bytes, self.mtime_ns):
                return True
            return now.st_size == self.bytes and identify(Path(path)).sha256 == self.sha256
        except (OSError, PhotoError):
            return False

    def may_be_of(self, path: str | Path) -> bool:
        """Whether `path` may hold the same, without opening it: true unless it is seen to be of another size."""
        try:
            return os.stat(path).st_size == self.bytes  # noqa: PTH116 (as above)
        except OSError:
            return True


def identify(path: Path) -> Identity:
    """The file as it is now. Call it before the photo is decoded: what is changed in between is then noticed next time.

    Raises PhotoError where it cannot be read, or is no file.
    """
    size_of(path)  # which refuses a pipe
    try:
        with path.open("rb") as file:
            there = os.fstat(file.fileno())
            return Identity(there.st_size, there.st_mtime_ns, sha256_of(file))
    except OSError as error:
        raise PhotoError(path, f"cannot be read: {error.strerror}") from error
