"""Grey and colours: what makes grey of a photo, and which photos have no colour."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from priorsolve.types import Floats

LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in grey, where nothing asks for others: Pillow's."""
LEFT_GREY = "the photo's own colours were left out: a grey picture was asked for"
_COLOURED = 0.02
"""How far the channels of a photo in colours are apart on average; less than that is the tint of a scanner or of a file's rounding."""
GREY = 3.5 / 255
"""How far apart the channels of a pixel without colour may lie: a step of a JPEG's chroma moves them up to 3 levels apart, WebP one. A tint
that can be seen is more."""
_ROWS = 256
"""Rows that are looked at at once."""


def grey(image: Tensor, luma: Sequence[float] = LUMA) -> Tensor:
    """(1, H, W) of (3, H, W): shares of red, green and blue."""
    return (image * image.new_tensor(luma)[:, None, None]).sum(0, keepdim=True)


def shows_greys_alone(image: Tensor, known: Tensor | None = None) -> bool:
    """Whether no pixel of (3, H, W) has a colour, and some are grey, where `known`, (1, H, W), is above 0: black alone may be hidden."""
    greys = False
    for top in range(0, image.shape[1], _ROWS):
        strip = image[:, top : top + _ROWS]
        if known is not None:
            strip = strip * (known[:, top : top + _ROWS] > 0)
        highest = strip.amax(0)
        if bool((highest - strip.amin(0) > GREY).any()):
            return False
        greys = greys or bool(highest.any())
    return greys


def note_colours(values: Floats, notes: list[str]) -> None:
    """Note that the colours of (H, W, 3) in [0, 1] are not used, where there are any."""
    if float((values.max(-1) - values.min(-1)).mean()) > _COLOURED:
        notes.append(LEFT_GREY)
