"""How benchmarks measure, so that what else the machine does counts little: a clock, pairs of turns, and what comes of many figures."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from priorsolve.solvers import Step


def must_be_repeats(repeats: int) -> None:
    """End the program where there are too few pairs of turns."""
    if repeats < 2:
        raise SystemExit(f"REPEATS is {repeats}; it takes 2 pairs of turns or more to say how far they are apart")


def now() -> float:
    """Seconds: of the processor where there is one thread, which others do not disturb, else of the clock on the wall."""
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


class Stopwatch:
    """Notes when a solver reports, so that its start and its end are left out."""

    def __init__(self) -> None:
        self.times: dict[int, float] = {}

    def __call__(self, step: Step) -> None:
        self.times[step.index] = now()

    def per_step(self, first: int, last: int) -> float:
        """Milliseconds of one step, from the report at step `first` to the one at `last`."""
        return (self.times[last] - self.times[first]) / (last - first) * 1000


def pairs(one: Callable[[], float], other: Callable[[], float], count: int, warm_up: int) -> list[tuple[float, float]]:
    """What both give in `count` pairs of turns, each of them first in every other; those to warm up come before and are left out."""
    found = []
    for turn in range(warm_up + count):
        if turn % 2:
            a, b = one(), other()
        else:
            b, a = other(), one()
        found.append((a, b))
    return found[warm_up:]


def mean_and_error(values: list[float], digits: int) -> str:
    """The mean and its standard error."""
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return f"{statistics.mean(values):+.{digits}f} ± {error:.{digits}f}"
