"""Whether answers stay when digiface64 computes in bfloat16 while codes are searched; precision.py asks the same of ffhq128.

    python benchmarks/precision64.py PHOTOS [LIMIT]

Clean photos, degraded by the tasks of quality.py at 64×64 and restored by its solvers `layered` and `z`, in batches of 16: in float32, in
float32 with the first rate of the search 0.01% higher, which says how far the least change leads, and in bfloat16. Seconds are by the
clock. Prints a Markdown table for docs/performance.md: differences to float32, means over photos ± standard error.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

from machine import describe
from measuring import mean_and_error
from precision import METRICS
from quality import SMALL, SOLVERS

from priorsolve.memory import keep_freed_memory
from priorsolve.photos.names import find_photos
from priorsolve.recipe.recipe import Recipe
from priorsolve.run.restoration import Options, restore

RATES = {"layered": 0.1, "z": 0.3}
"""Of the first stage: as quality.py gives it, or the default."""
CASES = [(task, "layered") for task in SMALL] + [("hole24", "z"), ("upscale4", "z")]
WAYS = {"float32": ("float32", 1.0), "rate + 0.01%": ("float32", 1.0001), "bfloat16": ("bfloat16", 1.0)}


def answers(task: str, solver: str, way: str, photos: list[Path]) -> tuple[list[tuple[float, ...]], float]:
    """PSNR and LPIPS of each photo, and the seconds for all."""
    name, _, changes = SMALL[task][1].partition("?")
    dtype, factor = WAYS[way]
    settings = [*filter(None, changes.split("&")), f"solver={SOLVERS[solver]}", f"solver.0.lr={RATES[solver] * factor}"]
    recipe = Recipe.load(name, [*settings, "prior=digiface64", f"metrics=[{','.join(METRICS)}]"])
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as out:
        records = list(restore(recipe, photos, out, Options(degrade=True, dtype=dtype, batch_size=16)))
    seconds = time.perf_counter() - start
    return [tuple(record.metrics[metric] for metric in METRICS) for record in sorted(records, key=lambda record: record.name)], seconds


def main(photos: list[Path]) -> None:
    """Print a row for each task and solver."""
    keep_freed_memory()  # as the command line does
    print(f"{describe()}; {len(photos)} photos\n")
    print(f"| task | solver | float32: PSNR, LPIPS | {' | '.join(f'{way}: dB, LPIPS' for way in list(WAYS)[1:])} | seconds |")
    print("|---|---|---|---|---|---|")
    for task, solver in CASES:
        found = {way: answers(task, solver, way, photos) for way in WAYS}
        base = found["float32"][0]
        cells = [f"{statistics.mean(one[0] for one in base):.2f}, {statistics.mean(one[1] for one in base):.4f}"]
        for way in list(WAYS)[1:]:
            pairs = list(zip(found[way][0], base, strict=True))
            cells.append(", ".join(mean_and_error([one[k] - other[k] for one, other in pairs], digits) for k, digits in ((0, 2), (1, 4))))
        cells.append(", ".join(f"{seconds:.0f}" for _, seconds in found.values()))
        print(f"| {SMALL[task][0]} | `{solver}` | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    limit = int(sys.argv[2]) if len(sys.argv) > 2 else None
    main([photo.path for photo in find_photos([Path(sys.argv[1])])][:limit])
