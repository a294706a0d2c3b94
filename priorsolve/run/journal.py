"""A file that grows by a line for each thing that was done. A line that a kill cut short counts as none, and costs no other."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from priorsolve.files import write_atomically, writing


def add_line(path: Path, told: Mapping[str, Any]) -> None:
    """Add a line of JSON that is on the disk afterwards. Raises WriteError."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(b"\n" + json.dumps(told).encode())  # on a line of its own, whatever the last one came to
            file.flush()
            os.fsync(file.fileno())


def write_told(journal: Path, path: Path, data: bytes, told: Callable[[str], Mapping[str, Any]]) -> str:
    """Write `data` to `path`, and before it a line of the journal: what is `told` of its SHA-256, which is returned.

    Killed between the two, there is word of a file that is not there; one that is there without a word would be taken for another's.
    Raises WriteError.
    """
    digest = hashlib.sha256(data).hexdigest()
    add_line(journal, told(digest))
    write_atomically(path, data)
    return digest


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """What the lines say, the first one first; none where there is no such file."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return
    for line in lines:
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(told, dict):
            yield told
