"""The numbers of an album: a picture's chroma, how far it is moved, and the figures of records."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import run_support as run
import torch
from kornia.color import lab_to_rgb, rgb_to_lab
from PIL import Image

from priorsolve.files import digest_of
from priorsolve.operators.gray import Gray
from priorsolve.run.album import JOURNAL, OF_FRAMES, Chroma, chroma_of, measured_again, recoloured, share_colours, unshared
from priorsolve.run.journal import add_line
from priorsolve.run.records import Record, read_records, write_record

STEPS = torch.linspace(-2, 2, 32).view(4, 8)
LAB = torch.stack([torch.full((4, 8), 60.0), 20 + STEPS, 10 - 2 * STEPS])


def coloured() -> torch.Tensor:
    return lab_to_rgb(LAB[None], clip=False)[0]


def test_a_spread_is_along_both_axes() -> None:
    grey = torch.full((3, 4, 8), 0.5)  # which does not count
    found = chroma_of(torch.cat([coloured(), grey], 1))
    assert found is not None
    spread = float((5 * STEPS.square().mean()).sqrt())
    assert (found.a, found.b, found.spread) == pytest.approx((20, 10, spread), abs=0.02)


def test_colours_grow_weaker_no_more_than_so_far() -> None:
    made = recoloured(coloured(), Chroma(20, 10, 9), Chroma(20, 10, 1), Gray())
    mean = torch.tensor([20.0, 10.0]).view(2, 1, 1)
    torch.testing.assert_close(rgb_to_lab(made[None])[0, 1:] - mean, 0.8 * (LAB[1:] - mean), atol=0.3, rtol=0)


def compared(out: Path, name: str, level: int, **changes: Any) -> Record:
    """The record of a picture whose original is of another colour, and which has other figures than are told."""
    values = np.full((16, 16, 3), (level, 120, 80), np.uint8)
    for place, shown in (("images", values), ("originals", values + 20)):
        (out / place).mkdir(exist_ok=True)
        Image.fromarray(shown).save(out / place / name)
    places: dict[str, Any] = {"image": f"images/{name}", "original": f"originals/{name}", "image_sha256": digest_of(out / "images" / name)}
    record = Record(name, "done", "f", misfit=0.1, recipe="r", metrics={"psnr": 1.0, "coverage": 0.9}, **places)
    record = replace(record, **changes)
    write_record(out, record)
    return record


def test_figures_that_are_no_comparison_with_the_original_stay(tmp_path: Path) -> None:
    for name, level in (("a.png", 200), ("b.png", 150)):
        compared(tmp_path, name, level)
    share_colours(tmp_path, Gray(), "r")
    for record in read_records(tmp_path):
        off = run.pixels(tmp_path / str(record.image)) - run.pixels(tmp_path / str(record.original))
        psnr = float(-10 * np.log10(np.mean(np.square(off / 255))))
        assert record.metrics == {"psnr": pytest.approx(psnr, abs=0.01), "coverage": 0.9}
        assert record.notes == ()


def test_figures_of_frames_are_told_of_once(tmp_path: Path) -> None:
    record = compared(tmp_path, "a.png", 200, notes=("cropped",))
    told = measured_again(tmp_path, record, framed=True)
    assert told == replace(record, notes=("cropped", OF_FRAMES))
    assert measured_again(tmp_path, told, framed=True) == told


def test_a_picture_that_was_retouched_after_a_kill_keeps_its_figures(tmp_path: Path) -> None:
    """They are of what was restored, and the album brought no other."""
    record = compared(tmp_path, "a.png", 200, image_sha256="of what was restored")
    add_line(tmp_path / JOURNAL, {"image": record.image, "sha256": "of what the album made", "framed": False})
    share_colours(tmp_path, Gray(), "r")
    assert list(read_records(tmp_path)) == [record]
    assert not (tmp_path / JOURNAL).exists()


def test_an_older_album_without_any_colour_knows_its_pictures(tmp_path: Path) -> None:
    record = compared(tmp_path, "a.png", 200, image_sha256="")
    told = {"chroma": None, "images": {record.image: digest_of(tmp_path / str(record.image))}}
    (tmp_path / "album.json").write_text(json.dumps(told))
    assert unshared(tmp_path, "r") == []
