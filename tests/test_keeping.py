"""What is told and written of photos whose answers are known: the solver is left out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import run_support as run
import torch
from PIL import Image

from priorsolve.framing import Face, Frame
from priorsolve.recipe.components import RecipeError
from priorsolve.run import scenes, workbench
from priorsolve.run.answers import Answer
from priorsolve.run.jobs import Job
from priorsolve.run.records import Record
from priorsolve.run.restoration import Options, restore

pytestmark = pytest.mark.usefixtures("digiface64")

TILES = {"tiles": {"overlap": 0.0}}
COPIES = {"faces": {"missing": "copy"}}
IN_THE_SECOND = {"mask": {"boxes": [[100, 20, 110, 30]]}}
"""A hole in the second tile of two."""


def answer(image: torch.Tensor, **changes: Any) -> Answer:
    facts: dict[str, Any] = {"misfit": 0.1, "residual": 0.1, "history": (0.1,), "steps": 1, "stopped": "ended", "diagnosis": (), "note": ""}
    return Answer(**{"image": image, "drawn": image, "spread": None, "calibration": {}, **facts, **changes})


def answering(monkeypatch: pytest.MonkeyPatch, answers: Callable[[int, Job], Answer]) -> list[Job]:
    """Jobs, counted over the run, have these answers. Returns those that there were."""
    seen: list[Job] = []

    def solve(tools: object, jobs: Sequence[Job], on_step: object, *, batch: int) -> tuple[list[Answer], int]:
        seen.extend(jobs)
        return [answers(len(seen) - len(jobs) + place, job) for place, job in enumerate(jobs)], batch

    monkeypatch.setattr(workbench, "solve_jobs", solve)
    return seen


def kept(
    folder: Path, options: Options | None = None, *, size: tuple[int, int] = (64, 128), status: str = "done", **changes: Any
) -> Record:
    """The one record of one photo, by default of two tiles side by side: in/a.png."""
    (folder / "in").mkdir()
    run.picture(0, *size).save(folder / "in/a.png")
    (record,) = restore(run.quick(**changes), folder / "in", folder / "out", options)
    assert record.status == status, record.reason
    return record


@pytest.mark.parametrize("batch", [1, 2])
def test_several_answers_are_told_together_and_each_of_its_own_tile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    first = {"misfit": 0.7, "residual": 0.2, "history": (0.9, 0.7), "steps": 20, "stopped": "the first", "diagnosis": ("of the first",)}
    second = {"misfit": 0.3, "residual": 0.4, "history": (0.3,), "steps": 50, "stopped": "the second", "diagnosis": ("of the second",)}
    facts = {**first, "calibration": {"spread_to_error": math.nan}}, {**second, "calibration": {"spread_to_error": 0.8}, "note": "noted"}

    def answers(index: int, job: Job) -> Answer:
        assert job.clean is not None
        time.sleep(0.05)
        return answer(job.clean * 0.9 + 0.01, drawn=job.clean * 0, spread=torch.full((64, 64), 0.1), **facts[index])

    jobs = answering(monkeypatch, answers)
    record = kept(tmp_path, Options(degrade=True, batch_size=batch), operator="gray", frame=TILES, output={}, samples=2)
    assert len({job.seed for job in jobs}) == 2
    assert (record.misfit, record.residual, record.history, record.stopped) == (0.7, 0.2, (0.9, 0.7), "the first")  # of the worst
    assert record.steps == 50
    assert record.diagnosis == ("tile 1 of 2: of the first", "tile 2 of 2: of the second")
    assert record.notes[-3:] == ("tile 1 of 2: misfit 0.7", "tile 2 of 2: misfit 0.3", "tile 2 of 2: noted")
    assert record.metrics["spread_to_error"] == 0.8  # in the first there was nothing to judge
    clean = np.asarray(run.picture(0, 64, 128)) / 255
    psnrs = [-10 * math.log10(((0.1 * tile - 0.01) ** 2).mean()) for tile in np.split(clean, 2, 1)]
    assert record.metrics["psnr"] == pytest.approx(sum(psnrs) / 2, abs=0.02)
    assert record.seconds >= 0.1
    assert record.spread is not None
    assert (run.pixels(tmp_path / "out" / record.spread) == np.full((64, 128), 102)).all()  # white is 0.25


def test_a_batch_s_time_is_shared_among_its_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def answers(index: int, job: Job) -> Answer:
        clock[0] += index + 1
        return answer(job.y)

    answering(monkeypatch, answers)
    monkeypatch.setattr(workbench, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    made = restore(run.quick(), run.photos(tmp_path / "in", 3), tmp_path / "out", Options(batch_size=3))
    assert [record.seconds for record in made] == [2, 2, 2]


@pytest.mark.parametrize("batch", [1, 2])
def test_a_photo_whose_tiles_all_fail_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    answering(monkeypatch, run.broken)
    record = kept(tmp_path, Options(batch_size=batch), status="failed", operator="gray", frame=TILES)
    assert record.reason == "no finite picture was found"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError("not even one image fits"), "not even one image fits"),
        (RecipeError("operator: no"), "operator: no"),
        (OSError("odd"), "OSError: odd"),
        (KeyError("b"), "KeyError: 'b'"),
    ],
)
def test_an_error_that_nobody_foresaw_keeps_its_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, told: str) -> None:
    def failing(index: int, job: Job) -> Answer:
        raise error

    answering(monkeypatch, failing)
    record = kept(tmp_path, status="failed", size=(64, 64), operator="gray", task="give colours")
    assert (record.reason, record.task) == (told, "give colours")


@pytest.mark.parametrize("tiles", [32, 33])
def test_of_many_tiles_only_the_first_are_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiles: int) -> None:
    answering(monkeypatch, lambda index, job: answer(job.y.expand(3, 64, 64), diagnosis=(f"of {index + 1}",)))
    record = kept(tmp_path, size=(64, 64 * tiles), operator="gray", frame=TILES, output={})
    assert record.diagnosis == tuple(f"tile {number} of {tiles}: of {number}" for number in range(1, 33))
    misfits = [note for note in record.notes if "misfit" in note]
    assert misfits == ([f"tile {number} of 32: misfit 0.1" for number in range(1, 33)] if tiles == 32 else [])
    assert (record.output_size, record.task) == ((64, 64 * tiles), "gray")


def test_a_tile_that_is_left_out_leaves_the_others_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = answering(monkeypatch, lambda index, job: answer(torch.where(job.y == 0, 0.5, job.y)))
    record = kept(tmp_path, operator=IN_THE_SECOND, frame=TILES)
    assert len(jobs) == 1
    assert [note for note in record.notes if "misfit" in note] == ["tile 2 of 2: misfit 0.1"]
    same = (run.pixels(tmp_path / "out/images/a.png") == run.pixels(tmp_path / "in/a.png")).all(-1)
    hole = np.zeros((64, 128), bool)
    hole[20:30, 100:110] = True
    assert same[~hole].all()
    assert not same[hole].any()
    measured, photo = run.pixels(tmp_path / "out/measurements/a.png"), run.pixels(tmp_path / "in/a.png")
    assert (measured == np.where(hole[..., None], 0, photo)).all(), "what a hole shows was not measured"


def test_a_tile_in_which_nothing_is_missing_is_drawn_where_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = answering(monkeypatch, lambda index, job: answer(torch.full((3, 64, 64), 0.5)))
    kept(tmp_path, operator=IN_THE_SECOND, frame=TILES, output={})
    assert len(jobs) == 2


def test_a_clean_photo_without_a_face_is_shown_as_it_was_degraded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "find_faces", lambda photo: [])
    record = kept(tmp_path, Options(degrade=True), operator="gray", frame=COPIES)
    assert record.notes == ("no face was found: the photo stays grey",)
    made = run.pixels(tmp_path / "out/images/a.png")
    assert np.abs(made - run.pixels(tmp_path / "out/measurements/a.png")[..., None]).max() <= 1
    assert np.ptp(run.pixels(tmp_path / "in/a.png"), axis=-1).max() > 50


@pytest.mark.parametrize("operator", [{"clip": {}}, {"mask": {"boxes": [[8, 8, 24, 24]]}}])
def test_what_was_degraded_is_not_called_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operator: dict[str, Any]) -> None:
    monkeypatch.setattr(scenes, "find_faces", lambda photo: [])
    record = kept(tmp_path, Options(degrade=True), operator=operator, frame=COPIES, output={})
    said = "the photo stays as it was degraded" if "clip" in operator else "holes stay (100% of what is missing)"
    assert record.notes == (f"no face was found: {said}",)


@pytest.mark.parametrize(("suffix", "mode"), [("png", "RGB"), ("bmp", "RGB"), ("tif", "RGBA"), ("tif", "L")])
def test_a_copy_keeps_its_colours_in_another_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, mode: str) -> None:
    monkeypatch.setattr(scenes, "find_faces", lambda photo: [])
    photo = run.picture(0).convert(mode)
    if mode == "RGBA":
        photo.putalpha(photo.getchannel("G"))
    photo.save(tmp_path / f"a.{suffix}")
    recipe = run.quick(operator="gray", frame=COPIES, output={"format": "png"})
    (record,) = restore(recipe, tmp_path / f"a.{suffix}", tmp_path / "out")
    with Image.open(tmp_path / "out" / str(record.image)) as made:
        assert made.mode == mode
        assert (np.asarray(made) == np.asarray(photo)).all()
    assert record.notes[0] == "no face was found: the photo is a copy"


def test_where_all_is_known_no_map_is_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, lambda index, job: answer(job.y, spread=torch.zeros(64, 64), calibration={"spread_to_error": math.nan}))
    assert kept(tmp_path, Options(degrade=True), size=(64, 64), samples=2).metrics.keys() == {"psnr", "ssim"}


@pytest.mark.parametrize("frame", ["center", "aligned", "tiles"])
def test_a_photo_that_is_made_smaller_first_is_told_at_its_own_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frame: str) -> None:
    answering(monkeypatch, lambda index, job: answer(torch.full((3, 64, 64), 0.5)))
    record = kept(tmp_path, Options(degrade=True), size=(130, 130), operator={"downsample": {"factor": 4}}, frame=frame)
    assert record.input_size == (130, 130)
    assert record.output_size == ((64, 64) if frame == "center" else (128, 128))


def test_a_photo_that_is_made_larger_is_as_transparent_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, lambda index, job: answer(torch.full((3, 64, 64), 0.5)))
    photo, alpha = run.picture(0, 16, 32).convert("RGBA"), np.full((16, 32), 255, np.uint8)
    alpha[:, 16:] = 0
    photo.putalpha(Image.fromarray(alpha))
    photo.save(tmp_path / "a.png")
    (record,) = restore(run.quick(operator={"downsample": {"factor": 4}}, frame=TILES), tmp_path / "a.png", tmp_path / "out")
    assert record.output_size == (64, 128), record.reason
    with Image.open(tmp_path / "out" / str(record.image)) as made:
        seen = np.asarray(made)[..., 3]
    assert seen.shape == (64, 128)
    assert (seen[:, :48].min(), seen[:, 80:].max()) == (255, 0)


def test_transparent_holes_become_opaque_where_they_are_filled_and_stay_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "find_faces", lambda photo: [Face(Frame.of_box(0, 0, 32, 32), 1.0)])
    answering(monkeypatch, lambda index, job: answer(torch.full((3, 64, 64), 0.5)))
    photo = run.picture(0).convert("RGBA")
    for left in (10, 50):  # in the frame, and beside it
        photo.paste((0, 0, 0, 0), (left, left, left + 4, left + 4))
    photo.save(tmp_path / "a.png")
    for beside, lowest in (("keep", 0), ("fill", 255)):
        recipe = run.quick(operator={"mask": {"alpha": True}}, frame={"faces": {"beside": beside}})
        (record,) = restore(recipe, tmp_path / "a.png", tmp_path / beside)
        with Image.open(tmp_path / beside / str(record.image)) as made:
            alpha = np.asarray(made.convert("RGBA"))[..., 3]
        assert [alpha[10:14, 10:14].min(), alpha[50:54, 50:54].min(), alpha[50:54, 50:54].max()] == [255, lowest, lowest]
