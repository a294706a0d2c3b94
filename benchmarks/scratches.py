"""How many of the scratches and specks that are drawn on photos the detector finds, and how much else.

python benchmarks/scratches.py [FOLDER] [--side PIXELS] [--kind light|dark] [--contrast 0.15]     # left out, the sample photos
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from random import Random

import numpy as np
import torch
from PIL import Image, ImageDraw

from priorsolve.data import samples
from priorsolve.photos.images import read_photo
from priorsolve.photos.names import find_photos
from priorsolve.photos.scratches import Scratches, find_scratches, grown

FINE = 2
SEEN = 0.06
"""A mark that changes the photo by less, of 1, is none."""


def drawn(height: int, width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Six bent scratches, 1/400 to 1/120 of the shorter side wide, and 25 specks: how much of each pixel they cover, (H, W) each."""
    rng, side = Random(seed), FINE * min(height, width)
    layers = [Image.new("L", (width * FINE, height * FINE)) for _ in range(2)]
    lines, specks = map(ImageDraw.Draw, layers)
    for _ in range(6):
        x, y, angle = rng.random() * width * FINE, rng.random() * height * FINE, rng.uniform(0, math.tau)
        points = [(x, y)]
        for _ in range(rng.randint(4, 12)):
            angle += rng.uniform(-0.15, 0.15)
            points.append((points[-1][0] + math.cos(angle) * side * 0.05, points[-1][1] + math.sin(angle) * side * 0.05))
        lines.line(points, 255, max(FINE, round(side * rng.uniform(1 / 400, 1 / 120))), joint="curve")
    for _ in range(25):
        x, y, radius = rng.random() * width * FINE, rng.random() * height * FINE, max(FINE, side * rng.uniform(1 / 500, 1 / 170))
        specks.ellipse((x - radius, y - radius, x + radius, y + radius), 255)
    covers = [np.asarray(layer.resize((width, height), Image.Resampling.BOX), np.float32) / 255 for layer in layers]
    return covers[0], covers[1]


def main() -> None:
    """Print the shares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--side", type=int, help="bring photos to so many pixels across")
    parser.add_argument("--kind", default="light", choices=["light", "dark"])
    parser.add_argument("--contrast", type=float, default=Scratches().contrast)
    parser.add_argument("--limit", type=int, default=16)
    given = parser.parse_args()
    how, counts = Scratches(kind=given.kind, contrast=given.contrast), []
    photos = find_photos([given.folder] if given.folder else samples())[: given.limit]
    for index, photo in enumerate(photos):
        grey = read_photo(photo.path, 1)[0][0]
        if given.side:
            size = given.side, round(given.side * grey.shape[0] / grey.shape[1])
            grey = torch.from_numpy(np.array(Image.fromarray(grey.numpy()).resize(size, Image.Resampling.LANCZOS))).clamp(0, 1)
        covers = [torch.from_numpy(cover) for cover in drawn(grey.shape[0], grey.shape[1], index)]
        share = torch.maximum(*covers) * 0.8
        level = Random(index).uniform(0.85, 1) if given.kind == "light" else Random(index).uniform(0, 0.12)
        marked = grey * (1 - share) + level * share
        lines, specks = ((cover >= 0.5) & ((marked - grey).abs() > SEEN) for cover in covers)
        found, near = find_scratches(marked, how), grown(lines | specks, 3)
        clean = find_scratches(grey, how).double().mean()
        counts.append([*(float(x.sum()) for x in (lines & found, lines, specks & found, specks, near & found, found)), float(clean)])
    scratch, scratches, speck, dust, right, all_found, clean = np.array(counts).sum(0)
    print(
        f"{len(photos)} photos: {scratch / scratches:.0%} of the scratches' pixels and {speck / dust:.0%} of the specks' are found; "
        f"{right / all_found:.0%} of what is found is one (or within 3 pixels); {clean / len(photos):.1%} of the clean photos is marked"
    )


if __name__ == "__main__":
    main()
