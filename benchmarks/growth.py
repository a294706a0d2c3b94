"""What a photo costs, against how many there are: one, 10, 100 and 1,000, each run in a process of its own.

    python benchmarks/growth.py [STEPS]

Photos are 64×64, a hole is filled with `digiface64` in STEPS steps (40), batches as `priorsolve restore` makes them by itself. The start is
imports, weights, and a first photo, with which torch warms up; a photo's cost is the run after it over its photos, reading and writing
included. Timed by the clock, or on one thread (OMP_NUM_THREADS=1) by the processor's time. Memory is the most that the process held.
Prints a Markdown table for docs/performance.md.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from machine import describe
from scale import photos, recipe, resident

from priorsolve.memory import keep_freed_memory
from priorsolve.run.restoration import Options, Run

COUNTS = (1, 10, 100, 1000)


def run(folder: Path, steps: int, born: float) -> dict[str, float]:
    """One run's figures; this is the process that is measured."""
    keep_freed_memory()  # as the command line does
    alone = torch.get_num_threads() == 1
    clock = time.process_time if alone else time.time
    first = photos(folder / "first", 1)
    assert [record.status for record in Run(recipe(steps), [first], folder / "warm", Options()).records()] == ["done"]
    restoration = Run(recipe(steps), [folder / "in"], folder / "out", Options())
    restoration.prepare()
    ready = clock()
    count = sum(record.status == "done" for record in restoration.records())
    return {"start": ready - (0 if alone else born), "photo": (clock() - ready) / count, "memory": resident()[1]}


def main(steps: int = 40) -> None:
    """A row for each count."""
    print(f"{describe()}; {steps} steps a photo\n")
    print("| photos | start s | ms a photo | compared with 10 photos | peak MiB |\n|---|---|---|---|---|", flush=True)
    found = {}
    with tempfile.TemporaryDirectory() as temp:
        for count in COUNTS:
            photos(Path(temp) / str(count) / "in", count)
            command = [sys.executable, __file__, "run", f"{temp}/{count}", str(steps), str(time.time())]
            made = subprocess.run(command, check=True, capture_output=True, text=True)
            found[count] = json.loads(made.stdout.splitlines()[-1])
        for count, of in found.items():
            share = of["photo"] / found[10]["photo"] - 1
            print(f"| {count} | {of['start']:.1f} | {1000 * of['photo']:.1f} | {share:+.1%} | {of['memory']:.0f} |")


if __name__ == "__main__":
    if sys.argv[1:2] == ["run"]:
        print(json.dumps(run(Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))))
    else:
        main(*map(int, sys.argv[1:]))
