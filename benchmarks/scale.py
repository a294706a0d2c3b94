"""How a run scales: memory and start against the count of photos, the look at records, Ray beside one process, two workers beside one.

    python benchmarks/scale.py memory | start | records | overlap | ray | workers

Photos are 64×64, the prior is `digiface64`, and everything is written to a temporary folder ($TMPDIR). Prints Markdown rows for
docs/performance.md. `ray` and `workers` compare times on the clock: they need a machine that does nothing else.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from machine import describe
from PIL import Image

from priorsolve.cluster import Cluster, crew
from priorsolve.cluster.ray import joined
from priorsolve.photos.identity import identify
from priorsolve.photos.names import find_photos
from priorsolve.recipe.recipe import Recipe
from priorsolve.run.records import Record, pending, write_record
from priorsolve.run.restoration import Options, Run, equip
from priorsolve.run.workbench import Opened


def recipe(steps: int) -> Recipe:
    """A hole filled in so many steps."""
    solver = {"latent": {"steps": steps, "restarts": 1, "candidates": 1}}
    return Recipe.parse({"operator": {"mask": {"boxes": [[0.25, 0.25, 0.75, 0.75]]}}, "prior": "digiface64", "solver": solver})


def photos(folder: Path, count: int) -> Path:
    """`folder` with so many photos: a few pictures, each under many names."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for index in range(min(count, 100)):
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(folder / f"{index:06}.png")
    for index in range(100, count):
        shutil.copyfile(folder / f"{index % 100:06}.png", folder / f"{index:06}.png")
    return folder


