"""Enlarging by Pillow's `resize`: what every program does with a small picture."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from priorsolve.baselines.base import Baseline
from priorsolve.baselines.chain import SMALLER, only, undo


def resized(y: Tensor, size: tuple[int, int], how: Image.Resampling = Image.Resampling.BICUBIC) -> Tensor:
    """(C, h, w) -> (C, *size), channel by channel in float, so that nothing is rounded to 8 bits."""
    channels = [Image.fromarray(channel).resize((size[1], size[0]), how) for channel in y.float().numpy()]
    return torch.from_numpy(np.stack([np.asarray(channel) for channel in channels])).to(y)


BICUBIC = Baseline("bicubic", only(SMALLER), partial(undo, enlarge=resized))
LANCZOS = Baseline("lanczos", only(SMALLER), partial(undo, enlarge=partial(resized, how=Image.Resampling.LANCZOS)))
