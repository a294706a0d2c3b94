"""Ray's workers, real ones: the same as one process makes, whatever is killed. Ray starts once, so all of this runs on one test worker."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import run_support as run
from PIL import Image

from priorsolve.cli import main
from priorsolve.cluster import Cluster, restore_on
from priorsolve.cluster.ray import joined
from priorsolve.cluster.worker import Worker
from priorsolve.photos.names import Photo, find_photos
from priorsolve.recipe.recipe import Recipe
from priorsolve.run.advance import OnAdvance
from priorsolve.run.records import Record
from priorsolve.run.restoration import Options, Run, restore
from priorsolve.run.workbench import Ended, Opened, Turn, Workbench

pytestmark = [pytest.mark.usefixtures("digiface64"), pytest.mark.xdist_group("ray")]
TWO = Cluster(workers=2, threads=1)


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    with joined(TWO) as ray:
        yield ray


@pytest.fixture(scope="module")
def address(ray: Any) -> str:
    """Where other processes find it."""
    return str(ray.get_runtime_context().gcs_address)


def by_ray(photos: Path, out: Path, cluster: Cluster = TWO, recipe: Recipe | None = None, **options: Any) -> list[Record]:
    return list(restore_on(cluster, recipe or run.quick(), [photos], out, Options(**options)))


def test_the_same_pictures_and_records_as_local(ray: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    photos = run.photos(tmp_path / "in", 9)
    (photos / "04.png").write_text("no picture")
    local = list(restore(run.quick(), photos, tmp_path / "local", Options(batch_size=4)))
    told = by_ray(photos, tmp_path / "ray", batch_size=2)
    assert {record.name: record.status for record in told} == {record.name: record.status for record in local}
    assert run.records(tmp_path / "ray") == run.records(tmp_path / "local")
    for place in ("images", "measurements"):
        names = sorted(path.name for path in (tmp_path / "local" / place).iterdir())
        assert names == sorted(path.name for path in (tmp_path / "ray" / place).iterdir())
        for name in names:
            one, other = (np.asarray(Image.open(tmp_path / out / place / name)) / 255 for out in ("local", "ray"))
            assert np.abs(one - other).max() <= 1e-4
    assert by_ray(photos, tmp_path / "ray") == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("ray")
def test_a_worker_reads_no_further_than_it_solves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos, read, solved, most = run.photos(tmp_path / "in", 3), 0, 0, 0
    sizes: list[int] = []
    for index in range(3):
        run.picture(index, 160, 160).save(photos / f"{index:02}.png")
    (photos / "03.png").write_text("no picture")
    worker = Worker(run.quick(frame="tiles"), tmp_path / "out", Options(batch_size=4), 1)
    worker.prepare()
    real_read, real_solve = Workbench.read, Workbench.solve

    def reading(self: Workbench, photo: Photo) -> Ended:
        nonlocal read, most
        ended = real_read(self, photo)
        read += len(ended.work.jobs) if isinstance(ended, Opened) else 0
        most = max(most, read - solved)
        return ended

    def solving(self: Workbench, turns: Sequence[Turn], on_step: OnAdvance | None = None) -> list[Ended]:
        nonlocal solved
        solved += len(turns)
        sizes.append(len(turns))
        return real_solve(self, turns, on_step)

    monkeypatch.setattr(Workbench, "read", reading)
    monkeypatch.setattr(Workbench, "solve", solving)
    records = worker.do(find_photos([photos]))
    assert {record.name for record in records if record.status == "failed"} == {"03.png"}
    assert len(records) == 4
    assert read == solved >= 3 * 9
    assert most < read / 3 + 4, "one photo's tiles, and what is left of the last batch"
    assert sizes[:-1] == [4] * (len(sizes) - 1), "batches are full, whichever photos they are of"
    worker.stop()
    assert worker.do(find_photos([photos / "00.png"])) == []


def test_a_photo_that_leaves_nothing_to_solve_is_kept_too(tmp_path: Path) -> None:
    photos, recipe = run.photos(tmp_path / "in", 2), run.quick(frame={"faces": {"missing": "copy"}})  # photos without a face
    local = list(restore(recipe, photos, tmp_path / "local", Options()))
    told = by_ray(photos, tmp_path / "ray", Cluster(workers=1, threads=1), recipe)
    assert sorted(record.name for record in told) == sorted(record.name for record in local)
    assert [record.status for record in told] == ["done", "done"]
    assert run.records(tmp_path / "ray") == run.records(tmp_path / "local")


def test_a_killed_worker_is_replaced_and_the_photo_that_kills_is_named(ray: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Whoever opens two huge files is killed: once for the first, whenever it is tried for the second."""
    photos = run.photos(tmp_path / "in", 8)
    unlucky, deadly = photos / "03.png", photos / "06.png"
    image = unlucky.read_bytes()
    for path in (unlucky, deadly):
        with path.open("wb") as file:
            file.truncate(1 << 36)  # which takes minutes to read, and no room
    killing = [
        threading.Thread(target=kill_readers, args=(unlucky, 1, image), daemon=True),
        threading.Thread(target=kill_readers, args=(deadly, 2, b""), daemon=True),
    ]
    for thread in killing:
        thread.start()
    records = {record.name: record for record in by_ray(photos, tmp_path / "out", Cluster(workers=1), batch_size=2)}
    for thread in killing:
        thread.join(30)
        assert not thread.is_alive()
    assert len(records) == 8
    assert {name for name, record in records.items() if record.status == "failed"} == {"06.png"}
    assert records["06.png"].reason.startswith("WorkerDied: its worker died twice, the second time with this photo alone: ")
    assert run.records(tmp_path / "out").keys() == records.keys()
    assert list((tmp_path / "out").rglob(".*")) == []
    assert capfd.readouterr() == ("", "")


