"""How many pictures are drawn, and how long it takes, until the plain loop's final misfit and likeness are reached.

    python benchmarks/time_to_quality.py PHOTOS [LABEL=SOLVER ...] [--prior digiface64] [--limit 16] [--tasks hole48 upscale] [--dtype auto]

PHOTOS is a folder of clean, aligned faces. The plain loop is what papers begin with: one code from a random sample, Adam at a rate that
stays as it is, l2, float32. SOLVER is written as in a recipe, `from the middle=[{latent: {begin_at: centre}}]`, and there may be several;
left out, they are the suite's own for the prior. The misfit is the root mean square of what the operator makes of the picture less what
was measured, where something was; likeness is LPIPS with the clean photo. Both are looked at every 5th time that the operator is used, on
the current picture (of several restarts, the one that fits best), the clock standing still; medians over the photos. Pictures drawn are
those of one photo, restarts and sampled codes included; the pictures that `begin_at: regressed` predicts from are drawn before, once for a
prior. Prints a Markdown table for docs/performance.md, and after it, of every photo of every task: the pictures until it has reached both
figures that the plain loop ended with on it, as a share of the pictures that the plain loop drew until then.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import quality
import torch
from machine import describe
from measuring import now
from torch import Tensor

from priorsolve.memory import keep_freed_memory
from priorsolve.metrics import lpips
from priorsolve.operators.base import Operator
from priorsolve.photos.images import read_image
from priorsolve.priors import Prior, load_prior
from priorsolve.priors.bank import bank_of
from priorsolve.recipe.build import build_operators, build_solver
from priorsolve.recipe.recipe import Recipe
from priorsolve.run.devices import dtype_of
from priorsolve.types import Images, Measurements, Shape

EVERY, BANK = 5, 512
ALONE = "output={mean: [], own_detail: 0.0}"
"""One search, whose pictures are looked at as they are found: no mean with what is found for a mirror image."""
TASKS = {name: recipe for name, (_, recipe, _) in quality.TASKS.items()}
"""Those of docs/quality.md."""
BLIND = {"[l2, lpips]": "l2", "[l2, {lpips: {weight: 0.02}}]": "l2"}
"""What our setting compares where the measurement is no picture: random numbers."""
PLAIN = {
    "digiface64": "[{latent: {space: z, steps: 300, restarts: 1, candidates: 1, unit: raw, lr: 0.1, warmup: 0, decay: none}}]",
    "ffhq128": "[{latent: {space: w+, steps: 150, restarts: 1, candidates: 1, lr: 0.1, warmup: 0, decay: none}}]",
}
OURS = {
    "digiface64": {
        "defaults": "[{latent: {space: z, steps: 300}}]",
        "one restart": "[{latent: {space: z, steps: 100, restarts: 1}}]",
        "regressed": "[{latent: {space: z, steps: 100, begin_at: regressed, lr: 0.1}}]",
        "regressed, layered": "[{latent: {begin_at: regressed, steps: 20, lr: 0.1}},"
        " {layered: {block: 2, steps: 80, lr: 0.08, decay_share: 0.3}}]",
    },
    "ffhq128": {
        "recipe": "",
        "regressed, layered": "[{latent: {space: w, begin_at: regressed, steps: 6, lr: 0.12, loss: [l2, lpips]}},"
        " {layered: {block: 3, steps: 40, lr: 0.1, decay_share: 0.4, loss: [l2, {lpips: {weight: 0.02}}]}}]",
    },
}
SMALLER = {("digiface64", "upscale"): "operator.0.downsample.factor=4", ("digiface64", "up16"): "operator.0.downsample.factor=8"}
"""From 16×16 and 8×8, as the larger prior."""


class Point(NamedTuple):
    """Pictures drawn for a photo so far, seconds for all photos, and each photo's misfit and LPIPS."""

    drawn: float
    seconds: float
    misfits: list[float]
    likenesses: list[float]

    @property
    def misfit(self) -> float:
        """The median over the photos."""
        return statistics.median(self.misfits)

    @property
    def likeness(self) -> float:
        """The median over the photos."""
        return statistics.median(self.likenesses)


class Watched(Operator):
    """An operator that is looked at while it is used: how far the photos have come."""

    def __init__(self, inner: Operator, clean: Images) -> None:
        super().__init__()
        self.inner, self.clean, self.y = inner, clean, inner.A(clean)
        self.where = inner.support(torch.ones_like(clean)).expand_as(self.y)
        self.points: list[Point] = []
        self.drawn, self.uses, self.looking, self.begun = 0, 0, 0.0, now()

    def out_shape(self, in_shape: Shape) -> Shape:
        return self.inner.out_shape(in_shape)

    def support(self, inside: Images) -> Measurements:
        return self.inner.support(inside)

    def _A(self, x: Images) -> Measurements:
        estimate = self.inner.A(x)
        if x.requires_grad:
            if self.uses % EVERY == 0:
                self.look(x.detach(), estimate.detach())
            self.uses += 1
        return estimate

    @torch.no_grad()
    def look(self, x: Images, estimate: Measurements) -> None:
        """Note where the photos are, each by its restart that fits best."""
        begun, count = now(), len(self.clean)
        apart = ((estimate.view(count, -1, *estimate.shape[1:]) - self.y[:, None]) * self.where[:, None]).square().flatten(2).sum(2)
        apart, best = (apart / self.where.flatten(1).sum(1, keepdim=True)).sqrt().min(1)
        pictures = x.view(count, -1, *x.shape[1:])[torch.arange(count), best].clamp(0, 1)
        seconds = begun - self.begun - self.looking
        self.points.append(Point(self.drawn / count, seconds, apart.tolist(), lpips(pictures, self.clean).tolist()))
        self.looking += now() - begun


