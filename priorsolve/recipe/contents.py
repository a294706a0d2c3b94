"""What the files of a recipe hold: that, and not what they are called, decides a photo's answer."""

from __future__ import annotations

import errno
import hashlib
import json
import stat
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from priorsolve.files import digest_of
from priorsolve.priors.checkpoint import FOLDER


def fingerprint_of(parts: Any) -> str:
    """Of plain data, as 16 hex digits."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def with_files(given: Any, change: Callable[[str], str]) -> Any:
    """The data with `change(path)` in the place of each file's path, wherever it stands."""
    if isinstance(given, dict):
        return {
            key: change(value) if key == "file" and isinstance(value, str) else with_files(value, change) for key, value in given.items()
        }
    return [with_files(item, change) for item in given] if isinstance(given, list) else given


def files_in(given: Any) -> list[str]:
    """The paths that `with_files` would replace."""
    found: list[str] = []

    def note(path: str) -> str:
        found.append(path)
        return path

    with_files(given, note)
    return found


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
    return digest_of(path)
