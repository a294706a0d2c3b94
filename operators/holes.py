"""Inpainting by description: the same holes for pictures of any size."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal, TypeAlias, final, get_args

import torch
from pydantic import ValidationError
from torch import Tensor

from priorsolve.apart import apart
from priorsolve.data import masks
from priorsolve.framing.frame import same_shape
from priorsolve.operators.drawing import Half, Thickness, draw_boxes, draw_half, draw_picture, draw_pixels, draw_strokes, in_pixels
from priorsolve.operators.mask import Masking
from priorsolve.operators.mask_file import read_holes
from priorsolve.operators.photo_holes import PhotoHoles
from priorsolve.photos.marks import Marks
from priorsolve.photos.pictures import picture_size
from priorsolve.photos.scratches import Scratches
from priorsolve.showing import checked_path, checked_seed, is_number, shown
from priorsolve.types import Shape

Drawing: TypeAlias = Callable[[int, int], Tensor]


@final
class Holes(Masking):
    """Inpainting: holes from a file, boxes, brush strokes, lost pixels or a lost half; or marks in the photo itself.

    They are drawn for whatever size it meets; `in_photo` finds the marks.

    y = m·x          Aᵀ y = m·y          A† y = y / m where m > 0, else 0

    Several descriptions together make the union of their holes. The same mask serves every image; `join_masks` makes one operator
    of several.

    `file` is an image where white means hole (or black, with `hole="black"`) and greys are soft edges; it is stretched to the
    picture, pixel by nearest pixel, and must have the picture's shape. Levels within 5 % of black or white count as black or white,
    since JPEG leaves specks. Of a photo that has the damage itself soft edges are hole (`in_photo`): what is below them is damaged.
    Colours count by their luminance, transparent parts as known. A camera's rotation tag is followed.
    `boxes` are [left, top, right, bottom]: fractions of width and height, or pixels if any value of any box is above 1.
    `strokes` are seeded scribbles, and cover about 13 % (thin), 24 % (medium) or 30 % (thick) of the picture.
    `pixels` is the fraction of pixels lost at random. `half` is the side that is lost.

    `alpha` are the photo's transparent parts. `colour` is what was painted over them, such as "#ff00ff"; each channel may be off by
    `tolerance`, of 1, by four times that where it touches such pixels, and `grow` pixels are added around, where painting has soft
    edges. `scratches` are found by a simple detector.

    Raises:
        ValueError: nothing is described, a value is out of range, or the file is missing, unreadable or one big hole.
    """

    def __init__(
        self,
        file: str | None = None,
        hole: Literal["white", "black"] = "white",
        boxes: list[list[float]] | None = None,
        strokes: Thickness | None = None,
        pixels: float | None = None,
        half: Half | None = None,
        seed: int = 0,
        alpha: bool = False,
        colour: str | None = None,
        tolerance: float = 0.1,
        grow: int = 2,
        scratches: Scratches | None = None,
    ) -> None:
        super().__init__()
        if file is not None and not isinstance(file, str | os.PathLike):
            raise ValueError(f"Holes: file is {shown(file)}; give the path of an image, or Mask(known) for a mask at hand, 1 where known")
        seed, boxes = checked_seed(seed, "Holes"), _checked_boxes(boxes)
        self._given = {"file": file, "hole": hole, "boxes": boxes, "strokes": strokes, "pixels": pixels, "half": half, "seed": seed}
        self._marks = Marks(alpha, colour, tolerance, grow, _checked_scratches(scratches))
        if hole not in ("white", "black"):
            raise ValueError(f"Holes: hole is the colour of the holes in the file, white or black, got {hole!r}")
        self._boxes = boxes or []
        drawings: list[Drawing] = []
        if boxes:
            drawings.append(partial(draw_boxes, boxes=self._boxes))
        if strokes is not None:
            if strokes not in get_args(Thickness):
                raise ValueError(f"Holes: there are no strokes {strokes!r}; choose one of {', '.join(get_args(Thickness))}")
            drawings.append(partial(draw_strokes, thickness=strokes, seed=seed))
        if pixels is not None:
            if not is_number(pixels) or not 0 < pixels < 1:
                raise ValueError(f"Holes: pixels is the fraction of pixels lost, between 0 and 1, got {shown(pixels)}")
            drawings.append(partial(draw_pixels, fraction=pixels, seed=seed))
        if half is not None:
            if half not in get_args(Half):
                raise ValueError(f"Holes: there is no half {half!r}; choose one of {', '.join(get_args(Half))}")
            drawings.append(partial(draw_half, side=half))
        path = None if file is None else checked_path(file, "Holes: file")
        self._show(None if path is None else read_holes(path, hole), tuple(drawings))
        self._is_ours = path is not None and path.resolve() in {own.resolve() for own in masks()}
        if not self._drawings and not self._marks:
            raise ValueError(
                "Holes: no hole is described; give at least one of file, boxes, strokes, pixels, half, alpha, colour, scratches"
            )

    def _show(self, picture: Tensor | None, others: tuple[Drawing, ...]) -> None:
        """Draw the picture of the holes that a file holds, if there is one, and others."""
        self._picture, self._others = picture, others
        self._drawings = others if picture is None else (partial(draw_picture, picture=picture), *others)

    @property
    def soft(self) -> bool:
        """Whether its file has soft edges."""
        return self._picture is not None and bool(((self._picture > 0) & (self._picture < 1)).any())

    @property
    def made_up(self) -> bool:
        """Whether some of the holes are drawn at random or are the package's own: damage to demonstrate with, which no photo has itself."""
        return self._given["strokes"] is not None or self._given["pixels"] is not None or self._is_ours

    @property
    def of_photo(self) -> bool:
        """Whether some of the holes are found in a photo itself."""
        return bool(self._marks)

    def suits(self, height: int, width: int) -> bool:
        """Whether its file, if it has one, is a mask for pictures of this shape."""
        return self._picture is None or same_shape((height, width), self._picture.shape)

    def has_size(self, height: int, width: int) -> bool:
        """Whether its file, if it has one, has just this size."""
        return self._picture is None or tuple(self._picture.shape) == (height, width)

    def in_photo(self, path: Path, *, whole: bool, size: tuple[int, int] | None = None) -> Masking:
        """The holes for one photo, whose own pixels tell some of them. A file of the photo's shape lies over it as it is.

        Args:
            whole: all of the photo is worked on, so that a file must have its shape; else a file may have the shape that is worked on.
            size: (height, width) that is worked on, where it is known: a file of just this size lies over that, whatever the photo's.

        Raises:
            PhotoError: the photo cannot be read, or no mark is found in it.
            ValueError: the file has another shape.
        """
        picture = self._over(path, whole=whole, worked_on=size)
        if picture is None and not self.of_photo:
            return self._described() if self.soft else self
        others = self._described(with_file=picture is None)
        notes: list[str] = []
        own = picture_size(path)
        holes = torch.zeros(own, dtype=torch.float32, device="cpu") if picture is None else _stretched(picture.ceil(), own, notes)
        if self.of_photo:
            found = self._marks.find(path, alone=not self._drawings).float()
            notes.append(f"{_percent(found)} of the photo is {' or '.join(self._marks.names())}")
            holes = torch.maximum(holes, found)
        return PhotoHoles(holes, others if others._drawings else None, tuple(notes), clear=self._marks.alpha, made_up=self.made_up)

    def _over(self, path: Path, *, whole: bool, worked_on: tuple[int, int] | None) -> Tensor | None:
        """The file's holes, where they belong to the photo's pixels."""
        if self._picture is None:
            return None
        (height, width), size = picture_size(path), tuple(self._picture.shape)
        if whole or size == (height, width):
            self._check_file(height, width)
            return self._picture
        if not self.suits(height, width):
            return None
        is_of_photo = height != width if worked_on is None else size != worked_on
        return self._picture if is_of_photo else None

    def _described(self, *, with_file: bool = True) -> Holes:
        """The same without what is found in photos, and without the file or with its soft edges as hole."""
        made = copy.copy(self)
        made._marks = Marks()
        made._show(self._picture.ceil() if with_file and self._picture is not None else None, self._others)
        return made

    def out_shape(self, in_shape: Shape) -> Shape:
        _, height, width = super().out_shape(in_shape)
        if self.of_photo:
            raise ValueError(f"{self}: these holes are found in a photo: with its file, by in_photo")
        self._check_file(height, width)
        self._check_boxes(height, width)
        return in_shape

    def _check_file(self, height: int, width: int) -> None:
        if self._picture is not None and not self.suits(height, width):
            file_height, file_width = self._picture.shape
            raise ValueError(
                f"{self}: {self._given['file']} is {file_width}×{file_height} but the picture is {width}×{height}, another shape; "
                "crop the mask as the picture was cropped, or describe the hole by boxes, strokes or half"
            )

    def _check_boxes(self, height: int, width: int) -> None:
        for box in self._boxes if in_pixels(self._boxes) else []:
            if box[2] > width or box[3] > height:
                raise ValueError(
                    f"{self}: the box {list(box)} reaches beyond the picture, {width}×{height}; give fractions (0 to 1) to fit any size"
                )

    def _known_for(self, like: Tensor) -> Tensor:
        height, width = like.shape[-2:]
        return _known(self._drawings, height, width, like.dtype, like.device)

    def extra_repr(self) -> str:
        shown = {name: value for name, value in self._given.items() if value is not None}
        if self._picture is None or shown["hole"] == "white":
            del shown["hole"]
        if not {"strokes", "pixels"} & shown.keys():
            del shown["seed"]
        return ", ".join([*(f"{name}={value}" for name, value in shown.items()), *self._marks.names()])


