"""Which of the files that are given are photos to work on: not a run's own results, and not the recipe's masks."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from priorsolve.photos.names import Photo, find_photos
from priorsolve.photos.real_places import RealPlaces
from priorsolve.recipe.contents import files_in
from priorsolve.recipe.recipe import OPERATORS, Recipe
from priorsolve.recipe.templates import stem
from priorsolve.run.earlier import PREVIEWS, without_earlier
from priorsolve.run.outfolder import is_within


@dataclass(frozen=True)
class Intake:
    """The photos in the order given, and how many files were left out because they are masks, or results of earlier runs, or are where
    results are `written` now.

    `sharing` are photos that one mask is for, since they have one name but for folder and suffix; together where it is the same mask.
    """

    photos: list[Photo]
    masks: int
    earlier: int = 0
    written: int = 0
    sharing: tuple[tuple[str, ...], ...] = ()

    def sentences(self) -> list[str]:
        """What to say of the files left out, and of masks that serve several photos, which may be meant."""
        left_out = {
            "they are the recipe's masks": self.masks,
            "earlier runs wrote them": self.earlier,
            "results are written where they are": self.written,
        }
        said = [f"files among the photos that are left out, since {why}: {count}" for why, count in left_out.items() if count]
        if self.sharing:
            first, second = self.sharing[0][:2]
            why = f"since {{stem}} is the same for both, such as {first} and {second}; rename them where each has its own"
            said.append(f"photos that take one mask with another, {why}: {sum(map(len, self.sharing))}")
        return said


def take_in(inputs: Sequence[Path], results: Iterable[Path], recipes: Sequence[Recipe]) -> Intake:
    """The photos of these files and folders, without those in `results`, places that a run writes, and without the recipes' masks.

    What earlier runs wrote below the inputs is left out too. What was asked for by name stays: the file, or its folder.

    Raises ValueError as `find_photos`, and where no photo is left.
    """
    every = find_photos(inputs)
    given = _without_results(every, inputs, results)
    found = without_earlier(given, inputs)
    written, earlier = len(every) - len(given), len(given) - len(found)
    files = {file for recipe in recipes for key in OPERATORS for file in files_in(getattr(recipe, key)) if file}
    if not files:
        return Intake(found, 0, earlier, written)
    real = RealPlaces()
    places = {real.of(photo.path): photo for photo in found}
    by_name = set(inputs)
    asked = {*map(os.path.realpath, inputs), *(place for place, photo in places.items() if photo.path in by_name)}
    masks = {place for file in files for place in _masks(file, places, asked)} - asked
    photos = [photo for place, photo in places.items() if place not in masks]
    if not photos:
        raise ValueError(f"no photos in {inputs[0]} but the recipe's masks")
    sharing = _of_one_stem(photos) if any("{stem}" in file for file in files) else ()
    return Intake(photos, len(found) - len(photos), earlier, written, sharing)


def _without_results(photos: Sequence[Photo], inputs: Sequence[Path], results: Iterable[Path]) -> list[Photo]:
    """The photos but for those in `results`, folders that a run writes, found because they lie below the photos' own folder.

    What was asked for by name stays: a file, or a folder within the results. Raises ValueError where no photo is left.
    """
    asked = [os.path.realpath(path) for path in inputs]
    hidden = [place for place in map(os.path.realpath, results) if any(is_within(place, path) and place != path for path in asked)]
    if not hidden:
        return list(photos)
    named = [path for path in asked if any(is_within(path, place) for place in hidden)]
    kept = []
    for photo in photos:
        real = os.path.realpath(photo.path)
        if not any(is_within(real, place) for place in hidden) or any(is_within(real, path) for path in named):
            kept.append(photo)
    if not kept:
        raise ValueError(f"no photos in {inputs[0]} but the results of an earlier run")
    return kept


def _of_one_stem(photos: Iterable[Photo]) -> tuple[tuple[str, ...], ...]:
    """The names of photos for which `{stem}` is the same, together."""
    names: dict[str, list[str]] = defaultdict(list)
    for photo in photos:
        names[stem(photo.name)].append(photo.name)
    return tuple(tuple(each) for each in names.values() if len(each) > 1)


def _masks(file: str, places: Mapping[str, Photo], asked: set[str]) -> set[str]:
    """Those of the places that are masks by the name of `file`, in which `{stem}` may stand."""
    folder, name = os.path.split(file)
    folder = os.path.realpath(folder)
    if "{stem}" not in file:
        return {f"{folder}{os.sep}{name}"}
    below = any(folder.startswith(path.rstrip(os.sep) + os.sep) for path in asked)
    if "{stem}" not in folder and below:  # a folder of masks, whether there are photos to all of them or not
        if folder in asked:
            return set()
        begin, _, end = name.partition("{stem}")
        previews = f"{folder}{os.sep}{PREVIEWS}"
        parts = {place: os.path.split(place) for place in places}
        return {
            place
            for place, (head, tail) in parts.items()
            if head == previews or (head == folder and tail.startswith(begin) and tail.endswith(end))
        }
    of: dict[str, set[str]] = defaultdict(set)  # among the photos themselves: what is the mask of another one
    for place, photo in places.items():
        of[f"{folder}{os.sep}{name}".replace("{stem}", stem(photo.name))].add(place)
    return {place for place in places if of.get(place, set()) - {place}}
