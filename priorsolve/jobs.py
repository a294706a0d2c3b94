"""From a photo to what is solved: its measurements, each with the parts of the operators that made it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from priorsolve.build import Operators
from priorsolve.images import Framing
from priorsolve.measuring import covered, measure, measured_where, observe, photo_seed, photograph, stem
from priorsolve.operators.base import Operator
from priorsolve.operators.noise import Noise
from priorsolve.photos import Photo
from priorsolve.recipe import Recipe


@dataclass(frozen=True)
class Job:
    """One measurement to solve: `parts` of its operator, `solving` of the solver's, and the clean image where it was degraded."""

    seed: int
    y: Tensor
    parts: list[Operator]
    solving: list[Operator]
    clean: Tensor | None


@dataclass(frozen=True)
class Work:
    """A photo, read: the jobs that it gives, and how it was framed. `fingerprint` is of what was read."""

    photo: Photo
    fingerprint: str
    seed: int
    jobs: tuple[Job, ...]
    framing: Framing | None


@dataclass(frozen=True)
class Reader:
    """Reads photos as a run takes them; with `degrade` they are clean, and are degraded first."""

    recipe: Recipe
    operators: Operators
    solving: Operators
    noise: Noise | None
    degrade: bool
    device: torch.device
    dtype: torch.dtype

    def read(self, photo: Photo, fingerprint: str) -> Work:
        """The photo's work. Raises PhotoError or RecipeError, such as for its mask that is missing."""
        seed = photo_seed(self.recipe.seed, photo.name)
        parts = self.operators.of(stem(photo.name), seed)
        solving = parts if self.solving is self.operators else self.solving.of(stem(photo.name), seed)
        operator = self.operators.join([parts])
        if self.degrade:
            clean, framing = photograph(photo.path, self.operators.image_shape)
            clean = clean.to(self.device, self.dtype)
            y = measure(clean[None], operator, self.noise, [seed])[0]
            return Work(photo, fingerprint, seed, (Job(seed, y, parts, solving, clean),), framing)
        observed, given = observe(photo.path, self.operators.out_shape)
        y = covered(observed.to(self.device, self.dtype)[None], operator, is_picture=given is not None)
        y = y * measured_where(operator, y.new_empty(1, *self.operators.image_shape))
        return Work(photo, fingerprint, seed, (Job(seed, y[0], parts, solving, None),), given)
