"""Make measurements from clean photos with a recipe's operator and noise: for demonstrations, tests and benchmarks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import torch
from torch import Tensor

from priorsolve.files import digest_of, is_array, writing
from priorsolve.operators.noise import Noise
from priorsolve.photos.identity import identify
from priorsolve.photos.measurements import measurement_suffix, write_measurement
from priorsolve.photos.names import Photo, output_name, output_names
from priorsolve.photos.pictures import reason_of
from priorsolve.recipe.build import build_noise, build_operators, image_shape_of, refuse_marks
from priorsolve.recipe.contents import fingerprint_of
from priorsolve.recipe.operators import Operators
from priorsolve.recipe.recipe import Recipe
from priorsolve.recipe.templates import photo_seed, stem
from priorsolve.run.damage import Damage
from priorsolve.run.fingerprint import posed
from priorsolve.run.intake import take_in
from priorsolve.run.journal import read_lines, write_told
from priorsolve.run.measuring import measure, photograph
from priorsolve.run.outfolder import check_writable, refuse_overwriting, refuse_photos_own, refuse_unwritable
from priorsolve.run.shots import Source

INDEX = ".degraded.jsonl"
"""Beside the measurements: what each of them was made of."""
KEPT = "the measurement that was there; --overwrite makes it anew"


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
    A file that is there and was made of the same photo by the same operator, noise and seed is kept, and so is any file that `degrade` did
    not write, unless `overwrite`. A photo's measurement in the other form, picture or array, that `degrade` wrote before is removed, as it
    would be restored beside this one. `say` is called with a line on the files left out.

    Raises:
        RecipeError, ValueError: the recipe or the photos cannot be used; nothing was written. ValueError also on the way, where the folder
            can no longer be written.
    """
    check_writable(out)
    refuse_photos_own(photos, out)
    intake = take_in(photos, [out], [recipe])
    found = intake.photos
    refuse_marks(recipe)
    noise = build_noise(recipe)
    operators, _ = build_operators(recipe, image_shape_of(recipe), torch.device("cpu"), torch.float32, clean=True)
    suffix = ".npy" if exact else measurement_suffix(operators.out_shape)
    names = output_names(found, "png") if suffix == ".png" else {photo.name: photo.name + ".npy" for photo in found}
    refuse_overwriting(found, out, names.values())
    for line in intake.sentences():
        say(line)
    maker = _Maker(recipe, operators, noise, out, overwrite, frozenset(os.path.realpath(photo.path) for photo in found))
    return (maker.outcome(photo, out / names[photo.name]) for photo in found)


@dataclass(frozen=True)
class _Maker:
    """Makes measurements below `out`, where they are not there already."""

    recipe: Recipe
    operators: Operators
    noise: Noise | None
    out: Path
    overwrite: bool
    photos: frozenset[str]
    """The real paths of all of them: among these may be measurements that we wrote."""

    def outcome(self, photo: Photo, path: Path) -> Degraded:
        """Raises ValueError where the folder can no longer be written."""
        seed = photo_seed(self.recipe.seed, photo.name)
        try:
            source = self._source(photo, seed)
            if os.path.lexists(path) and not self.overwrite and self._made.get(_own(self.out, path), source) == source:
                reason = KEPT
            else:
                write_measurement(path, self._measurement(photo, seed), partial(self._write, source))
                reason = ""
            self._remove_own(self.out / (output_name(photo.name, "png") if is_array(path) else photo.name + ".npy"))
        except Exception as error:  # noqa: BLE001 (whatever it is, it must not stop the other photos)
            refuse_unwritable(self.out, error)
            return Degraded(photo.name, None, reason_of(error))
        return Degraded(photo.name, path, reason)

    def _source(self, photo: Photo, seed: int) -> str:
        """What decides the measurement."""
        given = posed(self.recipe).fingerprint(stem(photo.name), seed), self.operators.image_shape, seed, identify(photo.path).sha256
        return fingerprint_of(given)

    def _measurement(self, photo: Photo, seed: int) -> Tensor:
        parts = self.operators.of(stem(photo.name), seed)
        if not self.recipe.in_frames:
            clean, _ = photograph(photo.path, self.operators.image_shape)
            return measure(clean[None], self.operators.join([parts]), self.noise, [seed])[0]
        damage = Damage(parts, self.operators.image_shape)  # at the photo's own size
        return Source(photo.path, self.operators.out_shape[0], damage, self.noise, seed, degrade=True).shoot().measured

    @cached_property
    def _made(self) -> dict[tuple[str, str], str]:
        """What the files were made of that we wrote, by their paths and digests: another file in such a place is somebody else's."""
        return {(str(told.get("file")), str(told.get("sha256"))): str(told.get("source")) for told in read_lines(self.out / INDEX)}

    def _write(self, source: str, path: Path, data: bytes) -> None:
        name = path.relative_to(self.out).as_posix()
        write_told(self.out / INDEX, path, data, lambda digest: {"file": name, "sha256": digest, "source": source})

    def _remove_own(self, path: Path) -> None:
        """Remove the file if it is one that we wrote, and nobody changed since, and no photo."""
        if path.is_file() and os.path.realpath(path) not in self.photos and _own(self.out, path) in self._made:
            with writing(path):
                path.unlink()


def _own(out: Path, path: Path) -> tuple[str, str]:
    """The file as the index has it."""
    return path.relative_to(out).as_posix(), digest_of(path) if path.is_file() else ""