def resident() -> tuple[float, float]:
    """The process's resident size and the largest that it had, in MiB."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return tuple(int(lines[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))  # type: ignore[return-value]


def memory(temp: Path) -> None:
    """A row for each count, each in a process of its own."""
    print("| photos | resident MiB after 100 | at the end | most | seconds |\n|---|---|---|---|---|")
    for count in (100, 1000, 10_000):
        photos(temp / f"in{count}", count)
        subprocess.run([sys.executable, __file__, "memory-of", str(temp), str(count)], check=True)


def memory_of(temp: Path, count: int) -> None:
    """One row."""
    start, early = time.perf_counter(), 0.0
    for number, _ in enumerate(Run(recipe(1), [temp / f"in{count}"], temp / f"out{count}", Options()).records()):
        if number == 99:
            early = resident()[0]
    now, most = resident()
    print(f"| {count} | {early:.0f} | {now:.0f} | {most:.0f} | {time.perf_counter() - start:.0f} |", flush=True)


def start(temp: Path) -> None:
    """What the count adds before the first photo: finding photos, checking names, looking for records."""
    print("| photos | processor seconds before the prior is loaded |\n|---|---|")
    for count in (100, 1000, 10_000, 100_000):
        folder = photos(temp / f"in{count}", count)
        times = []
        for _ in range(5):
            begin = time.process_time()
            Run(recipe(1), [folder], temp / "out", Options())
            times.append(time.process_time() - begin)
        print(f"| {count} | {min(times):.2f} |", flush=True)


def records(temp: Path, count: int = 100_000) -> None:
    """How long the look at records takes where all is done."""
    made = Record("", "done", "f", seed=1, misfit=0.01, steps=300, stopped="ran all of its steps", notes=("resized",) * 2, image="")
    made = replace(made, diagnosis=("a sentence of usual length about the fit",) * 2, history=tuple(0.01 * i for i in range(50)))
    folder = photos(temp / "in", count)
    (temp / "out" / "images").mkdir(parents=True)
    found = find_photos([folder])
    for photo in found:
        (temp / "out" / "images" / photo.name).touch()
        write_record(temp / "out", replace(made, name=photo.name, image=f"images/{photo.name}", file=identify(photo.path)))
    print("| records | processor seconds | seconds |\n|---|---|---|")
    for _ in range(5):
        begin, clock = time.process_time(), time.perf_counter()
        todo, _ = pending(found, temp / "out", lambda photo: "f")
        assert not todo
        print(f"| {count} | {time.process_time() - begin:.2f} | {time.perf_counter() - clock:.2f} |", flush=True)


def overlap(temp: Path, count: int = 64) -> None:
    """Reading and writing beside solving: the same photos read, solved and written one after the other, and as a run does."""
    folder = temp / "in"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(count):
        Image.fromarray(rng.integers(0, 256, (1500, 2000, 3), np.uint8)).save(folder / f"{index:03}.jpg")
    found = find_photos([folder])
    print("| turn | one after the other s | overlapping s |\n|---|---|---|")
    for turn in range(5):
        bench = equip(recipe(4), temp / f"out{turn}", Options(batch_size=8)).workbench
        begin = time.perf_counter()
        for first in range(0, count, 8):
            read = [bench.read(photo) for photo in found[first : first + 8]]
            turns = [(each, job) for each in read if isinstance(each, Opened) for job in each.work.jobs]
            assert all(bench.keep(each).status == "done" for each in bench.solve(turns))
        middle = time.perf_counter()
        assert len(list(bench.records(found))) == count
        print(f"| {turn} | {middle - begin:.2f} | {time.perf_counter() - middle:.2f} |", flush=True)


def ray(temp: Path, count: int = 160) -> None:
    """Milliseconds for each photo from the first record to the last: in this process, and by one worker of Ray, a thread each."""
    folder = photos(temp / "in", count)
    torch.set_num_threads(1)
    print("| turn | local ms | Ray ms | more |\n|---|---|---|---|")
    more = []
    with joined(Cluster(workers=1, threads=1)):
        for turn in range(3):
            local = _seconds(Run(recipe(1), [folder], temp / f"local{turn}", Options(batch_size=8)).records())
            by_ray = _by_ray(folder, temp / f"ray{turn}", 1, steps=1)
            more.append((by_ray - local) * 1000)
            print(f"| {turn} | {local * 1000:.1f} | {by_ray * 1000:.1f} | {more[-1]:.1f} |", flush=True)
    print(f"median {statistics.median(more):.1f} ms")


def workers(temp: Path, count: int = 96) -> None:
    """How much quicker two workers are than one, a thread each, once both are at work."""
    folder = photos(temp / "in", count)
    print("| turn | one worker: ms for a photo | two workers | ratio |\n|---|---|---|---|")
    with joined(Cluster(workers=2, threads=1)):
        for turn in range(3):
            one, two = (_by_ray(folder, temp / f"{turn}-{n}", n, steps=40) for n in (1, 2))
            print(f"| {turn} | {one * 1000:.0f} | {two * 1000:.0f} | {one / two:.2f} |", flush=True)


def _by_ray(folder: Path, out: Path, count: int, steps: int) -> float:
    with crew(Run(recipe(steps), [folder], out, Options(batch_size=8)), Cluster(workers=count, threads=1)) as made:
        made.prepare()
        return _seconds(made.records())


def _seconds(done: Iterable[Record]) -> float:
    """For a photo, without the first quarter, in which workers are still getting ready."""
    times = [time.perf_counter() for record in done if record.status == "done"]
    first = len(times) // 4
    return (times[-1] - times[first - 1]) / (len(times) - first)


def main(what: str = "", *more: str) -> None:
    """Measure one thing."""
    measures = {"memory": memory, "start": start, "records": records, "overlap": overlap, "ray": ray, "workers": workers}
    if what == "memory-of":
        memory_of(Path(more[0]), int(more[1]))
        return
    if what not in measures:
        raise SystemExit(f"there is no measure {what!r}; give one of {', '.join(measures)}")
    print(describe(), "\n")
    with tempfile.TemporaryDirectory() as temp:
        measures[what](Path(temp))


if __name__ == "__main__":
    main(*sys.argv[1:])