@contextlib.contextmanager
def counting(watched: Watched) -> Iterator[None]:
    """Count the pictures that any prior draws meanwhile."""
    decode = Prior.decode

    def counted(prior: Prior, codes: Tensor, *args: Any, **more: Any) -> Images:
        watched.drawn += len(codes)
        return decode(prior, codes, *args, **more)

    with mock.patch.object(Prior, "decode", counted):
        yield


def solved(recipe: Recipe, prior: Prior, clean: Images) -> list[Point]:
    """The course of the recipe's solver on the photos, all of which must run to the end."""
    operators = build_operators(recipe, tuple(prior.image_shape), torch.device("cpu"), torch.float32)[1]
    watched = Watched(operators.join([operators.of("", 0)]), clean)
    with counting(watched):
        build_solver(recipe, prior)(watched.y, watched, seeds=range(len(clean)))
    return watched.points


def row(task: str, label: str, points: list[Point], goal: Point) -> str:
    """Pictures drawn and seconds until the goal's misfit, and until its likeness; what was reached at best where they were not."""
    texts = []
    for of in ("misfit", "likeness"):
        there = next((point for point in points if getattr(point, of) <= getattr(goal, of)), None)
        least = min(getattr(point, of) for point in points)
        texts.append(f"{there.drawn:.0f} | {there.seconds:.1f}" if there else f"never (at best {least:.3g}) | –")
    end = points[-1]
    return f"| {task} | {label} | {' | '.join(texts)} | {end.drawn:.0f} in {end.seconds:.1f} s | {end.misfit:.4f} | {end.likeness:.3f} |"


def shares(points: list[Point], plain: list[Point]) -> list[float]:
    """For each photo, pictures until both of its goals, over those of the plain loop; infinite where it never got there."""
    goals = list(zip(plain[-1].misfits, plain[-1].likenesses, strict=True))

    def until(course: list[Point], photo: int) -> float:
        misfit, likeness = goals[photo]
        there = (point.drawn for point in course if point.misfits[photo] <= misfit and point.likenesses[photo] <= likeness)
        return next(there, math.inf)

    return [until(points, photo) / until(plain, photo) for photo in range(len(goals))]


def main() -> None:
    """Read the command line, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("solvers", nargs="*", metavar="LABEL=SOLVER")
    parser.add_argument("--prior", default="digiface64", choices=PLAIN)
    parser.add_argument("--limit", type=int, default=16)
    parser.add_argument("--tasks", nargs="*", default=[*TASKS], choices=TASKS)
    parser.add_argument("--dtype", default="auto", help="of ours; the plain loop computes in float32")
    given = parser.parse_intermixed_args()
    keep_freed_memory()  # as the command line does
    prior = load_prior(given.prior)
    bank_of(prior, BANK)
    dtype = dtype_of(given.dtype, prior)
    paths = sorted(given.photos.iterdir())[: given.limit]
    _, height, width = prior.image_shape
    clean = torch.stack([read_image(path, (height, width)) for path in paths])
    ours = dict(text.split("=", 1) for text in given.solvers) or OURS[given.prior]
    print(f"{describe()}; {given.prior}, {len(clean)} photos, ours in {dtype}\n")
    print(
        "| task | solver | drawn until the misfit | s | drawn until the likeness | s | in all | misfit | LPIPS |\n"
        "|---|---|---|---|---|---|---|---|---|",
        flush=True,
    )
    pooled: dict[str, list[float]] = {label: [] for label in ours}
    for task in given.tasks:
        name, _, change = TASKS[task].partition("?")
        changes = [each for each in (f"prior={given.prior}", *change.split("&"), ALONE, SMALLER.get((given.prior, task), "")) if each]
        plain = solved(Recipe.load(name, [*changes, f"solver={PLAIN[given.prior]}"]), prior, clean)
        print(row(task, "plain loop", plain, plain[-1]), flush=True)
        for label, given_solver in ours.items():
            solver = given_solver
            for loss, plainer in BLIND.items() if task.startswith("sense") else ():
                solver = solver.replace(loss, plainer)
            recipe = Recipe.load(name, [*changes, *([f"solver={solver}"] if solver else [])])
            found = solved(recipe, prior.computing(None if dtype == "float32" else getattr(torch, dtype)), clean)
            print(row(task, label, found, plain[-1]), flush=True)
            pooled[label] += shares(found, plain)
    for label, each in pooled.items():
        there = sum(map(math.isfinite, each))
        print(f"\n{label}: both reached in {there} of {len(each)}; pictures over the plain loop's, median {statistics.median(each):.2f}")


if __name__ == "__main__":
    main()
