"""What earlier runs wrote among the photos: their results, and masks with their previews. Nobody means them when giving a folder."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from priorsolve.files import is_file, is_folder, write_atomically
from priorsolve.photos.names import Photo
from priorsolve.photos.real_places import RealPlaces
from priorsolve.run.outfolder import is_run
from priorsolve.run.places import FOLDERS, SHEET

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
    kept = [photo for photo in photos if not seen.wrote(photo)]
    for run in seen.runs_asked_for():
        below = {photo: place for photo in kept if (place := seen.below(run, photo))}
        results = {photo for photo, place in below.items() if place == SHEET or place.partition(os.sep)[0] in FOLDERS}
        if len(results) < len(below):
            kept = [photo for photo in kept if photo not in results or seen.asks_within(run, photo)]
    if photos and not kept:
        raise ValueError(
            f"no photos in {inputs[0]} but what earlier runs wrote; give the very folder that holds it to take it all the same"
        )
    return kept


class _Seen:
    """What is known of the folders below those `asked` for. Folders are real places, and each is looked into once."""

    def __init__(self, asked: frozenset[str]) -> None:
        self.asked = asked
        self._real = RealPlaces()
        self._is_run: Callable[[str], bool] = functools.cache(lambda folder: folder not in asked and is_run(Path(folder)))
        self._has_mark: Callable[[str], bool] = functools.cache(_has_mark)

    def wrote(self, photo: Photo) -> bool:
        """Whether a run, a benchmark or `masks` wrote the file."""
        folder, name = self._real.split(photo.path)
        if f"{folder}{os.sep}{name}" in self.asked:
            return False
        below = list(self._up(folder))
        if any(map(self._holds_results, below)) or self._is_sheet_of_benchmark(folder, name):
            return True
        is_sheet = name == SHEET and self._is_run(folder)
        return bool(below) and (is_sheet or self._has_mark(folder) or self._is_mask(folder, name))

    def runs_asked_for(self) -> list[str]:
        """Those folders asked for that are a run's output."""
        return [folder for folder in sorted(self.asked) if is_folder(folder) and is_run(Path(folder))]

    def below(self, run: str, photo: Photo) -> str:
        """The file's path below the folder of the run; empty where it lies elsewhere."""
        path, above = self._real.of(photo.path), run.rstrip(os.sep) + os.sep
        return path[len(above) :] if path.startswith(above) else ""

    def asks_within(self, run: str, photo: Photo) -> bool:
        """Whether the file itself was asked for, or a folder nearer to it than the run's."""
        folder, name = self._real.split(photo.path)
        nearest = os.path.dirname([folder, *self._up(folder)][-1]) if folder not in self.asked else folder
        return f"{folder}{os.sep}{name}" in self.asked or nearest != run

    def _up(self, folder: str) -> Iterator[str]:
        """The folder and those above it, up to one that was asked for."""
        while folder not in self.asked and folder != (above := os.path.dirname(folder)):
            yield folder
            folder = above

    def _holds_results(self, folder: str) -> bool:
        """Whether a run writes its pictures there."""
        return os.path.basename(folder) in FOLDERS and self._is_run(os.path.dirname(folder))

    def _is_sheet_of_benchmark(self, folder: str, name: str) -> bool:
        return name.startswith("sheet-") and self._is_run(f"{folder}{os.sep}{name[len('sheet-') : -len('.png')]}")

    def _is_mask(self, folder: str, name: str) -> bool:
        """Whether `masks` wrote it: its preview is there."""
        stem, suffix = os.path.splitext(name)
        previews = f"{folder}{os.sep}{PREVIEWS}"
        return suffix == ".png" and self._has_mark(previews) and is_file(f"{previews}{os.sep}{stem}.jpg")


def _has_mark(folder: str) -> bool:
    """Whether `mark_previews` left word in the folder."""
    try:
        return Path(folder, _MARK).read_bytes() == _ABOUT.encode()
    except OSError:
        return False
