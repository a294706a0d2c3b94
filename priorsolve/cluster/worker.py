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
from priorsolve.run.workbench import Turn


class Worker:
    """Lives in a process of its own, as a Ray actor whose methods are called from several threads."""

    def __init__(self, recipe: Recipe, out: Path, options: Options, threads: int) -> None:
        self._given = recipe, out, options
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
        """The photos' records; of those that were not solved when it was stopped there are none.

        Photos are read until their jobs fill a batch: of many large photos in tiles no more than one is in memory.
        """
        told: list[Record] = []
        turns: list[Turn] = []
        for left, photo in zip(range(len(photos) - 1, -1, -1), photos, strict=True):
            ended = self._bench.read(photo)
            turns += ended.turns
            if not ended.turns:  # it failed, or leaves nothing to solve
                told.append(self._bench.keep(ended))
            while len(turns) >= self._bench.size or (turns and not left):
                batch = turns[: self._bench.size]
                turns = turns[len(batch) :]  # by now another thread may have made batches smaller
                with self._solving:
                    if self._stopped:
                        return told
                    solved = self._bench.solve(batch)
                told += [self._bench.keep(each) for each in solved]
        return told
