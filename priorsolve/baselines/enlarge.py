"""Enlarging by Pillow's `resize`: what every program does with a small picture."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from priorsolve.baselines.base import Baseline
from priorsolve.baselines.undo import only, undo
from priorsolve.operators import Downsample, PillowResize
from priorsolve.operators.pillow import SMALLER

EDGE = 4
"""How many pixels a picture goes on as its border pixels, where it is looked at half a pixel off: Lanczos reaches 3."""


def resized(y: Tensor, smaller: Downsample | PillowResize, how: Image.Resampling = Image.Resampling.BICUBIC) -> Tensor:
    """(C, h, w) -> (C, H, W), channel by channel in float, so that nothing is rounded to 8 bits."""
    factor = smaller.factor
    size = (y.shape[2] * factor, y.shape[1] * factor)
    # Pillow takes each pixel for the middle of its square. The one that "nearest" keeps of an even number lies half a large pixel past it.
    off = 0.5 / factor if isinstance(smaller, Downsample) and smaller.kernel == "nearest" and factor % 2 == 0 else 0.0
    pad = EDGE if off else 0
    box = (pad - off, pad - off, pad - off + y.shape[2], pad - off + y.shape[1])
    padded = np.pad(y.float().numpy(), ((0, 0), (pad, pad), (pad, pad)), mode="edge")
    channels = [Image.fromarray(channel).resize(size, how, box) for channel in padded]
    return torch.from_numpy(np.stack([np.asarray(channel) for channel in channels])).to(y)


BICUBIC = Baseline("bicubic", only(SMALLER), partial(undo, enlarge=resized))
LANCZOS = Baseline("lanczos", only(SMALLER), partial(undo, enlarge=partial(resized, how=Image.Resampling.LANCZOS)))
