"""Make measurements from clean photos with a recipe's operator and noise: for demonstrations, tests and benchmarks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import torch

from priorsolve.build import Operators, build_noise, image_shape_of
from priorsolve.components import RecipeError
from priorsolve.images import PhotoError, measurement_suffix, write_measurement
from priorsolve.measuring import measure, photo_seed, photograph
from priorsolve.operators.noise import Noise
from priorsolve.photos import Photo, find_photos
from priorsolve.recipe import Recipe


@dataclass(frozen=True)
class Degraded:
    """One photo's outcome: the measurement's path, or the reason why there is none."""

    name: str
    path: Path | None
    reason: str = ""


def degrade(recipe: Recipe, photos: Sequence[Path], out: Path, *, exact: bool = False) -> Iterator[Degraded]:
    """Write each photo's measurement into `out`, under the photo's name: what `restore` takes back with the same recipe.

    Pictures are written as PNG (8 bits, in [0, 1]); with `exact`, and where a measurement is no picture, as `.npy` (float32).

    Raises:
        RecipeError, ValueError: the recipe or the photos cannot be used; nothing was written.
    """
    found = find_photos(photos)
    noise = build_noise(recipe)
    operators = Operators(recipe, image_shape_of(recipe), torch.device("cpu"), torch.float32)
    suffix = ".npy" if exact else measurement_suffix(operators.out_shape)
    return (_degrade(photo, recipe, operators, noise, out, suffix) for photo in found)


def _degrade(photo: Photo, recipe: Recipe, operators: Operators, noise: Noise | None, out: Path, suffix: str) -> Degraded:
    seed = photo_seed(recipe.seed, photo.name)
    path = out / PurePosixPath(photo.name).with_suffix(suffix)
    try:
        operator = operators.join([operators.of(path.stem, seed)])
        clean, _ = photograph(photo.path, operators.image_shape)
        y = measure(clean[None], operator, noise, [seed])[0]
        write_measurement(path, y)
    except (PhotoError, RecipeError, OSError) as error:
        return Degraded(photo.name, None, error.reason if isinstance(error, PhotoError) else str(error))
    return Degraded(photo.name, path)
