"""Pillow's warnings while a photo is read are not heard, and everybody else's are."""

from __future__ import annotations

import logging
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
from PIL import Image

from priorsolve.photos.images import read_image
from priorsolve.photos.pictures import opened
from priorsolve.photos.silence import silence


def test_pillow_never_warns_and_others_are_heard(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("1", (9600, 9600)).save(path)  # above Pillow's warning, below its limit
    for _ in range(2):
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # put before all others
            assert read_image(path, (8, 8)).max() == 0
            with pytest.raises(Image.DecompressionBombWarning), Image.open(path):
                pass


def test_a_thread_that_reads_leaves_the_callers_warnings_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (16, 16)).save(path)
    begun, go_on = Event(), Event()

    def look(picture: Image.Image) -> bool:
        begun.set()
        return go_on.wait(60)

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(opened, path, look)
        assert begun.wait(60)
        with pytest.raises(UserWarning, match="while it reads"):
            warnings.warn("while it reads", stacklevel=1)
        with warnings.catch_warnings():  # the caller's own, entered later and left later
            go_on.set()
            assert reading.result(60)
    with pytest.raises(UserWarning, match="afterwards"):
        warnings.warn("afterwards", stacklevel=1)


def test_what_is_read_within_a_reading_ends_no_silence() -> None:
    with silence():
        with silence():
            warnings.warn("not heard", stacklevel=1)
        warnings.warn("not heard either", stacklevel=1)
    with pytest.raises(UserWarning, match="heard again"):
        warnings.warn("heard again", stacklevel=1)


def test_what_tifffile_logs_while_a_photo_is_read_is_not_heard(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("tifffile")
    for _ in range(2):
        with silence():
            log.warning("not heard")
            with ThreadPoolExecutor(1) as pool:
                pool.submit(log.warning, "on another thread").result(60)
    log.warning("heard again")
    assert [record.message for record in caplog.records] == ["on another thread", "on another thread", "heard again"]
    assert len(log.filters) == 1
