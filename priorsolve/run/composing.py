"""From answers to the pictures that are kept of a photo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from priorsolve.framing import covered
from priorsolve.photos.images import read_photo, read_transparent
from priorsolve.run.answers import Answer
from priorsolve.run.blending import compose, compose_spread
from priorsolve.run.jobs import Work
from priorsolve.run.scenes import Scene
from priorsolve.run.shots import enlarged


@dataclass(frozen=True)
class Pictures:
    """(C, H, W) each, at the photo's size: `spread` and `alpha` (1, H, W) and `clean` where there are such; `copied` is a photo that stays
    as it is."""

    restored: Tensor
    measured: Tensor
    clean: Tensor | None
    spread: Tensor | None
    copied: Path | None = None
    alpha: Tensor | None = None


def pictures_of(work: Work, answers: Sequence[Answer]) -> Pictures:
    """The pictures of a photo whose jobs all have their answers. Raises PhotoError where a large photo cannot be read again."""
    if work.scene is not None:
        return _composed(work.scene, answers)
    (job,), (answer,) = work.jobs, answers
    return Pictures(answer.image, job.y, job.clean, None if answer.spread is None else answer.spread[None])


def _composed(scene: Scene, answers: Sequence[Answer]) -> Pictures:
    shot, damage = scene.source.shoot(), scene.source.damage
    known = damage.known(scene.size)
    shown = shot.measured
    if known is not None and not scene.source.degrade:
        shown = shown * (known[:, :: damage.factor, :: damage.factor] > 0)
    spreads = [answer.spread for answer in answers if answer.spread is not None]
    if scene.is_copy:
        restored = read_photo(scene.source.path)[0]  # in its colours, also where what is measured is grey
    else:
        restored = compose(scene, shot, [answer.image for answer in answers], [answer.drawn for answer in answers])
    return Pictures(
        restored,
        shown,
        shot.clean,
        compose_spread(scene, spreads) if spreads else None,
        copied=scene.source.path if scene.is_copy else None,
        alpha=None if scene.source.degrade else _alpha(scene),
    )


def _alpha(scene: Scene) -> Tensor | None:
    """The photo's, (1, H, W): opaque where transparent parts were filled. None where nothing is transparent."""
    if (stored := read_transparent(scene.source.path)) is None:
        return None
    damage = scene.source.damage
    alpha = enlarged(torch.from_numpy(np.ascontiguousarray(stored[..., -1]))[None], damage.factor).clamp(0, 1)
    known = damage.known(scene.size) if damage.transparent_is_hole else None
    if known is None:
        return alpha
    shown = torch.ones(1) if scene.fills else covered(scene.patches, *scene.size)
    alpha = torch.where(known < 1, torch.maximum(alpha, shown), alpha)  # what is all but opaque is no hole
    return None if scene.fills and bool((alpha == 1).all()) else alpha
