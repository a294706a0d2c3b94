"""What the files of a recipe hold: that, and not what they are called, decides a photo's answer."""

from __future__ import annotations

import errno
import hashlib
import json
import stat
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from priorsolve.files import sha256_of
from priorsolve.priors.checkpoint import FOLDER


def fingerprint_of(parts: Any) -> str:
    """Of plain data, as 16 hex digits."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def with_content(given: Any) -> Any:
    """The data with the content of files, wherever they stand, in the place of their paths."""
    if isinstance(given, dict):
        return {key: content(value) if key == "file" and isinstance(value, str) else with_content(value) for key, value in given.items()}
    return [with_content(item) for item in given] if isinstance(given, list) else given


def files_in(given: Any) -> Iterator[str]:
    """The paths that `with_content` replaces."""
    if isinstance(given, dict):
        for key, value in given.items():
            if key == "file" and isinstance(value, str):
                yield value
            else:
                yield from files_in(value)
    elif isinstance(given, list):
        for item in given:
            yield from files_in(item)


def content(path: str) -> str:
    """The digest of what the file holds, or the folder of a prior; the path itself where it cannot be read."""
    if not path:  # no file, rather than the working folder
        return path
    given = Path(path)
    try:
        digests = [_digest_now(given / name) for name in FOLDER] if given.is_dir() else [_digest_now(given)]
    except OSError:
        return path
    return digests[0] if len(digests) == 1 else fingerprint_of(digests)


def _digest_now(path: Path) -> str:
    there = path.stat()
    if not stat.S_ISREG(there.st_mode):
        raise OSError(errno.EINVAL, "no file", str(path))  # a pipe, which would be waited for without end
    return _digest(path, there.st_size, there.st_mtime_ns)


@lru_cache(maxsize=64)
def _digest(path: Path, size: int, changed: int) -> str:
    """Of the file as it was then: a checkpoint is not read again for every photo."""
    with path.open("rb") as stream:
        return sha256_of(stream)
