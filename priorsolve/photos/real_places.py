"""Where files really lie, so that one file counts as one, whichever way leads to it."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path


class RealPlaces:
    """Follows links on the way to files; a file that is a link itself stays one. A folder is looked up once, however many files it has."""

    def __init__(self) -> None:
        self._folder: Callable[[str], str] = functools.cache(os.path.realpath)

    def of(self, path: str | Path) -> str:
        """The file's real place."""
        folder, name = self.split(path)
        return f"{folder}{os.sep}{name}"

    def split(self, path: str | Path) -> tuple[str, str]:
        """The real place of the file's folder, and the file's name."""
        folder, name = os.path.split(path)
        return self._folder(folder), name
