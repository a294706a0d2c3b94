"""Holes that a photo shows by itself: what is transparent in it, painted over in one colour, or scratched."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy
import torch
from PIL import Image, ImageColor
from torch import Tensor

from priorsolve.photos.pictures import PhotoError, finish, open_picture
from priorsolve.photos.scratches import Scratches, find_scratches, grown
from priorsolve.showing import is_number, is_whole, must_be_switch, shown

OPAQUE = 250
"""Of 255: pixels with less alpha are holes."""
SMEARED, AT_MOST = 4, 0.3
"""What touches a painted place may be off by so many times the tolerance, and by no more than so much beyond it: JPEG smears colours."""


@dataclass(frozen=True)
class Marks:
    """What to look for: `alpha`, `colour` and `scratches`, or without any of them nothing."""

    alpha: bool = False
    colour: str | None = None
    tolerance: float = 0.1
    grow: int = 2
    scratches: Scratches | None = None

    def __post_init__(self) -> None:
        must_be_switch(self.alpha, "Holes: alpha")
        if self.colour is not None:
            _rgb(self.colour)
        if not is_number(self.tolerance) or not 0 <= self.tolerance < 1:
            raise ValueError(f"Holes: tolerance is how far each channel may be off, from 0 to 1, got {shown(self.tolerance)}")
        if not is_whole(self.grow) or not 0 <= self.grow <= 64:
            raise ValueError(f"Holes: grow is by how many pixels painted places are widened, from 0 to 64, got {shown(self.grow)}")

    def __bool__(self) -> bool:
        return bool(self.alpha) or self.colour is not None or self.scratches is not None

    def names(self) -> list[str]:
        """What is looked for, in words."""
        return [
            *(["transparent"] if self.alpha else []),
            *([f"of the colour {self.colour}"] if self.colour is not None else []),
            *(["scratched or dusty"] if self.scratches is not None else []),
        ]

    def find(self, path: Path, *, alone: bool) -> Tensor:
        """(H, W), boolean: the holes of the upright photo, in its own pixels.

        Raises:
            PhotoError: the photo cannot be read, is one big hole, or has no mark at all although somebody was to make them: nothing
                is transparent or of the colour, scratches are not looked for, and the marks are `alone` in telling holes.
        """
        picture, _, _ = open_picture(path)
        found = torch.zeros(picture.height, picture.width, dtype=torch.bool)
        if self.alpha and "A" in picture.getbands():
            found |= torch.from_numpy(np.asarray(picture.getchannel("A")) < OPAQUE)
        if self.colour is not None:
            found |= grown(_painted(picture, _rgb(self.colour), self.tolerance), self.grow)
        if self.scratches is not None:
            found |= find_scratches(_grey(picture), self.scratches)
        if bool(found.all()):
            raise PhotoError(path, f"all of it is {' or '.join(self.names())}: nothing is left to go by")
        if alone and self.scratches is None and not bool(found.any()):
            raise PhotoError(path, f"nothing in it is {' or '.join(self.names())}, so no hole is known; {self._way_out()}")
        return found

    def _way_out(self) -> str:
        if self.colour is not None:
            return f"raise tolerance, now {self.tolerance:g}, or give the colour that was painted with"
        return "erase the holes in an editor and save with transparency (PNG, TIFF, WebP), or give a mask by its file"


def _rgb(colour: str) -> tuple[int, int, int]:
    try:
        return ImageColor.getrgb(str(colour))[:3]  # what is no text is no colour either
    except ValueError:
        raise ValueError(f"Holes: {colour!r} is no colour; write it as '#ff00ff', with quotes, or by its name, such as magenta") from None


def _painted(picture: Image.Image, colour: tuple[int, int, int], tolerance: float) -> Tensor:
    """Where every channel is near the colour's, and beside that somewhat near, by the values in the file: those that an editor shows."""
    plain = Image.fromarray(np.rint(np.asarray(picture) * 255).astype(np.uint8)) if picture.mode == "F" else picture
    values = np.asarray(plain.convert("RGB"))
    off = np.abs(values.astype(np.int16) - np.array(colour, np.int16)).max(-1)
    beside = min(SMEARED * tolerance, tolerance + AT_MOST)
    return torch.from_numpy(scipy.ndimage.binary_propagation(off <= tolerance * 255, np.ones((3, 3)), off <= beside * 255))


def _grey(picture: Image.Image) -> Tensor:
    plain = finish(picture, [])
    if plain.mode == "F":
        return torch.from_numpy(np.array(plain, np.float32))
    return torch.from_numpy(np.asarray(plain.convert("L"), dtype=np.float32) / 255)