def _stretched(picture: Tensor, size: tuple[int, int], notes: list[str]) -> Tensor:
    """The file's holes at the photo's size."""
    if picture.shape != size:
        notes.append(f"the mask, {picture.shape[1]}×{picture.shape[0]}, was stretched to the photo's {size[1]}×{size[0]}")
    return draw_picture(*size, picture=picture)


def _percent(holes: Tensor) -> str:
    share = 100 * float(holes.double().mean())
    return f"{share:.2g}%" if share else "nothing"


@lru_cache(maxsize=16)
@apart()
def _known(drawings: tuple[Drawing, ...], height: int, width: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """1 minus the union of the holes, (1, 1, H, W). Drawn once per operator (drawings compare by identity), size, type and place."""
    holes = torch.stack([draw(height, width) for draw in drawings]).amax(0)
    return (1 - holes)[None, None].to(device, dtype)


def _checked_scratches(scratches: Any) -> Scratches | None:
    """As settings, which True and a mapping of them become."""
    if scratches is None:
        return None
    try:
        return Scratches.model_validate(scratches)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, ("scratches", *first["loc"])))
        told = f"Holes: {place} is {shown(first['input'])}: {first['msg']}"
        raise ValueError(f"{told}; give True, or settings such as {{'kind': 'dark'}}") from None


def _checked_boxes(boxes: Any) -> list[list[float]] | None:
    """As a list of lists, which arrays and tensors become."""
    boxes = boxes.tolist() if hasattr(boxes, "tolist") else boxes
    if boxes is None:
        return None
    if not isinstance(boxes, Sequence) or isinstance(boxes, str):
        raise ValueError(f"Holes: boxes is {shown(boxes)}; give a list of boxes, [[left, top, right, bottom]]")
    for box in boxes:
        if is_number(box):
            raise ValueError(f"Holes: boxes is {shown(boxes)}; a single box is a list too, [[left, top, right, bottom]]")
        sized = isinstance(box, Sequence) and len(box) == 4 and all(map(is_number, box))
        if not sized or not (0 <= box[0] < box[2] and 0 <= box[1] < box[3]):
            raise ValueError(f"Holes: a box is [left, top, right, bottom] with 0 ≤ left < right and 0 ≤ top < bottom, got {shown(box)}")
    return [list(box) for box in boxes]
