"""What is written of a photo: its pictures, and the record last. A failure is a record too."""

from __future__ import annotations

import hashlib
import math
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath
from statistics import mean
from typing import Any

import torch

from priorsolve.files import Write, together, writing
from priorsolve.metrics import METRICS
from priorsolve.operators.gray import Gray
from priorsolve.photos.identity import Identity
from priorsolve.photos.measurements import measurement_suffix, write_measurement
from priorsolve.photos.names import KNOWN, Photo
from priorsolve.photos.own_colours import in_own_colours
from priorsolve.photos.pictures import PhotoError, reason_of
from priorsolve.photos.writing import WRITTEN, write_tagged
from priorsolve.recipe.components import RecipeError
from priorsolve.recipe.recipe import Recipe
from priorsolve.run.answers import Answer
from priorsolve.run.composing import Pictures, pictures_of
from priorsolve.run.fingerprint import Fingerprint
from priorsolve.run.jobs import Job, Work
from priorsolve.run.outfolder import refuse_unwritable
from priorsolve.run.places import Places, photos_of, places_of
from priorsolve.run.records import Record, read_record, record_of, record_path, rounded, write_record
from priorsolve.solvers.solution import joined
from priorsolve.solvers.stored import packed

FEW = 32
"""Frames of one photo that are told of one by one."""
STAYS = "what was made of it before stays"


@dataclass(frozen=True)
class Keeper:
    """Writes photos' results below `out`; `dtype` is what the network computes in while codes are searched."""

    out: Path
    recipe: Recipe
    fingerprint: Fingerprint
    dtype: str = "float32"

    def places(self, photo: Photo) -> Places:
        """Where the photo's results go."""
        return places_of(photo.name, self.recipe.output.format)

    def keep(self, work: Work, answers: Sequence[Answer], seconds: float) -> Record:
        """Write everything, the record last: it is the promise that the rest is there.

        An older promise goes first, but not before all that comes in its place is written and only to be moved there. Old results that
        have no new ones go after it, and before the new promise: killed in between, the photo is done again, and they go then.
        """
        answers = [answer.checked() for answer in answers]
        if work.grey and not work.tags.grey:  # a grey file's are made grey where they are written
            answers = [answer.in_grey() for answer in answers]
        made = pictures_of(work, answers)
        path = record_path(self.out, work.photo.name)
        older = read_record(path)
        with together() as write_last:
            with together(instead_of=path) as write:
                written = self._write_files(work, answers, made, write)
                record = self._record(work, answers, made, seconds, written)
                write_record(self.out, record, write_last)
            self._remove(work.photo, {*_named(older), *self.places(work.photo)} - {*_named(record)})
        return record

    def _write_files(self, work: Work, answers: Sequence[Answer], made: Pictures, write: Write) -> dict[str, Any]:
        """Write all but the record, and return what that says of it: where each file is, by the name of the record's field."""
        places = self.places(work.photo)
        measured = places.picture if measurement_suffix(tuple(made.measured.shape)) == ".png" else places.array
        digest = hashlib.sha256()

        def write_image(path: Path, data: bytes) -> None:
            digest.update(data)
            write(path, data)

        if made.copied is not None and made.copied.suffix.lower() == PurePosixPath(places.restored).suffix.lower():
            write_image(self.out / places.restored, made.copied.read_bytes())
        else:
            self._write_restored(work, made, self.out / places.restored, write_image)
        write_measurement(self.out / measured, made.measured, write)
        written = {"image": places.restored, "image_sha256": digest.hexdigest(), "measurement": measured}
        if made.clean is not None:
            write_tagged(self.out / places.clean, made.clean, write=write)
            written["original"] = places.clean
        if made.spread is not None:
            write_tagged(self.out / places.spread, 4 * made.spread, write=write)
            written["spread"] = places.spread
        if found := [answer.solution for answer in answers if answer.solution is not None]:
            write(self.out / places.codes, packed(joined(found)))
            written["codes"] = places.codes
        return written

    def _record(self, work: Work, answers: Sequence[Answer], made: Pictures, seconds: float, written: Mapping[str, Any]) -> Record:
        return Record(
            name=work.photo.name,
            status="done",
            fingerprint=work.fingerprint,
            seed=work.seed,
            steps=max((answer.steps for answer in answers), default=0),
            metrics=_judged(work.jobs, answers, self.recipe.metrics),
            notes=(*work.notes, *_said(work, answers), *_renamed(work.photo, written["image"])),
            diagnosis=tuple(_labelled(work, index, line) for index, answer in enumerate(answers[:FEW]) for line in answer.diagnosis),
            input_size=work.original,
            output_size=(int(made.restored.shape[-2]), int(made.restored.shape[-1])),
            seconds=round(seconds, 3),
            versions=_versions(),
            dtype=self.dtype,
            recipe=self.fingerprint.of_all,
            task=self.recipe.heading,
            file=work.file,
            **_fit(answers),
            **written,
        )

    def _write_restored(self, work: Work, made: Pictures, path: Path, write: Write) -> None:
        """The restored picture, with what the photo's file says and in its colours; grey photos stay grey unless they lost colours."""
        parts = work.scene.source.damage.parts if work.scene is not None else work.jobs[0].parts
        grey = None if made.copied is not None else next((part for part in parts if isinstance(part, Gray)), None)
        tags = work.tags.fitting(grey=work.tags.grey and grey is None)
        own = in_own_colours(made.restored, tags, work.photo.path, same_size=work.scene is not None, alpha=made.alpha, grey=grey)
        write_tagged(path, own, tags, write)

    def fail(self, photo: Photo, error: Exception, file: Identity | None = None) -> Record:
        """The record of a failure, without what an earlier recipe made of the photo, or of another file of that name.

        What this recipe made of this very file stays, and its record too: then the failure is told alone. `file` is what the photo was,
        where that is known. Raises ValueError where the folder can no longer be written: no photo could be kept.
        """
        refuse_unwritable(self.out, error)
        stays = self._has_made(photo, file)
        record = Record(
            name=photo.name,
            status="failed",
            fingerprint=self.fingerprint(photo),
            reason=f"{_reason(error)}; {STAYS}" if stays else _reason(error),
            versions=_versions(),
            recipe=self.fingerprint.of_all,
            task=self.recipe.heading,
            file=file,
        )
        if stays:
            return record
        older = record_of(self.out, photo.name)
        try:
            write_record(self.out, record)
            self._remove(photo, {*_named(older), *self.places(photo)})
        except OSError as refused:  # a name that is too long for a record's file: it is told, and tried again
            refuse_unwritable(self.out, refused)
        return record

    def _remove(self, photo: Photo, places: Iterable[str]) -> None:
        """Remove results of the photo that no record tells of any more; what has become another photo's stays. Raises WriteError."""
        for place in places:
            others = (record_of(self.out, name) for name in photos_of(place) - {photo.name})
            if (self.out / place).is_file() and not any(place in _named(record) for record in others):
                with writing(self.out / place):
                    (self.out / place).unlink(missing_ok=True)

    def _has_made(self, photo: Photo, file: Identity | None) -> bool:
        """Whether this recipe's result of this file is there. What cannot be read, be it a mask or the photo, is taken to be unchanged."""
        record = record_of(self.out, photo.name)
        if record is None or record.status != "done" or record.image is None or not (self.out / record.image).is_file():
            return False
        if record.file is not None and not (file.sha256 == record.file.sha256 if file else record.file.may_be_of(photo.path)):
            return False
        if record.fingerprint == self.fingerprint(photo):
            return True
        return record.recipe in ("", self.fingerprint.of_all) and not self.fingerprint.is_known(photo)


