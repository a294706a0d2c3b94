"""What earlier runs wrote among the photos: their results, and masks with their previews. Nobody means them when giving a folder."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from priorsolve.files import write_atomically
from priorsolve.photos.names import Photo
from priorsolve.run.outfolder import FOLDERS, is_run

PREVIEWS = "previews"
"""The folder beside masks in which `priorsolve masks` shows them."""
_MARK = "about.txt"
_ABOUT = "Previews by `priorsolve masks`: the holes of the masks in the folder above, in red. None of both is taken for a photo.\n"


def mark_previews(out: Path) -> None:
    """Leave word in the folder of masks that it is one."""
    if not (out / PREVIEWS / _MARK).exists():
        write_atomically(out / PREVIEWS / _MARK, _ABOUT.encode())


def without_earlier(photos: Sequence[Photo], inputs: Sequence[Path]) -> list[Photo]:
    """The photos but for what runs, benchmarks and `masks` wrote below the inputs.

    What was asked for by name stays: a file, or all of a folder that is given itself, unless it holds photos of its own beside a run's
    results. Raises ValueError where nothing is left.
    """
    seen = _Seen(frozenset(map(os.path.realpath, inputs)))
    kept = [photo for photo in photos if not seen.wrote(*os.path.split(photo.path))]
    for run in seen.runs_asked_for():
        below = {photo: place for photo in kept if (place := seen.below(run, *os.path.split(photo.path)))}
        results = {photo for photo, place in below.items() if place == "sheet.png" or place.partition(os.sep)[0] in FOLDERS}
        if len(results) < len(below):
            kept = [photo for photo in kept if photo not in results or seen.asks_within(run, *os.path.split(photo.path))]
    if photos and not kept:
        raise ValueError(
            f"no photos in {inputs[0]} but what earlier runs wrote; give the very folder that holds it to take it all the same"
        )
    return kept


@dataclass(frozen=True, eq=False)
class _Seen:
    """What is known of the folders below those `asked` for."""

    asked: frozenset[str]

    def wrote(self, folder: str, name: str) -> bool:
        """Whether a run wrote the file."""
        folder = self._real(folder)
        if f"{folder}{os.sep}{name}" in self.asked:
            return False
        below = list(self._up(folder))
        if any(os.path.basename(each) in FOLDERS and self._is_run(os.path.dirname(each)) for each in below):  # noqa: PTH119, PTH120 (quick)
            return True
        if name.startswith("sheet-") and self._is_run(f"{folder}{os.sep}{name[len('sheet-') : -len('.png')]}"):  # of a benchmark
            return True
        if not below:
            return False
        stem, suffix = os.path.splitext(name)  # noqa: PTH122 (quick)
        shown = f"{folder}{os.sep}{PREVIEWS}"
        is_mask = suffix == ".png" and self._has_mark(shown) and os.path.isfile(f"{shown}{os.sep}{stem}.jpg")  # noqa: PTH113 (quick)
        return (name == "sheet.png" and self._is_run(folder)) or self._has_mark(folder) or is_mask

    def runs_asked_for(self) -> list[str]:
        """Those folders asked for that are a run's output."""
        folders = [Path(each) for each in sorted(self.asked) if os.path.isdir(each)]  # noqa: PTH112 (quick: there may be many files)
        return [str(folder) for folder in folders if is_run(folder)]

    def below(self, run: str, folder: str, name: str) -> str:
        """The file's path below the folder of the run; empty where it lies elsewhere."""
        path, above = f"{self._real(folder)}{os.sep}{name}", run.rstrip(os.sep) + os.sep
        return path[len(above) :] if path.startswith(above) else ""

    def asks_within(self, run: str, folder: str, name: str) -> bool:
        """Whether the file itself was asked for, or a folder nearer to it than the run's."""
        folder = self._real(folder)
        nearest = os.path.dirname([folder, *self._up(folder)][-1]) if folder not in self.asked else folder  # noqa: PTH120 (quick)
        return f"{folder}{os.sep}{name}" in self.asked or nearest != run

    def _up(self, folder: str) -> Iterator[str]:
        """The folder and those above it, up to one that was asked for."""
        while folder not in self.asked and folder != (above := os.path.dirname(folder)):  # noqa: PTH120 (quick)
            yield folder
            folder = above

    @functools.cached_property
    def _real(self) -> functools._lru_cache_wrapper[str]:
        return functools.cache(os.path.realpath)

    @functools.cached_property
    def _is_run(self) -> functools._lru_cache_wrapper[bool]:
        return functools.cache(lambda folder: folder not in self.asked and is_run(Path(folder)))

    @functools.cached_property
    def _has_mark(self) -> functools._lru_cache_wrapper[bool]:
        def has_mark(folder: str) -> bool:
            try:
                return Path(folder, _MARK).read_bytes() == _ABOUT.encode()
            except OSError:
                return False

        return functools.cache(has_mark)
