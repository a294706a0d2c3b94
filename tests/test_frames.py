"""Whole photos through a run: every face, all of it, or tiles, laid back at the photo's own size."""

from __future__ import annotations

import re
from contextlib import nullcontext
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import run_support as run
import skimage.data
import torch
from PIL import Image
from torch import Tensor

from priorsolve.cli import main
from priorsolve.framing import Face, Frame
from priorsolve.framing.frame import centres
from priorsolve.operators.downsample import Downsample
from priorsolve.operators.gray import Gray
from priorsolve.operators.mask import Mask
from priorsolve.photos.images import read_photo
from priorsolve.photos.names import find_photos
from priorsolve.recipe.build import check_frames
from priorsolve.recipe.components import RecipeError
from priorsolve.recipe.framings import Faces, Framings
from priorsolve.recipe.recipe import Recipe
from priorsolve.recipe.schema import recipe_schema
from priorsolve.run import scenes
from priorsolve.run.blending import compose
from priorsolve.run.damage import Damage
from priorsolve.run.records import Record
from priorsolve.run.restoration import Options, equip, restore
from priorsolve.run.scenes import framed
from priorsolve.run.shots import Source

pytestmark = pytest.mark.usefixtures("digiface64")

DATA: Any = skimage.data
GREY = np.array([0.299, 0.587, 0.114])


@cache
def pair() -> np.ndarray:
    """(320, 620, 3): an astronaut twice, once mirrored, in front of grey."""
    face = np.asarray(Image.fromarray(DATA.astronaut()[:300, 60:360]))
    photo = np.full((320, 620, 3), 110, np.uint8)
    photo[10:310, 5:305], photo[10:310, 315:615] = face, face[:, ::-1]
    return photo


def given(folder: Path, photo: np.ndarray, name: str = "pair.png") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(photo).save(folder / name)
    return folder


def done(recipe: Recipe, photos: Path, out: Path, options: Options | None = None) -> list[Record]:
    return list(restore(recipe, photos, out, options))


def image(out: Path, name: str = "pair.png") -> np.ndarray:
    return np.asarray(Image.open(out / "images" / name)).astype(int)


def test_the_holes_of_two_faces_are_filled_and_nothing_else_is_touched(tmp_path: Path) -> None:
    photo, hole = pair().copy(), np.zeros((320, 620), np.uint8)
    hole[100:104], hole[20:300, 160:164], hole[312:316, 5:15] = 255, 255, 255
    photo[hole > 0] = 255
    Image.fromarray(hole).save(tmp_path / "hole.png")
    recipe = run.quick(operator={"mask": {"file": str(tmp_path / "hole.png")}}, frame="faces")
    (record,) = done(recipe, given(tmp_path / "in", photo), tmp_path / "out")
    assert record.status == "done", record.reason
    assert record.input_size == record.output_size == (320, 620)
    made = image(tmp_path / "out")
    assert (made == photo)[hole == 0].all()
    assert (made[100:104, 130:190] < 250).any()
    assert (made == photo)[312:316, 5:15].all()  # beside the faces
    assert [note.split(",")[0] for note in record.notes if "misfit" in note] == ["face 1 of 2", "face 2 of 2"]
    assert any(note.startswith("beside the faces holes stay (") for note in record.notes)
    assert len(record.diagnosis) >= 2
    assert all(line.startswith("face ") for line in record.diagnosis)
    line = slice(100, 104), slice(110, 200)
    off, white = np.abs(made[line] - pair()[line]).mean(), (255.0 - pair()[line]).mean()
    assert off < white / 3  # it meets what is known around it, even after two steps


