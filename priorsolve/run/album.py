"""Photos of one album in like colours: each in its own lightness, with the chroma that they have in common."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from priorsolve.files import digest_of, write_atomically
from priorsolve.metrics import METRICS
from priorsolve.operators.gray import Gray
from priorsolve.photos.images import read_photo, read_transparent
from priorsolve.photos.lab import from_lab, to_lab
from priorsolve.photos.metadata import read_tags
from priorsolve.photos.own_colours import ROWS, in_own_colours
from priorsolve.photos.writing import write_tagged
from priorsolve.priors.cache import FetchError
from priorsolve.recipe.components import RecipeError, build
from priorsolve.recipe.recipe import Recipe
from priorsolve.run.journal import read_lines, write_told
from priorsolve.run.places import ALBUM
from priorsolve.run.records import Record, read_records, record_path, rounded, write_record

COLOURED = 4.0
"""Chroma, of CIELAB, from which on a pixel has a colour at all."""
GAIN = 1.25
"""A photo's colours are made at most so many times stronger or weaker."""
SHIFT = 8.0
"""And moved at most so far along a and b."""
JOURNAL = ".album.jsonl"
"""What was done since `ALBUM` was written, a line for each picture: to write all of that anew for each would take ever longer."""
OF_FRAMES = "the figures are of the frames as they were before output.album shifted the colours"
NO_FIGURES = "no figures: output.album shifted the colours, and the picture could not be compared with the original again"


@dataclass(frozen=True)
class Chroma:
    """Mean (a, b) and spread of the coloured pixels of a picture."""

    a: float
    b: float
    spread: float


def grey_of(recipe: Recipe) -> Gray:
    """What the recipe takes the colours with. Raises RecipeError where it takes none: other photos have colours of their own."""
    for name, given, where in recipe.components("operator"):
        if name == "gray":
            grey: Gray = build("operators", name, given, where)
            return grey
    raise RecipeError("output.album: is for recipes that give colours, with gray among the operators; leave it out")


def share_colours(out: Path, grey: Gray, recipe: str, *, framed: bool = False) -> None:
    """Bring the finished pictures of `recipe`, as records name it, to the medians of their chroma.

    Lightness stays, and what `grey` measures of each picture; grey pixels stay grey. Records whose pictures were compared with the
    originals get the new pictures' figures; where the recipe is `framed` those are of the frames alone, and the records say so. The first
    time decides on the chroma of the recipe's album, kept in `album.json`; later it is for pictures that were made since. Killed at any
    moment and begun again, it brings each picture once.
    """
    albums, shared = _read(out, recipe)
    album = albums.get(recipe)
    new = {name: out / name for name in unshared(out, recipe)}
    found = {name: chroma_of(read_photo(path)[0]) for name, path in new.items()}
    if album is None:
        others = (chroma_of(read_photo(out / name)[0]) for _, name in _pictures(out, recipe) if name not in {*new, *shared})
        if deciding := [chroma for chroma in (*found.values(), *others) if chroma is not None]:
            medians = (statistics.median(getattr(chroma, key) for chroma in deciding) for key in ("a", "b", "spread"))
            album = albums[recipe] = Chroma(*medians)

    shared |= {name: digest_of(new[name]) for name, chroma in found.items() if chroma is None}  # the grey ones stay as they are

    def journalled(path: Path, data: bytes) -> None:
        """A picture that is there and not told of would be brought a second time."""
        name = path.relative_to(out).as_posix()
        shared[name] = write_told(out / JOURNAL, path, data, lambda digest: {"image": name, "sha256": digest, "framed": framed})

    if found:
        _write(out, albums, shared)
    for name, chroma in found.items():
        if chroma is None or album is None:
            continue
        path, tags = new[name], read_tags(new[name])
        made = recoloured(read_photo(path)[0], chroma, album, grey)
        stored = read_transparent(path)
        alpha = None if stored is None else torch.from_numpy(stored[..., -1].copy())[None]
        write_tagged(path, in_own_colours(made, tags, path, same_size=True, alpha=alpha, grey=grey), tags, journalled)
    if (out / JOURNAL).exists():
        _measure_again(out)
        _write(out, albums, shared)
        (out / JOURNAL).unlink()


def _measure_again(out: Path) -> None:
    """Give the records of the pictures in the journal their new figures.

    The journal goes only after that: killed before, all of them are measured once more, which changes nothing where it was done.
    """
    told = {str(line.get("image")): line for line in read_lines(out / JOURNAL)}
    for record in read_records(out):
        line = told.get(record.image or "")
        if line is None or not (out / str(record.image)).is_file() or digest_of(out / str(record.image)) != line.get("sha256"):
            continue  # restored or retouched since: the figures are not the album's to change
        new = measured_again(out, record, framed=line.get("framed") is True)
        if new != record:
            write_record(out, new)


