"""A run's workers: the driver hands out batches, tells the records, and replaces a worker that dies."""

from __future__ import annotations

import contextlib
import math
import os
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from priorsolve.cluster.ray import Cluster, ClusterError, joined
from priorsolve.cluster.worker import Worker
from priorsolve.photos.names import Photo
from priorsolve.run.keeping import Keeper
from priorsolve.run.records import Record, pending, record_of
from priorsolve.run.restoration import Run
from priorsolve.run.workbench import ShouldStop

START_SECONDS = 300.0
"""How long to wait for a place for the first worker."""
DEATHS_AT_START = 3
"""Workers that may die one after another before any can work, until the run gives up."""


class WorkerDied(RuntimeError):
    """A photo's worker died of it."""


@dataclass(frozen=True)
class _Task:
    """What a worker was asked for: to prepare itself (no photos), or photos. A suspect is alone with its worker."""

    worker: Any
    photos: Sequence[Photo] = ()
    suspect: bool = False


class Crew:
    """A run's workers. Made by `crew`, which also dismisses them."""

    def __init__(self, ray: Any, run: Run, cluster: Cluster) -> None:
        self._ray, self._run = ray, run
        self._options, self._out = run.options, Path(os.path.abspath(run.out))  # noqa: PTH100 (as in outfolder)
        workers, self._threads, self._gpus = cluster.shape(ray.cluster_resources(), run.options.device)
        workers = min(workers, len(run.todo))
        size = min(run.options.batch_size, math.ceil(len(run.todo) / workers))
        photos = [replace(photo, path=Path(os.path.abspath(photo.path))) for photo in run.todo]  # noqa: PTH100
        self._waiting = deque(photos[first : first + size] for first in range(0, len(photos), size))
        self._suspects: deque[Photo] = deque()
        self._asked: dict[Any, _Task] = {}
        self._ready: list[Any] = []
        self._died_at_start = 0
        for _ in range(workers):
            self._hire()

    def prepare(self) -> None:
        """Wait until the first worker can work. Raises what kept it from that, or ClusterError where there is no place for any."""
        here = [task.worker.here.remote() for task in self._asked.values()]
        if not self._ray.wait(here, num_returns=1, timeout=START_SECONDS)[0]:
            wants = f"{self._threads} CPUs" + (f" and {self._gpus:g} GPUs" if self._gpus else "")
            raise ClusterError(f"no worker found a place in {START_SECONDS:.0f} s: each wants {wants}; see --workers and --gpus-per-worker")
        while not self._ready:
            for _ in self._landed():
                pass

    def records(self, stop: ShouldStop = lambda: False) -> Generator[Record, None, None]:
        """Do what is left, in the order in which it is done. When stopped, the batches at work are finished."""
        return self._run.at_work(self._records(stop))

    def _records(self, stop: ShouldStop) -> Generator[Record, None, None]:
        stopped = False
        try:
            while self._waiting or self._suspects or any(task.photos for task in self._asked.values()):
                if stop() and not stopped:
                    stopped = True
                    self._waiting.clear()
                    for worker in self._ready:
                        worker.stop.remote()
                if stopped:
                    self._suspects.clear()
                self._hand_out()
                yield from self._landed()
        finally:
            self.dismiss()  # while the folder is held: they write into it

    def dismiss(self) -> None:
        """End all workers at once."""
        for worker in {id(worker): worker for worker in (*self._ready, *(task.worker for task in self._asked.values()))}.values():
            self._ray.kill(worker)
        self._ready.clear()
        self._asked.clear()

    def _hire(self) -> None:
        actor = self._ray.remote(num_cpus=self._threads, num_gpus=self._gpus, max_concurrency=3, max_restarts=0)(Worker)
        worker = actor.remote(self._run.recipe, self._out, self._options, self._threads)
        self._asked[worker.prepare.remote()] = _Task(worker)

    def _hand_out(self) -> None:
        """Two batches to each worker, one to solve and one to read meanwhile; suspects when all else is done, alone."""
        for worker in self._ready:
            mine = [task for task in self._asked.values() if task.worker is worker]
            while self._waiting and len(mine) < 2 and not any(task.suspect for task in mine):
                mine.append(self._ask(_Task(worker, self._waiting.popleft())))
            if self._suspects and not self._waiting and not mine:
                self._ask(_Task(worker, [self._suspects.popleft()], suspect=True))

    def _ask(self, task: _Task) -> _Task:
        self._asked[task.worker.do.remote(task.photos)] = task
        return task

    def _landed(self) -> Iterator[Record]:
        """What comes back within half a second."""
        errors, asked = self._ray.exceptions, list(self._asked)
        for answer in self._ray.wait(asked, num_returns=1, timeout=0.5)[0] if asked else ():
            task = self._asked[answer]
            try:
                records = self._ray.get(answer)
            except errors.RayTaskError as error:
                raise error.cause if isinstance(error.cause, Exception) else ClusterError(str(error)) from None
            except errors.RayError as error:
                yield from self._lost(task.worker, error)
                continue
            del self._asked[answer]
            if task.photos:
                yield from records
            else:
                self._ready.append(task.worker)
                self._died_at_start = 0

    def _lost(self, worker: Any, error: Exception) -> Iterator[Record]:
        """A worker died. What it had done is told; the rest of its photos are suspects; one that was so already is the culprit."""
        tasks = [task for task in self._asked.values() if task.worker is worker]
        self._asked = {answer: task for answer, task in self._asked.items() if task.worker is not worker}
        if worker in self._ready:
            self._ready.remove(worker)
        else:
            self._died_at_start += 1
            if self._died_at_start >= DEATHS_AT_START:
                raise ClusterError(f"{DEATHS_AT_START} workers died while they loaded the prior: {_words(error)}")
        for task in tasks:
            todo, _ = pending(task.photos, self._out, self._run.fingerprint, overwrite=self._options.overwrite, retry_failed=True)
            for photo in task.photos:
                if photo not in todo:
                    record = record_of(self._out, photo.name)
                    if record is not None:
                        yield record
                elif task.suspect:
                    yield self._failed(photo, error)
                else:
                    self._suspects.append(photo)
        if self._waiting or self._suspects or not self._ready:
            self._hire()

    def _failed(self, photo: Photo, error: Exception) -> Record:
        keeper = Keeper(self._out, self._run.recipe, self._run.fingerprint)
        # which file it was is not asked: to open it is what may have killed the worker
        return keeper.fail(photo, WorkerDied(f"its worker died twice, the second time with this photo alone: {_words(error)}"))


@contextlib.contextmanager
def crew(run: Run, cluster: Cluster) -> Iterator[Crew]:
    """A run's workers; all are gone afterwards.

    Raises ClusterError.
    """
    with joined(cluster) as ray:
        made = Crew(ray, run, cluster)
        try:
            yield made
        finally:
            made.dismiss()


def _words(error: Exception) -> str:
    """Ray's reason, from its many lines."""
    lines = [line.strip() for line in str(error).splitlines() if "exit" in line.lower() or "died" in line.lower()]
    return (lines[-1] if lines else type(error).__name__).split(" Some common causes")[0][:300]