def test_holes_beside_the_faces_can_be_filled_too(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    photo, hole = pair().copy(), np.zeros((320, 620), np.uint8)
    hole[20:300, 308:312], hole[60:130, 225:295] = 255, 255  # in the wall between two pictures; where a frame ends
    photo[hole > 0] = 255
    Image.fromarray(hole).save(tmp_path / "hole.png")
    photos = given(given(tmp_path / "in", photo), photo[:, :120], "wall.png")  # no face in it
    made: dict[str, np.ndarray] = {}
    for beside in ("keep", "fill"):
        operator = {"mask": {"file": str(tmp_path / "hole.png")}}
        frame = {"faces": {"beside": beside, "missing": "copy"}}
        (record,) = done(run.quick(operator=operator, frame=frame), photos / "pair.png", tmp_path / beside)
        assert record.status == "done", record.reason
        said = {"keep": "beside the faces holes stay (", "fill": "beside the faces holes are filled smoothly ("}
        assert [note.startswith(said[beside]) for note in record.notes].count(True) == 1
        made[beside] = image(tmp_path / beside)
        assert (made[beside] == photo)[hole == 0].all()
    away = slice(250, 300), slice(308, 312)
    assert (made["keep"][away] == 255).all()
    assert np.abs(made["fill"][away] - pair()[away]).max() < 12
    assert np.abs(np.diff(made["fill"][70:120, 240:290].mean((0, 2)))).max() < 12  # no step there
    recipe, how = run.recipe_file(tmp_path), "frame.faces={missing: copy, beside: fill}"
    assert main(["restore", recipe, str(photos / "wall.png"), "--out", str(tmp_path / "wall"), "--set", how]) == 0
    assert "no face was found: holes are filled smoothly: 1 photo\n" in capfd.readouterr().err
    wall = image(tmp_path / "wall", "wall.png")
    assert (wall != photo[:, :120]).any()


def test_a_result_that_would_be_too_large_is_refused(tmp_path: Path) -> None:
    photos = given(tmp_path / "in", np.full((300, 700, 3), 90, np.uint8))
    (failed,) = done(run.quick(operator={"downsample": {"factor": 32}}, frame={"faces": {"missing": "copy"}}), photos, tmp_path / "out")
    assert failed.reason == "would become 22400×9600, more than 178 million pixels; use a smaller factor"


@pytest.mark.parametrize(("name", "factor", "told"), [("a.webp", 8, "WEBP has 16383"), ("a.jpg", 32, "JPEG has 65500")])
def test_a_result_that_is_longer_than_its_format_has_pictures_is_refused_before_it_is_solved(
    tmp_path: Path, name: str, factor: int, told: str
) -> None:
    photos = given(tmp_path / "in", np.full((8, 2100, 3), 90, np.uint8), name)
    operator, faces = {"downsample": {"factor": factor}}, {"faces": {"missing": "copy"}}
    (failed,) = done(run.quick(operator=operator, frame=faces), photos, tmp_path / "out")
    size = f"{2100 * factor}×{8 * factor}"
    assert failed.reason == f"would become {size}, and a side of a {told} pixels at most; --set output.format=png writes a PNG"
    assert failed.seconds == 0
    (record,) = done(run.quick(operator=operator, frame=faces, output={"format": "png"}), photos, tmp_path / "png")
    assert record.status == "done", record.reason


def test_batches_are_of_jobs_and_a_photo_is_what_it_is_alone(tmp_path: Path) -> None:
    photos = given(given(tmp_path / "in", pair()), pair()[:, :310].copy(), "one.png")
    recipe = run.quick(operator={"mask": {"boxes": [[0.0, 0.3, 1.0, 0.4]]}}, frame="faces")
    assert [record.status for record in done(recipe, photos, tmp_path / "one", Options(batch_size=1))] == ["done"] * 2
    assert len(done(recipe, photos, tmp_path / "two", Options(batch_size=2))) == 2
    assert run.files(tmp_path / "one") == run.files(tmp_path / "two")
    assert run.records(tmp_path / "one") == run.records(tmp_path / "two")
    largest = run.quick(operator={"mask": {"boxes": [[0.0, 0.3, 1.0, 0.4]]}}, frame={"faces": {"largest": True}})
    (record,) = done(largest, photos / "pair.png", tmp_path / "largest")
    assert sum("misfit" in note for note in record.notes) == 1


def test_a_photo_without_faces_fails_or_is_copied(tmp_path: Path) -> None:
    photos = given(tmp_path / "in", DATA.coffee()[:200, :200], "cup.png")
    (failed,) = done(run.quick(frame="faces"), photos, tmp_path / "fail")
    assert failed.status == "failed"
    assert "no face was found" in failed.reason
    (copied,) = done(run.quick(frame={"faces": {"missing": "copy"}}), photos, tmp_path / "copy")
    assert (copied.status, copied.misfit, copied.steps) == ("done", None, 0)
    assert any("no face was found" in note for note in copied.notes)
    assert (tmp_path / "copy/images/cup.png").read_bytes() == (photos / "cup.png").read_bytes()
    assert done(run.quick(frame={"faces": {"missing": "copy"}}), photos, tmp_path / "copy") == []


def test_grey_photos_keep_their_sharp_grey_values(tmp_path: Path) -> None:
    grey = np.rint(pair() @ GREY).astype(np.uint8)
    (record,) = done(run.quick(operator="gray", frame="faces"), given(tmp_path / "in", grey), tmp_path / "out")
    made = image(tmp_path / "out")
    assert np.abs(made @ GREY - grey).max() < 0.51
    assert np.ptp(made[100:150, 140:180], axis=-1).max() > 8  # colours in the face
    assert (np.ptp(made[:8], axis=-1) == 0).all()  # none beside it
    assert "beside the faces the photo stays grey" in record.notes


def test_a_green_answer_stains_no_grey_wall(tmp_path: Path) -> None:
    """In a frame of a head green stays in the face alone, where eyes may have it; elsewhere it is an answer like any other."""
    path = given(tmp_path, np.rint(pair() @ GREY).astype(np.uint8)) / "pair.png"
    source = Source(path, 1, Damage([Gray()], (3, 64, 64)), None, 0, False)
    scene, shot, _, _ = framed(source, Framings(faces=Faces(largest=True)), keeps=True)
    (patch,) = scene.patches
    green = [torch.tensor([0.2, 0.6, 0.2])[:, None, None].expand(3, 64, 64)]
    at = patch.frame.from_photo(centres(*scene.size, top=0, left=0))
    beside = (patch.window(at) > 0.4) & (at.abs().amax(-1) > 0.7) & (at[..., 1] < 0)
    assert beside.sum() > 100
    for heads in (True, False):
        made = compose(replace(scene, heads=heads), shot, green, green)
        colour = made.amax(0) - made.amin(0)
        assert colour[at.norm(dim=-1) < 0.2].mean() > 0.1
        assert (colour[beside].mean() < 0.01) == heads


def test_small_photos_come_back_large(tmp_path: Path) -> None:
    small = np.asarray(Image.fromarray(pair()).resize((310, 160), Image.Resampling.BICUBIC))
    recipe = run.quick(operator={"downsample": {"factor": 4}}, frame="faces")
    (record,) = done(recipe, given(tmp_path / "in", small), tmp_path / "out")
    assert (record.input_size, record.output_size) == ((160, 310), (640, 1240))
    told = " ".join(record.notes)
    (x, y), mirrored = sorted([int(x), int(y)] for x, y in re.findall(r"face . of 2, \d+×\d+ pixels around \((\d+), (\d+)\)", told))
    assert (x, y) == pytest.approx((85, 58), abs=4)  # in the photo, not in what it is enlarged to
    assert (310 - x, y) == pytest.approx(mirrored, abs=4)
    enlarged = np.asarray(Image.fromarray(small).resize((1240, 640), Image.Resampling.LANCZOS)).astype(int)
    made = image(tmp_path / "out")
    assert np.abs(made - enlarged)[:16].max() <= 2  # Lanczos beside the faces, but for rounding
    assert "beside the faces the photo is enlarged with Lanczos" in record.notes
    again = np.asarray(Image.fromarray(made.astype(np.uint8)).resize((310, 160), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(again - small).mean() < 1  # scaled down it is the photo


def dark(side: int) -> np.ndarray:
    """(side, side, 3): a face of which a third is black."""
    face = Image.fromarray(DATA.astronaut()[20:260, 100:340]).resize((side, side), Image.Resampling.BICUBIC)
    return (np.asarray(face).astype(int) - 80).clip(0).astype(np.uint8)


@pytest.mark.parametrize(("frame", "operator"), [("center", "gray"), ("aligned", "gray"), ("center", {"downsample": {"factor": 4}})])
def test_what_is_written_of_a_dark_photo_is_still_what_was_measured(tmp_path: Path, frame: str, operator: Any) -> None:
    """Dark answers leave the range where what was measured is put back: clamped, they were off by many levels."""
    side = 64 if operator == "gray" else 16
    given(tmp_path / "in", dark(side) if side == 16 else np.rint(dark(side) @ GREY).astype(np.uint8))
    done(run.quick(operator=operator, frame=frame), tmp_path / "in", tmp_path / "out")
    made, small = (read_photo(tmp_path / place)[0] for place in ("out/images/pair.png", "in/pair.png"))
    A, y = (Gray(), small[:1]) if side == 64 else (Downsample(4), small)
    assert (A.A(made[None])[0] - y).abs().max() * 255 < 0.51


def test_a_dark_photo_made_larger_at_its_own_size_is_on_average_what_it_was(tmp_path: Path) -> None:
    small = dark(32)
    done(run.quick(operator={"downsample": {"factor": 4}}, frame="aligned"), given(tmp_path / "in", small), tmp_path / "out")
    made = read_photo(tmp_path / "out/images/pair.png")[0][None]
    assert np.abs(Downsample(4).A(made)[0].permute(1, 2, 0).numpy() * 255 - small).mean() < 0.5


def test_a_photo_that_is_aligned_already_comes_back_at_its_own_size(tmp_path: Path) -> None:
    face = DATA.astronaut()[20:260, 100:340]
    recipe = run.quick(frame="aligned")
    (record,) = done(recipe, given(tmp_path / "in", face, "face.png"), tmp_path / "out")
    assert record.output_size == (240, 240)
    made, known = image(tmp_path / "out", "face.png"), np.ones((240, 240), bool)
    known[60:180, 60:180] = False
    assert (made == face)[known].all()
    assert (made != face)[~known].any()
    (failed,) = done(recipe, given(tmp_path / "wide", pair()), tmp_path / "wide out")
    assert "another shape than the prior's 64×64" in failed.reason


def test_tiles_are_solved_where_something_is_missing(tmp_path: Path) -> None:
    photo = DATA.coffee()[:150, :220]
    recipe = run.quick(operator={"mask": {"boxes": [[100, 60, 112, 70]]}}, frame={"tiles": {"overlap": 0.2}})
    (record,) = done(recipe, given(tmp_path / "in", photo, "cup.png"), tmp_path / "out")
    assert record.status == "done", record.reason
    made, hole = image(tmp_path / "out", "cup.png"), np.zeros((150, 220), bool)
    hole[60:70, 100:112] = True
    assert (made == photo)[~hole].all()
    assert (made != photo)[hole].any()
    assert "15 tiles of 64×64" in record.notes
    assert 1 <= sum("misfit" in note for note in record.notes) <= 4


def test_clean_photos_are_degraded_at_their_own_size(tmp_path: Path) -> None:
    photos = given(tmp_path / "in", pair())
    recipe = run.quick(frame="faces", operator=["gray", {"mask": {"boxes": [[0.0, 0.3, 1.0, 0.33]]}}], noise={"gaussian": {"sigma": 0.01}})
    (record,) = done(recipe, photos, tmp_path / "out", Options(degrade=True))
    assert record.status == "done", record.reason
    assert record.metrics["psnr"] > 5
    assert (np.asarray(Image.open(tmp_path / "out/originals/pair.png")) == pair()).all()
    measured = np.asarray(Image.open(tmp_path / "out/measurements/pair.png"))
    assert measured.shape == (320, 620)
    assert (measured[97:105] == 0).all()
    blur = run.quick(frame="faces", operator={"gaussian_blur": {"sigma": 2.0}}, output={})
    (refused,) = done(blur, photos, tmp_path / "blur", Options(degrade=True))
    assert "is for the prior's size" in refused.reason
    (real,) = done(blur, photos, tmp_path / "real")
    assert real.status == "done", real.reason
    assert (image(tmp_path / "real")[:4] == pair()[:4]).all()


def test_several_solutions_have_a_map_of_the_whole_photo(tmp_path: Path) -> None:
    (record,) = done(run.quick(frame="faces", operator="gray", samples=2), given(tmp_path / "in", pair()), tmp_path / "out")
    assert record.spread is not None
    spread = np.asarray(Image.open(tmp_path / "out" / record.spread))
    assert spread.shape == (320, 620)
    assert spread[100:150, 140:180].max() > 0
    assert spread[:6].max() == 0


def test_what_no_frame_can_serve_is_refused_before_the_work(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    photos = given(tmp_path / "in", pair())
    with pytest.raises(RecipeError, match="for operators that measure pictures"):
        done(run.quick(operator={"gaussian_sensing": {"m": 50}}, frame="tiles"), photos, tmp_path / "out")
    for wrong, said in (
        ("face", "did you mean 'faces'"),
        ({"faces": {"larges": True}}, "did you mean 'largest'"),
        ([1], "should be center"),
    ):
        with pytest.raises(RecipeError, match=said):
            run.quick(frame=wrong)
    path = run.recipe_file(tmp_path)
    assert main(["degrade", path, str(photos), "--out", str(tmp_path / "degraded"), "--set", "frame=tiles", "--quiet"]) == 0
    (made,) = (tmp_path / "degraded").glob("*.png")
    assert np.asarray(Image.open(made)).shape == (320, 620, 3)
    assert main(["benchmark", path, str(photos), "--out", str(tmp_path / "bench"), "--set", "frame=tiles", "--quiet"]) == 2
    assert main(["check", path, "--set", "frame.faces.missing=copy"]) == 0
    assert "missing: copy" in capfd.readouterr().out


def test_the_frame_is_in_the_fingerprint_the_dump_and_the_schema() -> None:
    plain, faces = run.quick(), run.quick(frame="faces")
    assert plain.fingerprint() == run.quick(frame="center").fingerprint() != faces.fingerprint()
    assert faces.fingerprint() != run.quick(frame={"faces": {"largest": True}}).fingerprint()
    assert "frame: center" in plain.dump()
    assert "missing: fail" in faces.dump()
    assert "faces" in recipe_schema()["properties"]["frame"]["anyOf"][0]["enum"]


def test_a_photo_that_cannot_be_divided_is_cropped_and_says_so(tmp_path: Path) -> None:
    run.picture(0, 30, 45).save(tmp_path / "a.png")
    shot = Source(tmp_path / "a.png", 3, Damage([Downsample(4)], (3, 64, 64)), None, 0, degrade=True).shoot()
    assert (tuple(shot.measured.shape), shot.notes) == ((3, 7, 11), ("cropped to 44×28, a multiple of 4",))


@pytest.mark.usefixtures("digiface64")
def test_frames_have_seeds_of_their_own(tmp_path: Path) -> None:
    run.picture(0, 64, 112).save(tmp_path / "a.png")
    recipe = run.quick(operator="gray", frame="tiles")
    (photo,) = find_photos([tmp_path / "a.png"])
    work = equip(recipe, tmp_path / "out", Options()).workbench._reader.read(photo)
    assert len({job.seed for job in work.jobs}) == len(work.jobs) == 2


@pytest.mark.usefixtures("digiface64")
def test_what_was_measured_of_a_whole_photo_is_black_in_its_holes(tmp_path: Path) -> None:
    run.picture(0, 64, 96).save(tmp_path / "a.png")
    (record,) = restore(run.quick(operator={"mask": {"boxes": [[20, 10, 40, 30]]}}, frame="tiles"), tmp_path / "a.png", tmp_path / "out")
    measured, expected = run.pixels(tmp_path / "out/measurements/a.png"), run.pixels(tmp_path / "a.png")
    expected[10:30, 20:40] = 0
    assert record.status == "done", record.reason
    assert (measured == expected).all()


@pytest.mark.usefixtures("digiface64")
def test_a_small_photo_without_faces_comes_back_large(tmp_path: Path) -> None:
    run.picture(0, 40, 60).save(tmp_path / "a.png")
    recipe = run.quick(operator={"downsample": {"factor": 4}}, frame={"faces": {"missing": "copy"}})
    (record,) = restore(recipe, tmp_path / "a.png", tmp_path / "out")
    assert "no face was found: the photo is enlarged with Lanczos" in record.notes
    enlarged = np.asarray(run.picture(0, 40, 60).resize((240, 160), Image.Resampling.LANCZOS)).astype(int)
    assert np.abs(run.pixels(tmp_path / "out/images/a.png") - enlarged).max() <= 2


def test_faces_are_looked_for_where_holes_are_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []

    def looking(photo: Tensor) -> list[Face]:
        seen.append(photo)
        return []

    monkeypatch.setattr(scenes, "find_faces", looking)
    photo = Image.new("RGB", (64, 64), "gray")
    photo.paste((255, 0, 0), (20, 9, 40, 14))
    photo.save(tmp_path / "a.png")
    known = torch.ones(64, 64)
    known[9, 20:40], known[10:14, 20:40] = 0.5, 0  # a soft edge, too
    source = Source(tmp_path / "a.png", 3, Damage([Mask(known)], (3, 64, 64)), None, 0, False)
    framed(source, Framings(faces=Faces(missing="copy")), keeps=True)
    torch.testing.assert_close(seen[0], torch.full((3, 64, 64), 128 / 255))


@pytest.mark.usefixtures("digiface64")
def test_what_pillow_made_smaller_comes_back_large_too(tmp_path: Path) -> None:
    run.picture(0, 16, 24).save(tmp_path / "a.png")
    smaller = {"operator": {"pillow_resize": {"factor": 4}}, "surrogate": {"downsample": {"factor": 4}}, "output": {}}
    (record,) = restore(run.quick(frame="tiles", **smaller), tmp_path / "a.png", tmp_path / "out")
    assert record.output_size == (64, 96)


@pytest.mark.parametrize(("beside", "how"), [("keep", "stay"), ("fill", "are filled smoothly")])
def test_holes_beside_faces_are_told_by_their_share_of_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beside: Any, how: str
) -> None:
    monkeypatch.setattr(scenes, "find_faces", lambda photo: [Face(Frame.of_box(0, 0, 40, 40), 1.0)])
    run.picture(0, 40, 80).save(tmp_path / "a.png")
    known = torch.ones(40, 80)
    known[2:5, 30:40] = 0  # in the frame's corner, where its window is nearly 0
    for hidden, said in ((1.0, []), (0.5, [f"beside the faces holes {how} (25% of what is missing)"])):
        known[10:12, 60:70] = hidden
        source = Source(tmp_path / "a.png", 3, Damage([Mask(known)], (3, 64, 64)), None, 0, False)
        assert list(framed(source, Framings(faces=Faces(beside=beside)), keeps=True).notes) == said


def test_frames_are_for_pictures_of_the_priors_shape_and_tiles_overlap_by_less_than_half() -> None:
    for whole, measured, fits in (
        ((3, 64, 128), (1, 32, 64), True),
        ((3, 64, 128), (3, 64, 32), False),
        ((3, 64, 64), (3, 64, 32), False),
        ((3, 64, 64), (2, 64, 64), False),
    ):
        with nullcontext() if fits else pytest.raises(RecipeError, match=r"^frame: tiles is for operators that measure pictures"):
            check_frames("tiles", whole, measured)
    for overlap, fits in ((0.0, True), (0.49, True), (0.5, False), (-0.01, False)):
        with nullcontext() if fits else pytest.raises(RecipeError, match="overlap"):
            run.quick(frame={"tiles": {"overlap": overlap}})