def measured_again(out: Path, record: Record, *, framed: bool) -> Record:
    """The record with the figures of its picture as that is now; without them, and with a note, where it cannot be compared again.

    Figures of a `framed` photo are means over the prior's own pictures, which are not kept: they stay, and a note says what they are of.
    """
    if not record.metrics.keys() & METRICS.keys():
        return record
    if framed:
        return record if OF_FRAMES in record.notes else replace(record, notes=(*record.notes, OF_FRAMES))
    try:
        image, original = (read_photo(out / (place or ""))[0][None] for place in (record.image, record.original))
        new = {key: rounded(float(METRICS[key](image, original))) for key in record.metrics if key in METRICS}
    except (OSError, ValueError, FetchError):  # the original is gone, or another picture, or a metric's weights are gone
        left = {key: value for key, value in record.metrics.items() if key not in METRICS}
        return replace(record, metrics=left, notes=(*record.notes, NO_FIGURES))
    return replace(record, metrics={**record.metrics, **new})


def is_unfinished(out: Path, recipe: str) -> bool:
    """Whether `share_colours` has still to do something."""
    return bool(unshared(out, recipe)) or (out / JOURNAL).exists()


def unshared(out: Path, recipe: str) -> list[str]:
    """The finished pictures of `recipe` that have not the album's chroma yet, as paths below `out`.

    One that somebody retouched stays as it is.
    """
    _, shared = _read(out, recipe)
    return [name for record, name in _pictures(out, recipe) if _is_unshared(out, record, name, shared.get(name))]


def _pictures(out: Path, recipe: str) -> Iterator[tuple[Record, str]]:
    """The finished ones of `recipe`: their records, and their paths below `out`. A photo that was only copied has colours of its own."""
    for record in read_records(out):
        own = record.status == "done" and (record.recipe or record.fingerprint) == recipe
        drawn = record.misfit is not None  # by the prior, all of it or a part
        if own and drawn and record.image is not None and (out / record.image).is_file():
            yield record, record.image


def _is_unshared(out: Path, record: Record, name: str, shared: str | None) -> bool:
    """Whether the picture is as the run wrote it and has yet to be shared; `shared` is the digest of the one that was."""
    picture = out / name
    if record.image_sha256:
        return shared != record.image_sha256 == digest_of(picture)
    # an older record: a run writes a picture before its record, so one that is newer was retouched
    return shared is None or (shared != digest_of(picture) and not _is_newer(picture, record_path(out, record.name)))


def _is_newer(path: Path, other: Path) -> bool:
    return path.stat().st_mtime_ns > other.stat().st_mtime_ns


def _read(out: Path, recipe: str) -> tuple[dict[str, Chroma], dict[str, str]]:
    """Each recipe's chroma, where a picture had any, and the digests of the pictures that have theirs, or are grey.

    An older file knows of one album, which counts as that of `recipe`.
    """
    since = {str(told.get("image")): str(told.get("sha256")) for told in read_lines(out / JOURNAL)}
    try:
        given = json.loads((out / ALBUM).read_bytes())
        known = given["chroma"] or {}
        albums = {recipe: known} if "spread" in known else known
        return {name: Chroma(**chroma) for name, chroma in albums.items()}, {**given["images"], **since}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):  # missing or damaged, which count as the same
        return {}, since


def _write(out: Path, albums: Mapping[str, Chroma], shared: Mapping[str, str]) -> None:
    told = {"chroma": {name: asdict(chroma) for name, chroma in albums.items()}, "images": shared}
    write_atomically(out / ALBUM, json.dumps(told, indent=1).encode())


def chroma_of(image: Tensor) -> Chroma | None:
    """Of (3, H, W); None where less than a hundredth of it has a colour."""
    sums, count = torch.zeros(3, dtype=torch.float64), 0
    for part in _strips(image):
        ab = to_lab(part)[1:].double()
        inside = ab[:, ab.norm(dim=0) > COLOURED]
        sums += torch.stack([*inside.sum(1), inside.square().sum()])
        count += inside.shape[1]
    if count < 0.01 * image.shape[1] * image.shape[2]:
        return None
    a, b, square = (float(value) / count for value in sums)
    return Chroma(a, b, max(square - a * a - b * b, 0.0) ** 0.5)


def recoloured(image: Tensor, own: Chroma, album: Chroma, grey: Gray) -> Tensor:
    """The picture with the album's chroma, as far as it may be moved."""
    gain = min(max(album.spread / max(own.spread, 1e-6), 1 / GAIN), GAIN)
    mean = torch.tensor([own.a, own.b]).view(2, 1, 1)
    shift = (torch.tensor([album.a, album.b]).view(2, 1, 1) - mean).clamp(-SHIFT, SHIFT)
    made = []
    for part in _strips(image):
        lab = to_lab(part)
        ab = lab[1:]
        has = (ab.norm(dim=0, keepdim=True) / COLOURED).clamp(0, 1)
        ab = ab + has * ((ab - mean) * (gain - 1) + shift)
        new = from_lab(torch.cat([lab[:1], ab]))
        made.append(grey.within(new[None] + grey.lift(grey.A(part[None]) - grey.A(new[None])))[0])
    return torch.cat(made, 1)


def _strips(image: Tensor) -> Iterator[Tensor]:
    return iter(image.split(ROWS, 1))  # type: ignore[no-untyped-call]  # memory for a strip at a time
