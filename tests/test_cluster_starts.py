"""Workers that die, or find no place, and what they are asked for. Ray is a stand-in whose workers die as they are told to."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import run_support as run
import torch

from priorsolve.cluster import Cluster, ClusterError, Crew, crew
from priorsolve.cluster.ray import _probe, _start, joined
from priorsolve.cluster.worker import Worker
from priorsolve.photos.names import Photo
from priorsolve.run.restoration import Options, Run, restore


class Died(Exception):
    """What Ray tells of a worker's death."""


class Asked:
    """What a worker was asked for, with what comes back."""

    def __init__(self, answer: object) -> None:
        self.answer = answer


def method(answer: object, told: Callable[..., object] = lambda *given: None) -> Any:
    """A worker's method, with what comes back each time that it is asked, and is `told` what it is given."""

    def remote(*given: object) -> Asked:
        told(*given)
        return Asked(answer)

    return SimpleNamespace(remote=remote)


class StandIn:
    """As much of Ray as a crew asks for; of the workers, counted from 1 as they are hired, those of `deaths` die at the start, and those of
    `fatal` of the first photos that they are asked for.
    """

    exceptions = SimpleNamespace(RayTaskError=KeyboardInterrupt, RayError=Died)

    def __init__(self, deaths: Sequence[int] = (), fatal: Sequence[int] = ()) -> None:
        self.deaths, self.fatal, self.hired, self.killed, self.stopped = deaths, fatal, 0, 0, 0
        self.given: tuple[Any, ...] = ()
        self.settings: dict[str, object] = {}
        self.asked: list[list[Photo]] = []

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0}

    def remote(self, **settings: object) -> Callable[[type], Any]:
        self.settings = settings
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
        self.given = given
        prepared, done = (Died("exit") if self.hired in which else None for which in (self.deaths, self.fatal))
        do = method(done or (), lambda photos: self.asked.append(list(photos)))
        return SimpleNamespace(here=method(None), prepare=method(prepared), do=do, stop=method(None, self._stop))

    def _stop(self) -> None:
        self.stopped += 1

    @property
    def names(self) -> list[list[str]]:
        """Of the photos that workers were asked for."""
        return [[photo.name for photo in photos] for photos in self.asked]


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


def test_few_photos_are_shared_out_among_the_workers(tmp_path: Path) -> None:
    ray = StandIn()
    crew = Crew(ray, Run(run.quick(), [run.photos(tmp_path / "in", 5)], tmp_path / "out", Options(batch_size=16)), Cluster(workers=2))
    crew.prepare()
    assert list(crew.records()) == []
    assert ray.names == [["00.png", "01.png", "02.png"], ["03.png", "04.png"]]


def test_workers_in_another_folder_find_what_is_given_from_this_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ray, photos = StandIn(), run.photos(Path("in"), 1)
    crew = Crew(ray, Run(run.quick(), [photos], Path("out"), Options()), Cluster())
    monkeypatch.chdir("/")
    crew.prepare()
    assert list(crew.records()) == []
    assert [photo.path for photo in ray.asked[0]] == [tmp_path / "in" / "00.png"]
    assert ray.given[1] == tmp_path / "out"


def test_where_no_worker_finds_a_place_a_line_says_what_each_wants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = StandIn()
    monkeypatch.setattr(ray, "wait", lambda asked, timeout, **settings: ([], asked) if timeout > 1 else (asked[:1], asked[1:]))
    crew = Crew(
        ray, Run(run.quick(), [run.photos(tmp_path / "in", 1)], tmp_path / "out", Options()), Cluster(threads=4, gpus_per_worker=0.5)
    )
    with pytest.raises(ClusterError, match=r"no worker found a place in 300 s: each wants 4 CPUs and 0\.5 GPUs; see --workers and --gpus"):
        crew.prepare()
    assert (ray.settings["num_cpus"], ray.settings["num_gpus"]) == (4, 0.5)


