"""What runs with frame: faces made of the photos of benchmarks/scenes.py: faces found, steps across seams, what of the files is kept.

    python benchmarks/seams.py SCENES OUT [OUT …] [--crops FOLDER]

OUT are output folders of `priorsolve restore … --out OUT`. Steps are means of how much two pixels side by side differ, of 255: across
the outline of each frame and across the middle of its fading, and across the borders of the holes; each beside that of the photo itself
at the same places. With --crops, each face is written at full size as it was measured, as it became, and as it is in the photo.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import grid_sample

from priorsolve.framing import Frame
from priorsolve.photos.images import read_photo
from priorsolve.photos.metadata import read_tags
from priorsolve.photos.writing import write_image
from priorsolve.run.records import Record, read_records
from priorsolve.run.shots import enlarged

PLACE = re.compile(r"face \d+ of \d+, (\d+)×(\d+) pixels around \((-?\d+), (-?\d+)\)(?:, turned by (-?\d+)°)?: misfit")
RINGS = {"outline": 1.0, "fading": 0.85}
"""How far from the middle a ring lies, of the way to the frame's edge."""


class Step(NamedTuple):
    """Mean difference of two neighbours in the result and in the photo, of 255, and over how many pairs."""

    made: float
    own: float
    pairs: int


def frames(record: Record, factor: int) -> list[Frame]:
    """Where the record says that faces are, in pixels of the result."""
    found = []
    for width, height, x, y, degrees in (match.groups() for note in record.notes if (match := PLACE.match(note))):
        turn = np.radians(float(degrees or 0))
        across, along = int(width) / 2 * np.array([np.cos(turn), np.sin(turn)]), int(height) / 2 * np.array([-np.sin(turn), np.cos(turn)])
        made = Frame((float(x), float(y)), (float(across[0]), float(across[1])), (float(along[0]), float(along[1])))
        found.append(made.scaled(factor))
    return found


def across(picture: Tensor, frame: Frame, radius: float) -> Tensor:
    """|differences| of pixels half a pixel inside and outside of a ring, (points,): the largest of the three channels."""
    turn = torch.linspace(0, 2 * torch.pi, max(64, int(4 * frame.size[0])), dtype=torch.float64)
    ring = torch.stack([turn.cos(), turn.sin()], -1)
    ring = ring / ring.abs().pow(4).sum(-1, keepdim=True).pow(0.25) * radius
    pixel = 1 / frame.size[0]
    height, width = picture.shape[-2:]
    sides = [frame.to_photo(ring * (1 + sign * pixel / radius)) for sign in (-1, 1)]
    inside = torch.stack([(side > 1) & (side < torch.tensor([width - 1, height - 1])) for side in sides]).all(0).all(-1)
    looked = [
        grid_sample(picture[None].double(), (2 * side / torch.tensor([width, height]) - 1)[None, None], align_corners=False)
        for side in sides
    ]
    return (looked[0] - looked[1]).abs()[0, :, 0].amax(0)[inside] * 255


def ring_step(made: Tensor, own: Tensor, frame: Frame, radius: float) -> Step:
    """Across one frame's ring."""
    steps = [across(each, frame, radius) for each in (made, own)]
    return Step(float(steps[0].mean()), float(steps[1].mean()), len(steps[0]))


def hole_step(made: Tensor, own: Tensor, holes: Tensor, frame: Frame) -> Step:
    """Across the borders of the holes in the upright box around a frame, of neighbours one of which is missing."""
    left, top, right, bottom = (max(int(value), 0) for value in frame.box)
    made, own, holes = (each[..., top : bottom + 1, left : right + 1] for each in (made, own, holes))
    steps: list[list[Tensor]] = [[], []]
    for axis in (-1, -2):
        border = holes.diff(dim=axis)
        for picture, found in zip((made, own), steps, strict=True):
            found.append(picture.diff(dim=axis).abs().amax(0)[border] * 255)
    after, before = (torch.cat(each) for each in steps)
    return Step(float(after.mean()), float(before.mean()), len(after))


