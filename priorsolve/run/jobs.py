"""From a photo to what is solved: its measurements, each with the parts of the operators that made it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

import torch
from torch import Tensor

from priorsolve.counter_rng import FRAMES, seed_at
from priorsolve.files import is_array
from priorsolve.framing import cut
from priorsolve.operators.base import Operator
from priorsolve.operators.gray import Gray
from priorsolve.operators.holes import Holes
from priorsolve.operators.lines import Lines
from priorsolve.operators.mask import Mask, Masking
from priorsolve.operators.noise import Noise
from priorsolve.operators.photo_holes import PhotoHoles
from priorsolve.photos.greys import LEFT_GREY, shows_greys_alone
from priorsolve.photos.identity import Identity
from priorsolve.photos.images import Crop
from priorsolve.photos.metadata import Tags, read_tags
from priorsolve.photos.names import Photo, output_name
from priorsolve.photos.pictures import PhotoError, picture_size
from priorsolve.photos.writing import LONGEST, WRITTEN
from priorsolve.recipe.elsewhere import WRITTEN_FOR
from priorsolve.recipe.operators import Operators
from priorsolve.recipe.recipe import Recipe
from priorsolve.recipe.templates import photo_seed, stem
from priorsolve.run.damage import Damage
from priorsolve.run.measuring import measure, measured_where, observe, photograph
from priorsolve.run.scenes import BESIDE, NO_FACE, Scene, framed
from priorsolve.run.shots import Source

NO_LARGER = "the result is no larger than the photo, which was made smaller first; --set frame=faces enlarges the faces in it"
ENLARGED = "the photo is smaller than what the recipe restores from, and was enlarged first"
HIDES_ALL = "the mask hides everything (nothing is known of what was restored)"
HIDES_NOTHING = "the mask hides nothing (no hole lies in what was restored)"
SUMMARISED = (BESIDE, NO_FACE, WRITTEN_FOR, HIDES_ALL, HIDES_NOTHING, NO_LARGER, ENLARGED, LEFT_GREY)
"""How notes begin that a run's last lines repeat, with the number of photos."""
MADE_UP = (
    "the recipe's mask is one to demonstrate with, and would hide what this photo shows; say where its own holes are, as "
    "operator.mask={file: hole.png} (white = hole) or {scratches: {kind: both}}, or degrade the photo first (--degrade) where it is clean"
)
DARK, SHOWN = 0.15, 0.2
"""Up to which level what is hidden is taken for black, and what share of it may be lighter: noise and a JPEG file bring some light in."""


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
    """A photo, read: the jobs that it gives, and how it was framed. `fingerprint` and `file` are of what was read.

    `original` is the photo's (height, width), where it is one; `scene` what makes one picture of the answers, where it is not the
    answer itself; `labels` say for each job where it is; `tags` are what the photo's file says beside its pixels; `grey` is for photos
    that show no colours, and are not to be given any.
    """

    photo: Photo
    seed: int
    jobs: tuple[Job, ...]
    original: tuple[int, int] | None
    notes: tuple[str, ...]
    scene: Scene | None = None
    labels: tuple[str, ...] = ("",)
    tags: Tags = field(default_factory=Tags)
    fingerprint: str = ""
    file: Identity | None = None
    grey: bool = False


