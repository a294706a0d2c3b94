"""What an earlier recipe made of a photo does not stay beside what the present one makes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import run_support as run

from priorsolve.report import write_report
from priorsolve.run.places import must_be_result, photos_of, places_of
from priorsolve.run.records import record_of, write_record
from priorsolve.run.restoration import Options, restore

pytestmark = pytest.mark.usefixtures("digiface64")


def pictures(out: Path) -> set[str]:
    """All results below `out`."""
    return {name for name in run.files(out) if "/" in name}


def jpegs(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for index, name in enumerate(names):
        run.picture(index).save(folder / name)
    return folder


def test_results_of_an_earlier_recipe_go_when_the_photo_is_done_again_or_fails(tmp_path: Path) -> None:
    photos, out = jpegs(tmp_path / "in", "a.jpg", "b.jpg"), tmp_path / "out"
    list(restore(run.quick(samples=2), photos, out, Options(degrade=True)))
    assert {"images/a.jpg", "spread/a.jpg.png", "originals/a.jpg.png", "measurements/a.jpg.png"} < pictures(out)
    (photos / "b.jpg").write_text("no picture")
    as_png = run.quick(output={"consistency": True, "format": "png"})
    assert {record.name: record.status for record in restore(as_png, photos, out)} == {"a.jpg": "done", "b.jpg": "failed"}
    assert pictures(out) == {"images/a.jpg.png", "measurements/a.jpg.png"}


def test_a_place_that_is_another_photo_s_by_now_stays_its_own(tmp_path: Path) -> None:
    photos, out = jpegs(tmp_path / "in", "a.jpg", "a.jpg.png"), tmp_path / "out"
    list(restore(run.quick(output={"format": "png"}), photos, out))
    assert {"images/a.jpg.png", "images/a.jpg.png.png"} < pictures(out)
    list(restore(run.quick(), photos / "a.jpg.png", out))
    list(restore(run.quick(), photos, out))
    assert {name for name in pictures(out) if name.startswith("images/")} == {"images/a.jpg", "images/a.jpg.png"}
    assert list(restore(run.quick(), photos, out)) == []


@pytest.mark.parametrize("place", ["../mine.png", "images/../mine.png", "records/../mine.png", "mine.png", "images", "/mine.png"])
def test_only_results_are_removed_whatever_a_record_says(tmp_path: Path, place: str) -> None:
    photos, out = jpegs(tmp_path / "in", "a.jpg"), tmp_path / "out"
    list(restore(run.quick(), photos, out))
    for mine in (tmp_path / "mine.png", out / "mine.png"):
        mine.write_text("mine")
    record = record_of(out, "a.jpg")
    assert record is not None
    write_record(out, dataclasses.replace(record, spread=place))
    assert record_of(out, "a.jpg") is None
    assert [made.status for made in restore(run.quick(seed=1), photos, out)] == ["done"]
    assert [mine.is_file() for mine in (tmp_path / "mine.png", out / "mine.png")] == [True, True]


@pytest.mark.parametrize("name", ["a.jpg", "a.jpg.png", "sub/a.gif", "y.npy", "a.png.png", "a"])
def test_a_place_tells_the_photos_that_it_may_be_of(name: str) -> None:
    for output in ("same", "png"):
        assert all(name in photos_of(must_be_result(place)) for place in places_of(name, output))


def test_a_sheet_that_is_no_longer_wanted_goes_and_somebody_s_own_stays(tmp_path: Path) -> None:
    out = tmp_path / "out"
    list(restore(run.quick(), jpegs(tmp_path / "in", "a.jpg"), out))
    write_report(out)
    assert (out / "sheet.png").is_file()
    (out / "recipe.yaml").write_text(run.quick(output={"sheet": False}).dump())
    write_report(out)
    assert not (out / "sheet.png").exists()
    (out / "sheet.png").write_text("mine")
    write_report(out)
    assert (out / "sheet.png").read_text() == "mine"
