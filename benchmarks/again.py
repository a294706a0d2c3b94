"""What solvers save by keeping a prior's folded form and its spread: the first call with a prior, and those that follow.

    OMP_NUM_THREADS=1 python benchmarks/again.py [REPEATS]

A frame is 5 steps of `latent` from the last frame's solution, and stages are `latent` and `layered` at blocks 1, 2 and 3 of 5 steps each,
of one photo with `digiface64`. A copy of a prior keeps nothing, so that a call with a new copy is a first one. Both take turns, each call
is of the processor's time, and their pictures must be equal. Prints a Markdown table for docs/performance.md.
"""

from __future__ import annotations

import copy
import statistics
import sys
import time
from collections.abc import Callable, Mapping

import torch
from machine import describe
from torch import Tensor

from priorsolve.operators.downsample import Downsample
from priorsolve.priors import Prior, load_prior
from priorsolve.solvers import Latent, Layered, Solution, Solves, Staged


def frame(prior: Prior) -> Solves:
    """The next frame of a video."""
    return Latent(prior, steps=5, restarts=1, candidates=1)


def stages(prior: Prior) -> Solves:
    """As recipes have them, but short."""
    return Staged([frame(prior), *(Layered(prior, block=block, steps=5) for block in (1, 2, 3))])


def timed(solver: Solves, y: Tensor, start: Solution | None) -> tuple[float, Tensor]:
    """Seconds of the processor, and the picture."""
    begun = time.process_time()
    images = solver(y, Downsample(2), start=start).images
    return time.process_time() - begun, images


def measured(make: Callable[[Prior], Solves], prior: Prior, y: Tensor, start: Solution | None, repeats: int) -> tuple[float, float]:
    """Median seconds of a first call and of a later one."""
    later, seconds = make(prior), list[tuple[float, float]]()
    timed(later, y, start)
    for _ in range(repeats):
        first, one = timed(make(copy.deepcopy(prior)), y, start)
        again, other = timed(later, y, start)
        assert torch.equal(one, other)
        seconds.append((first, again))
    firsts, agains = zip(*seconds, strict=True)
    return statistics.median(firsts), statistics.median(agains)


def main(repeats: int) -> None:
    """Print the table."""
    prior = load_prior("digiface64")
    y = Downsample(2).A(prior.decode(prior.sample(1, torch.Generator().manual_seed(0))))
    start = frame(prior)(y, Downsample(2))
    kinds: Mapping[str, tuple[Callable[[Prior], Solves], Solution | None]] = {"a frame": (frame, start), "four stages": (stages, None)}
    print(f"{describe()}; medians of {repeats} turns\n\n| call | first s | later s | first to later |\n|---|---|---|---|")
    for name, (make, begin) in kinds.items():
        first, again = measured(make, prior, y, begin, repeats)
        print(f"| {name} | {first:.3f} | {again:.3f} | {first / again:.2f} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
