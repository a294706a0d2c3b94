"""What is kept about one photo, written last: a record says that everything it names is on the disk."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Strict, TypeAdapter

from priorsolve.files import Write, is_file, is_filled, write_atomically
from priorsolve.photos.identity import Identity, Whole
from priorsolve.photos.names import Photo
from priorsolve.run.places import RECORDS, must_be_result

Status = Literal["done", "failed"]
Number = Annotated[float, Strict(), BeforeValidator(lambda given: float(given) if isinstance(given, str) else given)]
"""Of which JSON has no infinity: it is a word there."""
Size = tuple[Whole, Whole]
Place = Annotated[str, AfterValidator(must_be_result)]
"""Of a result, below the output folder: a record that came from elsewhere leads to no other file."""
HISTORY = 50
"""Values of the misfit's history that are kept."""


@dataclass(frozen=True)
class Record:
    """One photo's outcome. Sizes are (height, width); paths are relative to the output folder, with forward slashes."""

    name: str
    """The photo's name, as in `Photo.name`."""
    status: Status
    fingerprint: str
    """The recipe's: a photo restored by another recipe is not done."""
    reason: str = ""
    """Why it failed, in one line."""
    seed: Whole | None = None
    misfit: Number | None = None
    """What the solver made small, in its loss's own units."""
    residual: Number | None = None
    """The root mean square of what its picture leaves of the measurement, in the measurement's units; None in older records, too."""
    steps: Whole = 0
    stopped: str = ""
    """A sentence: why the solver stopped."""
    metrics: Mapping[str, Number] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """What else a reader should know, such as how the photo was cropped."""
    input_size: Size | None = None
    output_size: Size | None = None
    seconds: Number = 0.0
    diagnosis: tuple[str, ...] = ()
    """A sentence each: how well it fits, and whether the prior knows such pictures."""
    image: Place | None = None
    spread: Place | None = None
    """The map of what is uncertain, where several solutions were compared: white is a standard deviation of 0.25 or more."""
    measurement: Place | None = None
    original: Place | None = None
    codes: Place | None = None
    """What was found, as `load_solution` reads it: of each frame in turn, where the photo has several. Only with `output.codes`."""
    versions: Mapping[str, str] = field(default_factory=dict)
    dtype: str = ""
    """What the network computed in while codes were searched: float32, float64 or bfloat16."""
    history: tuple[Number, ...] = ()
    """The misfit from the start of the search to its end, at most `HISTORY` values at even distances."""
    recipe: str = ""
    """The same for all photos of a recipe and its options, also where each has a mask of its own."""
    task: str = ""
    """What the recipe is for, in words."""
    file: Identity | None = None
    """The photo's file as it was read; None where it could not be, and in older records."""
    image_sha256: str = ""
    """Of the restored picture's file as the run wrote it, in hex digits: one that was retouched has another. Empty in older records."""


def record_path(out: Path, name: str) -> Path:
    """Where the record of the photo `name` lies."""
    return out / RECORDS / f"{name}.json"


def write_record(out: Path, record: Record, write: Write = write_atomically) -> Path:
    """Write it atomically and return its path. Write the image first: a record is the promise that it is there."""
    path = record_path(out, record.name)
    text = json.dumps(data_of(record), indent=2, sort_keys=False, allow_nan=False)
    write(path, text.encode("ascii") + b"\n")
    return path


def data_of(record: Record) -> dict[str, Any]:
    """The record's fields as JSON has them."""
    data: dict[str, Any] = plain(asdict(record))
    return data


def read_record(path: Path) -> Record | None:
    """The record at `path`, or None when it is missing, damaged, or a copy of another's (as archivers and macOS leave beside files), which
    count as the same. Fields not known here are skipped.
    """
    try:
        record = _RECORD.validate_python(json.loads(path.read_bytes())) if is_file(path) else None  # a pipe would be waited for
    except (OSError, ValueError, RecursionError):
        return None
    return record if record is not None and path.as_posix().endswith(f"/{record.name}.json") else None


def record_of(out: Path, name: str) -> Record | None:
    """The record of the photo `name` in an output folder, as `read_record`."""
    return read_record(record_path(out, name))


