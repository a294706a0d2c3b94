"""Files that are either whole or not there."""

from __future__ import annotations

import hashlib
import os
import re
import uuid
from pathlib import Path
from typing import BinaryIO

TEMPORARY = ".tmp"
_OWN = re.compile(r"\.(run-)?[0-9a-f]{16}\.tmp")


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` to `path` by way of a hidden file in the same folder; missing parent folders are made.

    A reader, or a run killed half-way, sees the old file or the new one and never a part. Raises OSError when the
    folder cannot be written; nothing is left behind then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # A short name of its own: a photo's name may already be as long as the file system allows.
    temporary = path.parent / f".{uuid.uuid4().hex[:16]}{TEMPORARY}"
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def sha256_of(file: BinaryIO) -> str:
    """Of what is left of the file, as 64 hex digits."""
    digest = hashlib.sha256()
    while piece := file.read(1 << 20):
        digest.update(piece)
    return digest.hexdigest()


def is_leftover(name: str) -> bool:
    """Whether a file of this name is what a killed run of ours left half-written."""
    return _OWN.fullmatch(name) is not None


def is_temporary(name: str) -> bool:
    """Whether a file or folder of this name is hidden or half-written, by us or by others, and so no photo and no record."""
    return name.startswith(".") or name.endswith(("~", TEMPORARY, ".part", ".crdownload"))


def legible(text: str) -> str:
    """`text` with the bytes of a file name that are no Unicode written out (`\\udcff`), so that every writer takes it."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
