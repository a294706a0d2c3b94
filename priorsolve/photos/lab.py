"""CIELAB, in which lightness and colours are apart, by kornia: imported late, as that takes long and most runs do without."""

from __future__ import annotations

from torch import Tensor


def to_lab(picture: Tensor) -> Tensor:
    """(..., 3, H, W) in [0, 1], sRGB, as lightness L, 0 to 100, and the chroma a and b."""
    from kornia.color import rgb_to_lab

    lab: Tensor = rgb_to_lab(picture)
    return lab


def from_lab(lab: Tensor) -> Tensor:
    """The picture, (..., 3, H, W), not clamped, of what `to_lab` makes."""
    from kornia.color import lab_to_rgb

    picture: Tensor = lab_to_rgb(lab, clip=False)
    return picture
