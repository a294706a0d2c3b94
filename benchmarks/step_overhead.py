"""What a solver's step costs beside what no solver can avoid: the generator forward and backward.

    python benchmarks/step_overhead.py [REPEATS [DTYPE]]

The bare pass is the folded generator alone, without operator, loss or update. Both run in turns of STEPS passes on one thread, and what
is counted is that thread's processor time: whatever else the machine does falls on both alike or not at all. A ratio is taken of each
pair of turns. With DTYPE (bfloat16) the network computes in that type, in both. Prints a Markdown table for docs/performance.md.
"""

from __future__ import annotations

import statistics
import sys
import time
from functools import partial

import torch
from machine import describe
from measuring import Stopwatch, must_be_repeats, pairs
from torch import Tensor

from priorsolve.memory import keep_freed_memory
from priorsolve.operators.mask import Mask
from priorsolve.priors import Prior, load_prior
from priorsolve.solvers import Latent, Solution

STEPS = 10


def bare(prior: Prior, codes: Tensor, ones: Tensor) -> float:
    """Milliseconds of one forward and backward pass, over STEPS of them."""
    start = time.process_time()
    for _ in range(STEPS):
        leaf = codes.detach().requires_grad_()
        torch.autograd.grad(prior.decode(leaf), leaf, ones)
    return (time.process_time() - start) / STEPS * 1000


def step(solver: Latent, y: Tensor, operator: Mask, start: Solution) -> float:
    """Milliseconds of one of the solver's steps, from its report at step 0 to the one at STEPS."""
    watch = Stopwatch()
    solver(y, operator, start=start, on_step=watch)
    return watch.per_step(0, STEPS)


def main(repeats: int, dtype: torch.dtype | None) -> None:
    """Print a row for each batch size."""
    must_be_repeats(repeats)
    keep_freed_memory()  # as the command line does
    torch.set_num_threads(1)
    prior = load_prior("digiface64").computing(dtype)
    folded = prior.folded().computing(dtype)
    known = torch.ones(64, 64)
    known[20:44, 20:44] = 0
    operator = Mask(known)
    solver = Latent(prior, steps=2 * STEPS, restarts=1, candidates=1)
    print(f"{describe()}; network in {dtype or torch.float32}")
    print(f"Medians of {repeats} pairs of {STEPS} passes at 64 rows, 2 and 4 times as many at 8 and 1\n")
    print("| rows | bare ms | step ms | ratio | middle half of the ratios |\n|---|---|---|---|---|")
    for rows, more in ((1, 4), (8, 2), (64, 1)):
        codes = prior.sample(rows, torch.Generator().manual_seed(0))
        y = operator.A(prior.decode(prior.sample(rows, torch.Generator().manual_seed(1))))
        ones = torch.ones_like(y)
        start = Latent(prior, steps=0, restarts=1, candidates=1)(y, operator)
        turns = pairs(partial(bare, folded, codes, ones), partial(step, solver, y, operator, start), repeats * more, warm_up=2)
        bares, steps = zip(*turns, strict=True)
        low, middle, high = statistics.quantiles([s / b for b, s in turns], n=4)
        print(
            f"| {rows} | {statistics.median(bares):.2f} | {statistics.median(steps):.2f} | {middle:.3f} | {low:.3f}–{high:.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15, getattr(torch, sys.argv[2]) if len(sys.argv) > 2 else None)