@dataclass(frozen=True)
class Reader:
    """Reads photos as a run takes them; with `degrade` they are clean, and are degraded first. `plain` as in `Run`."""

    recipe: Recipe
    operators: Operators
    solving: Operators
    noise: Noise | None
    degrade: bool
    plain: bool = False

    def read(self, photo: Photo) -> Work:
        """The photo's work. Raises PhotoError or RecipeError, such as for its mask that is missing."""
        seed = photo_seed(self.recipe.seed, photo.name)
        given_array = is_array(photo.path)
        marked = None if self.degrade or given_array else photo.path
        parts = self.operators.of(stem(photo.name), seed, marked)
        solving = parts if self.solving is self.operators else self.solving.of(stem(photo.name), seed, marked)
        work = self._read(photo, seed, parts, solving)
        said = [note for part in parts if isinstance(part, PhotoHoles) for note in part.notes]
        said += [self.recipe.exchanged] if self.recipe.exchanged else []
        tags = Tags() if given_array else read_tags(photo.path)
        return replace(work, notes=(*work.notes, *said), tags=Tags(grey=tags.grey) if self.plain else tags)

    def _read(self, photo: Photo, seed: int, parts: list[Operator], solving: list[Operator]) -> Work:
        if self.recipe.in_frames:
            return self._read_frames(photo, seed, parts, solving)
        operator = self.operators.join([parts])
        if self.degrade:
            clean, crop = photograph(photo.path, self.operators.image_shape, plain=self.plain)
            clean = self._placed(clean)
            y = measure(clean[None], operator, self.noise, [seed])[0]
            notes = (*crop.sentences(), *self._hidden([parts]))
            return Work(photo, seed, (Job(seed, y, parts, solving, clean),), crop.original, notes, grey=_stays_grey(parts, clean))
        observed, given = observe(photo.path, self.operators.out_shape, Damage(parts, self.operators.image_shape).luma)
        if given is not None and _made_up(parts):
            _refuse_shown(photo, observed, self._where(operator).cpu())
        y = self._measured(observed, operator)
        original, notes = (given.original, given.sentences()) if given else (None, ())
        notes = (*notes, *self._resized(given), *self._hidden([parts]))
        return Work(photo, seed, (Job(seed, y, parts, solving, None),), original, notes, grey=_stays_grey(parts, y))

    def _measured(self, observed: Tensor, operator: Operator) -> Tensor:
        """What was measured of what is seen, 0 in the holes."""
        return self._placed(observed) * self._where(operator)

    def _read_frames(self, photo: Photo, seed: int, parts: list[Operator], solving: list[Operator]) -> Work:
        """A job for each frame in which there is something to do."""
        damage = Damage(parts, self.operators.image_shape)
        keeps = self.recipe.output.consistency
        source = Source(photo.path, self.operators.out_shape[0], damage, self.noise, seed, self.degrade)
        scene, shot, notes, labels = framed(source, self.recipe.frame, keeps=keeps)
        if not scene.is_copy:
            _refuse_longer(photo, output_name(photo.name, self.recipe.output.format), scene.size)
        doubted = not self.degrade and not scene.is_copy and _made_up(parts)
        if doubted and damage.for_any_size:  # before frames are resampled, which enlarges holes
            _refuse_shown(photo, shot.measured, damage.where(scene.size))
        frames = [patch.frame for patch in scene.patches]
        own = damage.framed(frames, scene.size)
        solvers = own if solving is parts else Damage(solving, self.operators.image_shape).framed(frames, scene.size)
        jobs, kept = [], []
        for index, frame in enumerate(frames):
            if keeps and damage.only_holes and all(bool((part.known == 1).all()) for part in own[index] if isinstance(part, Mask)):
                continue  # nothing is missing here
            operator = self.operators.join([own[index]])
            seen = cut(shot.measured, frame.scaled(1 / damage.factor), (self.operators.out_shape[1], self.operators.out_shape[2]))
            if doubted and not damage.for_any_size:
                _refuse_shown(photo, seen, self._where(operator).cpu())
            y = self._measured(seen, operator)
            clean = None if shot.clean is None else self._placed(cut(shot.clean, frame, scene.tile))
            jobs.append(Job(seed_at(seed, index, FRAMES), y, own[index], solvers[index], clean))
            kept.append(index)
        scene = replace(scene, patches=tuple(scene.patches[index] for index in kept))
        original = picture_size(photo.path)  # what is measured may be smaller
        notes = (*notes, *self._hidden(own))
        known = None if self.degrade else damage.known(scene.size)
        shown = shot.measured if shot.clean is None else shot.clean
        grey = _stays_grey(parts, shown, None if known is None else known[:, :: damage.factor, :: damage.factor])
        return Work(photo, seed, tuple(jobs), original, notes, scene, tuple(labels[index] for index in kept), grey=grey)

    def _placed(self, values: Tensor) -> Tensor:
        return values.to(self.operators.device, self.operators.dtype)

    def _where(self, operator: Operator) -> Tensor:
        """1 where the operator of one picture measures something, 0 in the holes."""
        return measured_where(operator, self._placed(torch.empty(1, *self.operators.image_shape)))[0]

    def _resized(self, given: Crop | None) -> tuple[str, ...]:
        """That a photo was made smaller than what it is enlarged to, which is no larger than it was; or that it was enlarged."""
        if given is None:
            return ()
        size, (left, top, right, bottom) = self.operators.image_shape[1:], given.box
        if bottom - top < given.size[0] or right - left < given.size[1]:
            return (ENLARGED,)
        if given.size[0] >= size[0] or bottom - top < size[0] or right - left < size[1]:
            return ()
        sizes = f"{right - left:g}×{bottom - top:g} became {given.size[1]}×{given.size[0]}, and the result is {size[1]}×{size[0]}"
        return (f"{NO_LARGER} ({sizes})",)

    def _hidden(self, frames: list[list[Operator]]) -> tuple[str, ...]:
        """What is odd about the masks in all of a photo's frames: that they hide nothing, or all of it."""
        masks = [list(self._masks(parts)) for parts in frames]
        if not any(masks):
            return ()
        if all(bool((known == 1).all()) for each in masks for known in each):
            return (HIDES_NOTHING,)
        return (HIDES_ALL,) if all(any(not bool(known.any()) for known in each) for each in masks) else ()

    def _masks(self, parts: list[Operator]) -> Iterator[Tensor]:
        """What each mask leaves known, at the size that it meets."""
        shape = self.operators.image_shape
        for part in parts:
            if isinstance(part, Masking):
                yield part.known_of(shape)
            shape = part.out_shape(shape)


def _made_up(parts: list[Operator]) -> bool:
    """Whether some of the holes are to demonstrate with."""
    return any(isinstance(part, Holes | PhotoHoles | Lines) and part.made_up for part in parts)


def _refuse_shown(photo: Photo, seen: Tensor, where: Tensor) -> None:
    """Raises PhotoError where holes to demonstrate with, 0 in `where`, would hide what a photo shows: if they degraded it, it is black."""
    hidden = seen[where.expand(seen.shape) == 0]
    if len(hidden) and float((hidden > DARK).float().mean()) > SHOWN:
        raise PhotoError(photo.path, MADE_UP)


def _refuse_longer(photo: Photo, made: str, size: tuple[int, int]) -> None:
    """Raises PhotoError where the format of the result has no pictures of this (height, width)."""
    kind, _ = WRITTEN[PurePosixPath(made).suffix.lower()]
    if max(size) > LONGEST.get(kind, max(size)):
        told = f"would become {size[1]}×{size[0]}, and a side of a {kind} has {LONGEST[kind]} pixels at most"
        raise PhotoError(photo.path, f"{told}; --set output.format=png writes a PNG")


def _stays_grey(parts: list[Operator], shown: Tensor, known: Tensor | None = None) -> bool:
    """Whether what is seen of a photo, (C, H, W), 0 in holes or not `known` there, is grey, and no part took its colours."""
    return shown.ndim == 3 and len(shown) == 3 and not any(isinstance(part, Gray) for part in parts) and shows_greys_alone(shown, known)
