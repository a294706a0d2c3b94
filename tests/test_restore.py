"""Runs from Python: resumed, in shards and batches, with bad photos among them."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import run_support as run
import torch
from PIL import Image
from prior_support import made
from safetensors.torch import save_file

import priorsolve as ps
from priorsolve.cluster import Cluster, restore_on
from priorsolve.data import masks
from priorsolve.photos.images import read_image
from priorsolve.priors import Prior
from priorsolve.recipe.components import RecipeError
from priorsolve.recipe.recipe import Recipe
from priorsolve.run import restoration
from priorsolve.run.degrade import degrade
from priorsolve.run.outfolder import working_in
from priorsolve.run.records import Record
from priorsolve.run.restoration import Options, Run, restore

pytestmark = pytest.mark.usefixtures("digiface64")


def done(recipe: Recipe, photos: Path, out: Path, options: Options | None = None) -> list[Record]:
    return list(restore(recipe, photos, out, options))


def test_the_photo_is_the_measurement_or_is_degraded_first(tmp_path: Path) -> None:
    photo = run.photos(tmp_path / "in", 1)
    (real,) = done(run.quick(), photo, tmp_path / "real")
    (demo,) = done(run.quick(), photo, tmp_path / "demo", Options(degrade=True))
    assert (real.metrics, real.original) == ({}, None)
    assert demo.metrics.keys() == {"psnr", "ssim"}
    assert demo.original is not None
    assert real.fingerprint != demo.fingerprint
    assert real.input_size == real.output_size == (64, 64)
    assert real.notes == ()
    known = np.ones((64, 64), bool)
    known[16:48, 16:48] = False
    for out in ("real", "demo"):  # with consistency, known pixels are the photo's own
        restored, given = (np.asarray(Image.open(path)) for path in (tmp_path / out / "images" / "00.png", photo / "00.png"))
        assert (restored[known] == given[known]).all()
        assert (restored[~known] != given[~known]).any()


def test_paths_are_text_or_paths_and_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(run.photos(tmp_path / "in", 1))
    assert [record.status for record in ps.restore(run.quick(), "~/in", "~/out")] == ["done"]
    assert (tmp_path / "out/images/00.png").is_file()
    assert list(restore_on(Cluster(), run.quick(), "~/in", "~/out")) == []
    for photos, out, message in ((None, "~/out", "restore: photos is None; give"), ("~/in", 3, "restore: out is 3; give")):
        given: Any = (run.quick(), photos, out)
        with pytest.raises(ValueError, match=message):
            ps.restore(*given)
        with pytest.raises(ValueError, match=message):
            restore_on(Cluster(), *given)


def test_what_was_measured_is_kept(digiface64: Prior) -> None:
    images = torch.stack([read_image(path, (64, 64)) for path in ps_samples()])
    guess = digiface64.decode(digiface64.sample(len(images), torch.Generator().manual_seed(0)))
    soft = torch.linspace(0, 1, 64).expand(64, 64)
    parts: list[ps.operators.LinearOperator] = [
        ps.operators.Gray(),
        ps.operators.Downsample(4, "bicubic"),
        ps.operators.Mask(soft),
        ps.operators.GaussianSensing(m=300, shape=[3, 64, 64]),
    ]
    for operator in [*parts, ps.operators.Mask(soft) @ ps.operators.Gray()]:
        assert isinstance(operator, ps.operators.LinearOperator)
        y = operator.A(images)
        assert (operator.A(ps.put_back(guess, y, operator)) - y).abs().max() < 1e-4, operator
        assert (operator.A(guess) - y).abs().max() > 0.05


def ps_samples() -> list[Path]:
    from priorsolve.data import samples

    return samples()


def test_batches_and_shards_make_the_same_files(tmp_path: Path) -> None:
    photos = run.photos(tmp_path / "in", 4)
    whole = done(run.quick(), photos, tmp_path / "whole", Options(batch_size=4))
    assert len(done(run.quick(), photos, tmp_path / "single", Options(batch_size=1))) == len(whole) == 4
    for shard in range(2):
        assert len(done(run.quick(), photos, tmp_path / "shards", Options(shard=(shard, 2)))) == 2
    for other in ("single", "shards"):
        assert run.files(tmp_path / other) == run.files(tmp_path / "whole")
        assert run.records(tmp_path / other) == run.records(tmp_path / "whole")


def test_resume_limit_overwrite_and_another_recipe(tmp_path: Path) -> None:
    photos, out = run.photos(tmp_path / "in", 3), tmp_path / "out"
    names = [record.name for record in done(run.quick(), photos, out, Options(limit=1))]
    names += [record.name for record in done(run.quick(), photos, out)]
    assert names == ["00.png", "01.png", "02.png"]
    assert done(run.quick(), photos, out) == []
    assert len(done(run.quick(), photos, out, Options(overwrite=True, limit=2))) == 2
    (out / "images" / "01.png").unlink()
    (out / "images" / "02.png").write_bytes(b"")
    assert [record.name for record in done(run.quick(), photos, out)] == ["01.png", "02.png"]
    assert len(done(run.quick(seed=1), photos, out)) == 3


def test_failed_photos_stay_failed_until_asked(tmp_path: Path) -> None:
    photos, out = run.photos(tmp_path / "in", 2), tmp_path / "out"
    assert [record.status for record in done(run.quick(), photos, out)] == ["done", "done"]
    (photos / "01.png").write_bytes(b"not a picture")
    (record,) = done(run.quick(), photos / "01.png", out, Options(overwrite=True))
    assert record.status == "failed"
    assert "not an image" in record.reason
    assert not (out / "images" / "01.png").exists()  # what it was before is no result of this run
    assert done(run.quick(), photos, out) == []
    assert Run(run.quick(), [photos], out, Options()).before == {"done": 1, "failed": 1}
    run.picture(1).save(photos / "01.png")
    assert [record.status for record in done(run.quick(), photos, out, Options(retry_failed=True))] == ["done"]


def test_masks_of_the_photos_own_names(tmp_path: Path) -> None:
    photos = run.photos(tmp_path / "in", 2)
    (tmp_path / "masks").mkdir()
    Image.fromarray(np.pad(np.full((20, 20), 255, np.uint8), 22)).save(tmp_path / "masks" / "00.png")
    path = run.recipe_file(tmp_path, run.QUICK.replace("boxes: [[0.25, 0.25, 0.75, 0.75]]", "file: 'masks/{stem}.png'"))
    records = done(Recipe.load(path), photos, tmp_path / "out")
    assert {record.name: record.status for record in records} == {"00.png": "done", "01.png": "failed"}
    assert "01.png" in next(record.reason for record in records if record.status == "failed")
    Image.new("L", (64, 64)).save(tmp_path / "masks" / "01.png")  # a mask that came later is noticed
    assert [record.name for record in done(Recipe.load(path), photos, tmp_path / "out")] == ["01.png"]


def test_strokes_of_the_photos_own_seed(tmp_path: Path) -> None:
    recipe = run.quick(operator={"mask": {"strokes": "thick", "seed": "{seed}"}})
    done(recipe, run.photos(tmp_path / "in", 2), tmp_path / "out", Options(degrade=True))
    first, second = (np.asarray(Image.open(tmp_path / "out" / "measurements" / f"0{i}.png")).sum(-1) == 0 for i in range(2))
    assert first.any()
    assert second.any()
    assert (first != second).any()


def test_of_the_damage_below_a_soft_edge_nothing_stays(tmp_path: Path) -> None:
    photos = run.photos(tmp_path / "in", 1)
    level = np.zeros((64, 64), np.uint8)
    level[10:30, 10:30], level[14:26, 14:26] = 60, 255
    Image.fromarray(level).save(tmp_path / "soft.png")
    given = np.asarray(Image.open(photos / "00.png")).copy()
    given[11:29, 11:29] = 255
    Image.fromarray(given).save(photos / "00.png")
    recipe = run.quick(operator={"mask": {"file": str(tmp_path / "soft.png")}})
    hard = run.quick(operator={"mask": {"boxes": [[10, 10, 30, 30]]}})
    done(recipe, photos, tmp_path / "out")
    done(hard, photos, tmp_path / "hard")
    done(run.quick(operator={"mask": {"file": str(tmp_path / "soft.png")}}, frame="aligned"), photos, tmp_path / "framed")
    restored = np.asarray(Image.open(tmp_path / "out/images/00.png"))
    assert np.array_equal(restored[level == 0], given[level == 0])
    assert restored[level == 60].max() < 250
    assert np.array_equal(restored, np.asarray(Image.open(tmp_path / "hard/images/00.png")))
    assert np.asarray(Image.open(tmp_path / "framed/images/00.png"))[level == 60].max() < 250


def test_holes_to_demonstrate_with_hide_nothing_that_a_photo_shows(tmp_path: Path) -> None:
    photos = run.photos(tmp_path / "in", 2)
    for mask in ({"strokes": "medium"}, {"pixels": 0.5}, {"file": str(masks()[0])}, {"count": 9}):
        operator = {"lines" if "count" in mask else "mask": mask}
        recipe = run.quick(operator=operator)
        told = {record.reason for record in restore(recipe, photos, tmp_path / next(iter(mask)))}
        assert len(told) == 1
        assert "the recipe's mask is one to demonstrate with, and would hide what this photo shows" in told.pop()
        made = [outcome.path for outcome in degrade(recipe, [photos], tmp_path / "y", overwrite=True) if outcome.path]
        assert [record.status for record in restore(recipe, made, tmp_path / f"{next(iter(mask))}-y")] == ["done"] * 2
        tiles = run.quick(operator=operator, frame="tiles")
        assert {record.status for record in restore(tiles, photos, tmp_path / f"{next(iter(mask))}-tiles")} == {"failed"}


def test_a_dim_photo_shows_something_too(tmp_path: Path) -> None:
    """Below a hole of a degraded photo is black with some noise; a third of a photo's brightness is not."""
    generator = np.random.default_rng(0)
    kinds = {"dim": 0.28 * np.asarray(run.picture(0)), "noise": 255 * 0.06 * np.abs(generator.normal(size=(16, 16, 3)))}
    (tmp_path / "in").mkdir()
    for name, pixels in kinds.items():
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(tmp_path / "in" / f"{name}.png")
    found = {
        record.name: record.status for record in restore(run.quick(operator={"mask": {"pixels": 0.5}}), tmp_path / "in", tmp_path / "out")
    }
    assert found == {"dim.png": "failed", "noise.png": "done"}


