"""Where in a photo its frames are, as records tell it, and what is no photo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import run_support as run

from priorsolve.framing import Face, Frame
from priorsolve.operators.downsample import Downsample
from priorsolve.photos.greys import LUMA
from priorsolve.photos.pictures import PhotoError
from priorsolve.recipe.framings import Faces, Framings, Tiles
from priorsolve.run import scenes
from priorsolve.run.damage import Damage
from priorsolve.run.measuring import observe, photograph
from priorsolve.run.scenes import framed
from priorsolve.run.shots import Source


def source(path: Path, factor: int, *, degrade: bool = False) -> Source:
    return Source(path, 3, Damage([Downsample(factor)], (3, 64, 64)), None, 0, degrade)


def test_a_face_is_told_where_it_lies_in_the_photo_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not in the result, which may be several times as large."""
    boxes = [Frame.of_box(10, 20, 50, 60), Frame.of_box(60, 30, 110, 80)]
    monkeypatch.setattr(scenes, "find_faces", lambda photo: [Face(frame, 1.0) for frame in boxes])
    run.picture(0, 90, 120).save(tmp_path / "a.png")
    scene, _, notes, labels = framed(source(tmp_path / "a.png", 4), Framings(faces=Faces()), keeps=True)
    assert labels == ("face 1 of 2, 40×40 pixels around (30, 40)", "face 2 of 2, 50×50 pixels around (85, 55)")
    assert [patch.frame.sentence() for patch in scene.patches] == ["160×160 pixels around (120, 160)", "200×200 pixels around (340, 220)"]
    assert (scene.size, notes) == ((360, 480), ("beside the faces the photo is enlarged with Lanczos",))


def test_tiles_are_counted_in_the_result(tmp_path: Path) -> None:
    run.picture(0, 16, 32).save(tmp_path / "a.png")
    found = framed(source(tmp_path / "a.png", 4), Framings(tiles=Tiles(overlap=0.0)), keeps=True)
    assert (found.labels, found.notes) == (("tile 1 of 2", "tile 2 of 2"), ("2 tiles of 64×64",))


def test_a_clean_photo_of_another_shape_loses_as_little_as_can_be_divided(tmp_path: Path) -> None:
    run.picture(0, 64, 67).save(tmp_path / "a.png")
    shot = source(tmp_path / "a.png", 4, degrade=True).shoot()
    assert shot.clean is not None
    assert (shot.clean.shape, shot.measured.shape) == ((3, 64, 64), (3, 16, 16))
    assert shot.notes == ("cropped to 64×64, a multiple of 4",)


@pytest.mark.parametrize("name", ["y.npy", "y.NPY"])
def test_an_array_is_no_photo(tmp_path: Path, name: str) -> None:
    with (tmp_path / name).open("wb") as file:
        np.save(file, np.full((3, 16, 16), 0.5, np.float32))
    with pytest.raises(PhotoError, match=r"an array, not a photo; restore it with frame: center$"):
        source(tmp_path / name, 4).shoot()
    with pytest.raises(PhotoError, match=r"an array is a measurement, not a photo to degrade; restore it without degrade \(--degrade\)$"):
        photograph(tmp_path / name, (3, 64, 64))
    measured, given = observe(tmp_path / name, (3, 16, 16), LUMA)
    assert (float(measured.mean()), given) == (0.5, None)


def test_a_picture_is_no_measurement_of_numbers(tmp_path: Path) -> None:
    run.picture(0).save(tmp_path / "a.png")
    with pytest.raises(PhotoError, match=r"give a \.npy"):
        observe(tmp_path / "a.png", (20,), LUMA)
