"""How much quicker a photo is tuned in a batch of 8 than alone.

    python benchmarks/tuned_batch.py [REPEATS] [PRIOR SPACE BLOCKS ...]

One solver, the same settings, the same steps and threads (torch's default, or OMP_NUM_THREADS): a photo alone, and 8 photos at once, each
with weights of its own. They run in turns, so that what else the machine does falls on both; timed are STEPS steps, without sampling and
without the first steps: of one thread the processor time, of several the clock on the wall. A ratio is taken of each pair of turns. The
largest difference is between the two pictures of the photo, after STEPS steps from the best of 4 samples. Prints a Markdown table for
docs/performance.md.
"""

from __future__ import annotations

import statistics
import sys
from functools import partial

import torch
from machine import describe
from measuring import Stopwatch, must_be_repeats, pairs

from priorsolve.memory import keep_freed_memory
from priorsolve.operators.mask import Mask
from priorsolve.priors import Prior, load_prior
from priorsolve.solvers.tuned import Tuned

STEPS, ROWS = 10, 8
CASES = (("digiface64", "z", 1), ("digiface64", "z", 2), ("digiface64", "z", 5), ("ffhq128", "w", 1), ("ffhq128", "w", 3))


def timed(solver: Tuned, y: torch.Tensor, operator: Mask) -> float:
    """Milliseconds of a step for each photo of `y`."""
    watch = Stopwatch()
    solver(y, operator, on_step=watch)
    return watch.per_step(STEPS, 2 * STEPS) / len(y)


def row(prior: Prior, name: str, space: str, blocks: int, repeats: int) -> str:
    """One line of the table."""
    side = prior.image_shape[1]
    known = torch.ones(side, side)
    known[side // 3 : -side // 3, side // 3 : -side // 3] = 0
    operator = Mask(known)
    with torch.no_grad():
        y = operator.A(prior.decode(prior.sample(ROWS, torch.Generator().manual_seed(1), space), space))
    solver = Tuned(prior, space=space, blocks=blocks, steps=2 * STEPS, candidates=1)
    turns = pairs(partial(timed, solver, y[:1], operator), partial(timed, solver, y, operator), repeats, warm_up=1)
    ones, manies = zip(*turns, strict=True)
    whole = Tuned(prior, space=space, blocks=blocks, steps=STEPS, candidates=4)
    batch, single = whole(y, operator), whole(y[:1], operator)
    difference = float((batch.images[:1] - single.images).abs().max())
    low, _, high = statistics.quantiles([one / many for one, many in turns], n=4)
    numbers = sum(value[0].numel() for key, value in batch.codes.items() if key.startswith("weights:"))
    alone, eighth = statistics.median(ones), statistics.median(manies)
    return (
        f"| {name} | {blocks} of {len(prior.blocks)} | {numbers / 1e6:.2f} M | {alone:.1f} | {eighth:.1f} "
        f"| {alone / eighth:.2f} | {low:.2f}–{high:.2f} | {difference:.0e} |"
    )


def main(repeats: int, cases: list[tuple[str, str, int]]) -> None:
    """Print a row for each prior and depth."""
    must_be_repeats(repeats)
    keep_freed_memory()  # as the command line does
    print(f"{describe()}; {repeats} pairs of {STEPS} steps, a photo alone and {ROWS} at once\n")
    print(
        "| prior | blocks tuned | weights | alone ms | in 8 ms | ratio of medians | middle half of the ratios | largest difference |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    for name, space, blocks in cases:
        print(row(load_prior(name), name, space, blocks, repeats), flush=True)


if __name__ == "__main__":
    given = sys.argv[2:]
    chosen = [(given[i], given[i + 1], int(given[i + 2])) for i in range(0, len(given), 3)]
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9, chosen or list(CASES))
