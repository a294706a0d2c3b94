"""The prior's pictures and the photo that they lie in become one picture, at the photo's own size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from priorsolve.framing import Box, Frame, continued, cut, cut_known, lay, paste
from priorsolve.framing.colour import matched, of_head, seen_for, with_chroma
from priorsolve.operators.base import compose as compose_operators
from priorsolve.run.scenes import Scene
from priorsolve.run.shots import Shot, enlarged

FINE = 4
"""Holes are filled at no more than so many times the prior's resolution, and enlarged from there."""
ROUNDS, MOST = 2, 20
"""Of back-projection, at least and at most: the first leaves about a fifth of what was off, later ones little less."""
CLOSE = 0.5 / 255
"""What may be off on average, within the frames, for there to be no more rounds."""


def compose(scene: Scene, shot: Shot, images: Sequence[Tensor], drawn: Sequence[Tensor]) -> Tensor:
    """The whole picture, (3, *size), from the photo and an answer, (3, h, w), for each patch; `drawn` are the prior's own pictures.

    Where what was measured is kept, the photo keeps its own resolution: what is added is the difference between each answer and what
    its frame saw of the photo, holes are filled, and colours are chroma alone. Elsewhere answers take the photo's place, matched to it
    at the seam.
    """
    return _Composer(scene, shot, [image.float().cpu() for image in images], [image.float().cpu() for image in drawn]).composed()


def compose_spread(scene: Scene, maps: Sequence[Tensor]) -> Tensor:
    """The whole map, (1, *size), from maps (h, w) of the patches; 0 where there is none."""
    images = [each.float().cpu()[None] for each in maps]
    return paste(torch.zeros(1, *scene.size), scene.patches, lambda i, box: _laid(images[i], scene.patches[i].frame, box))


class _Composer:
    """`compose` at work. Each strip is drawn by itself, from pictures of the prior's size and the photo."""

    def __init__(self, scene: Scene, shot: Shot, images: list[Tensor], drawn: list[Tensor]) -> None:
        self.scene, self.images, self.drawn = scene, images, drawn
        damage, self.photo = scene.source.damage, shot.measured
        self.known, self.grey = damage.known(scene.size), damage.grey
        measured = shot.measured
        if self.known is not None and damage.factor == 1:  # what lies below a soft edge
            measured = torch.where(self.known > 0, measured / self.known.clamp_min(1e-3), measured)
        if scene.fills and self.known is not None:
            measured = continued(measured, self.known[:, :: damage.factor, :: damage.factor]).clamp(0, 1)
        measured = enlarged(measured, damage.factor)
        self.base = measured if len(measured) == 3 else measured.expand(3, -1, -1)
        self.seen = [cut(self.base, patch.frame, scene.tile) for patch in scene.patches]
        self.changes = [self._change(index) for index in range(len(images))]
        self.colours = [of_head(image) for image in self.images] if scene.keeps and damage.grey and scene.heads else self.images
        self.fills = [self._fill(index) for index in range(len(images))] if scene.keeps and self.known is not None else []

    def composed(self) -> Tensor:
        holes = 1 - self.known if self.fills and self.known is not None and not self.scene.fills else None
        made = paste(self.base, self.scene.patches, self._draw, holes=holes)
        return self._projected(made) if self.scene.keeps and self.scene.source.damage.only_smaller else made

    def _projected(self, made: Tensor) -> Tensor:
        """The picture that scaled down is the photo, which may show a face in more pixels than the prior's measurement has.

        Source: iterative back-projection (Irani & Peleg 1991), within the frames.
        """
        damage, size = self.scene.source.damage, self.scene.size
        shrink = compose_operators(list(damage.parts))
        weights = paste(torch.zeros(1, *size), self.scene.patches, lambda _, box: torch.ones(1, *box.size))
        share = shrink.A(weights[None])[0].expand_as(self.photo)
        for done in range(MOST):
            off = self.photo - shrink.A(made.clamp(0, 1)[None])[0]  # as it will be written
            if done >= ROUNDS and float((share * off).abs().sum()) <= CLOSE * float(share.sum()):
                break
            made = made + weights * enlarged(off, damage.factor)
        return made

    def _change(self, index: int) -> Tensor:
        """What the answer adds to what the frame saw of the photo; nothing in holes, and where it is not to be kept, all of it."""
        image, seen, frame = self.images[index], self.seen[index], self.scene.patches[index].frame
        known = torch.ones(1, *self.scene.tile) if self.known is None else cut_known(self.known, frame, self.scene.tile)
        if self.scene.keeps:
            return (image - seen) * known
        return image if self.grey else matched(image, seen, known * _border(self.scene.tile))

    def _fill(self, index: int) -> Tensor:
        """What goes into holes: what the prior drew, moved smoothly so that it meets what is known around them.

        Of a soft edge nothing counts here: `_drawn` mixes it in.
        """
        assert self.known is not None
        frame, (height, width) = self.scene.patches[index].frame, self.scene.tile
        fine = min(max(round(frame.size[0] / height), 1), FINE)
        size = height * fine, width * fine
        drawn = interpolate(self.drawn[index][None], size=size, mode="bicubic", align_corners=False)[0]
        whole = (cut_known(self.known, frame, size) >= 1).to(drawn)
        return drawn + continued(cut(self.base, frame, size) - drawn, whole)

    def _draw(self, index: int, box: Box) -> Tensor:
        if not (self.scene.keeps and self.grey):
            return self._drawn(index, box)
        frame = self.scene.patches[index].frame
        scale = frame.size[0] / self.scene.tile[0]
        wide = seen_for(box, scale, *self.scene.size)
        grey = self.grey.A(self._drawn(index, wide)[None])[0]
        coloured = with_chroma(grey, _laid(self.colours[index], frame, wide), scale)
        coloured = self.grey.within(coloured[None] + (grey - self.grey.A(coloured[None])))[0]
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


def _laid(image: Tensor, frame: Frame, box: Box) -> Tensor:
    return lay(image, frame, box.size, left=box.left, top=box.top)


def _border(tile: tuple[int, int]) -> Tensor:
    """(1, *tile): 1 along the edge, where a patch meets the photo."""
    border = torch.ones(1, *tile)
    border[:, tile[0] // 8 : -(tile[0] // 8), tile[1] // 8 : -(tile[1] // 8)] = 0
    return border
