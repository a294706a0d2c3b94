"""Make measurements from clean photos with a recipe's operator and noise: for demonstrations, tests and benchmarks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from priorsolve.operators.noise import Noise
from priorsolve.photos.images import measurement_suffix, write_measurement
from priorsolve.photos.names import Photo, output_names
from priorsolve.photos.pictures import reason_of
from priorsolve.recipe.build import Operators, build_noise, build_operators, image_shape_of, refuse_marks
from priorsolve.recipe.recipe import Recipe
from priorsolve.run.damage import Damage
from priorsolve.run.intake import take_in
from priorsolve.run.measuring import measure, photo_seed, photograph, stem
from priorsolve.run.outfolder import check_writable, refuse_overwriting
from priorsolve.run.shots import Source

KEPT = "the measurement that was there; overwrite (--overwrite) makes it anew"


@dataclass(frozen=True)
class Degraded:
    """One photo's outcome: the measurement's path, or the reason why there is none, or why it was kept."""

    name: str
    path: Path | None
    reason: str = ""


def degrade(
    recipe: Recipe,
    photos: Sequence[Path],
    out: Path,
    *,
    exact: bool = False,
    overwrite: bool = False,
    say: Callable[[str], object] = lambda line: None,
) -> Iterator[Degraded]:
    """Write each photo's measurement into `out`, as `a.jpg.png` for `a.jpg`: what `restore` takes back with the same recipe.

    Pictures are written as PNG (8 bits, in [0, 1]); with `exact`, and where a measurement is no picture, as `.npy` (float32).
    A mask's soft edges come back exactly from a `.npy` alone: a picture is taken for what lies below the mask.
    An existing file is kept, whoever wrote it, unless `overwrite`. `say` is called with a line on the files left out.

    Raises:
        RecipeError, ValueError: the recipe or the photos cannot be used; nothing was written.
    """
    check_writable(out)
    if any(path.is_dir() and path.resolve() == out.resolve() for path in photos):
        raise ValueError(f"{out} holds the photos themselves; choose another output folder (--out)")
    intake = take_in(photos, [out], [recipe])
    found = intake.photos
    refuse_marks(recipe)
    noise = build_noise(recipe)
    operators, _ = build_operators(recipe, image_shape_of(recipe), torch.device("cpu"), torch.float32, clean=True)
    operators.check_clean()
    suffix = ".npy" if exact else measurement_suffix(operators.out_shape)
    names = output_names(found, "png") if suffix == ".png" else {photo.name: photo.name + ".npy" for photo in found}
    refuse_overwriting(found, out, names.values())
    for line in intake.sentences():
        say(line)
    paths = {photo: out / names[photo.name] for photo in found}
    return (
        Degraded(photo.name, path, KEPT) if os.path.lexists(path) and not overwrite else _degrade(photo, path, recipe, operators, noise)
        for photo, path in paths.items()
    )


def _degrade(photo: Photo, path: Path, recipe: Recipe, operators: Operators, noise: Noise | None) -> Degraded:
    seed = photo_seed(recipe.seed, photo.name)
    try:
        parts = operators.of(stem(photo.name), seed)
        if recipe.frame.kind == "center":
            clean, _ = photograph(photo.path, operators.image_shape)
            y = measure(clean[None], operators.join([parts]), noise, [seed])[0]
        else:  # at the photo's own size
            y = Source(photo.path, operators.out_shape[0], Damage(parts, operators.image_shape), noise, seed, degrade=True).shoot().measured
        write_measurement(path, y)
    except Exception as error:  # noqa: BLE001 (whatever it is, it must not stop the other photos)
        return Degraded(photo.name, None, reason_of(error))
    return Degraded(photo.name, path)
