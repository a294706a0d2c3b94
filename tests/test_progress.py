"""How far a run says that it is: photos count, whatever number of faces, tiles or samples they are solved in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import run_support as run
import torch

from priorsolve.command.console import RunDisplay
from priorsolve.recipe.templates import photo_seed
from priorsolve.run import answers, workbench
from priorsolve.run.advance import Advance, Odometer
from priorsolve.run.records import Record
from priorsolve.run.restoration import Options, Run, restore
from priorsolve.solvers import Step


def step(index: int, steps: int, jobs: int) -> Step:
    return Step(index, steps, torch.zeros(jobs), torch.ones(jobs, dtype=torch.bool))


def told(folder: Path, size: int, sides: list[int], **recipe: Any) -> list[float]:
    """How many photos are said to be done, of photos of these sides that are restored in batches of this size."""
    (folder / "in").mkdir()
    for index, side in enumerate(sides):
        run.picture(index, side, side).save(folder / "in" / f"{index}.png")
    seen: list[float] = []
    work = Run(run.quick(**recipe), [folder / "in"], folder / "out", Options(batch_size=size))
    assert all(record.status == "done" for record in work.records(lambda advance: seen.append(advance.photos)))
    return seen


@pytest.mark.usefixtures("digiface64")
def test_tiles_count_as_parts_of_their_photo_over_all_batches(tmp_path: Path) -> None:
    seen = told(tmp_path, 2, [64, 160, 64], frame="tiles", operator={"downsample": {"factor": 1}}, output={"consistency": False})
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(3)
    assert len(set(seen)) > 6, "it moves with every batch"
    # batches of two jobs: the first photo's with one of the second's nine or more
    assert 1 < seen[1] < 1.2


@pytest.mark.usefixtures("digiface64")
def test_samples_fill_a_photo_once(tmp_path: Path) -> None:
    seen = told(tmp_path, 4, [64], samples=3, noise={"gaussian": {"sigma": 0.05}})
    assert seen[0] == 0
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(1)
    assert any(0.3 < photos < 0.4 for photos in seen)


@pytest.mark.usefixtures("digiface64")
def test_a_photo_that_fails_counts_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run.photos(tmp_path / "in", 3)
    (tmp_path / "in" / "00.png").write_text("no picture")
    real, work = answers.solve_jobs, Run(run.quick(), [tmp_path / "in"], tmp_path / "out", Options(batch_size=2))
    bad = photo_seed(work.recipe.seed, "01.png")

    def broken(tools: Any, jobs: Any, *rest: Any, **more: Any) -> Any:
        if any(job.seed == bad for job in jobs):
            raise RuntimeError("broken")
        return real(tools, jobs, *rest, **more)

    monkeypatch.setattr(workbench, "solve_jobs", broken)
    seen: list[float] = []
    list(work.records(lambda advance: seen.append(advance.photos)))
    assert seen[-1] == pytest.approx(3)


@pytest.mark.usefixtures("digiface64")
@pytest.mark.parametrize("size", [1, 2])
def test_what_a_callback_raises_ends_the_run_and_is_no_photos_failure(tmp_path: Path, size: int) -> None:
    class CancelledError(Exception):
        pass

    def cancel(advance: Advance) -> None:
        seen.append(advance.photos)
        if advance.photos > 2:
            raise CancelledError

    photos, out, seen = run.photos(tmp_path / "in", 4), tmp_path / "out", list[float]()
    with pytest.raises(CancelledError):
        list(restore(run.quick(), photos, out, Options(batch_size=size), on_step=cancel))
    assert len([done for done in seen if done > 2]) == 1, "nothing is solved again"
    assert {name: record["status"] for name, record in run.records(out).items()} == {"00.png": "done", "01.png": "done"}
    assert [record.name for record in restore(run.quick(), photos, out)] == ["02.png", "03.png"]


def test_parts_of_a_batch_that_does_not_fit_add_up() -> None:
    """Of two samples of four jobs, solved two and two."""
    odometer, seen = Odometer(), list[float]()
    odometer.add(5)
    on_step = odometer.during([0.25] * 4, lambda advance: seen.append(advance.photos))
    for sample in (0, 1):
        for _ in range(2):
            for index in (0, 10, 20):
                on_step(step(20 * sample + index, 40, 2))
    assert seen == sorted(seen)
    assert [round(photos, 3) for photos in seen] == [5, 5.125, 5.25, 5.25, 5.375, 5.5, 5.5, 5.625, 5.75, 5.75, 5.875, 6]


def display(total: int) -> tuple[RunDisplay, Callable[[], float]]:
    made = RunDisplay(total, quiet=True, as_json=False)
    return made, lambda: made._bar.tasks[0].completed


def test_the_bar_ends_with_the_last_record_and_never_goes_back() -> None:
    made, completed = display(2)
    flat = step(10, 10, 64)
    for photos, shown in ((0.5, 0.5), (1.5, 1.5), (1.2, 1.5), (2.0, 1.98)):
        made.step(Advance(flat.index, flat.steps, flat.misfit, flat.active, photos))
        assert completed() == pytest.approx(shown)
    record = Record("a.png", "done", "f")
    made.record(record)
    assert completed() == pytest.approx(1.98)
    assert not made._bar.finished
    made.record(replace(record, name="b.png"))
    assert completed() == 2
    assert made._bar.finished


@pytest.mark.usefixtures("digiface64")
def test_a_photo_that_fails_in_its_last_tile_counts_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    run.picture(0, 64, 112).save(tmp_path / "in" / "0.png")
    real, calls = answers.solve_jobs, iter(range(9))

    def broken(*given: Any, **more: Any) -> Any:
        if next(calls) == 1:
            raise RuntimeError("broken")
        return real(*given, **more)

    monkeypatch.setattr(workbench, "solve_jobs", broken)
    run.picture(0).save(tmp_path / "in" / "1.png")
    work = Run(run.quick(operator="gray", frame="tiles"), [tmp_path / "in"], tmp_path / "out", Options(batch_size=1))
    seen: list[float] = []
    assert [record.status for record in work.records(lambda advance: seen.append(advance.photos))] == ["failed", "done"]
    assert seen[-1] == pytest.approx(2)
