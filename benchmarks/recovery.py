"""How often a prior's own picture is found again from a part of it, where the answer is known: the prior can draw it exactly.

    python benchmarks/recovery.py [COUNT] [dtype=bfloat16] [name=value ...]

Prints a Markdown table for docs/performance.md. Names and values are settings of `Latent`. With `dtype=`, each task is solved in float32
and again with the network in that type, and the difference is told, as a mean ± standard error.
"""

from __future__ import annotations

import ast
import sys
import time
from typing import Any

import torch
from machine import describe
from measuring import mean_and_error

from priorsolve.metrics import psnr
from priorsolve.operators.base import Operator
from priorsolve.operators.mask import Mask
from priorsolve.operators.sensing import GaussianSensing
from priorsolve.priors import load_prior
from priorsolve.solvers import Latent

SETTINGS: dict[str, Any] = {"steps": 800, "restarts": 4, "candidates": 64, "lr": 0.3}
GOOD = 35
BATCH = 16


def tasks() -> dict[str, Operator]:
    """A hole in the middle, and compressed sensing: both leave far more numbers than the code has."""
    known = torch.ones(64, 64)
    known[20:44, 20:44] = 0
    return {"24×24 hole": Mask(known), "1000 Gaussian measurements": GaussianSensing(m=1000, shape=[3, 64, 64])}


def main(count: int, dtypes: list[torch.dtype | None], settings: dict[str, Any]) -> None:
    """Solve every task for `count` samples and print one row of figures for each type that the network computes in."""
    prior = load_prior("digiface64")
    solvers = [Latent(prior.computing(dtype), **settings) for dtype in dtypes]
    truth = prior.decode(prior.sample(count, torch.Generator().manual_seed(2024)))
    print(f"{describe()}; {count} samples in batches of {BATCH}; {settings}\n")
    print(f"| task | network in | median | mean | lowest | share ≥ {GOOD} dB | more than the first | steps | restarts | seconds |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name, operator in tasks().items():
        first: list[float] = []
        for dtype, solver in zip(dtypes, solvers, strict=True):
            start = time.perf_counter()
            found = torch.cat([solver(operator.A(part), operator).images for part in torch.split(truth, BATCH)])
            seconds = time.perf_counter() - start
            scores = psnr(found, truth)
            figures = f"{scores.median():.1f} dB | {scores.mean():.1f} dB | {scores.min():.1f} dB | {(scores >= GOOD).double().mean():.0%}"
            more = mean_and_error([a - b for a, b in zip(scores.tolist(), first, strict=True)], 2) + " dB" if first else "—"
            first = first or scores.tolist()
            case = f"{name} | {dtype or torch.float32}"
            print(f"| {case} | {figures} | {more} | {solver.steps} | {solver.restarts} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    given = dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
    counts = [int(word) for word in sys.argv[1:] if "=" not in word]
    others = [getattr(torch, given.pop("dtype"))] if "dtype" in given else []
    main(counts[0] if counts else 32, [None, *others], SETTINGS | {name: ast.literal_eval(value) for name, value in given.items()})
