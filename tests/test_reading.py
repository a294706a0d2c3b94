"""Photos as they are read for solving: what each measurement is of, and which operator the solver gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import run_support as run
import torch
from PIL import Image

from priorsolve.framing import cut
from priorsolve.operators.jpeg import JPEG
from priorsolve.operators.pillow import PillowJPEG
from priorsolve.photos.images import read_photo
from priorsolve.photos.names import Photo
from priorsolve.photos.pictures import PhotoError
from priorsolve.recipe.build import build_operators
from priorsolve.run import scenes
from priorsolve.run.jobs import HIDES_ALL, Reader, Work
from priorsolve.run.measuring import photograph

SIDE = 16


def read(picture: Image.Image | None, folder: Path, *, degrade: bool = False, name: str = "a.png", **changes: Any) -> Work:
    """What is to be solved of one photo, of this picture if it is not there yet, with a prior of SIDE×SIDE."""
    if picture is not None:
        picture.save(folder / name)
    return read_file(folder / name, degrade=degrade, **changes)


def read_file(path: Path, *, degrade: bool, **changes: Any) -> Work:
    """The same of a photo's file."""
    recipe, cpu = run.quick(output={}, **changes), torch.device("cpu")
    operators, solving = build_operators(recipe, (3, SIDE, SIDE), cpu, torch.float32, clean=degrade)
    return Reader(recipe, operators, solving, None, degrade).read(Photo(path, path.name))


def test_a_photo_of_8_bits_is_the_same_in_8_bits(tmp_path: Path) -> None:
    """To the last bit, so that what benchmarks measured before holds."""
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(np.stack([levels, levels.T, levels[::-1]], -1)).save(tmp_path / "a.png")
    assert torch.equal(photograph(tmp_path / "a.png", (3, 16, 16), plain=True)[0], photograph(tmp_path / "a.png", (3, 16, 16))[0])


def test_every_tile_has_its_own_clean_picture(tmp_path: Path) -> None:
    work = read(run.picture(0, SIDE, 40), tmp_path, degrade=True, operator="gray", frame="tiles")
    assert work.scene is not None
    assert len(work.jobs) > 1
    photo, _ = read_photo(tmp_path / "a.png")
    for job, patch in zip(work.jobs, work.scene.patches, strict=True):
        assert job.clean is not None
        torch.testing.assert_close(job.clean, cut(photo, patch.frame, (SIDE, SIDE)))


def test_tiles_are_solved_with_the_surrogate(tmp_path: Path) -> None:
    operators: dict[str, Any] = {"operator": {"pillow_jpeg": {"quality": 20}}, "surrogate": {"jpeg": {"quality": 20}}}
    work = read(run.picture(0, SIDE, 40), tmp_path, frame="tiles", **operators)
    assert len(work.jobs) > 1
    for job in work.jobs:
        assert [type(part) for part in (*job.parts, *job.solving)] == [PillowJPEG, JPEG]


@pytest.mark.parametrize("frame", ["center", "tiles"])
def test_a_clean_photo_is_as_coloured_as_it_is_below_its_holes(tmp_path: Path, frame: str) -> None:
    """Of one that is restored as it is nothing is known there."""
    photo = Image.new("RGB", (SIDE, SIDE), (90, 90, 90))
    photo.paste((200, 40, 90), (4, 4, 8, 8))
    for box, clean, given in (([2, 2, 10, 10], False, True), ([0, 0, 4, 4], False, False)):
        for degrade, grey in ((True, clean), (False, given)):
            work = read(photo, tmp_path, degrade=degrade, operator={"mask": {"boxes": [box]}}, frame=frame)
            assert work.grey == grey, (box, degrade)


def test_a_photo_that_is_only_copied_loses_nothing_to_holes_to_demonstrate_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "find_faces", lambda photo: [])
    work = read(run.picture(0), tmp_path, operator={"mask": {"strokes": "medium"}}, frame={"faces": {"missing": "copy"}})
    assert work.scene is not None
    assert (work.scene.is_copy, work.jobs) == (True, ())


def test_an_array_is_a_measurement_whatever_lies_in_its_holes(tmp_path: Path) -> None:
    """A photo whose made-up holes are not black is refused: it shows what they would hide."""
    np.save(tmp_path / "y.npy", np.full((3, SIDE, SIDE), 0.5, np.float32))
    work = read(None, tmp_path, name="y.npy", operator={"mask": {"pixels": 0.5}})
    (job,) = work.jobs
    assert set(job.y.flatten().tolist()) == {0, 0.5}
    with pytest.raises(PhotoError, match="would hide what this photo shows"):
        read(Image.new("RGB", (SIDE, SIDE), "gray"), tmp_path, operator={"mask": {"pixels": 0.5}})


def test_a_mask_that_hides_all_is_noted_beside_another(tmp_path: Path) -> None:
    hidden = [{"mask": {"boxes": [[0, 0, 4, 4]]}}, {"mask": {"boxes": [[0, 0, SIDE, SIDE]]}}]
    assert HIDES_ALL in read(Image.new("RGB", (SIDE, SIDE)), tmp_path, operator=hidden).notes


def test_a_mask_of_all_that_a_small_photo_shows_is_noted(tmp_path: Path) -> None:
    """The mask meets the picture made smaller, and is judged at that size."""
    hidden = [{"downsample": {"factor": 2}}, {"mask": {"boxes": [[0, 0, SIDE // 2, SIDE // 2]]}}]
    assert HIDES_ALL in read(Image.new("RGB", (SIDE // 2, SIDE // 2)), tmp_path, operator=hidden).notes


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("frame", ["center", "aligned"])
@pytest.mark.parametrize("weights", ["rec601", "rec709", [0, 0, 1]])
def test_a_photo_in_colours_is_measured_by_the_weights_of_its_recipe(tmp_path: Path, weights: Any, frame: str, *, deep: bool) -> None:
    """As where it is degraded, but for the 8 bits that Pillow rounds rec601 to."""
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8))
    if deep:
        (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(np.asarray(photo).astype(np.uint16) * 257))
    else:
        photo.save(tmp_path / "a.png")
    made = [
        read_file(tmp_path / "a.png", degrade=degrade, operator={"gray": {"weights": weights}}, frame=frame) for degrade in (False, True)
    ]
    given, degraded = (work.jobs[0].y for work in made)
    assert (given - degraded).abs().max() < (0.51 / 255 if weights == "rec601" and not deep else 1e-6)