@pytest.mark.usefixtures("digiface64")
@pytest.mark.parametrize(("options", "again"), [(Options(overwrite=True), ["00.png", "01.png"]), (Options(retry_failed=True), ["01.png"])])
def test_a_record_of_an_earlier_run_is_none_of_a_worker_that_died(tmp_path: Path, options: Options, again: list[str]) -> None:
    """Else it would be told as what this run has done, of photos that it was asked to do again."""
    photos, out, ray = run.photos(tmp_path / "in", 2), tmp_path / "out", StandIn(fatal=(1,))
    (photos / "01.png").write_text("no picture")
    assert len(list(restore(run.quick(), photos, out))) == 2
    crew = Crew(ray, Run(run.quick(), [photos], out, options), Cluster(workers=1))
    crew.prepare()
    assert list(crew.records()) == []
    assert ray.names == [again, *([name] for name in again)]


@pytest.mark.parametrize("fatal", [(), (1,)])
def test_once_it_is_stopped_a_crew_asks_for_no_further_photo(tmp_path: Path, fatal: Sequence[int]) -> None:
    """Of a worker that dies meanwhile they are left too, for the next run."""
    photos, ray = run.photos(tmp_path / "in", 8), StandIn(fatal=fatal)
    crew = Crew(ray, Run(run.quick(), [photos], tmp_path / "out", Options(batch_size=1)), Cluster(workers=1))
    crew.prepare()
    assert list(crew.records(lambda: bool(ray.asked))) == []
    assert ray.names == [["00.png"], ["01.png"]], "one to solve, and one to read meanwhile"
    assert ray.stopped == (0 if fatal else 1)


def test_workers_are_dismissed_whatever_ends_their_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a cluster that others joined they would stay, each with its prior."""
    ray, photos = StandIn(), run.photos(tmp_path / "in", 8)
    monkeypatch.setattr("priorsolve.cluster.workers.joined", lambda cluster: contextlib.nullcontext(ray))
    with pytest.raises(ZeroDivisionError), crew(Run(run.quick(), [photos], tmp_path / "out", Options(batch_size=1)), Cluster(workers=2)):
        raise ZeroDivisionError
    assert ray.killed == 2


def test_a_worker_computes_on_as_many_threads_as_it_is_given(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    try:
        for threads in (3, 1):
            Worker(run.quick(), tmp_path, Options(), threads)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("there", [True, False])
def test_ray_is_left_running_where_it_ran_before_and_nowhere_else(there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    ray = SimpleNamespace(is_initialized=lambda: there, shutdown=lambda: told.append("ended"))
    monkeypatch.setattr("priorsolve.cluster.ray._ray", lambda: ray)
    monkeypatch.setattr("priorsolve.cluster.ray._start", lambda *given: told.append("begun"))
    with pytest.raises(ZeroDivisionError), joined(Cluster()):
        raise ZeroDivisionError
    assert told == ([] if there else ["begun", "ended"])


def test_which_cluster_is_joined_and_what_is_started_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(cluster: Cluster) -> tuple[object, object]:
        """The address, and how many cores Ray is told to have."""
        given: dict[str, object] = {}
        _start(SimpleNamespace(init=lambda **settings: given.update(settings), util=SimpleNamespace(get_node_ip_address=None)), cluster)
        return given["address"], given.get("num_cpus")

    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert asked(Cluster(workers=2)) == ("auto", None)
    assert asked(Cluster(address="local")) == ("local", None)
    monkeypatch.delenv("RAY_ADDRESS")
    assert asked(Cluster(workers=3, threads=1000)) == ("local", 3000), "else no worker would find a place"
    assert asked(Cluster()) == ("local", os.cpu_count())


@pytest.mark.skipif(sys.platform == "darwin", reason="127.0.0.1 is the only address of its kind there")
def test_a_cluster_that_listens_at_the_network_s_address_alone_is_found_by_this_machine_s_name() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.2", 0))
        listening.listen()
        port = listening.getsockname()[1]
        _probe(f"127.0.0.1:{port}", lambda: "127.0.0.2")
        with pytest.raises(ClusterError, match="Connection refused"):
            _probe(f"ray://127.0.0.1:{port}", lambda: "127.0.0.2")
