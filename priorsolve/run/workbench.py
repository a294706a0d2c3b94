"""Where photos are worked on: read ahead and written behind on threads of their own, while the calling thread solves."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import ClassVar, TypeAlias

from priorsolve.out_of_memory import is_out_of_memory
from priorsolve.photos.identity import Identity, identify
from priorsolve.photos.names import Photo
from priorsolve.run.advance import Advance, Odometer, OnAdvance
from priorsolve.run.answers import Answer, Tools, solve_jobs
from priorsolve.run.jobs import Job, Reader, Work
from priorsolve.run.keeping import Keeper
from priorsolve.run.records import Record

ShouldStop: TypeAlias = Callable[[], bool]
"""Asked before each batch whether to end there."""

PATIENCE = 0.05
"""For how much of a batch's own time the next one waits, so that the records of the first are told before."""


@dataclass
class Opened:
    """A photo that is read, and whose jobs are being solved, in their order."""

    work: Work
    answers: list[Answer] = field(default_factory=list)
    seconds: float = 0.0
    failed: bool = False

    @property
    def photo(self) -> Photo:
        return self.work.photo

    @property
    def worth(self) -> float:
        """Which part of the photo one of its jobs is."""
        return 1 / len(self.work.jobs)

    @property
    def turns(self) -> list[Turn]:
        """What is to be solved of it."""
        return [(self, job) for job in self.work.jobs]


@dataclass(frozen=True)
class Failed:
    """A photo that could not be read or solved; `file` is what it was, where that is known."""

    photo: Photo
    error: Exception
    file: Identity | None = None
    turns: ClassVar[Sequence[Turn]] = ()


Ended: TypeAlias = Opened | Failed
Turn: TypeAlias = tuple[Opened, Job]


class Workbench:
    """Reads, solves and keeps photos. `size` jobs are solved side by side, of whichever photos they are, and of these at most `searched`
    at a time; memory holds no more than two batches that are read and two that are to be written. Where it is short `size` is halved."""

    def __init__(self, tools: Tools, reader: Reader, keeper: Keeper, size: int, searched: int) -> None:
        self._tools, self._reader, self._keeper = tools, reader, keeper
        self.size, self._fits, self._odometer = size, min(size, searched), Odometer()
        self._raised: Exception | None = None

    def records(
        self, photos: Iterable[Photo], on_step: OnAdvance | None = None, stop: ShouldStop = lambda: False
    ) -> Generator[Record, None, None]:
        """Do the photos, in order. What is solved is written, whatever ends it: what `on_step` raises does, and is no photo's failure."""
        reading, writing = ThreadPoolExecutor(1, "reading"), ThreadPoolExecutor(1, "writing")
        written: deque[Future[Record]] = deque()
        self._odometer = Odometer()
        try:
            for unread, turns in self._batches(photos, reading):
                written += [writing.submit(self.keep, failed) for failed in unread]
                self._odometer.add(len(unread))
                if stop():
                    break
                start = time.perf_counter()
                written += [writing.submit(self.keep, ended) for ended in self.solve(turns, on_step)]
                wait(written, timeout=PATIENCE * (time.perf_counter() - start))
                while written and (written[0].done() or len(written) > 2 * self.size):
                    yield written.popleft().result()
            while written:
                yield written.popleft().result()
        finally:
            reading.shutdown(cancel_futures=True)
            writing.shutdown()

    def read(self, photo: Photo) -> Ended:
        """The photo, opened, or why it cannot be."""
        file = None
        try:
            file = identify(photo.path)
            fingerprint = self._keeper.fingerprint(photo)
            return Opened(replace(self._reader.read(photo), fingerprint=fingerprint, file=file))
        except Exception as error:  # noqa: BLE001 (whatever it is, it must not stop the other photos)
            return Failed(photo, error, file)

    def solve(self, turns: Sequence[Turn], on_step: OnAdvance | None = None) -> list[Ended]:
        """Solve together, and tell which photos are ended."""
        turns = [(opened, job) for opened, job in turns if not opened.failed]
        if not turns:
            return []
        start = time.perf_counter()
        worths = [opened.worth for opened, _ in turns]
        told = None if on_step is None else self._odometer.during(worths, self._heard(on_step))
        try:
            answers, self._fits = solve_jobs(self._tools, [job for _, job in turns], told, batch=self._fits)
        except Exception as error:
            if error is self._raised:
                raise
            return self._solve_apart(turns, error, on_step)
        self._odometer.add(sum(worths))
        seconds = (time.perf_counter() - start) / len(turns)
        ended: list[Ended] = []
        for (opened, _), answer in zip(turns, answers, strict=True):
            opened.answers.append(answer)
            opened.seconds += seconds
            if len(opened.answers) == len(opened.work.jobs):
                ended.append(opened)
        return ended

    def _heard(self, on_step: OnAdvance) -> OnAdvance:
        """`on_step`, and what it raises is known to be its own."""

        def tell(advance: Advance) -> None:
            try:
                on_step(advance)
            except Exception as error:
                self._raised = None if is_out_of_memory(error) else error  # for fewer photos `step.images()` may have enough
                raise

        return tell

    def _solve_apart(self, turns: list[Turn], error: Exception, on_step: OnAdvance | None) -> list[Ended]:
        """What could not be solved together: each by itself, so that the culprit is found and named; where memory is short, in halves."""
        if len(turns) > 1:
            parts = [[turn] for turn in turns]
            if is_out_of_memory(error):  # of what comes after the search, which makes do by itself
                self.size = len(turns) // 2  # of the batches to come, too
                parts = [turns[: self.size], turns[self.size :]]
            return [ended for part in parts for ended in self.solve(part, on_step)]
        ((opened, _),) = turns
        opened.failed = True
        self._odometer.add(1 - len(opened.answers) * opened.worth)
        return [Failed(opened.photo, error, opened.work.file)]

    def keep(self, ended: Ended) -> Record:
        """Write it. Raises ValueError when the folder can no longer be written."""
        if isinstance(ended, Failed):
            return self._keeper.fail(ended.photo, ended.error, ended.file)
        try:
            return self._keeper.keep(ended.work, ended.answers, ended.seconds)
        except Exception as error:  # noqa: BLE001 (as above)
            return self._keeper.fail(ended.photo, error, ended.work.file)

    def _batches(self, photos: Iterable[Photo], reading: ThreadPoolExecutor) -> Iterator[tuple[list[Ended], list[Turn]]]:
        """Batches of jobs in the photos' order, with the photos on the way that could not be read, or leave nothing to solve."""
        left = iter(photos)
        most = 2 * self.size
        ahead = deque(reading.submit(self.read, photo) for photo in islice(left, 1))
        unread: list[Ended] = []
        turns: list[Turn] = []
        while ahead:
            ended = ahead.popleft().result()
            jobs = len(ended.turns)
            while len(ahead) < most:
                # a photo that is still being read is taken for one of as many jobs as the last
                coming = sum(len(photo.result().turns) if photo.done() else jobs for photo in ahead)
                if len(turns) + jobs + coming >= most or (photo := next(left, None)) is None:
                    break
                ahead.append(reading.submit(self.read, photo))
            if not ahead:
                ahead.extend(reading.submit(self.read, photo) for photo in islice(left, 1))
            turns += ended.turns
            if not ended.turns:
                unread.append(ended)
            while max(len(turns), len(unread)) >= self.size:
                batch = turns[: self.size] if len(turns) >= self.size else []
                yield unread, batch
                unread, turns = [], turns[len(batch) :]
        yield unread, turns
