"""Which files are photos, what they are called, and what their restored images will be called."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from priorsolve.files import is_temporary
from priorsolve.photos.real_places import RealPlaces
from priorsolve.photos.writing import WRITTEN

KNOWN = frozenset(
    {*WRITTEN, ".bmp", ".gif", ".jfif", ".jpe", ".apng", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".avif", ".heic", ".heif", ".npy"}
)
"""Suffixes that make a file in a folder a photo or a measurement (`.npy`). HEIC is listed so that it fails with a word, not silently."""
_ONE_CASE = ("darwin", "win32")
"""Systems whose disks take `A.png` and `a.png` for one file."""


@dataclass(frozen=True)
class Photo:
    """A file to restore. `name` is its path below the folder that was given, with forward slashes: the name in records and outputs."""

    path: Path
    name: str


def find_photos(inputs: Sequence[Path]) -> list[Photo]:
    """All photos of these files and folders (searched to any depth), in the order given, each folder sorted by name.

    A file's name is its own; in a folder it is the path below it. When several folders are given, every name starts with
    its folder's own name, so that a name depends on the inputs alone, not on what else they hold. Hidden and half-written files
    are left out, and links to folders are followed; a file that is given by name is taken whatever its suffix. Raises ValueError for
    a path that is missing, a folder without photos or one that may not be looked into, and two different files of one name.
    """
    several = len({os.path.realpath(path) for path in inputs if path.is_dir()}) > 1
    found: dict[str, Photo] = {}
    seen: set[str] = set()
    real = RealPlaces()
    for given in inputs:
        for photo in _photos(given, several):
            place = real.of(photo.path)
            if place in seen:  # a folder and a photo in it, or the same one twice
                continue
            if photo.name in found:
                raise ValueError(
                    f"two photos are called {photo.name}: {found[photo.name].path} and {photo.path}; restore them into different folders"
                )
            seen.add(place)
            found[photo.name] = photo
    return list(found.values())


def _photos(given: Path, several: bool) -> Iterator[Photo]:
    if given.is_file():
        yield Photo(given, given.name)
        return
    if not given.is_dir():
        raise ValueError(f"no such file or folder: {given}")
    prefix = f"{Path(os.path.realpath(given)).name}/" if several else ""
    empty = True
    for name in sorted(_below(given)):
        empty = False
        yield Photo(given / name, prefix + name)
    if empty:
        raise ValueError(f"no photos in {given}: looked for {' '.join(sorted(KNOWN))}")


def _below(folder: Path) -> Iterator[str]:
    """The photos' paths below the folder, with forward slashes.

    Links are followed last, so that what they lead to has its own name where it lies below the folder itself, and no folder is
    searched twice, so that a link to where it lies has an end.
    """
    searched: set[str] = set()
    starts = [folder]
    for start in starts:  # it grows
        for place, folders, files in os.walk(start, onerror=_refuse_unreadable):
            if (real := os.path.realpath(place)) in searched:
                folders.clear()
                continue
            searched.add(real)
            folders[:] = sorted(name for name in folders if not is_temporary(name))
            starts += [path for path in (Path(place, name) for name in folders) if path.is_symlink()]
            below = Path(place).relative_to(folder).as_posix()
            prefix = "" if below == "." else f"{below}/"
            for name in files:
                if _suffix(name) in KNOWN and not is_temporary(name):
                    yield prefix + name


def _refuse_unreadable(error: OSError) -> None:
    """`os.walk` would pass over the folder, and its photos would be missing without a word."""
    raise ValueError(
        f"cannot look for photos in {error.filename}: {error.strerror}; make it readable, or give the other folders one by one"
    )


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 (a Path for each photo takes as long as all else at a start)


def output_name(name: str, output: Literal["same", "png"] = "same") -> str:
    """What the restored image of the photo `name` is called; it depends on the name alone, never on the photos beside it.

    "same" keeps a name whose format is written (`sub/a.jpg`), others get a suffix more (`a.gif.png`, `y.npy.png`);
    "png" does so for all but PNG (`a.jpg.png`). A photo already called so steps aside by one more (`a.gif.png` -> `a.gif.png.png`).
    """
    base = name
    while base.lower().endswith(".png"):
        base = base[: -len(".png")]
    suffix = _suffix(base)
    kept = WRITTEN if output == "same" else {".png"}
    if suffix in KNOWN and suffix not in kept:
        return name + ".png"
    return name if _suffix(name) in kept else name + ".png"


def output_names(photos: Iterable[Photo], output: Literal["same", "png"] = "same") -> dict[str, str]:
    """Photo name -> output name, all different. Raises ValueError where two photos would be written to one file."""
    names: dict[str, str] = {}
    taken: dict[str, str] = {}
    for photo in photos:
        made = output_name(photo.name, output)
        file = made.casefold() if sys.platform in _ONE_CASE else made
        if taken.setdefault(file, photo.name) != photo.name:
            raise ValueError(f"{photo.name} and {taken[file]} would both be written to {made}; rename one of them")
        names[photo.name] = made
    return names
