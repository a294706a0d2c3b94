"""Reading and writing go on beside solving, batches are formed across photos, and no more than a few of them are in memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import run_support as run

from priorsolve.photos.names import Photo, find_photos
from priorsolve.run.advance import OnAdvance
from priorsolve.run.jobs import Reader, Work
from priorsolve.run.keeping import Keeper
from priorsolve.run.restoration import Options, equip
from priorsolve.run.workbench import Ended, Turn, Workbench

pytestmark = pytest.mark.usefixtures("digiface64")


def bench(out: Path, size: int) -> Workbench:
    return equip(run.quick(), out, Options(batch_size=size)).workbench


def test_reading_solving_and_writing_go_on_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_work: list[set[str]] = []
    busy: set[str] = set()
    guard = threading.Lock()

    def slow(what: str, seconds: float) -> None:
        with guard:
            busy.add(what)
            at_work.append(set(busy))
        time.sleep(seconds)
        with guard:
            busy.discard(what)

    for kind, name, what in ((Reader, "read", "read"), (Keeper, "keep", "keep"), (Workbench, "solve", "solve")):
        real = getattr(kind, name)
        seconds = 0.15 if what != "solve" else 0.3

        def slower(self: object, *given: object, real: object = real, what: str = what, seconds: float = seconds) -> object:
            slow(what, seconds)
            return real(self, *given)  # type: ignore[operator]

        monkeypatch.setattr(kind, name, slower)
    photos = find_photos([run.photos(tmp_path / "in", 10)])
    assert [record.name for record in bench(tmp_path / "out", 2).records(photos)] == [photo.name for photo in photos]
    assert {"read", "keep", "solve"} in at_work


def test_batches_are_whole_whatever_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run.photos(tmp_path / "in", 10)
    for name in ("00", "01", "02", "05"):
        (folder / f"{name}.png").write_text("no picture")
    sizes: list[int] = []
    real = Workbench.solve

    def counted(self: Workbench, turns: Sequence[Turn], on_step: OnAdvance | None = None) -> list[Ended]:
        sizes.append(len(turns))
        return real(self, turns, on_step)

    monkeypatch.setattr(Workbench, "solve", counted)
    records = list(bench(tmp_path / "out", 3).records(find_photos([folder])))
    assert sum(record.status == "failed" for record in records) == 4
    assert [size for size in sizes if size] == [3, 3]
    assert sorted(record.name for record in records) == [f"{index:02}.png" for index in range(10)]


def test_no_more_is_read_than_two_batches_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []
    real = Reader.read

    def counted(self: Reader, photo: Photo) -> Work:
        begun.append(photo.name)
        return real(self, photo)

    monkeypatch.setattr(Reader, "read", counted)
    photos = find_photos([run.photos(tmp_path / "in", 30)])
    records = bench(tmp_path / "out", 2).records(photos)
    for done in range(1, 31):
        next(records)
        assert len(begun) <= done + 2 * 2 + 2 * 2 + 2  # read ahead, to be written, and at work
    assert next(records, None) is None


def test_photos_of_many_jobs_are_not_read_far_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    read, solve = Reader.read, Workbench.solve

    def many(self: Reader, photo: Photo) -> Work:
        work = read(self, photo)
        held.append(12)
        return replace(work, jobs=work.jobs * 12)

    def solved(self: Workbench, turns: Sequence[Turn], on_step: OnAdvance | None = None) -> list[Ended]:
        held.append(-len(turns))
        most.append(sum(held))
        return solve(self, turns, on_step)

    most: list[int] = []
    monkeypatch.setattr(Reader, "read", many)
    monkeypatch.setattr(Workbench, "solve", solved)
    monkeypatch.setattr(Keeper, "keep", lambda self, work, answers, seconds: self.fail(work.photo, ValueError("not kept")))
    assert len(list(bench(tmp_path / "out", 4).records(find_photos([run.photos(tmp_path / "in", 6)])))) == 6
    assert sum(held) == 0
    assert max(most) <= 2 * 12 + 2 * 4, "the photo at work, the next one, and two batches"


def test_who_leaves_early_loses_nothing_that_was_solved(tmp_path: Path) -> None:
    records = bench(tmp_path / "out", 2).records(find_photos([run.photos(tmp_path / "in", 9)]))
    next(records)
    records.close()
    assert len(run.records(tmp_path / "out")) in (2, 4)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("reading", "writing"))]
