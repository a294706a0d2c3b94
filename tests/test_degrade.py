"""`degrade` makes what `restore` takes back."""

from __future__ import annotations

import errno
import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import run_support as run
import torch
from PIL import Image
from prior_support import made
from safetensors.torch import save_file

from priorsolve.cli import main
from priorsolve.command.checks import check_recipe
from priorsolve.recipe.build import build_noise
from priorsolve.recipe.components import RecipeError
from priorsolve.recipe.recipe import Recipe
from priorsolve.recipe.templates import photo_seed
from priorsolve.run.degrade import INDEX, Degraded, degrade
from priorsolve.run.jobs import MADE_UP
from priorsolve.run.masks import Masked, write_masks
from priorsolve.run.restoration import Options, restore

pytestmark = pytest.mark.usefixtures("digiface64")


def test_faces_are_degraded_without_the_detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "retinaface", None)
    recipe, photos = run.quick(operator="gray", frame="faces"), run.photos(tmp_path / "in", 1)
    assert [outcome.reason for outcome in degrade(recipe, [photos], tmp_path / "y")] == [""]
    with pytest.raises(RecipeError, match=r"^frame: .*\[faces\]"):
        list(restore(recipe, photos, tmp_path / "out"))
    with pytest.raises(RecipeError, match=r"^frame: .*\[faces\]"):
        check_recipe(recipe)


@pytest.mark.parametrize(
    ("operator", "suffix", "exact"),
    [
        ({"mask": {"strokes": "thick", "seed": "{seed}"}}, ".png", False),
        ({"lines": {"count": 3}}, ".png", False),
        ({"downsample": {"factor": 4}}, ".npy", True),
        ({"gaussian_sensing": {"m": 50}}, ".npy", False),
    ],
)
def test_there_and_back(tmp_path: Path, operator: dict[str, object], suffix: str, exact: bool) -> None:
    recipe = run.quick(operator=operator)
    (tmp_path / "in" / "sub").mkdir(parents=True)
    for index, name in enumerate(("a.jpg", "a.png", "sub/a.png")):
        run.picture(index).save(tmp_path / "in" / name)
    made = [outcome.path for outcome in degrade(recipe, [tmp_path / "in"], tmp_path / "y", exact=exact)]
    assert len({*made}) == 3
    assert {path.suffix for path in made if path is not None} == {suffix}
    there = list(restore(recipe, tmp_path / "in", tmp_path / "direct", Options(degrade=True)))
    back = list(restore(recipe, tmp_path / "y", tmp_path / "back"))
    assert [record.status for record in back] == ["done"] * 3, [record.reason for record in back]
    for first, second in zip(there, back, strict=True):  # the same measurement, seed and mask, but for 8 bits
        assert first.seed == second.seed
        assert second.misfit == pytest.approx(first.misfit, rel=0.02)
        assert second.measurement is not None
        assert first.measurement is not None
        kept = [Path(tmp_path / out / name) for out, name in (("direct", first.measurement), ("back", second.measurement))]
        y = [np.load(path) if path.suffix == ".npy" else np.asarray(Image.open(path)) / 255.0 for path in kept]
        assert np.abs(y[0] - y[1]).max() < 0.01


@pytest.mark.parametrize(
    ("operator", "side"),
    [
        ({"mask": {"pixels": 0.3}}, 128),
        ({"mask": {"strokes": "thin"}}, 300),
        ([{"mask": {"strokes": "medium"}}, {"downsample": {"factor": 2}}], 300),
    ],
    ids=str,
)
def test_there_and_back_in_a_frame_larger_than_the_prior_s_pictures(tmp_path: Path, operator: object, side: int) -> None:
    """And a photo that shows what would be hidden is refused there, too."""
    recipe = run.quick(operator=operator, frame="aligned")
    (tmp_path / "in").mkdir()
    run.picture(1, side, side).save(tmp_path / "in" / "a.png")
    list(degrade(recipe, [tmp_path / "in"], tmp_path / "y"))
    assert [(record.status, record.reason) for record in restore(recipe, tmp_path / "y", tmp_path / "back")] == [("done", "")]
    assert [record.reason for record in restore(recipe, tmp_path / "in", tmp_path / "out")] == [MADE_UP]


