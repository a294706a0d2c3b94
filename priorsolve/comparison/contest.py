"""One problem of a benchmark: the recipes that pose it, what they are given, and where everybody's results lie."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from priorsolve.baselines import BASELINES, Baseline, Problem
from priorsolve.operators.base import Operator
from priorsolve.photos.names import Photo
from priorsolve.recipe.components import RecipeError
from priorsolve.recipe.operators import Operators
from priorsolve.recipe.recipe import Recipe
from priorsolve.recipe.templates import photo_seed, stem
from priorsolve.run.fingerprint import posed
from priorsolve.run.measuring import measure, measured_where, photograph
from priorsolve.run.records import Record, record_of
from priorsolve.run.restoration import Run
from priorsolve.types import Shape


@dataclass(frozen=True)
class Entry:
    """A recipe of the benchmark and its run, which writes the folder of the recipe's name."""

    name: str
    recipe: Recipe
    run: Run

    @property
    def method(self) -> str:
        """Its solvers' names."""
        return " + ".join(name for name, _, _ in self.recipe.components("solver"))


@dataclass(frozen=True)
class Place:
    """Where one method's results lie; `entry` is None for a baseline."""

    recipe: str
    method: str
    folder: Path
    entry: Entry | None = None

    @property
    def label(self) -> str:
        """What tells it from the others of its contest."""
        return self.method if self.entry is None else self.recipe

    def record_of(self, photo: Photo) -> Record | None:
        """The photo's record, unless it failed, is not there, or is of another file of that name."""
        record = self._done(photo)
        return record if record is not None and (record.file is None or record.file.is_of(photo.path)) else None

    def outlives(self, photo: Photo) -> bool:
        """Whether there is a result of a file of that name that is gone by now, or has changed."""
        record = self._done(photo)
        return record is not None and record.file is not None and not record.file.is_of(photo.path)

    def _done(self, photo: Photo) -> Record | None:
        record = record_of(self.folder, photo.name)
        return None if record is None or record.status != "done" or record.image is None else record


@dataclass(frozen=True)
class Contest:
    """Recipes of equal operator, noise, seed and picture size: they share measurements, baselines and a sheet, named after the first."""

    entries: tuple[Entry, ...]
    photos: tuple[Photo, ...]
    with_baselines: bool

    @property
    def first(self) -> Entry:
        return self.entries[0]

    @property
    def name(self) -> str:
        return self.first.name

    @cached_property
    def operators(self) -> Operators:
        """On the CPU in float32, where the baselines work and everything is judged."""
        shape = self.first.run.prepare().operators.image_shape
        return Operators(self.first.recipe, shape, torch.device("cpu"), torch.float32, clean=True)

    def pose(self, photo: Photo) -> tuple[Tensor, Problem]:
        """The clean picture (C, H, W) and its measurement, as the runs made it. Raises PhotoError and RecipeError."""
        noise, seed = self.first.run.noise, self.seed(photo)
        clean, _ = photograph(photo.path, self.operators.image_shape, plain=True)
        operator = self._operator(photo)
        y = measure(clean[None], operator, noise, [seed])
        rms = torch.zeros(1) if noise is None else noise.rms(y, measured_where(operator, clean[None]))
        return clean, Problem(y[0], operator, tuple(clean.shape), None if rms is None else float(rms))

    def seed(self, photo: Photo) -> int:
        """The photo's own, as in the runs."""
        return photo_seed(self.first.recipe.seed, photo.name)

    def fingerprint(self, photo: Photo) -> str:
        """What decides the baselines' answers."""
        channels, height, width = self.operators.image_shape
        size = f"{height}x{width}" if channels == 3 else f"{height}x{width}x{channels}"
        return f"{posed(self.first.recipe).fingerprint(stem(photo.name), self.seed(photo))}-{size}"

    @cached_property
    def baselines(self) -> tuple[Baseline, ...]:
        """Those that apply."""
        operator = next(self._operators(), None) if self.with_baselines else None
        return tuple(each for each in BASELINES.values() if operator is not None and each.applies(operator))

    def check_baselines(self) -> None:
        """Raise ValueError where a baseline needs a package that is not installed."""
        for baseline in self.baselines:
            if baseline.needs and find_spec(baseline.needs) is None:
                raise ValueError(
                    f"baseline {baseline.name} needs {baseline.needs}, which is not installed; "
                    "run pip install '.[benchmark]' in the checkout, or leave the baselines out with --no-baselines"
                )

    @property
    def places(self) -> list[Place]:
        """The recipes, then the baselines."""
        recipes = [Place(entry.name, entry.method, entry.run.out, entry) for entry in self.entries]
        return recipes + [self.place_of(baseline) for baseline in self.baselines]

    def place_of(self, baseline: Baseline) -> Place:
        """Where the baseline's results lie."""
        return Place(self.name, baseline.name, self._home / baseline.name)

    @cached_property
    def _home(self) -> Path:
        """Where the baselines' results lie: below the first recipe, or where they were done when another one came first."""
        folders = [entry.run.out / "baselines" for entry in self.entries]
        return next((folder for folder in folders if folder.is_dir()), folders[0])

    def _operator(self, photo: Photo) -> Operator:
        return self.operators.join([self.operators.of(stem(photo.name), self.seed(photo))])

    def _operators(self) -> Iterator[Operator]:
        """The operators of those photos that have one: a mask of a photo's own may be missing."""
        for photo in self.photos:
            with contextlib.suppress(RecipeError):
                yield self._operator(photo)


def contests_of(entries: Sequence[Entry], photos: Sequence[Photo], *, with_baselines: bool) -> list[Contest]:
    """The recipes by the problem that they pose, in the order met. Raises what `Run.prepare` raises."""
    groups: dict[tuple[str, Shape], list[Entry]] = {}
    for entry in entries:
        if entry.recipe.in_frames:
            raise RecipeError(f"{entry.name}: frame: a benchmark compares pictures of the prior's size; use center")
        key = (posed(entry.recipe).fingerprint(), entry.run.prepare().operators.image_shape)
        groups.setdefault(key, []).append(entry)
    return [Contest(tuple(group), tuple(photos), with_baselines) for group in groups.values()]
