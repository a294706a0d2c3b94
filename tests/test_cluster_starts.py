"""Workers that die before they can work: when a run gives up. Ray is a stand-in whose workers die as they are told to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import run_support as run

from priorsolve.cluster import Cluster, ClusterError, Crew
from priorsolve.run.restoration import Options, Run


class Died(Exception):
    """What Ray tells of a worker's death."""


class Asked:
    """What a worker was asked for, with what comes back."""

    def __init__(self, answer: object) -> None:
        self.answer = answer


def method(answer: object) -> Any:
    """A worker's method, with what comes back each time that it is asked."""
    return SimpleNamespace(remote=lambda *given: Asked(answer))


class StandIn:
    """As much of Ray as a crew asks for; of the workers, counted from 1 as they are hired, those of `deaths` die at the start."""

    exceptions = SimpleNamespace(RayTaskError=KeyboardInterrupt, RayError=Died)

    def __init__(self, deaths: Sequence[int]) -> None:
        self.deaths, self.hired, self.killed = deaths, 0, 0

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0}

    def remote(self, **settings: object) -> Callable[[type], Any]:
        return lambda kind: SimpleNamespace(remote=self._hire)

    def wait(self, asked: Sequence[Asked], **settings: object) -> tuple[Sequence[Asked], Sequence[Asked]]:
        return asked[:1], asked[1:]

    def get(self, asked: Asked) -> object:
        if isinstance(asked.answer, Died):
            raise asked.answer
        return asked.answer

    def kill(self, worker: object) -> None:
        self.killed += 1

    def _hire(self, *given: object) -> Any:
        self.hired += 1
        prepared = Died("exit") if self.hired in self.deaths else None
        return SimpleNamespace(here=method(None), prepare=method(prepared), do=method(()))


def crew_of(ray: StandIn, folder: Path) -> Crew:
    photos, options = run.photos(folder / "in", 8), Options(batch_size=1)
    return Crew(ray, Run(run.quick(), [photos], folder / "out", options), Cluster(workers=2))


def test_a_run_gives_up_where_no_worker_can_begin(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="3 workers died while they loaded the prior: exit"):
        crew_of(StandIn(deaths=(1, 2, 3)), tmp_path).prepare()


def test_a_run_goes_on_where_workers_join_between_those_that_die(tmp_path: Path) -> None:
    ray = StandIn(deaths=(1, 3, 4))
    crew = crew_of(ray, tmp_path)
    crew.prepare()
    assert list(crew.records()) == []
    assert (ray.hired, ray.killed) == (5, 2)


def test_no_more_workers_are_hired_than_there_are_photos(tmp_path: Path) -> None:
    ray = StandIn(deaths=())
    Crew(ray, Run(run.quick(), [run.photos(tmp_path / "in", 1)], tmp_path / "out", Options()), Cluster(workers=2))
    assert ray.hired == 1
