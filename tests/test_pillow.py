"""What real software makes of pictures, and the stand-ins that solvers use for it."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import run_support as run
import torch
import yaml
from PIL import Image

from priorsolve.command.checks import check_recipe
from priorsolve.operators import JPEG, Downsample, Mask, Operator, PillowJPEG, PillowResize, laws
from priorsolve.operators.pillow import Filter
from priorsolve.recipe.components import RecipeError, build, check
from priorsolve.recipe.recipe import Recipe
from priorsolve.run.restoration import Options, restore
from priorsolve.solvers import Latent


def pictures() -> tuple[list[Image.Image], torch.Tensor]:
    made = [run.picture(index) for index in range(2)]
    return made, torch.stack([torch.from_numpy(np.array(one)).permute(2, 0, 1) / 255 for one in made])


def test_resize_is_pillows() -> None:
    made, x = pictures()
    y = PillowResize(4, "lanczos").A(x)
    expected = [np.array(one.resize((16, 16), Image.Resampling.LANCZOS)) for one in made]
    assert torch.equal((y * 255).round().to(torch.uint8), torch.from_numpy(np.stack(expected)).permute(0, 3, 1, 2))
    assert (y - Downsample(4, "lanczos").A(x)).abs().max() <= 1.01 / 255  # the stand-in is off by rounding alone


def test_a_picture_becomes_8_bits_by_rounding() -> None:
    y = PillowResize(2).A(torch.full((1, 3, 4, 4), 100.7 / 255))
    torch.testing.assert_close(y, torch.full((1, 3, 2, 2), 101 / 255))


def test_jpeg_is_libjpegs() -> None:
    made, x = pictures()
    y = PillowJPEG(30).A(x)
    for one, measured in zip(made, y, strict=True):
        stream = io.BytesIO()
        one.save(stream, "JPEG", quality=30)
        assert torch.equal((measured * 255).round().to(torch.uint8), torch.from_numpy(np.array(Image.open(stream))).permute(2, 0, 1))
    assert (y - JPEG(30).A(x)).square().mean().sqrt() < 0.02


@pytest.mark.parametrize("operator", [PillowResize(2), PillowJPEG(50)], ids=repr)
def test_what_is_no_number_is_not_black(operator: Operator) -> None:
    _, x = pictures()
    expected = operator.A(x)
    x[1, 0, 5, 5] = torch.nan
    y = operator.A(x)
    assert torch.equal(y[0], expected[0])
    assert y[1].isnan().all()


def test_a_wide_picture_stays_so() -> None:
    x = pictures()[1][:, :, :32]
    torch.testing.assert_close(PillowResize(4).A(x), Downsample(4).A(x), atol=1.01 / 255, rtol=0)


@pytest.mark.parametrize(("name", "first"), [("box", 4), ("bilinear", 3), ("bicubic", 2), ("lanczos", 1)])
def test_what_a_filter_reaches_from_a_hole_is_measured(name: Filter, first: int) -> None:
    """Output i looks at 4i + 2 ± 2, 4, 8 or 12 pixels, of which those from 16 on are known."""
    known = torch.ones(32, 64)
    known[:, :16] = 0
    operator = PillowResize(4, name) @ Mask(known)
    expected = torch.ones(2, 3, 8, 16)
    expected[..., :first] = 0
    assert torch.equal(operator.support(torch.ones(2, 3, 32, 64)), expected)
    assert laws.support(operator, (3, 32, 64)) == 0


def test_grey_pictures() -> None:
    x = pictures()[1][:, :1]
    assert PillowResize(2).A(x).shape == (2, 1, 32, 32)
    assert PillowJPEG(50).A(x).shape == (2, 1, 64, 64)


@pytest.mark.parametrize("wrong", [lambda: PillowResize(0), lambda: PillowResize(2, "wide"), lambda: PillowJPEG(0)])  # type: ignore[arg-type]
def test_wrong_settings(wrong: object) -> None:
    assert callable(wrong)
    with pytest.raises(ValueError, match=r"Pillow(Resize|JPEG): "):
        wrong()


def test_a_solver_cannot_follow_it(digiface64: object) -> None:
    x = pictures()[1]
    with pytest.raises(ValueError, match="no gradient"):
        Latent(digiface64, steps=1, restarts=1, candidates=1)(PillowResize(4).A(x), PillowResize(4))  # type: ignore[arg-type]


SURROGATE = {"operator": {"pillow_resize": {"factor": 4}}, "surrogate": {"downsample": {"factor": 4}}}


@pytest.mark.usefixtures("digiface64")
def test_a_recipe_measures_with_the_one_and_solves_with_the_other(tmp_path: Path) -> None:
    (record,) = restore(run.quick(**SURROGATE), run.photos(tmp_path / "in", 1), tmp_path / "out", Options(degrade=True))
    assert record.status == "done", record.reason
    assert record.measurement is not None
    shown = np.array(Image.open(tmp_path / "out" / record.measurement))
    assert np.array_equal(shown, np.array(run.picture(0).resize((16, 16), Image.Resampling.BICUBIC)))
    (note,) = record.notes
    told = re.fullmatch(r"the surrogate is off by (\S+) \(root mean square\) from the operator, on the restored picture", note)
    assert told is not None
    assert float(told[1]) < 1 / 255, "rounding to 8 bits, or nothing where the picture gives the rounded numbers again"


@pytest.mark.usefixtures("digiface64")
def test_a_surrogate_counts_for_the_fingerprint_and_survives_a_dump(tmp_path: Path) -> None:
    recipe = run.quick(**SURROGATE)
    assert recipe.fingerprint() != run.quick(operator=SURROGATE["operator"]).fingerprint()
    assert Recipe.load(run.recipe_file(tmp_path, recipe.dump())).fingerprint() == recipe.fingerprint()


@pytest.mark.usefixtures("digiface64")
def test_shapes_must_agree(tmp_path: Path) -> None:
    wrong = run.quick(operator={"pillow_resize": {"factor": 4}}, surrogate={"downsample": {"factor": 2}})
    with pytest.raises(RecipeError, match="surrogate: makes measurements of shape"):
        list(restore(wrong, run.photos(tmp_path / "in", 1), tmp_path / "out", Options(degrade=True)))


REAL = {"pillow_jpeg": {"quality": 10}}


@pytest.mark.usefixtures("digiface64")
@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"operator": REAL}, "operator[0].pillow_jpeg: lets no gradient through.*`surrogate: {jpeg: {quality: 10}}`"),
        ({"operator": {"pillow_resize": {"factor": 4}}}, "`surrogate: {downsample: {factor: 4}}`"),
        ({"operator": {"pillow_resize": {"factor": 4, "filter": "box"}}}, "`surrogate: {downsample: {factor: 4, kernel: area}}`"),
        ({"operator": ["gray", REAL]}, "operator[1].pillow_jpeg: .*list the operators under `surrogate` again, with {jpeg: {quality: 10}}"),
        ({"operator": REAL, "surrogate": REAL}, "surrogate[0].pillow_jpeg: .*name {jpeg: {quality: 10}} there"),
    ],
)
def test_without_a_surrogate_a_recipe_is_refused_before_the_work(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    recipe = run.quick(output={}, **changes)
    pattern = re.escape(told).replace(r"\.\*", ".*")
    with pytest.raises(RecipeError, match=pattern):
        check_recipe(recipe)
    with pytest.raises(RecipeError, match=pattern):
        list(restore(recipe, run.photos(tmp_path / "in", 1), tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    _, named = check_recipe(run.quick(output={}, operator=REAL, surrogate={"jpeg": {"quality": 10}}))
    assert named


@pytest.mark.usefixtures("digiface64")
def test_the_best_candidate_needs_no_gradient(tmp_path: Path) -> None:
    recipe = run.quick(output={}, operator=REAL, solver={"latent": {"steps": 0, "restarts": 1, "candidates": 2}})
    facts, passed = check_recipe(recipe)
    assert passed
    assert "law: shapes" in facts
    assert "law: vjp" not in facts
    (record,) = restore(recipe, run.photos(tmp_path / "in", 1), tmp_path / "out")
    assert record.status == "done", record.reason


def test_every_stand_in_makes_measurements_of_the_same_shape() -> None:
    for operator in (PillowResize(4), PillowResize(2, "lanczos"), PillowJPEG(10), PillowJPEG(1), PillowJPEG(100)):
        ((name, given),) = yaml.safe_load(operator.stand_in).items()
        other = build("operators", name, check("operators", name, given, ""), "")
        with torch.no_grad():  # of whoever asks
            assert other.follows((3, 32, 32))
        assert not operator.follows((3, 32, 32))
        assert other.out_shape((3, 32, 32)) == operator.out_shape((3, 32, 32))


@pytest.mark.parametrize("name", get_args(Filter))
def test_a_resizes_stand_in_is_off_by_rounding_alone(name: Filter) -> None:
    operator, (_, x) = PillowResize(4, name), pictures()
    ((kind, given),) = yaml.safe_load(operator.stand_in).items()
    other = build("operators", kind, check("operators", kind, given, ""), "")
    assert (other.A(x).clamp(0, 1) - operator.A(x)).abs().max() <= 1.01 / 255


def test_a_block_of_which_one_pixel_is_known_is_measured() -> None:
    known = torch.ones(32, 64)
    known[:, :19] = 0
    assert (PillowResize(4, "box") @ Mask(known)).support(torch.ones(1, 3, 32, 64))[0, 0, 0, :6].tolist() == [0, 0, 0, 0, 1, 1]


@pytest.mark.usefixtures("digiface64")
def test_what_limits_the_fit_is_searched_with_the_surrogate(tmp_path: Path) -> None:
    """Through the operator itself no solver sees."""
    recipe = run.quick(operator=REAL, surrogate={"jpeg": {"quality": 10}}, output={"limit": True})
    (record,) = restore(recipe, run.photos(tmp_path / "in", 1), tmp_path / "out")
    assert record.status == "done", record.reason
    assert "on a picture that the prior can draw this solver reaches 0." in record.diagnosis[1]


def test_a_check_looks_at_the_surrogate_and_tells_of_both() -> None:
    """Of Pillow's resizing no law of gradients holds, and what solves is the stand-in."""
    facts, passed = check_recipe(run.quick(operator={"pillow_resize": {"factor": 4}}, surrogate={"downsample": {"factor": 4}}))
    assert passed
    assert facts["operator"].startswith("PillowResize(")
    assert facts["surrogate"].startswith("Downsample(")
    assert {"law: dot test", "law: linearity"} <= facts.keys()