def test_names_that_only_differ_by_suffix_and_folders(tmp_path: Path) -> None:
    for index, name in enumerate(("a.png", "a.jpg", "sub/a.png")):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        run.picture(index).save(tmp_path / "in" / name)
    done(run.quick(), tmp_path / "in", tmp_path / "out")
    assert {name for name in run.files(tmp_path / "out") if name.startswith("images/")} == {
        "images/a.png",
        "images/a.jpg",
        "images/sub/a.png",
    }
    assert len(run.records(tmp_path / "out")) == 3


def test_a_photo_beside_its_own_measurement_has_places_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for index, name in enumerate(("a.jpg", "a.jpg.png")):
        run.picture(index).save(tmp_path / "in" / name)
    records = done(run.quick(), tmp_path / "in", tmp_path / "out", Options(degrade=True))
    places = [place for record in records for place in (record.image, record.measurement, record.original)]
    assert len(set(places)) == 6
    original = np.asarray(Image.open(tmp_path / "out" / str(records[1].original)))
    assert np.array_equal(original, np.asarray(Image.open(tmp_path / "in" / "a.jpg.png")))


def test_results_below_the_photos_are_no_photos(tmp_path: Path) -> None:
    photos = run.photos(tmp_path / "in", 1)
    assert len(done(run.quick(), photos, photos / "restored")) == 1
    assert done(run.quick(), photos, photos / "restored") == []
    with pytest.raises(ValueError, match="would be overwritten"):
        restore(run.quick(), photos / "restored" / "images", photos / "restored")


