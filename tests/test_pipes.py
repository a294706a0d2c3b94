"""A pipe with a photo's name fails as a photo does; whoever opened it would wait for its other end."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import run_support as run
from solvers_support import linear

from priorsolve.operators.holes import Holes
from priorsolve.photos.identity import identify
from priorsolve.photos.images import read_photo
from priorsolve.photos.measurements import read_measurement
from priorsolve.photos.pictures import PhotoError
from priorsolve.priors import CheckpointError
from priorsolve.recipe.recipe import Recipe
from priorsolve.run.degrade import degrade
from priorsolve.run.records import read_record
from priorsolve.run.restoration import restore
from priorsolve.solvers import load_delta, load_solution

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with a name here")


@pytest.fixture(autouse=True)
def _no_longer_than() -> Iterator[None]:
    """End a wait that would have no end."""

    def late(*_: object) -> None:
        raise TimeoutError

    outside = signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, outside)


@pytest.mark.parametrize(("name", "read"), [("a.png", read_photo), ("a.npy", lambda path: read_measurement(path, (5,))), ("a", identify)])
def test_no_reader_waits_for_a_pipe(tmp_path: Path, name: str, read: Callable[[Path], Any]) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(PhotoError, match=r"not a file \(a folder, a pipe, a socket or a device\)"):
        read(tmp_path / name)


@pytest.mark.usefixtures("digiface64")
def test_a_pipe_among_photos_is_one_that_failed(tmp_path: Path) -> None:
    photos = run.photos(tmp_path / "in", 1)
    os.mkfifo(photos / "pipe.png")
    done, failed = restore(run.quick(), photos, tmp_path / "out")
    assert {done.name: done.status, failed.name: failed.status} == {"00.png": "done", "pipe.png": "failed"}
    assert [made.reason[:10] for made in degrade(run.quick(), [photos], tmp_path / "y")] == ["", "not a file"]


@pytest.mark.usefixtures("digiface64")
def test_a_pipe_in_a_record_s_place_is_a_damaged_one(tmp_path: Path) -> None:
    photos, out = run.photos(tmp_path / "in", 1), tmp_path / "out"
    (out / "records").mkdir(parents=True)
    os.mkfifo(out / "records" / "00.png.json")
    assert read_record(out / "records" / "00.png.json") is None
    assert [record.status for record in restore(run.quick(), photos, out)] == ["done"]
    assert list(restore(run.quick(), photos, out)) == []


def test_a_pipe_as_prior_is_told_by_its_name(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.pth")
    recipe = Recipe.parse({"operator": "gray", "prior": str(tmp_path / "a.pth"), "solver": "latent"})
    assert recipe.fingerprint()
    assert not recipe.is_readable()


def test_a_pipe_is_no_solution_and_no_tuned_weights(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a")
    with pytest.raises(OSError, match="a pipe or a device, no file"):
        load_solution(tmp_path / "a")
    with pytest.raises(CheckpointError, match=r"a: cannot be read as tuned weights \(it is no file\)$"):
        load_delta(linear(), tmp_path / "a")


def test_a_mask_that_is_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "hole.png")
    with pytest.raises(ValueError, match=r"^Holes: the mask .*hole\.png is a pipe, a socket or a device; give a picture's file$"):
        Holes(file=str(tmp_path / "hole.png"))
