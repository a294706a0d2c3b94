"""Where in a photo the prior's pictures lie, cutting them out, and laying them back: geometry and colours, no recipes."""

from __future__ import annotations

from priorsolve.framing.align import Landmarks, face_frame
from priorsolve.framing.detector import DetectorError, Face, find_faces, load_detector
from priorsolve.framing.fill import continued, filled
from priorsolve.framing.frame import Frame
from priorsolve.framing.pasting import Box, Patch, covered, paste
from priorsolve.framing.tiles import tile_frames
from priorsolve.framing.warp import cut, cut_known, lay
from priorsolve.framing.windows import Rounded, Whole

__all__ = [
    "Box",
    "DetectorError",
    "Face",
    "Frame",
    "Landmarks",
    "Patch",
    "Rounded",
    "Whole",
    "continued",
    "covered",
    "cut",
    "cut_known",
    "face_frame",
    "filled",
    "find_faces",
    "lay",
    "load_detector",
    "paste",
    "tile_frames",
]
