"""What somebody made by hand is not written over, and no photo is read as its negative."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import run_support as run
import tifffile
import torch
from PIL import Image

from priorsolve.photos.images import read_photo
from priorsolve.photos.names import Photo
from priorsolve.photos.writing import write_image
from priorsolve.report.pictures import shown
from priorsolve.run.masks import write_masks
from priorsolve.run.outfolder import refuse_overwriting
from priorsolve.run.restoration import Options, Run, restore


@pytest.mark.usefixtures("digiface64")
@pytest.mark.parametrize("place", ["recipe.yaml", "images/0.png", "sheet.png"])
def test_a_folder_with_files_of_somebody_s_own_is_refused(tmp_path: Path, place: str) -> None:
    photos = run.photos(tmp_path / "in", 1)
    (name,) = (path.name for path in photos.iterdir())
    own = tmp_path / "out" / place.replace("0.png", name)
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    with pytest.raises(ValueError, match=r"is there, and no run made it.*choose another output folder \(--out\)"):
        restore(run.quick(), photos, tmp_path / "out", Options())
    assert own.read_text() == "mine"
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == [own]


def test_photos_that_lie_where_a_run_writes_are_not_passed_over(tmp_path: Path) -> None:
    """They were taken for results, and were never restored."""
    photos = run.photos(tmp_path / "in", 1)
    assert len(Run(run.quick(), [photos], photos, Options()).todo) == 1
    run.photos(photos / "images", 1)
    for inputs in (photos, photos / "images"):
        with pytest.raises(ValueError, match=r"images/00\.png is there, and no run made it, .* choose another output folder \(--out\)$"):
            Run(run.quick(), [inputs], photos, Options())
    assert len(Run(run.quick(), [photos], tmp_path / "out", Options()).todo) == 2


def test_masks_among_the_photos_themselves_are_refused(tmp_path: Path) -> None:
    """The next command took them for photos."""
    photos = tmp_path / "in"
    photos.mkdir()
    run.picture(0).save(photos / "a.jpg")
    with pytest.raises(ValueError, match=r"in holds the photos themselves; choose another output folder \(--out\)$"):
        write_masks(run.quick(), [photos], photos)
    assert [made.name for made in write_masks(run.quick(), [photos], photos / "masks")] == ["a.jpg"]


@pytest.mark.usefixtures("digiface64")
@pytest.mark.parametrize("evidence", ["run.json", "runtime.json", "records/notes.txt", "records/a.json"])
def test_files_that_only_look_like_a_run_s_protect_nobody_s_own(tmp_path: Path, evidence: str) -> None:
    for place in (evidence, "sheet.png"):
        (tmp_path / "out" / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / place).write_text('{"mine": 1}')
    with pytest.raises(ValueError, match=r"is there, and no run made it"):
        restore(run.quick(), run.photos(tmp_path / "in", 1), tmp_path / "out", Options())


@pytest.mark.usefixtures("digiface64")
def test_only_a_killed_run_s_own_halves_are_removed(tmp_path: Path) -> None:
    photos, out = run.photos(tmp_path / "in", 1), tmp_path / "out"
    mine = [out / "notes" / ".0123456789abcdef.tmp", out / ".draft.tmp", out / "images" / "a.tmp", out / "run-a-of-b.json"]
    places = (".0123456789abcdef.tmp", ".run-0123456789abcdef.tmp", "images/sub/.fedcba9876543210.tmp", "records/.0123456789abcdef.tmp")
    halves = [out / place for place in places]
    for path in (*mine, *halves):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")
    assert len(list(restore(run.quick(), photos, out, Options()))) == 1
    assert [path for path in mine if not path.is_file()] == []
    assert [path for path in halves if path.exists()] == []


def test_a_photo_that_is_a_link_to_its_own_result_is_not_written_over(tmp_path: Path) -> None:
    result, link = tmp_path / "out/images/a.png", tmp_path / "photos/a.png"
    for path in (result, link):
        path.parent.mkdir(parents=True)
    result.write_bytes(b"a photo")
    link.symlink_to(result)
    with pytest.raises(ValueError, match=r"photos/a\.png would be overwritten by its own result"):
        refuse_overwriting([Photo(link, "a.png")], tmp_path / "out", ["images/a.png"])


def test_a_mask_that_was_corrected_stays(tmp_path: Path) -> None:
    photos = run.photos(tmp_path / "in", 2)
    recipe = run.quick(operator={"mask": {"boxes": [[0.2, 0.2, 0.4, 0.4]]}})
    first, second = (outcome.path for outcome in write_masks(recipe, [photos], tmp_path / "masks"))
    assert first is not None
    assert second is not None
    whole, _ = read_photo(second, 1)
    corrected = torch.zeros_like(whole)
    corrected[:, :4] = 1
    write_image(first, corrected)
    again = list(write_masks(recipe, [photos], tmp_path / "masks"))
    assert torch.equal(read_photo(first, 1)[0], corrected)
    assert again[0].reason == "the mask that was there; --overwrite finds it anew"
    assert again[0].share == pytest.approx(float(corrected.mean()))
    assert again[1].share == pytest.approx(float(whole.mean()))
    write_image(first, torch.zeros(1, 8, 8))
    assert next(write_masks(recipe, [photos], tmp_path / "masks", overwrite=True)).reason == ""
    assert torch.equal(read_photo(first, 1)[0], whole)
    write_image(first, torch.zeros(1, 8, 8))
    assert "not of the photo's size" in next(write_masks(recipe, [photos], tmp_path / "masks")).reason


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_tiff_in_which_0_is_white_is_no_negative(tmp_path: Path, dtype: type) -> None:
    most = np.iinfo(dtype).max
    values: np.ndarray = np.linspace(0, most, 64 * 64).reshape(64, 64).astype(dtype)
    tifffile.imwrite(tmp_path / "white.tif", most - values, photometric="miniswhite")
    tifffile.imwrite(tmp_path / "black.tif", values, photometric="minisblack")
    white, black = (read_photo(tmp_path / f"{name}.tif")[0] for name in ("white", "black"))
    assert torch.allclose(white, black, atol=1e-6)
    assert float(black[0, 0, 0]) == 0


def test_sixteen_bits_are_seen_on_the_sheet(tmp_path: Path) -> None:
    Image.fromarray(np.full((16, 16), 40000, np.uint16)).save(tmp_path / "grey.png")
    picture = shown(tmp_path / "grey.png", 64)
    assert picture is not None
    assert np.asarray(picture.convert("RGB")).mean() == pytest.approx(40000 / 257, abs=1)
