"""What is written of a photo: its pictures, and the record last. A failure is a record too."""

from __future__ import annotations

import contextlib
import errno
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import torch

from priorsolve.answers import Answer
from priorsolve.components import RecipeError
from priorsolve.images import PhotoError, measurement_suffix, write_image, write_measurement
from priorsolve.jobs import Work
from priorsolve.metrics import METRICS
from priorsolve.outfolder import Places, places_of, unwritable
from priorsolve.photos import Photo, output_name
from priorsolve.records import Record, record_path, write_record


@dataclass(frozen=True)
class Keeper:
    """Writes photos' results below `out`: `format` is the recipe's for restored images, `fingerprint` tells a photo's present one."""

    out: Path
    format: Literal["same", "png"]
    metrics: Sequence[str]
    fingerprint: Callable[[Photo], str]

    def places(self, photo: Photo) -> Places:
        """Where the photo's results go."""
        return places_of(output_name(photo.name, self.format))

    def keep(self, work: Work, answers: Sequence[Answer], seconds: float) -> Record:
        """Write everything, the record last: it is the promise that the rest is there. An older promise goes first."""
        (job,), (answer,) = work.jobs, answers
        image = answer.checked().image
        record_path(self.out, work.photo.name).unlink(missing_ok=True)
        places = self.places(work.photo)
        measured = places.picture if measurement_suffix(tuple(job.y.shape)) == ".png" else places.array
        write_image(self.out / places.restored, image)
        write_measurement(self.out / measured, job.y)
        metrics = {}
        if job.clean is not None:
            write_image(self.out / places.clean, job.clean)
            metrics = {key: digits(float(METRICS[key](image[None], job.clean[None]))) for key in self.metrics}
        if answer.spread is not None:
            write_image(self.out / places.spread, (4 * answer.spread)[None])
        metrics |= {key: digits(value) for key, value in answer.calibration.items()}
        framed = work.framing.sentences() if work.framing else ()
        record = Record(
            name=work.photo.name,
            status="done",
            fingerprint=work.fingerprint,
            seed=work.seed,
            misfit=digits(answer.misfit),
            history=tuple(map(digits, answer.history)),
            steps=answer.steps,
            stopped=answer.stopped,
            metrics=metrics,
            notes=(*framed, *filter(None, [answer.note])),
            diagnosis=answer.diagnosis,
            input_size=work.framing.original if work.framing else None,
            output_size=(int(image.shape[-2]), int(image.shape[-1])),
            seconds=round(seconds, 3),
            versions=_versions(),
            image=places.restored,
            spread=places.spread if answer.spread is not None else None,
            measurement=measured,
            original=places.clean if job.clean is not None else None,
        )
        write_record(self.out, record)
        return record

    def fail(self, photo: Photo, error: Exception) -> Record:
        """The record of a failure, without what an earlier recipe made of the photo. A full disk ends the run: nothing can be kept."""
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise unwritable(self.out, error.strerror) from error
        record = Record(name=photo.name, status="failed", fingerprint=self.fingerprint(photo), reason=_reason(error), versions=_versions())
        with contextlib.suppress(OSError):  # such as for a name that is too long for a record's file: it is told, and tried again
            for place in self.places(photo):
                (self.out / place).unlink(missing_ok=True)
            write_record(self.out, record)
        return record


def digits(value: float) -> float:
    """Four digits: more would hang on which photos were solved side by side."""
    return float(f"{value:.4g}")


def _reason(error: Exception) -> str:
    """One line. An error that nobody foresaw keeps its type, so that it can be reported."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.strerror}: {error.filename}"
    text = " ".join(str(error.reason if isinstance(error, PhotoError) else error).split())
    return text if isinstance(error, PhotoError | RecipeError | MemoryError) and text else f"{type(error).__name__}: {text}"


def _versions() -> dict[str, str]:
    try:
        own = version("priorsolve")
    except PackageNotFoundError:
        own = "checkout"
    return {"priorsolve": own, "torch": torch.__version__, "python": platform.python_version()}