def _named(record: Record | None) -> tuple[str, ...]:
    """The files that the record says are there."""
    places = () if record is None else (record.image, record.spread, record.measurement, record.original, record.codes)
    return tuple(place for place in places if place is not None)


def _fit(answers: Sequence[Answer]) -> dict[str, Any]:
    """How the answer fits that fits worst, by the names of the record's fields; nothing where there is no answer."""
    if not answers:
        return {}
    worst = max(answers, key=lambda answer: answer.misfit)
    history = tuple(map(rounded, worst.history))
    return {"misfit": rounded(worst.misfit), "residual": rounded(worst.residual), "history": history, "stopped": worst.stopped}


def _judged(jobs: Sequence[Job], answers: Sequence[Answer], metrics: Sequence[str]) -> dict[str, float]:
    """Each metric's mean over the jobs, where the originals are known: on the prior's own pictures, not the whole photo."""
    judged = {}
    clean = [(answer, job.clean) for answer, job in zip(answers, jobs, strict=True) if job.clean is not None]
    for key in metrics if clean else ():
        judged[key] = rounded(mean(float(METRICS[key](answer.image[None], original[None])) for answer, original in clean))
    for key in answers[0].calibration if answers else ():
        guessed = [answer.calibration[key] for answer in answers if not math.isnan(answer.calibration[key])]
        if guessed:  # in a frame where all is known there is nothing to judge
            judged[key] = rounded(mean(guessed))
    return judged


def _said(work: Work, answers: Sequence[Answer]) -> list[str]:
    """Where each frame is and how well it fits, and what there is to note of it."""
    if len(answers) > FEW:
        return []
    found = [f"{label}: misfit {rounded(answer.misfit):g}" for label, answer in zip(work.labels, answers, strict=False) if label]
    return [*found, *(_labelled(work, index, answer.note) for index, answer in enumerate(answers) if answer.note)]


def _labelled(work: Work, index: int, sentence: str) -> str:
    """The sentence, told of its frame where there are several."""
    return f"{work.labels[index].split(',')[0]}: {sentence}" if len(work.jobs) > 1 else sentence


def _renamed(photo: Photo, restored: str) -> list[str]:
    """That the result has another format than the photo, where that one cannot be written."""
    suffix = PurePosixPath(photo.name).suffix.lower()
    if suffix not in KNOWN or suffix in WRITTEN or suffix == ".npy":
        return []
    return [f"the result is a {PurePosixPath(restored).suffix[1:].upper()}: {suffix[1:].upper()} is not written"]


def _reason(error: Exception) -> str:
    """One line. An error that nobody foresaw keeps its type, so that it can be reported."""
    text = reason_of(error)
    foreseen = isinstance(error, PhotoError | RecipeError | MemoryError) or (isinstance(error, OSError) and error.filename is not None)
    return text if foreseen and text else f"{type(error).__name__}: {text}"


def _versions() -> dict[str, str]:
    try:
        own = version("priorsolve")
    except PackageNotFoundError:
        own = "checkout"
    return {"priorsolve": own, "torch": torch.__version__, "python": platform.python_version()}