@pytest.mark.parametrize("frame", ["center", "aligned", "tiles"])
def test_what_was_measured_at_soft_edges_comes_back(tmp_path: Path, frame: str) -> None:
    """Where a sixteenth of it was, half a level of 8 bits becomes 8 levels."""
    recipe, photos = run.quick(operator={"lines": {"count": 3}}, frame=frame), tmp_path / "in"
    photos.mkdir()
    run.picture(1, 96, 96).save(photos / "a.png")
    list(degrade(recipe, [photos], tmp_path / "y"))
    (there,) = restore(recipe, photos, tmp_path / "direct", Options(degrade=True))
    (back,) = restore(recipe, tmp_path / "y", tmp_path / "back")
    images = [np.asarray(Image.open(tmp_path / out / str(found.image))).astype(int) for out, found in (("direct", there), ("back", back))]
    assert np.abs(images[0] - images[1]).max() <= 9


def test_one_bad_photo_does_not_stop_the_rest(tmp_path: Path) -> None:
    photos = run.photos(tmp_path / "in", 2)
    (photos / "00.png").write_text("no picture")
    bad, good = degrade(run.quick(), [photos], tmp_path / "y")
    assert (bad.path, good.reason) == (None, "")
    assert "not an image" in bad.reason


def test_the_command_says_how_many_and_where(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    photos, out = run.photos(tmp_path / "in", 3), tmp_path / "y"
    (photos / "00.png").write_text("no picture")
    command = ["degrade", run.recipe_file(tmp_path), str(photos), "--out", str(out)]
    assert main(command) == 1
    assert capfd.readouterr().err.endswith(f"2 written, 1 failed; see {out}\n")
    assert main([*command, "--json"]) == 1
    assert capfd.readouterr().err == ""


def test_nothing_of_the_users_is_overwritten(tmp_path: Path) -> None:
    photos = run.photos(tmp_path / "in", 1)
    with pytest.raises(ValueError, match="holds the photos themselves"):
        degrade(run.quick(), [photos], photos)
    with pytest.raises(ValueError, match="would be overwritten"):
        degrade(run.quick(), [photos / "00.png"], photos)
    for _ in range(2):  # the second time its own results lie below the photos
        assert len(list(degrade(run.quick(), [photos], photos / "y"))) == 1
    (made,) = degrade(run.quick(), [photos], photos / "y")
    assert made.path is not None
    assert made.reason == "the measurement that was there; --overwrite makes it anew"
    whole = made.path.read_bytes()
    made.path.write_bytes(b"mine")
    assert [each.path for each in degrade(run.quick(), [photos], photos / "y")] == [made.path]
    assert made.path.read_bytes() == b"mine"
    assert next(degrade(run.quick(), [photos], photos / "y", overwrite=True)).reason == ""
    assert made.path.read_bytes() == whole
    with pytest.raises(ValueError, match="is a file"):
        degrade(run.quick(), [photos], photos / "00.png" / "y")


def test_no_photo_has_a_measurement_in_each_form(tmp_path: Path) -> None:
    """`restore` did every photo twice."""
    photos, out = run.photos(tmp_path / "in", 2), tmp_path / "y"
    run.picture(2).save(photos / "c.jpg")
    recipe = run.quick(operator="gray")

    def there(*, exact: bool, given: Path = photos) -> list[str]:
        assert [made.path for made in degrade(recipe, [given], out, exact=exact) if made.path is None] == []
        return sorted(path.name for path in out.iterdir() if path.name != INDEX)

    assert there(exact=False) == ["00.png", "01.png", "c.jpg.png"]
    assert there(exact=True) == ["00.png.npy", "01.png.npy", "c.jpg.npy"]
    (out / "00.png.npy").write_bytes(b"mine")
    (out / "c.jpg.png").write_bytes(b"mine")
    assert there(exact=True) == ["00.png.npy", "01.png.npy", "c.jpg.npy", "c.jpg.png"]
    assert there(exact=False) == ["00.png", "00.png.npy", "01.png", "c.jpg.png"]
    assert there(exact=True, given=out / "01.png") == ["00.png", "00.png.npy", "01.png", "01.png.npy", "c.jpg.png"], "it is the photo"


def test_noise_is_the_photos_own_and_the_recipes(tmp_path: Path) -> None:
    photos = run.photos(tmp_path / "in", 1)
    run.picture(0).save(photos / "01.png")

    def made(recipe: Recipe, out: str) -> list[bytes]:
        return [outcome.path.read_bytes() for outcome in degrade(recipe, [photos], tmp_path / out) if outcome.path]

    noisy = {"operator": "gray", "noise": {"gaussian": {"sigma": 0.1}}}
    first, second = made(run.quick(**noisy), "a")
    assert first != second
    assert made(run.quick(**noisy), "b") == [first, second]
    assert made(run.quick(**noisy, seed=1), "c")[0] != first


def test_all_noises_are_added() -> None:
    noise = build_noise(run.quick(noise=[{"gaussian": {"sigma": 0.1}}, {"salt_pepper": {"amount": 0.5}}]))
    assert noise is not None
    made = noise(torch.full((1, 1, 64, 64), 0.5), rng=[torch.Generator().manual_seed(0)])
    extreme = (made == 0) | (made == 1)
    assert 0.4 < extreme.float().mean() < 0.6
    assert 0.08 < made[~extreme].std() < 0.12


def test_what_another_recipe_seed_or_photo_gave_is_made_anew(tmp_path: Path) -> None:
    photos, out = run.photos(tmp_path / "in", 2), tmp_path / "y"
    noisy = {"operator": "gray", "noise": {"gaussian": {"sigma": 0.1}}}

    def written(**changes: object) -> list[str]:
        return [made.name for made in degrade(run.quick(**{**noisy, **changes}), [photos], out) if not made.reason]

    assert written() == ["00.png", "01.png"]
    assert written(solver="latent", surrogate="gray", output={}) == []  # which decide no measurement
    (out / "01.png").write_bytes(b"mine")
    others: list[dict[str, object]] = [{"seed": 1}, {"operator": {"mask": {"boxes": [[0, 0, 0.5, 0.5]]}}}, {"noise": []}]
    for changes in others:
        assert written(**changes) == ["00.png"], "the other one is somebody's own now"
        assert written(**changes) == []
    run.picture(5).save(photos / "00.png")
    assert written(noise=[]) == ["00.png"]
    (whole,) = (made.path for made in degrade(run.quick(**noisy, seed=1), [photos / "00.png"], tmp_path / "fresh"))
    assert written(seed=1) == ["00.png"]
    assert whole is not None
    assert (out / "00.png").read_bytes() == whole.read_bytes()
    assert (out / "01.png").read_bytes() == b"mine"


def test_a_line_of_the_index_that_was_cut_short_costs_no_other(tmp_path: Path) -> None:
    photos, out = run.photos(tmp_path / "in", 1), tmp_path / "y"
    assert len(list(degrade(run.quick(), [photos], out))) == 1
    with (out / INDEX).open("ab") as file:
        file.write(b'\n{"file": "0')
    for seed in (1, 2):
        recipe = run.quick(operator={"mask": {"strokes": "thin", "seed": seed}})
        assert [made.reason for made in degrade(recipe, [photos], out)] == [""]


@pytest.mark.parametrize("make", [degrade, write_masks])
def test_a_full_disk_ends_it_and_a_name_that_is_too_long_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[..., Iterator[Degraded | Masked]]
) -> None:
    def refuse(code: int) -> None:
        def replace(self: Path, target: Path) -> Path:
            raise OSError(code, os.strerror(code), str(target))

        monkeypatch.setattr(Path, "replace", replace)

    photos, out = run.photos(tmp_path / "in", 2), tmp_path / "y"
    refuse(errno.ENAMETOOLONG)
    assert [made.path for made in make(run.quick(), [photos], out)] == [None, None]
    refuse(errno.ENOSPC)
    with pytest.raises(ValueError, match=r"y cannot be written: No space left on device; choose another output folder \(--out\)"):
        next(make(run.quick(), [photos], out))


@pytest.mark.usefixtures("digiface64")
def test_what_was_measured_for_another_prior_s_size_is_made_anew(tmp_path: Path) -> None:
    photos, out, sizes = run.photos(tmp_path / "in", 1), tmp_path / "y", []
    save_file(made("mobilestylegan").state_dict(), tmp_path / "small.safetensors")
    for prior in ("digiface64", str(tmp_path / "small.safetensors")):
        (outcome,) = degrade(run.quick(prior=prior), [photos], out)
        assert outcome.reason == ""
        with Image.open(out / "00.png") as measured:
            sizes.append(measured.size)
    assert sizes == [(64, 64), (32, 32)]


def test_a_photo_s_seed_is_the_same_in_every_version() -> None:
    """A mask of `"{seed}"` that a measurement was made with is drawn again when that is restored."""
    assert photo_seed(3, "sub/a.jpg.png") == int(hashlib.sha256(b"3/sub/a").hexdigest()[:12], 16) == photo_seed(3, "sub/a")
