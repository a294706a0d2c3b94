"""What a worker does: it holds the prior, and reads and writes one batch while it solves another."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import torch

from priorsolve.memory import keep_freed_memory
from priorsolve.photos.names import Photo
from priorsolve.recipe.recipe import Recipe
from priorsolve.run.records import Record
from priorsolve.run.restoration import Options, equip
from priorsolve.run.workbench import Failed, Opened


class Worker:
    """Lives in a process of its own, as a Ray actor whose methods are called from several threads."""

    def __init__(self, recipe: Recipe, out: Path, options: Options, threads: int) -> None:
        self._given, self._size = (recipe, out, options), options.batch_size
        self._solving, self._stopped = threading.Lock(), False
        torch.set_num_threads(threads)
        keep_freed_memory()

    def here(self) -> None:
        """The worker has its place."""

    def prepare(self) -> None:
        """Load the prior and build what the recipe names."""
        self._bench = equip(*self._given).workbench

    def stop(self) -> None:
        """Solve no further batch."""
        self._stopped = True

    def do(self, photos: Sequence[Photo]) -> list[Record]:
        """The photos' records; none when it was stopped before."""
        ended = [self._bench.read(photo) for photo in photos]
        turns = [(opened, job) for opened in ended if isinstance(opened, Opened) for job in opened.work.jobs]
        with self._solving:
            if self._stopped:
                return []
            solved = [each for first in range(0, len(turns), self._size) for each in self._bench.solve(turns[first : first + self._size])]
        unsolved = [each for each in ended if isinstance(each, Failed) or not each.work.jobs]  # it failed, or leaves nothing to solve
        return [self._bench.keep(each) for each in [*unsolved, *solved]]
