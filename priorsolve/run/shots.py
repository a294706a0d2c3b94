"""A photo at its own size, as it is measured: the file itself, or a clean one that is degraded first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from priorsolve.files import is_array
from priorsolve.operators.noise import Noise
from priorsolve.photos.images import read_photo
from priorsolve.photos.pictures import ON_WHITE, PhotoError
from priorsolve.run.damage import Damage


@dataclass(frozen=True)
class Shot:
    """A photo as it is measured, (1|3, H, W), and where it is degraded first the clean one, `factor` times as tall and wide."""

    measured: Tensor
    clean: Tensor | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """Where a shot comes from. It is read again when it is needed again: a batch of large scans would not fit in memory."""

    path: Path
    channels: int
    damage: Damage
    noise: Noise | None
    seed: int
    degrade: bool

    def shoot(self) -> Shot:
        """Read it. Raises PhotoError, or RecipeError where a whole photo cannot be degraded."""
        if is_array(self.path):
            raise PhotoError(self.path, "an array, not a photo; restore it with frame: center")
        if not self.degrade:
            photo, notes = read_photo(self.path, 1 if self.channels == 1 else 3, self.damage.luma)
            return Shot(photo, None, tuple(note for note in notes if note != ON_WHITE))  # it is taken off again
        clean, notes = read_photo(self.path)
        factor = self.damage.factor
        height, width = (side - side % factor for side in clean.shape[-2:])
        if (height, width) != clean.shape[-2:]:
            notes = (*notes, f"cropped to {width}×{height}, a multiple of {factor}")
        clean = clean[:, :height, :width]
        return Shot(self.damage.measure(clean, self.noise, self.seed), clean, notes)


def enlarged(photo: Tensor, factor: int) -> Tensor:
    """The photo, (C, H, W), `factor` times as tall and wide, by Lanczos."""
    if factor == 1:
        return photo
    size = photo.shape[-1] * factor, photo.shape[-2] * factor
    layers = [Image.fromarray(layer.numpy()).resize(size, Image.Resampling.LANCZOS) for layer in photo.cpu().float()]
    return torch.from_numpy(np.stack([np.array(layer) for layer in layers]))
