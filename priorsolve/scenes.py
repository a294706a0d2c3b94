"""A photo at its own size: where the prior's pictures lie in it, and how they and the photo become one picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from priorsolve.damage import Damage
from priorsolve.framing import Box, Frame, Patch, Rounded, Whole, cut, cut_known, filled, find_faces, lay, paste, tile_frames
from priorsolve.framing.colour import halo, matched, with_chroma
from priorsolve.framings import Faces, Framings, Tiles
from priorsolve.images import PhotoError, read_photo
from priorsolve.operators.noise import Noise

FINE = 4
"""Holes are filled at no more than so many times the prior's resolution, and enlarged from there."""


@dataclass(frozen=True)
class Shot:
    """A photo as it is measured, (1|3, H, W), and where it is degraded first the clean one, `factor` times as tall and wide."""

    measured: Tensor
    clean: Tensor | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """Where a shot comes from. It is read again when it is needed again: a batch of large scans would not fit in memory."""

    path: Path
    channels: int
    damage: Damage
    noise: Noise | None
    seed: int
    degrade: bool

    def shoot(self) -> Shot:
        """Read it. Raises PhotoError, or RecipeError where a whole photo cannot be degraded."""
        if self.path.suffix.lower() == ".npy":
            raise PhotoError(self.path, "an array, not a photo; restore it with frame: center")
        if not self.degrade:
            photo, notes = read_photo(self.path, 1 if self.channels == 1 else 3)
            return Shot(photo, None, notes)
        clean, notes = read_photo(self.path)
        factor = self.damage.factor
        height, width = (side - side % factor for side in clean.shape[-2:])
        if (height, width) != clean.shape[-2:]:
            notes = (*notes, f"cropped to {width}×{height}, a multiple of {factor}")
        clean = clean[:, :height, :width]
        return Shot(self.damage.measure(clean, self.noise, self.seed), clean, notes)


@dataclass(frozen=True)
class Scene:
    """The frames in a photo, in pixels of the picture that is made, and what is to be known to make it.

    Args:
        size: (height, width) of the picture that is made: the photo's times the operator's factor.
        tile: (height, width) of the prior's pictures.
        keeps: put back what was measured, at the photo's own resolution too.
    """

    source: Source
    patches: tuple[Patch, ...]
    size: tuple[int, int]
    tile: tuple[int, int]
    keeps: bool

    def compose(self, shot: Shot, images: Sequence[Tensor]) -> Tensor:
        """The whole picture, (3, *size), from the photo and one of the prior's pictures, (3, h, w), for each patch."""
        return _Composer(self, shot, [image.float().cpu() for image in images]).composed()

    def spread(self, images: Sequence[Tensor]) -> Tensor:
        """The whole map, (1, *size), from maps (h, w) of the patches; 0 where there is none."""
        maps = [image.float().cpu()[None] for image in images]
        return paste(torch.zeros(1, *self.size), self.patches, lambda i, box: _laid(maps[i], self.patches[i].frame, box))