def read_records(out: Path) -> Iterator[Record]:
    """All readable records of an output folder, sorted by the photo's name; none when there is no such folder."""
    folder = out / RECORDS
    for path in sorted(record_files(out), key=lambda path: path.relative_to(folder).as_posix()):
        if (record := read_record(path)) is not None:
            yield record


def record_files(out: Path) -> Iterator[Path]:
    """All that is called as a record of an output folder is, in no order."""
    return (out / RECORDS).rglob("*.json")


def has_records(out: Path) -> bool:
    """Whether the folder holds a readable record."""
    return any(read_record(path) is not None for path in record_files(out))


def pending(
    photos: Iterable[Photo],
    out: Path,
    fingerprint: Callable[[Photo], str],
    *,
    retry_failed: bool = False,
    overwrite: bool = False,
) -> tuple[list[Photo], Counter[str]]:
    """The photos still to do, in order, and how many of the others are done and how many failed.

    To do are those with no record, another recipe's, or one of another file, or whose image or codes are gone; with `overwrite` all
    of them. `fingerprint` tells a photo's present one. A photo that failed stays failed unless `retry_failed`.
    """
    todo, stands = [], Counter[str]()
    for photo in photos:
        status = None if overwrite else _standing(out, photo, fingerprint(photo))
        if status is None or (status == "failed" and retry_failed):
            todo.append(photo)
        else:
            stands[status] += 1
    return todo, stands


def strangers(out: Path, settled: Collection[str], fingerprint: Callable[[Photo], str], recipe: str) -> int:
    """How many records of another recipe stay in the folder. `settled` are photos' names of whose records that is not to be asked."""
    count, folder = 0, out / RECORDS
    for place, _, files in os.walk(folder):
        below = Path(place).relative_to(folder).as_posix()
        for file in files:
            name = (file if below == "." else f"{below}/{file}").removesuffix(".json")
            if file.endswith(".json") and name not in settled:
                record = _glance(f"{place}{os.sep}{file}")
                if record is not None and record.name == name:  # no copy of another one
                    count += record.recipe != recipe if record.recipe else record.fingerprint != fingerprint(Photo(folder, name))
    return count


class _Glance(BaseModel):
    """What a start asks a record, read without making the rest of it."""

    name: str
    status: Status
    fingerprint: str
    recipe: str = ""
    image: Place | None = None
    codes: Place | None = None
    file: Identity | None = None


def _glance(path: str) -> _Glance | Record | None:
    """The record at `path`, or what a start asks of it: it looks at a hundred thousand. None as `read_record`."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))  # so that no pipe is waited for
        try:
            text = os.read(handle, 1 << 16)
        finally:
            os.close(handle)
        return _Glance.model_validate_json(text, strict=True)
    except OSError:
        return None
    except ValueError:  # damaged, longer than was read, or with a name that is no Unicode, which only the careful reader takes
        return read_record(Path(path))


def _standing(out: Path, photo: Photo, fingerprint: str) -> Status | None:
    """The status that a photo has, if it has one."""
    record = _glance(f"{out}/{RECORDS}/{photo.name}.json")
    if record is None or record.fingerprint != fingerprint or (record.file is not None and not record.file.is_of(photo.path)):
        return None
    needed = (record.image, *([] if record.codes is None else [record.codes]))
    there = all(place is not None and is_filled(f"{out}/{place}") for place in needed)
    return record.status if there or record.status == "failed" else None


def rounded(value: float) -> float:
    """To four digits: more would depend on which photos were solved side by side."""
    return float(f"{value:.4g}")


def thinned(history: Sequence[float]) -> tuple[float, ...]:
    """At most `HISTORY` of the values, at even distances, the first and the last among them."""
    if len(history) <= HISTORY:
        return tuple(history)
    return tuple(history[round(i * (len(history) - 1) / (HISTORY - 1))] for i in range(HISTORY))


def plain(value: Any, text: Callable[[str], str] = str) -> Any:
    """What JSON takes: it has no infinity, which the PSNR of equal images is, so such numbers are written as words. `text` spells texts."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, str):
        return text(value)
    if isinstance(value, Mapping):
        return {text(str(key)): plain(item, text) for key, item in value.items()}
    return [plain(item, text) for item in value] if isinstance(value, list | tuple) else value


_RECORD = TypeAdapter(Record)
