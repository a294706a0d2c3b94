"""The frame of FFHQ, and so of the priors that learnt from it: an oriented square from eyes and mouth."""

from __future__ import annotations

import math
from dataclasses import dataclass

from priorsolve.framing.frame import Frame, Point


@dataclass(frozen=True)
class Landmarks:
    """Eyes and corners of the mouth, (x, y) in pixels; left and right are the picture's."""

    left_eye: Point
    right_eye: Point
    left_mouth: Point
    right_mouth: Point


def face_frame(found: Landmarks) -> Frame:
    """The square that FFHQ cuts out around a face.

    Its axis is the eyes' with the mouth's turned by a quarter, its half side twice the distance of the eyes or 1.8 that of eyes to
    mouth, whichever is more, and its centre a tenth of the way from eyes to mouth.

    Source: Karras et al., "Progressive growing of GANs", 2018, appendix C, and FFHQ's own alignment.

    Raises:
        ValueError: the points fall together, so that no direction is known.
    """
    eyes, mouth = _middle(found.left_eye, found.right_eye), _middle(found.left_mouth, found.right_mouth)
    across, along = _from(found.left_eye, found.right_eye), _from(eyes, mouth)
    x, y = across[0] + along[1], across[1] - along[0]
    if not (length := math.hypot(x, y)):
        raise ValueError("a face has its eyes and mouth in different places")
    side = max(2 * math.hypot(*across), 1.8 * math.hypot(*along)) / length
    right = x * side, y * side
    return Frame((eyes[0] + 0.1 * along[0], eyes[1] + 0.1 * along[1]), right, (-right[1], right[0]))


def _middle(a: Point, b: Point) -> Point:
    return (a[0] + b[0]) / 2, (a[1] + b[1]) / 2


def _from(a: Point, b: Point) -> Point:
    return b[0] - a[0], b[1] - a[1]