def kept(photo: Path, made: Path) -> Iterator[str]:
    """What of the file is another in the result."""
    before, after = read_tags(photo), read_tags(made)
    for name in ("profile", "dpi", "bits"):
        if getattr(before, name) != getattr(after, name):
            yield name if name != "bits" else f"{before.bits} bits became {after.bits}"
    if (before.exif is None) != (after.exif is None):
        yield "EXIF"
    with Image.open(photo) as one, Image.open(made) as other:
        if one.has_transparency_data != other.has_transparency_data:
            yield "alpha"
        if other.getexif().get(274, 1) != 1:
            yield "orientation"


def main() -> None:
    """Print a line for each photo, and means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", type=Path)
    parser.add_argument("outs", type=Path, nargs="+")
    parser.add_argument("--crops", type=Path)
    given = parser.parse_args()
    there: dict[str, int] = json.loads((given.scenes / "faces.json").read_text())
    for out in given.outs:
        counts, steps = [0, 0, 0], {name: list[Step]() for name in (*RINGS, "holes")}
        for record in read_records(out):
            name = next(name for name in there if name.endswith(record.name))
            photo = given.scenes / "photos" / name
            if record.status == "failed" or record.image is None or record.measurement is None:
                print(f"{out.name} {record.name}: failed: {record.reason}")
                continue
            if not frames(record, 1):
                counts = [counts[0] + 1, counts[1], counts[2] + there[name]]
                print(f"{out.name} {name}: 0 of {there[name]}; {'; '.join(kept(photo, out / record.image))}")
                continue
            made, measured = read_photo(out / record.image)[0], read_photo(out / record.measurement)[0]
            factor = made.shape[-1] // measured.shape[-1]
            found, own = frames(record, factor), enlarged(measured, factor)
            holes = None
            if factor == 1 and not any("grey" in note for note in record.notes):
                own = read_photo(photo)[0]
                holes = (measured == 0).all(0) & (own > 0).any(0)
            said = []
            for frame in found:
                for ring, radius in RINGS.items():
                    steps[ring].append(ring_step(made, own, frame, radius))
                if holes is not None and (step := hole_step(made, own, holes, frame)).pairs:
                    steps["holes"].append(step)
                    said.append(f"holes {step.made:.1f} ({step.own:.1f})")
            said += [f"{ring} " + ", ".join(f"{each.made:.1f} ({each.own:.1f})" for each in steps[ring][-len(found) :]) for ring in RINGS]
            counts = [counts[0] + 1, counts[1] + min(len(found), there[name]), counts[2] + there[name]]
            print(f"{out.name} {name}: {len(found)} of {there[name]}; {'; '.join([*said, *kept(photo, out / record.image)])}")
            if given.crops:
                for index, frame in enumerate(found):
                    crop(
                        given.crops / out.name / f"{Path(record.name).stem}-{index}.png",
                        frame,
                        own if holes is None else own * ~holes,
                        made,
                        read_photo(photo)[0],
                    )
        print(f"{out.name}: {counts[0]} photos, {counts[1]} of {counts[2]} faces found")
        for ring, all_of in steps.items():
            if all_of:
                mean = np.mean([[each.made, each.own] for each in all_of], axis=0)
                print(f"  {ring}: a step of {mean[0]:.2f} in the results, {mean[1]:.2f} in the photos ({mean[0] / mean[1]:.2f} times)")


def crop(path: Path, frame: Frame, *pictures: Tensor) -> None:
    """The pictures side by side, around the frame."""
    left, top, right, bottom = (int(value) for value in frame.grown(1.3).box)
    parts = [each[:, max(top, 0) : max(bottom, 1), max(left, 0) : max(right, 1)] for each in pictures if each.shape == pictures[0].shape]
    write_image(path, torch.cat(parts, 2))


if __name__ == "__main__":
    main()
