"""What records, and a run's last lines, say of how a photo was read and what became of it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest
import run_support as run
import tifffile
from PIL import Image

from priorsolve.cli import main
from priorsolve.operators.downsample import Downsample
from priorsolve.photos.greys import LEFT_GREY
from priorsolve.photos.images import read_image, read_photo
from priorsolve.report.table import results
from priorsolve.run.jobs import ENLARGED, NO_LARGER
from priorsolve.run.records import Record
from priorsolve.run.restoration import Options, restore

pytestmark = pytest.mark.usefixtures("digiface64")
SMALLER = {"downsample": {"factor": 8}}


def done(photo: Path, out: Path, options: Options | None = None, **changes: object) -> Record:
    (record,) = restore(run.quick(**changes), photo, out, options)
    assert record.status == "done", record.reason
    return record


@pytest.mark.parametrize(
    ("channels", "bits", "settings", "told"),
    [
        (4, 16, {"photometric": "rgb", "extrasamples": ["unspecified"]}, ["channels that are neither colours nor alpha were left out"]),
        (4, 8, {"photometric": "rgb", "extrasamples": ["unspecified"]}, ["channels that are neither colours nor alpha were left out"]),
        (4, 16, {"photometric": "rgb", "extrasamples": ["unassalpha"]}, []),
        (4, 16, {"photometric": "separated"}, ["CMYK of 16 bits per channel was read as 8"]),
        (4, 8, {"photometric": "separated"}, []),
    ],
)
def test_what_is_left_out_of_a_tiff_is_noted(tmp_path: Path, channels: int, bits: int, settings: dict[str, Any], told: list[str]) -> None:
    values = np.full((64, 64, channels), 2**bits - 1, f"uint{bits}")
    tifffile.imwrite(tmp_path / "a.tif", values, planarconfig="contig", **settings)
    notes = read_photo(tmp_path / "a.tif")[1]
    assert [note for note in notes if "left out" in note or "16 bits" in note] == told


def test_a_transparent_level_of_16_bit_grey_is_noted(tmp_path: Path) -> None:
    Image.fromarray(np.full((64, 64), 7, np.uint16)).save(tmp_path / "a.png", transparency=7)
    assert read_photo(tmp_path / "a.png")[1] == ("one level of 16-bit grey is transparent in the file: it was read as opaque",)
    Image.fromarray(np.full((64, 64), 7, np.uint16)).save(tmp_path / "a.png")
    assert read_photo(tmp_path / "a.png")[1] == ()


@pytest.mark.parametrize(
    ("size", "told"),
    [
        ((64, 64), "64×64 became 8×8, and the result is 64×64"),
        ((150, 100), "100×100 became 8×8, and the result is 64×64"),
        ((63, 100), ""),  # larger than what it was
        ((8, 8), ""),
    ],
)
def test_a_photo_that_is_not_enlarged_is_told(tmp_path: Path, size: tuple[int, int], told: str) -> None:
    run.picture(0, *size).save(tmp_path / "a.png")
    record = done(tmp_path / "a.png", tmp_path / "out", operator=SMALLER)
    assert [note for note in record.notes if note.startswith(NO_LARGER)] == ([f"{NO_LARGER} ({told})"] if told else [])


def test_photos_that_are_smaller_than_what_is_measured_are_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    for height, width in ((64, 64), (64, 63), (40, 90), (90, 70)):
        run.picture(0, height, width).save(tmp_path / "in" / f"{width}.png")
    command = ["restore", run.recipe_file(tmp_path), str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--set", "operator=identity"]
    assert main(command) == 0
    assert capfd.readouterr().err.endswith(f"{ENLARGED}: 2 photos\n")


def test_no_other_task_is_told_that_it_enlarges_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run.picture(0, 128, 128).save(tmp_path / "a.png")
    for options, changes in ((None, {}), (Options(degrade=True), {"operator": SMALLER})):
        record = done(tmp_path / "a.png", tmp_path / f"out{len(changes)}", options, **changes)
        assert not any(note.startswith(NO_LARGER) for note in record.notes)
    command = ["restore", run.recipe_file(tmp_path), str(tmp_path / "a.png"), "--out", str(tmp_path / "small")]
    assert main([*command, "--set", "operator={downsample: {factor: 8}}"]) == 0
    assert capfd.readouterr().err.endswith(f"{NO_LARGER}: 1 photo\n")
    assert "--set frame=faces" in NO_LARGER


def test_colours_that_are_left_out_are_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Of any kind of file and frame, but not of grey photos, faint tints, photos that are degraded, or where colours count."""
    colours = np.asarray(run.picture(0))
    grey = colours.mean(-1, keepdims=True).repeat(3, -1).clip(8, 247).astype(np.uint8)
    kinds = {
        "colours.png": colours,
        "grey.png": grey,
        "tint.png": grey + np.array([4, 0, 0], np.uint8),
        "sepia.png": grey + np.array([8, 0, 248], np.uint8),
    }
    (tmp_path / "in").mkdir()
    for name, values in kinds.items():
        Image.fromarray(values.astype(np.uint8)).save(tmp_path / "in" / name)
    tifffile.imwrite(tmp_path / "in" / "deep.tif", colours.astype(np.uint16) * 257, photometric="rgb")
    quick = {"solver": {"latent": {"steps": 0, "restarts": 1, "candidates": 1}}, "output": {}}
    told = {}
    for frame in ("center", "tiles"):
        found = restore(run.quick(operator="gray", frame=frame, **quick), tmp_path / "in", tmp_path / frame)
        told[frame] = {record.name for record in found if LEFT_GREY in record.notes}
    assert told["center"] == told["tiles"] == {"colours.png", "sepia.png", "deep.tif"}
    for options, changes in ((Options(degrade=True), {"operator": "gray"}), (None, {"operator": "identity"})):
        assert LEFT_GREY not in done(tmp_path / "in" / "colours.png", tmp_path / f"o{len(str(changes))}", options, **quick, **changes).notes
    main(["restore", run.recipe_file(tmp_path), str(tmp_path / "in"), "--out", str(tmp_path / "said"), "--set", "operator=gray"])
    assert f"{LEFT_GREY}: 3 photos\n" in capfd.readouterr().err


def test_a_measurement_that_nothing_can_be_compared_with_is_no_result(tmp_path: Path) -> None:
    y = np.full((3, 64, 64), 0.5, np.float32)
    y[0, 0, 0] = 1e20  # finite, but its square is not
    np.save(tmp_path / "y.npy", y)
    (record,) = restore(run.quick(operator="identity", output={}), tmp_path / "y.npy", tmp_path / "out")
    assert (record.status, record.misfit) == ("failed", None)
    assert record.reason.startswith("no picture of finite misfit was found: the loss became infinite or not a number")


def test_the_residual_is_of_the_measurement_as_it_was_taken(tmp_path: Path) -> None:
    run.picture(0, 64, 64).save(tmp_path / "a.png")
    record = done(tmp_path / "a.png", tmp_path / "out", Options(degrade=True), operator=SMALLER, output={"consistency": False})
    restored = read_image(tmp_path / "out" / (record.image or ""), (64, 64))[None]
    measured = read_image(tmp_path / "out" / (record.measurement or ""), (8, 8))[None]
    left = (Downsample(8).A(restored) - measured).square().mean().sqrt()
    assert record.residual is not None
    assert record.residual == pytest.approx(float(left), abs=2e-3)  # both files are of 8 bits
    assert record.misfit == pytest.approx(record.residual**2, rel=1e-3)  # by squares
    table = parquet.read_table(io.BytesIO(results([record])))
    assert table["residual"].to_pylist() == [record.residual]
