"""What a step costs on every kind of prior, by solver, batch and device, beside the generator forward and backward alone.

    python benchmarks/speed.py [--limit SECONDS] [--dtype bfloat16] [PRIOR ...]

Each row is a process of its own, so that its memory is its own. There the bare pass (the folded generator, from the solver's space to the
picture and back, one code for each photo) and the solver take turns; a step is the time from one use of the operator to the next, so that
all of a step is in it and nothing of the start. Timed by the clock, on one thread (OMP_NUM_THREADS=1) by the processor's time; the first
turn warms up, medians of the others. Pictures a second are rows over the step. FLOP/s are those of the bare pass (products and
convolutions, as torch counts them), in percent of what a matrix product of 2048² reaches in the same process and type. Memory is the most
that the process held, torch and weights included. The start is from the process's to the first step: imports, weights, first codes.

Rows that are left out say why, and so do those that take longer than --limit. Prints a Markdown table for docs/performance.md.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import time
from typing import Any, NamedTuple


class Row(NamedTuple):
    """One line of the table, measured over so many turns of so many steps; a reason stands in for the figures."""

    prior: str
    solver: str
    batch: int
    turns: int = 3
    steps: int = 5
    left_out: str = ""


SUITE = (
    *[Row("digiface64", "latent", batch, 5, 40 if batch == 1 else 10) for batch in (1, 8, 64)],
    *[Row("digiface64", solver, batch) for solver in ("layered", "langevin") for batch in (1, 8, 64)],
    *[Row("digiface64", "multicode", batch, 2, 3) for batch in (1, 8, 64)],
    *[Row("digiface64", "tuned", batch) for batch in (1, 8)],
    Row("digiface64", "tuned", 64, left_out="six copies of 3.6 M weights for each of 64 photos; 8 at a time are as quick"),
    *[Row("ffhq128", solver, 1, 2, 3) for solver in ("latent", "layered", "pulse", "projector", "tuned")],
    Row("ffhq128", "latent", 8, 2, 2),
    Row("ffhq128", "latent", 64, left_out="eight times the batch of 8: style priors draw row by row on the CPU"),
    *[Row(prior, "latent", 1, 2, 3) for prior in ("ffhq64", "ffhq256", "ffhq1024")],
    Row("ffhq1024", "latent", 8, 1, 1),
    Row("stylegan2-1024", "latent", 1, 1, 1),
    Row("stylegan2-1024", "latent", 8, left_out="eight times the row above: row by row"),
    Row("biggan-256", "latent", 1, 1, 2),
    Row("biggan-256", "latent", 8, 1, 1),
    Row("biggan-256", "latent", 64, left_out="a minute a step, and more memory than a desktop has"),
)


def measure(row: Row, dtype: str | None, born: float) -> dict[str, float | str]:
    """The figures of one row; this is the process that is measured."""
    import torch
    from speed_parts import Ticking, computed, made, matmul_rate, named, peak, settle, space_of
    from torch.utils.flop_counter import FlopCounterMode

    from priorsolve.memory import keep_freed_memory

    keep_freed_memory()  # as the command line does
    alone = torch.get_num_threads() == 1
    clock = time.process_time if alone else time.time
    device = "cuda" if torch.cuda.is_available() else "cpu"
    prior = computed(named(row.prior).to(device), dtype)
    solver, space, folded = made(prior, row.solver, row.steps + 1), space_of(prior, row.solver), computed(prior.folded(), dtype)
    task = Ticking(prior.image_shape, clock).to(device)
    codes = prior.sample(row.batch, torch.Generator().manual_seed(0), space)
    y = torch.full((row.batch, *prior.image_shape), 0.5, device=device)

    def bare() -> float:
        settle(device)
        begun, leaf = clock(), codes.detach().requires_grad_()
        images = folded.decode(leaf, space)
        torch.autograd.grad(images, leaf, torch.ones_like(images))
        settle(device)
        return clock() - begun

    pairs, start = [], 0.0
    for _ in range(row.turns + 1):
        task.times.clear()
        solver(y, task)
        start = start or task.times[0] - (0 if alone else born)
        steps = task.times[-(row.steps + 3) : -2]  # the last two draw without gradients
        passes = [bare() for _ in range(row.steps)]
        pairs.append((statistics.median(passes), statistics.median(b - a for a, b in itertools.pairwise(steps))))
    held = peak(device)
    with FlopCounterMode(display=False) as counter:
        folded.decode(codes.detach().requires_grad_(), space).sum().backward()  # type: ignore[no-untyped-call]
    bares, steps = ([*column] for column in zip(*pairs[1:], strict=True))
    return {
        "device": device,
        "bare": statistics.median(bares),
        "step": statistics.median(steps),
        "ratio": statistics.median(step / one for one, step in zip(bares, steps, strict=True)),
        "flops": counter.get_total_flops() / statistics.median(bares),
        "matmul": matmul_rate(dtype, device, clock),
        "memory": held,
        "start": start,
    }


def line(row: Row, dtype: str | None, limit: float) -> str:
    """One line of the table."""
    head = f"| {row.prior} | {row.solver} | {row.batch} |"
    if row.left_out:
        return f"{head} left out: {row.left_out} |"
    options = ["--dtype", dtype] if dtype else []
    command = [sys.executable, __file__, *options, "--row", json.dumps([*row]), "--born", str(time.time())]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return f"{head} left out: took longer than {limit:.0f} s |"
    if done.returncode < 0:
        return f"{head} left out: killed by signal {-done.returncode}, as the system does where memory is short |"
    if done.returncode:
        return f"{head} failed: {done.stderr.strip().splitlines()[-1]} |"
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    rate = f"{found['flops'] / 1e9:.0f} ({found['flops'] / found['matmul']:.0%})"
    return (
        f"{head} {found['device']} | {1000 * found['bare']:.1f} | {1000 * found['step']:.1f} | {found['ratio']:.3f} "
        f"| {row.batch / found['step']:.3g} | {found['memory'] / 2**20:.0f} | {rate} | {found['start']:.1f} |"
    )


def main() -> None:
    """Every row, or one in a process of its own."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("priors", nargs="*", help="only these")
    parser.add_argument("--limit", type=float, default=120, help="seconds that a row may take")
    parser.add_argument("--dtype", help="what the network computes in: bfloat16")
    parser.add_argument("--row", type=json.loads, help=argparse.SUPPRESS)
    parser.add_argument("--born", type=float, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.row:
        print(json.dumps(measure(Row(*given.row), given.dtype, given.born)))
        return
    from machine import describe

    print(f"{describe()}; computing in {given.dtype or 'float32'}\n")
    print("| prior | solver | batch | device | bare ms | step ms | ratio | pictures/s | peak MiB | GFLOP/s (of a product's) | start s |")
    print("|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for row in SUITE:
        if not given.priors or row.prior in given.priors:
            print(line(row, given.dtype, given.limit), flush=True)


if __name__ == "__main__":
    main()
