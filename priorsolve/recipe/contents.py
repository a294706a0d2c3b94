"""What the files of a recipe hold: that, and not what they are called, decides a photo's answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from priorsolve.files import sha256_of


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
    """The digest of what the file holds; the path itself where it cannot be read."""
    try:
        there = Path(path).stat()
        return _digest(path, there.st_size, there.st_mtime_ns)
    except OSError:
        return path


@lru_cache(maxsize=64)
def _digest(path: str, size: int, changed: int) -> str:
    """Of the file as it was then: a checkpoint is not read again for every photo."""
    with Path(path).open("rb") as stream:
        return sha256_of(stream)
