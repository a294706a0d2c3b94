"""How many photos are solved in a second beside the published loops, at equal steps, and how well by both.

    python benchmarks/against_loops.py [--turns 2] [--dtype auto] [csgm mganprior dgp pulse ilo robust]

Each loop of reference_loops.py and ours run in turns, each side in a process of its own, since its settings are part of a program: ours
keeps freed memory as `priorsolve restore` does. The loops take photos as published, CSGM 64 at once and the others one by one, so that a
few photos tell their speed; ours takes batches. `--dtype` is what ours computes in while searching, by itself what the command line would
choose; the loops compute in float32. ILO and robust restoration need styles and run on ffhq64, the others on digiface64; the photos are
faces that the other of the two draws, which the prior cannot draw exactly. Timed by the clock, or
on one thread (OMP_NUM_THREADS=1) by the processor's time, sampling of codes included, after a warm-up; a ratio is taken of each pair of
turns.

A pass is the generator forward and backward for one photo and restart (of mGANprior: for all codes of one photo). "Same" has the loop's
settings, "own rate" our rate and starts in as many steps, "own" our settings in fewer passes, so few that the misfit is about the loop's.
Misfits (root mean squares) and PSNR are medians over the loop's photos. Prints a Markdown table for docs/performance.md.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import torch
from machine import describe
from measuring import now
from reference_loops import STAGES, Restored, csgm, dgp, ilo, mganprior, one_by_one, pulse, robust
from torch import Tensor

from priorsolve.counter_rng import STARTS, seed_for
from priorsolve.losses import Mixture, l2
from priorsolve.memory import keep_freed_memory
from priorsolve.metrics import psnr
from priorsolve.operators.base import Identity, Operator
from priorsolve.operators.downsample import Downsample
from priorsolve.operators.gray import Gray
from priorsolve.operators.sensing import GaussianSensing
from priorsolve.priors import Prior, load_prior
from priorsolve.run.devices import dtype_of
from priorsolve.solvers import Latent, Layered, Multicode, Pulse, Solver, Staged
from priorsolve.solvers.tuned import Tuned

LOOP = "loop"


def alone(loop: Callable[..., Restored], prior: Prior, A: Callable[[Tensor], Tensor], y: Tensor, **settings: Any) -> Restored:
    """One photo at a time, from the samples at which our solvers begin with the seeds 0, 1, 2 …"""
    return one_by_one(loop, prior, A, y, seeds=[seed_for(STARTS, seed) for seed in range(len(y))], **settings)


@dataclass(frozen=True)
class Contest:
    """What the photos went through, a loop, and our solvers by label.

    Args:
        passes: of the loop, for one photo.
        photos: how many the loop is given in a turn, and ours.
        batch: how many ours solves at once.
    """

    task: Operator
    loop: Callable[[Tensor], Restored]
    ours: Mapping[str, Solver | Staged]
    passes: int
    photos: tuple[int, int]
    batch: int


def against_csgm(prior: Prior, steps: int = 50) -> Contest:
    """1000 random numbers of a photo; restarts halve in ours."""
    task, penalties = GaussianSensing(m=1000, shape=[3, 64, 64]), {"gaussian": 2.5e-7}
    published: dict[str, Any] = {"unit": "raw", "lr": 0.1, "warmup": 0, "decay": "none", "penalties": penalties}
    ours = {
        "same": Latent(prior, steps=steps, restarts=10, candidates=10, **published),
        "own rate": Latent(prior, steps=steps, restarts=10, penalties=penalties),
        "own": Latent(prior, steps=2 * steps, begin_at="regressed", lr=0.2, penalties=penalties),
    }
    return Contest(task, lambda y: csgm(prior, task.A, y, steps=steps), ours, 10 * steps, (64, 64), 16)


def against_mganprior(prior: Prior, steps: int = 150) -> Contest:
    """A grey photo; 20 codes mixed at 8×8."""
    task = Gray()
    loss = Mixture([(l2, 4.0)])
    published: dict[str, Any] = {"optimiser": "sgd", "lr": 1.0, "mix_lr": 20.0, "warmup": 0, "decay": "none", "candidates": 20}
    ours = {
        "same": Multicode(prior, block=2, steps=steps, loss=loss, **published),
        "own": Multicode(prior, block=2, steps=steps // 5, loss=loss, lr=0.2, mix_lr=0.3),
    }
    return Contest(task, lambda y: alone(mganprior, prior, task.A, y, steps=steps), ours, steps, (2, 16), 16)


def against_dgp(prior: Prior, steps: int = 40) -> Contest:
    """A whole photo, a fifth of the published steps in each stage and of the samples."""
    task, select = Identity(), steps * 5 // 2

    def stages(**more: Any) -> Staged:
        common: dict[str, Any] = {
            "steps": steps,
            "nll": 0.02,
            "loss": Mixture([(l2, 40.0)]),
            "candidates": select,
            "sample_std": 0.3,
            **more,
        }
        return Staged([Tuned(prior, blocks=stage.blocks, weights_lr=stage.weights_lr, lr=stage.lr, **common) for stage in STAGES])

    ours = {"same": stages(), "same, its moments too": stages(carry_moments=True, keep="last")}
    return Contest(task, lambda y: alone(dgp, prior, task.A, y, steps=steps, select=select), ours, 5 * steps, (2, 16), 16)


def against_pulse(prior: Prior, steps: int = 100) -> Contest:
    """8×8 pixels of a photo; its code on the sphere."""
    task = Downsample(8, "bicubic")
    published: dict[str, Any] = {"steps": steps, "unit": "raw", "lr": 0.4, "decay": "cycle", "restarts": 1, "candidates": 1, "sphere": True}
    ours = {"same": Latent(prior, **published), "same, stopping where it fits": Latent(prior, **published, noise=2e-3**0.5)}
    return Contest(task, lambda y: alone(pulse, prior, task.A, y, steps=steps), ours, steps, (8, 64), 64)


def against_ilo(prior: Prior, steps: int = 25) -> Contest:
    """16×16 pixels of a photo; a round of styles and maps, then three that begin deeper and deeper."""
    task, loss = Downsample(4, "bicubic"), Mixture([(l2, 4.0)])
    ramps: dict[str, Any] = {
        "steps": steps,
        "lr": 0.1,
        "warmup": 0.05,
        "decay": "cosine",
        "decay_share": 0.75,
        "geocross": 0.01,
        "loss": loss,
    }
    rounds = [Layered(prior, block=k, unit="raw", moving_maps=5 + 2 * k, **ramps) for k in (1, 2, 3)]
    ours = {"same": Staged([Pulse(prior, cross_on="z", moving_maps=5, **ramps), *rounds])}
    return Contest(task, lambda y: alone(ilo, prior, task.A, y, rounds=[(k, steps) for k in range(4)]), ours, 4 * steps, (2, 4), 4)


def against_robust(prior: Prior, steps: int = 50) -> Contest:
    """16×16 pixels of a photo; one w, one for each layer, one for each filter, a third of the published steps."""
    task, unit = Downsample(4, "area"), prior.spaces["w"][0] ** 0.5
    published: dict[str, Any] = {"steps": steps, "optimiser": "normalised", "unit": "raw", "warmup": 0, "decay": "none"}
    phases = (("w", 0.08), ("w+", 0.02), ("w++", 0.005))
    first: dict[str, Any] = {"begin_at": "centre", "restarts": 1, "candidates": 1}
    stages = [Latent(prior, space=space, lr=lr / unit, **(first if space == "w" else {}), **published) for space, lr in phases]
    return Contest(task, lambda y: alone(robust, prior, task.A, y, steps=steps), {"same": Staged(stages)}, 3 * steps, (2, 4), 4)


class Setting(NamedTuple):
    """A contest, the prior that both use, and the one that drew the photos."""

    against: Callable[[Prior], Contest]
    prior: str = "digiface64"
    drawn_by: str = "ffhq64"


CONTESTS = {
    "csgm": Setting(against_csgm),
    "mganprior": Setting(against_mganprior),
    "dgp": Setting(against_dgp),
    "pulse": Setting(against_pulse),
    "ilo": Setting(against_ilo, "ffhq64", "digiface64"),
    "robust": Setting(against_robust, "ffhq64", "digiface64"),
}


class Turn(NamedTuple):
    """What one turn of one side took and gave: seconds, passes, and the pictures as numbers."""

    photos: int
    seconds: float
    passes: float
    images: Any


def side(pipe: Connection, keep: bool, dtypes: Mapping[str, str], photos: Mapping[str, Any]) -> None:
    """A process that does turns as it is told: (contest, label of a solver)."""
    if keep:
        keep_freed_memory()
    priors = {name: load_prior(name).computing(None if dtype == "float32" else getattr(torch, dtype)) for name, dtype in dtypes.items()}
    while told := pipe.recv():
        setting, label = CONTESTS[told[0]], told[1]
        prior = priors[setting.prior]
        contest = setting.against(prior)
        y = contest.task.A(torch.from_numpy(photos[setting.drawn_by]))[: contest.photos[label != LOOP]]
        warm_up(prior, contest.batch)
        for solver in contest.ours.values():
            solver.prepare()  # what `regressed` predicts from is drawn once for a prior
        start = now()
        if label == LOOP:
            images, passes = contest.loop(y).images, float(contest.passes)
        else:
            solver = contest.ours[label]
            found = [solver(part, contest.task, seeds=range(len(part))) for part in torch.split(y, contest.batch)]
            images = torch.cat([solution.images for solution in found])
            passes = float(torch.cat([solution.steps for solution in found]).double().mean()) * mean_restarts(solver)
        pipe.send(Turn(len(y), now() - start, passes, images.numpy()))


def warm_up(prior: Prior, rows: int) -> None:
    """A few passes, for the caches and the first-time costs of torch."""
    codes = prior.sample(rows, torch.Generator().manual_seed(0))
    for _ in range(3):
        leaf = codes.detach().requires_grad_()
        torch.autograd.grad(prior.decode(leaf).sum(), leaf)


def mean_restarts(solver: Solver | Staged) -> float:
    """How many restarts are followed, over the steps."""
    if not isinstance(solver, Latent):
        return 1
    counts, left = [], solver.restarts
    for step in range(solver.steps):
        left = (left + 1) // 2 if step in solver.halve_at else left
        counts.append(left)
    return statistics.mean(counts)


def rows(name: str, turns: int, tell: Callable[[str, str], Turn], clean: Tensor) -> list[str]:
    """The lines of one contest."""
    contest = CONTESTS[name].against(load_prior(CONTESTS[name].prior))
    found: dict[str, list[Turn]] = {label: [] for label in (LOOP, *contest.ours)}
    for turn in range(turns):
        for label in sorted(found, reverse=bool(turn % 2)):
            found[label].append(tell(name, label))
    lines = []
    for label in contest.ours:
        pairs = list(zip(found[LOOP], found[label], strict=True))
        ratios = [(loop.seconds / loop.photos) / (ours.seconds / ours.photos) for loop, ours in pairs]
        cells = [f"{name}, {label}", f"{statistics.median(ratios):.2f}", f"{min(ratios):.2f}–{max(ratios):.2f}"]
        ends = [of[-1] for of in (found[LOOP], found[label])]
        seconds = [statistics.median(turn.seconds / turn.photos for turn in of) for of in (found[LOOP], found[label])]
        cells.append(" / ".join(f"{1 / each:.3g}" for each in seconds))
        cells.append(" / ".join(f"{turn.passes:.0f}" for turn in ends))
        cells.append(" / ".join(f"{1000 * each / turn.passes:.2f}" for each, turn in zip(seconds, ends, strict=True)))
        count = min(turn.photos for turn in ends)
        images = [torch.from_numpy(turn.images[:count]) for turn in ends]
        measured = contest.task.A(clean[:count])
        misfits = [(contest.task.A(image) - measured).square().flatten(1).mean(1).sqrt().median() for image in images]
        cells.append(" / ".join(f"{float(misfit):.4f}" for misfit in misfits))
        cells.append(" / ".join(f"{float(psnr(image, clean[:count]).median()):.2f}" for image in images))
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def faces(drawn_by: str, count: int = 64) -> Tensor:
    """The photos: what a prior draws, where it has styles a little truncated."""
    prior = load_prior(drawn_by)
    codes, space = prior.sample(count, torch.Generator().manual_seed(2024)), prior.first_space
    if "w" in prior.spaces:
        codes, space = prior.map(codes, source=space, target="w", truncation=0.8), "w"
    with torch.no_grad():
        return prior.decode(codes, space).clamp(0, 1)


def main() -> None:
    """Read the command line, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("contests", nargs="*", default=[], help=", ".join(CONTESTS))
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--dtype", default="auto", help="what ours computes in: auto, float32, bfloat16")
    given = parser.parse_args()
    settings = [CONTESTS[name] for name in given.contests or CONTESTS]
    dtypes = {name: dtype_of(given.dtype, load_prior(name)) for name in {setting.prior for setting in settings}}
    clean = {name: faces(name) for name in {setting.drawn_by for setting in settings}}
    photos = {name: images.numpy() for name, images in clean.items()}
    spawn = multiprocessing.get_context("spawn")
    pipes: dict[bool, Connection] = {}
    processes = []
    for ours in (False, True):
        pipes[ours], theirs = spawn.Pipe()
        processes.append(
            spawn.Process(target=side, args=(theirs, ours, dtypes if ours else dict.fromkeys(dtypes, "float32"), photos), daemon=True)
        )
        processes[-1].start()

    def tell(name: str, label: str) -> Turn:
        pipe = pipes[label != LOOP]
        pipe.send((name, label))
        turn: Turn = pipe.recv()
        return turn

    computing = ", ".join(f"{dtype} on {name}" for name, dtype in dtypes.items())
    print(f"{describe()}; {given.turns} pairs of turns; ours computes in {computing}\n")
    print(
        "| loop, settings of ours | times as quick | from–to | photos/s, loop / ours | passes a photo | ms a pass | misfit | PSNR |\n"
        "|---|---|---|---|---|---|---|---|",
        flush=True,
    )
    for contest in given.contests or CONTESTS:
        print("\n".join(rows(contest, given.turns, tell, clean[CONTESTS[contest].drawn_by])), flush=True)
    for pipe in pipes.values():
        pipe.send(None)
    for process in processes:
        process.join()


if __name__ == "__main__":
    main()
