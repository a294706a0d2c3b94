"""Whether answers stay when the network computes in bfloat16 while codes are searched.

    python benchmarks/precision.py PHOTOS [LIMIT]

Clean photos, degraded by three recipes and restored in float32, in bfloat16, and in float32 with the first rate of the search 0.01% higher:
searches on a face prior end elsewhere after the least change, and that column says how far. Each photo in all three ways before the next;
processor time of one thread. Prints a Markdown table: differences to float32, means over photos ± standard error.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from machine import describe
from measuring import mean_and_error

from priorsolve.memory import keep_freed_memory
from priorsolve.photos.names import find_photos
from priorsolve.recipe.recipe import Recipe
from priorsolve.run.restoration import Options, restore

TASKS = {"inpaint": ["operator.mask={boxes: [[0.3125, 0.3125, 0.6875, 0.6875]]}"], "upscale": [], "colorize": []}
CONTROL = "rate + 0.01%"
WAYS = {"float32": "float32", "bfloat16": "bfloat16", CONTROL: "float32"}
METRICS = ("psnr", "lpips")


def answer(task: str, way: str, photo: Path) -> tuple[float, ...]:
    """PSNR, LPIPS and processor seconds of one photo."""
    changes = [*TASKS[task], f"metrics=[{','.join(METRICS)}]"]
    if way == CONTROL:
        (((_, settings),),) = (stage.items() for stage in Recipe.load(task, []).solver[:1])
        changes.append(f"solver.0.lr={settings['lr'] * 1.0001}")
    recipe = Recipe.load(task, changes)
    start = time.process_time()
    with tempfile.TemporaryDirectory() as out:
        (record,) = restore(recipe, photo, out, Options(degrade=True, dtype=WAYS[way]))
    return (*(record.metrics[name] for name in METRICS), time.process_time() - start)


def main(photos: list[Path]) -> None:
    """Print a row for each task and each way, and for all tasks."""
    keep_freed_memory()  # as the command line does
    torch.set_num_threads(1)
    found = {task: {way: list[tuple[float, ...]]() for way in WAYS} for task in TASKS}
    for photo in photos:
        for task, answers in found.items():
            for way, given in answers.items():
                given.append(answer(task, way, photo))
    found["all"] = {way: [one for task in TASKS for one in found[task][way]] for way in WAYS}
    print(f"{describe()}; {len(photos)} photos\n")
    print("| task | way | photos | float32 dB | dB | float32 LPIPS | LPIPS | seconds |\n|---|---|---|---|---|---|---|---|")
    for task, answers in found.items():
        base = answers["float32"]
        psnr, lpips = (statistics.mean(column) for column in list(zip(*base, strict=True))[:2])
        for way in list(WAYS)[1:]:
            pairs = list(zip(answers[way], base, strict=True))
            decibels, seen = ([one[k] - other[k] for one, other in pairs] for k in (0, 1))
            ratio = statistics.median(one[2] / other[2] for one, other in pairs)
            cells = f"{psnr:.2f} | {mean_and_error(decibels, 2)} | {lpips:.4f} | {mean_and_error(seen, 4)}"
            print(f"| {task} | {way} | {len(pairs)} | {cells} | × {ratio:.2f} |")


if __name__ == "__main__":
    limit = int(sys.argv[2]) if len(sys.argv) > 2 else None
    main([photo.path for photo in find_photos([Path(sys.argv[1])])][:limit])