def test_no_other_run_may_begin_before_the_workers_are_dismissed(ray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kill, claims = ray.kill, list[int]()

    def told(worker: Any) -> None:
        claims.append(len(list((tmp_path / "out").glob(".run-*"))))
        kill(worker)

    monkeypatch.setattr(ray, "kill", told)
    records = restore_on(TWO, run.quick(), [run.photos(tmp_path / "in", 6)], tmp_path / "out", Options(batch_size=1))
    next(records)
    assert isinstance(records, Generator)
    records.close()
    assert claims == [1, 1]
    assert list((tmp_path / "out").glob(".run-*")) == []


def test_after_kill_9_of_the_driver_the_rest_is_done(ray: Any, address: str, tmp_path: Path) -> None:
    photos, arguments = run.photos(tmp_path / "in", 20), through(address, tmp_path)
    process = run.command(*arguments)
    run.wait_for(lambda: len(run.records(tmp_path / "out")) >= 3)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    assert 3 <= len(run.records(tmp_path / "out")) < 20
    recipe = Recipe.load(tmp_path / "recipe.yaml")
    list(restore(recipe, photos, tmp_path / "out"))  # what one engine began the other goes on with
    list(restore(recipe, photos, tmp_path / "whole"))
    assert run.records(tmp_path / "out") == run.records(tmp_path / "whole")
    assert run.files(tmp_path / "out") == run.files(tmp_path / "whole")


def test_ctrl_c_once_finishes_the_batches_at_work(ray: Any, address: str, tmp_path: Path) -> None:
    run.photos(tmp_path / "in", 60)
    process = run.command(*through(address, tmp_path))
    run.wait_for(lambda: bool(run.records(tmp_path / "out")))
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == ("", "priorsolve: stopped; what is done is kept, run the same command for any that are left\n")
    done = run.records(tmp_path / "out")
    assert len(done) % 2 == 0
    assert {record["status"] for record in done.values()} == {"done"}
    assert list((tmp_path / "out").rglob(".*")) == []
    assert len(Run(run.quick(), [tmp_path / "in"], tmp_path / "out", Options()).todo) == 60


def test_what_a_worker_cannot_load_is_said_in_one_line(ray: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run.photos(tmp_path / "in", 1)
    arguments = ["restore", run.recipe_file(tmp_path), str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--engine", "ray"]
    assert main([*arguments, "--set", "operator={downsample: {factor: 7}}", "--quiet"]) == 2
    error = capfd.readouterr().err
    assert ("divisible by 7" in error, error.count("\n")) == (True, 1)
    assert not (tmp_path / "out").exists()


def test_options_and_a_missing_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    run.photos(tmp_path / "in", 1)
    arguments = ["restore", run.recipe_file(tmp_path), str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    for wrong, said in (
        (["--engine", "dask"], "--engine dask: use local or ray"),
        (["--workers", "2", "--ray-address", "auto"], "--workers, --ray-address: for --engine ray alone"),
        (["--workers", "0"], "--workers: for --engine ray alone"),
        (["--engine", "ray", "--workers", "0"], "workers is 0; it must be at least 1"),
    ):
        assert main([*arguments, *wrong]) == 2
        assert capfd.readouterr().err == f"priorsolve: {said}\n"
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main([*arguments, "--engine", "ray"]) == 2
    assert capfd.readouterr().err == "priorsolve: --engine ray needs Ray; in the checkout, run: pip install '.[ray]'\n"


@pytest.mark.parametrize(
    ("cluster", "has", "device", "shape"),
    [
        (Cluster(), {"CPU": 8.0}, "auto", (8, 1, 0.0)),
        (Cluster(workers=3), {"CPU": 8.0}, "auto", (3, 2, 0.0)),
        (Cluster(threads=4), {"CPU": 8.0}, "auto", (2, 4, 0.0)),
        (Cluster(), {"CPU": 16.0, "GPU": 2.0}, "auto", (2, 8, 1.0)),
        (Cluster(gpus_per_worker=0.5), {"CPU": 16.0, "GPU": 2.0}, "cuda", (4, 4, 0.5)),
        (Cluster(), {"CPU": 16.0, "GPU": 2.0}, "cpu", (16, 1, 0.0)),
        (Cluster(gpus_per_worker=1), {"CPU": 4.0}, "auto", (1, 4, 1.0)),  # which finds no place, and says so
        (Cluster(workers=3), {"CPU": 2.0}, "auto", (3, 1, 0.0)),
    ],
)
def test_how_cores_and_gpus_are_shared_out(cluster: Cluster, has: dict[str, float], device: str, shape: tuple[int, int, float]) -> None:
    assert cluster.shape(has, device) == shape


def through(address: str, folder: Path) -> list[str]:
    text = run.QUICK.replace("steps: 2", "steps: 20")
    arguments = ["restore", run.recipe_file(folder, text), str(folder / "in"), "--out", str(folder / "out"), "--quiet", "--batch-size", "2"]
    return [*arguments, "--engine", "ray", "--ray-address", address, "--workers", "1"]


def kill_readers(path: Path, times: int, content: bytes) -> None:
    """Kill the process that reads the file, so many times; one that comes later gets the content."""
    for _ in range(times):
        run.wait_for(lambda: readers(path), pause=0.2)  # to look all the time would take the core that workers start on
        for process in readers(path):
            with contextlib.suppress(ProcessLookupError):  # the other thread was quicker
                os.kill(process, signal.SIGKILL)
        run.wait_for(lambda: not readers(path), pause=0.2)
    if content:
        path.with_suffix(".whole").write_bytes(content)
        path.with_suffix(".whole").replace(path)


def readers(path: Path) -> list[int]:
    """The other processes that have it open."""
    found = []
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if str(link.readlink()) == str(path) and int(link.parts[2]) != os.getpid():
                found.append(int(link.parts[2]))
        except OSError:
            continue
    return found


def test_a_cluster_that_does_not_answer_is_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run.photos(tmp_path / "in", 1)
    arguments = ["restore", run.recipe_file(tmp_path), str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--engine", "ray"]
    monkeypatch.setattr(sys.modules["priorsolve.cluster.ray"], "ANSWER_SECONDS", 0.3)
    monkeypatch.setattr("ray.is_initialized", lambda: False)  # whether or not another test has joined one
    with socket.socket() as free, socket.socket() as deaf:
        free.bind(("127.0.0.1", 0))  # and nobody listens
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        with contextlib.ExitStack() as waiting:  # its queue is full: who asks now hears nothing
            for _ in range(4):
                one = waiting.enter_context(socket.socket())
                one.setblocking(False)
                one.connect_ex(deaf.getsockname())
            for address, said in (
                (f"127.0.0.1:{free.getsockname()[1]}", "Connection refused; see that it runs there, and that --ray-address is right"),
                (f"ray://127.0.0.1:{free.getsockname()[1]}", "Connection refused; see that"),
                (f"ray://127.0.0.1:{deaf.getsockname()[1]}", "no answer; see that"),
                ("nowhere.invalid:6379", "; see that"),
                (f"{'n' * 70}:6379", "; see that"),
                ("head", "no port to ask; write it as HOST:PORT, such as head:6379 or ray://head:10001"),
                ("ray://head", "no port to ask; write it as"),
                ("head:99999", "no port to ask; write it as"),
            ):
                assert main([*arguments, "--ray-address", address]) == 2
                told = capfd.readouterr().err
                assert told.startswith(f"priorsolve: Ray at {address} cannot be used: ")
                assert (said in told, told.count("\n")) == (True, 1)
    assert not (tmp_path / "out").exists()
