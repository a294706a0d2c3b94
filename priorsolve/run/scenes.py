"""Where in a photo the prior's pictures lie."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from priorsolve.framing import Frame, Patch, Rounded, Whole, covered, filled, find_faces, tile_frames
from priorsolve.framing.frame import same_shape
from priorsolve.photos.greys import LEFT_GREY
from priorsolve.photos.pictures import PhotoError
from priorsolve.recipe.framings import Faces, Framings, Tiles
from priorsolve.run.shots import Shot, Source

BESIDE, NO_FACE = "beside the faces", "no face was found"
"""How notes begin that say what became of the rest of a photo, and of a photo without faces."""
LARGEST = 178_956_970
"""Pixels of a picture that Pillow still reads. A larger one would fill the memory, and could not be opened again."""


@dataclass(frozen=True)
class Scene:
    """The frames in a photo, in pixels of the picture that is made, and what is to be known to make it.

    Args:
        size: (height, width) of the picture that is made: the photo's times the operator's factor.
        tile: (height, width) of the prior's pictures.
        keeps: put back what was measured, at the photo's own resolution too.
        fills: holes beside the frames are filled, too.
        heads: each frame is a head's, and the photo beside the frames stays as it is.
    """

    source: Source
    patches: tuple[Patch, ...]
    size: tuple[int, int]
    tile: tuple[int, int]
    keeps: bool
    fills: bool = False
    heads: bool = False

    @property
    def is_copy(self) -> bool:
        """Whether the picture is the photo itself: nothing in it was degraded, and nothing is to be restored, enlarged or filled."""
        if self.patches or self.source.degrade or self.source.damage.factor > 1:
            return False
        known = self.source.damage.known(self.size) if self.fills else None
        return known is None or not bool((known < 1).any())


class Framed(NamedTuple):
    """A photo's scene, and the shot that it was found in."""

    scene: Scene
    shot: Shot
    notes: tuple[str, ...]
    """What is to be said of the photo."""
    labels: tuple[str, ...]
    """Where each frame is, in words."""


def framed(source: Source, how: Framings, *, keeps: bool) -> Framed:
    """Find the frames in a photo.

    Raises:
        PhotoError: the photo cannot be read, or has no face and `missing` is `fail`, or another shape than the prior's pictures, or would
            become too large.
    """
    shot, factor = source.shoot(), source.damage.factor
    size = shot.measured.shape[-2] * factor, shot.measured.shape[-1] * factor
    if math.prod(size) > LARGEST:
        raise PhotoError(
            source.path, f"would become {size[1]}×{size[0]}, more than {LARGEST // 10**6} million pixels; use a smaller factor"
        )
    _, *sides = source.damage.image_shape
    tile = sides[0], sides[1]
    notes = list(shot.notes)
    fills = isinstance(how.settings, Faces) and how.settings.beside == "fill"
    if isinstance(how.settings, Faces):
        patches = _faces(source, shot, how.settings, size)
        labels = [f"face {i} of {len(patches)}, {patch.frame.scaled(1 / factor).sentence()}" for i, patch in enumerate(patches, 1)]
    elif isinstance(how.settings, Tiles):
        patches = tile_frames(size, tile, how.settings.overlap)
        labels = [f"tile {i} of {len(patches)}" for i in range(1, len(patches) + 1)]
        notes.append(f"{len(patches)} tiles of {tile[1]}×{tile[0]}")
    else:
        _check_shape(source.path, size, tile)
        patches, labels = [Patch(Frame.of_box(0, 0, size[1], size[0]), Whole())], [""]
    scene = Scene(source, tuple(patches), size, tile, keeps, fills, heads=isinstance(how.settings, Faces))
    if scene.heads:
        notes += _beside(scene)
    if scene.is_copy:
        notes = [note for note in notes if note != LEFT_GREY]  # for the search for faces alone
    return Framed(scene, shot, tuple(notes), tuple(labels))


def _faces(source: Source, shot: Shot, how: Faces, size: tuple[int, int]) -> list[Patch]:
    factor, known = source.damage.factor, source.damage.known(size)
    photo = shot.measured
    if known is not None:
        photo = filled(photo, (known[:, ::factor, ::factor] >= 1).float())
    faces = find_faces(photo)[: 1 if how.largest else None]
    if not faces and how.missing == "fail":
        raise PhotoError(
            source.path, "no face was found; frame: {faces: {missing: copy}} copies such photos, frame: center takes their centre"
        )
    return [Patch(face.frame.scaled(factor), Rounded()) for face in faces]


def _beside(scene: Scene) -> list[str]:
    """What becomes of the photo beside the faces: a sentence for each thing, the same for all photos but for what is in brackets."""
    damage, known = scene.source.damage, scene.source.damage.known(scene.size)
    missing = 0.0 if known is None else float((1 - known).sum())
    said = ["the photo stays grey"] if damage.grey else []
    said += ["the photo is enlarged with Lanczos"] if damage.factor > 1 else []
    if known is not None and missing:
        outside = float(((1 - known) * (1 - covered(scene.patches, *scene.size))).sum()) / missing
        how = "are filled smoothly" if scene.fills else "stay"
        said += [f"holes {how} ({outside:.0%} of what is missing)"] if outside >= 0.005 else []
    if scene.patches:
        return [f"{BESIDE} {sentence}" for sentence in said]
    if scene.is_copy:
        return [f"{NO_FACE}: the photo is a copy"]
    return [f"{NO_FACE}: {' and '.join(said or ['the photo stays as it was degraded'])}"]


def _check_shape(path: Path, size: tuple[int, int], tile: tuple[int, int]) -> None:
    """A frame of the whole photo may be off by the rounding to pixels, no more."""
    if not same_shape(size, tile):
        shape = f"{size[1]}×{size[0]} has another shape than the prior's {tile[1]}×{tile[0]}"
        raise PhotoError(path, f"{shape}: it is not aligned; use frame: faces, tiles or center")
