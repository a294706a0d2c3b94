"""How well faces are found and aligned: on portraits that are aligned already, and turned in front of grey.

python benchmarks/faces.py portraits/          # or without a folder, pictures that ffhq256 draws
"""

from __future__ import annotations

import math
import statistics
import sys
from pathlib import Path

import torch
from torch import Tensor

from priorsolve.framing import Frame, Patch, Rounded, find_faces, lay, paste
from priorsolve.photos.images import read_image
from priorsolve.priors import load_prior

SIDE = 256
DEGREES = (0, 30, 60, 90, 180)


def portraits(folders: list[str]) -> list[Tensor]:
    """The pictures of the folders, or what ffhq256 draws."""
    if folders:
        return [read_image(path, (SIDE, SIDE)) for folder in folders for path in sorted(Path(folder).iterdir())]
    prior = load_prior("ffhq256")
    codes = prior.map(prior.sample(32, torch.Generator().manual_seed(1)), source="z", target="w", truncation=0.7)
    return list(prior.decode(codes, space="w").clamp(0, 1))


def main() -> None:
    """Print how far off centre, size and turn are."""
    given = portraits(sys.argv[1:])
    found = [faces[0].frame for picture in given if (faces := find_faces(picture))]
    print(f"found in {len(found)} of {len(given)} portraits; off by (median, largest):")
    off = {
        "centre, % of the side": [100 * math.dist(frame.centre, (SIDE / 2, SIDE / 2)) / SIDE for frame in found],
        "size, %": [100 * abs(frame.size[0] / SIDE - 1) for frame in found],
        "turn, degrees": [abs(frame.degrees) for frame in found],
    }
    for name, values in off.items():
        print(f"  {name:<24} {statistics.median(values):5.1f} {max(values):5.1f}")
    print(f"  mean size {100 * statistics.mean(frame.size[0] / SIDE for frame in found):.1f} %")
    for degrees in DEGREES:
        turns = [turned(picture, degrees) for picture in given[:16]]
        known = [turn for turn in turns if turn is not None]
        print(f"turned by {degrees:>3}°: {len(known)} of {len(turns)} found, off by {statistics.median(known):.1f}° (median)")


def turned(picture: Tensor, degrees: int) -> float | None:
    """How far off the turn of a portrait is that lies turned in a grey photo; None where it is not found."""
    x, y = (90 * part(math.radians(degrees)) for part in (math.cos, math.sin))
    patch = Patch(Frame((250, 200), (x, y), (-y, x)), Rounded(0.15))
    photo = paste(torch.full((3, 400, 500), 0.45), [patch], lambda _, box: lay(picture, patch.frame, box.size, left=box.left, top=box.top))
    faces = find_faces(photo)
    return abs((faces[0].frame.degrees - degrees + 180) % 360 - 180) if faces else None


if __name__ == "__main__":
    main()