@pytest.mark.parametrize(
    ("changes", "options", "error"),
    [
        ({"prior": "digiface46"}, Options(), "did you mean 'digiface64'"),
        ({"prior": "no/such.pth"}, Options(), "no/such.pth: cannot be read"),
        ({"operator": {"downsample": {"factor": 7}}}, Options(), "divisible by 7"),
        ({"solver": {"latent": {"steps": -1}}}, Options(), "steps is -1"),
        ({"operator": "jpeg"}, Options(), "needs linear operators"),
        ({"operator": {"gray": {}, }, "noise": {"gaussian": {"sigma": -1.0}}}, Options(), "sigma must be a number of at least 0"),
        ({"operator": {"mask": {"file": "none.png"}}}, Options(), "none.png"),
        ({}, Options(device="meta"), "device 'meta' cannot be used"),
        ({}, Options(device="ve"), r"^device 've' cannot be used: .{1,150}; use auto, cpu or cuda$"),
    ],
)  # fmt: skip
def test_a_run_that_cannot_be_leaves_no_folder(tmp_path: Path, changes: dict[str, object], options: Options, error: str) -> None:
    with pytest.raises((RecipeError, ValueError), match=error):
        list(restore(run.quick(**changes), run.photos(tmp_path / "in", 1), tmp_path / "out", options))
    assert not (tmp_path / "out").exists()