class _Composer:
    """`composed` at work. Each strip is drawn by itself, from pictures of the prior's size and the photo."""

    def __init__(self, scene: Scene, shot: Shot, images: list[Tensor]) -> None:
        self.scene, self.images = scene, images
        damage = scene.source.damage
        self.known, self.grey = damage.known(scene.size), damage.grey
        measured = enlarged(shot.measured, damage.factor)
        if scene.source.degrade and self.known is not None and damage.factor == 1:  # what lies below a soft edge
            measured = torch.where(self.known > 0, measured / self.known.clamp_min(1e-3), 0)
        self.base = measured if len(measured) == 3 else measured.expand(3, -1, -1)
        self.seen = [cut(self.base, patch.frame, scene.tile) for patch in scene.patches]
        self.changes = [self._change(index) for index in range(len(images))]
        self.fills = [self._fill(index) for index in range(len(images))] if scene.keeps and self.known is not None else []

    def composed(self) -> Tensor:
        holes = 1 - self.known if self.fills and self.known is not None else None
        return paste(self.base, self.scene.patches, self._draw, holes=holes)

    def _change(self, index: int) -> Tensor:
        """What the answer adds to what the frame saw of the photo; nothing in holes, and where it is not to be kept, all of it."""
        image, seen, frame = self.images[index], self.seen[index], self.scene.patches[index].frame
        known = torch.ones(1, *self.scene.tile) if self.known is None else cut_known(self.known, frame, self.scene.tile)
        if self.scene.keeps:
            return (image - seen) * known
        return image if self.grey else matched(image, seen, known * _border(self.scene.tile))

    def _fill(self, index: int) -> Tensor:
        """What goes into holes: the answer, moved smoothly so that it meets what is known around them."""
        assert self.known is not None
        frame, (height, width) = self.scene.patches[index].frame, self.scene.tile
        fine = min(max(round(frame.size[0] / height), 1), FINE)
        size = height * fine, width * fine
        answer = interpolate(self.images[index][None], size=size, mode="bicubic", align_corners=False)[0]
        return answer + filled(cut(self.base, frame, size) - answer, cut_known(self.known, frame, size))

    def _draw(self, index: int, box: Box) -> Tensor:
        if not (self.scene.keeps and self.grey):
            return self._drawn(index, box)
        frame = self.scene.patches[index].frame
        scale = frame.size[0] / self.scene.tile[0]
        wide = box.grown(halo(scale), *self.scene.size)
        grey = self.grey.A(self._drawn(index, wide)[None])[0]
        coloured = with_chroma(grey, _laid(self.images[index], frame, wide), scale)
        coloured = coloured + (grey - self.grey.A(coloured[None])[0])
        return Box(box.left - wide.left, box.top - wide.top, box.right - wide.left, box.bottom - wide.top).of(coloured)

    def _drawn(self, index: int, box: Box) -> Tensor:
        frame = self.scene.patches[index].frame
        change = _laid(self.changes[index], frame, box)
        if not self.scene.keeps:
            return change
        kept = box.of(self.base) + change
        if self.known is None:
            return kept
        known = box.of(self.known)
        return known * kept + (1 - known) * _laid(self.fills[index], frame, box)


def framed(source: Source, how: Framings, *, keeps: bool) -> tuple[Scene, Shot, tuple[str, ...], tuple[str, ...]]:
    """The photo's scene, the shot that it was found in, what is to be said of the photo, and where each frame is.

    Raises:
        PhotoError: the photo cannot be read, or has no face and `missing` is `fail`, or another shape than the prior's pictures.
    """
    shot, factor = source.shoot(), source.damage.factor
    size = shot.measured.shape[-2] * factor, shot.measured.shape[-1] * factor
    _, *sides = source.damage.image_shape
    tile = sides[0], sides[1]
    notes = list(shot.notes)
    if isinstance(how.settings, Faces):
        patches = _faces(source, shot, how.settings, size)
        labels = [f"face {i} of {len(patches)}, {patch.frame.scaled(1 / factor).sentence()}" for i, patch in enumerate(patches, 1)]
        notes += [] if patches else ["no face was found: the photo is a copy"]
    elif isinstance(how.settings, Tiles):
        patches = tile_frames(size, tile, how.settings.overlap)
        labels = [f"tile {i} of {len(patches)}" for i in range(1, len(patches) + 1)]
        notes.append(f"{len(patches)} tiles of {tile[1]}×{tile[0]}")
    else:
        _check_shape(source.path, size, tile)
        patches, labels = [Patch(Frame.of_box(0, 0, size[1], size[0]), Whole())], [""]
    return Scene(source, tuple(patches), size, tile, keeps), shot, tuple(notes), tuple(labels)


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


def _check_shape(path: Path, size: tuple[int, int], tile: tuple[int, int]) -> None:
    """A frame of the whole photo may be off by the rounding to pixels, no more."""
    if abs(size[1] * tile[0] - size[0] * tile[1]) > max(*tile, *size) / 2:
        shape = f"{size[1]}×{size[0]} has another shape than the prior's {tile[1]}×{tile[0]}"
        raise PhotoError(path, f"{shape}: it is not aligned; use frame: faces, tiles or center")


def enlarged(photo: Tensor, factor: int) -> Tensor:
    """The photo, (C, H, W), `factor` times as tall and wide, by Lanczos."""
    if factor == 1:
        return photo
    size = photo.shape[-1] * factor, photo.shape[-2] * factor
    layers = [Image.fromarray(layer.numpy()).resize(size, Image.Resampling.LANCZOS) for layer in photo.cpu().float()]
    return torch.from_numpy(np.stack([np.array(layer) for layer in layers]))


def _laid(image: Tensor, frame: Frame, box: Box) -> Tensor:
    return lay(image, frame, box.size, left=box.left, top=box.top)


def _border(tile: tuple[int, int]) -> Tensor:
    """(1, *tile): 1 along the edge, where a patch meets the photo."""
    border = torch.ones(1, *tile)
    border[:, tile[0] // 8 : -(tile[0] // 8), tile[1] // 8 : -(tile[1] // 8)] = 0
    return border
