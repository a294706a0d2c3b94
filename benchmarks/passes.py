"""What folding and bfloat16 do for one pass of a prior: forward and backward, one picture, one thread.

    python benchmarks/passes.py [REPEATS] [PRIOR ...]

As loaded and folded, in float32 and in bfloat16, in turns of one pass each; processor time of one thread. Ratios are taken of each round.
PRIOR may be `stylegan2-256` or `stylegan2-1024`, which have random weights. The gradient's cosine is
against float32 as loaded. Prints a Markdown table for docs/performance.md.
"""

from __future__ import annotations

import statistics
import sys
import time

import torch
from machine import describe
from speed_parts import named
from torch import Tensor
from torch.nn.functional import cosine_similarity

from priorsolve.memory import keep_freed_memory
from priorsolve.priors import Prior

PRIORS = ("digiface64", "ffhq64", "ffhq128-fast", "ffhq128", "ffhq256")


def passed(prior: Prior, codes: Tensor, space: str) -> tuple[float, Tensor]:
    """Milliseconds of one pass, and the gradient of the picture's sum."""
    start = time.process_time()
    leaf = codes.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(prior.decode(leaf, space).sum(), leaf)
    return (time.process_time() - start) * 1000, gradient.flatten()


def main(repeats: int, names: tuple[str, ...]) -> None:
    """Print a row for each prior."""
    keep_freed_memory()  # as the command line does
    torch.set_num_threads(1)
    print(f"{describe()}; medians of {repeats} rounds\n")
    print("| prior | loaded ms | folded ms | ratio | bfloat16, folded ms | ratio to float32 | cosine folded | cosine bfloat16 |")
    print("|---|---|---|---|---|---|---|---|")
    for name in names:
        prior = named(name)
        space = "w" if "w" in prior.spaces else prior.first_space
        codes = prior.sample(1, torch.Generator().manual_seed(0), space)
        folded = prior.folded()
        ways = (prior, folded, folded.computing(torch.bfloat16))
        rounds = [[passed(way, codes, space) for way in ways] for _ in range(repeats + 2)]
        (_, exact), (_, same), (_, rough) = rounds[-1]
        times = [[ms for ms, _ in one] for one in rounds[2:]]  # two to warm up
        loaded, plain, half = (statistics.median(column) for column in zip(*times, strict=True))
        gain, more = statistics.median(one[0] / one[1] for one in times), statistics.median(one[1] / one[2] for one in times)
        cosines = " | ".join(f"{float(cosine_similarity(exact, other, 0)):.5f}" for other in (same, rough))
        print(f"| {name} | {loaded:.1f} | {plain:.1f} | {gain:.2f} | {half:.1f} | {more:.2f} | {cosines} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 12, tuple(sys.argv[2:]) or PRIORS)