def test_the_size_that_fitted_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    module = sys.modules["priorsolve.sampling"]
    real = module.solve_fitting

    def short_of_memory(*given: object, batch_size: int, **options: object) -> object:
        asked.append(batch_size)
        return real(*given, batch_size=min(batch_size, 2), **options)

    monkeypatch.setattr(module, "solve_fitting", short_of_memory)
    assert len(done(run.quick(), run.photos(tmp_path / "in", 5), tmp_path / "out", Options(batch_size=4))) == 5
    assert asked == [4, 2]


def test_large_pictures_that_are_drawn_one_by_one_are_searched_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file(made("mobilestylegan").state_dict(), tmp_path / "small.safetensors")
    recipe, folder = run.quick(prior=str(tmp_path / "small.safetensors")), run.photos(tmp_path / "in", 5)
    together = done(recipe, folder, tmp_path / "together")
    drawn: list[int] = []
    real = Prior.decode

    def decode(self: Prior, codes: torch.Tensor, *given: Any, **options: Any) -> torch.Tensor:
        drawn.append(len(codes))
        return real(self, codes, *given, **options)

    monkeypatch.setattr(Prior, "decode", decode)
    monkeypatch.setattr(restoration, "DRAWN_AT_ONCE", 2 * 32 * 32)
    assert [record.misfit for record in done(recipe, folder, tmp_path / "apart")] == [record.misfit for record in together]
    assert max(drawn) == 2
    drawn.clear()
    done(run.quick(), folder, tmp_path / "others")
    assert max(drawn) == 5


def test_one_that_breaks_the_solver_does_not_take_its_batch_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["priorsolve.sampling"]
    real = module.solve_fitting

    def picky(solver: object, y: torch.Tensor, *given: object, **options: object) -> object:
        if (y[:, 0, 0, 0] - read_image(tmp_path / "in" / "01.png", (64, 64))[0, 0, 0]).abs().min() < 1e-6:
            raise RuntimeError("something\nnobody foresaw")
        return real(solver, y, *given, **options)

    monkeypatch.setattr(module, "solve_fitting", picky)
    records = done(run.quick(), run.photos(tmp_path / "in", 3), tmp_path / "out")
    assert {record.name: record.reason for record in records if record.status == "failed"} == {
        "01.png": "RuntimeError: something nobody foresaw"
    }
    assert len(records) == 3


def test_what_a_killed_run_left_half_written_goes_unless_others_are_at_work(tmp_path: Path) -> None:
    left = tmp_path / "images" / ".0123456789abcdef.tmp"
    left.parent.mkdir()
    left.write_bytes(b"half")
    with working_in(tmp_path, (0, 2)):
        assert not left.exists()
        left.write_bytes(b"of a run beside this one")
        with working_in(tmp_path, (1, 2)):
            assert left.exists()


def test_a_name_too_long_for_its_record_fails_alone(tmp_path: Path) -> None:
    photos = run.photos(tmp_path / "in", 1)
    run.picture(1).save(photos / f"{'n' * 248}.png")
    assert sorted(record.status for record in done(run.quick(), photos, tmp_path / "out")) == ["done", "failed"]


def test_options_say_what_is_wrong() -> None:
    for wrong in ({"batch_size": 0}, {"limit": -1}, {"shard": (2, 2)}, {"dtype": "half"}, {"device": "gpu"}):
        with pytest.raises(ValueError, match=str(next(iter(wrong)).split("_")[0])):
            replace(Options(), **wrong)


@pytest.mark.usefixtures("digiface64")
def test_what_is_told_of_a_photo_does_not_depend_on_its_batch(tmp_path: Path) -> None:
    photos = run.photos(tmp_path / "in", 3)
    (tmp_path / "masks").mkdir()
    for index in range(3):
        Image.fromarray(np.pad(np.full((4 + 24 * index,) * 2, 255, np.uint8), (30 - 12 * index, 30 - 12 * index))).save(
            tmp_path / f"masks/0{index}.png"
        )
    mask = {"mask": {"file": str(tmp_path / "masks/{stem}.png")}}
    recipe = run.quick(operator=mask, noise={"gaussian": {"sigma": 0.05}}, samples=2, output={"limit": True})
    for size in (1, 3):
        assert len(list(restore(recipe, photos, tmp_path / f"{size}", Options(degrade=True, batch_size=size)))) == 3
    assert run.files(tmp_path / "1") == run.files(tmp_path / "3")
    assert run.records(tmp_path / "1") == run.records(tmp_path / "3")
