"""Slips of callers, each told in one line, and what numpy gives, taken as it is meant."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from prior_support import made
from solvers_support import linear, pictures

import priorsolve as ps
from priorsolve.metrics import psnr, ssim
from priorsolve.operators import (
    Downsample,
    FastSensing,
    FixedPhotons,
    GaussianSensing,
    Gray,
    Holes,
    Identity,
    LinearOperator,
    Lines,
    PillowJPEG,
    check_laws,
    compose,
    gaussian_blur,
)
from priorsolve.operators.noise import Chain, Gaussian, Photons, Poisson
from priorsolve.recipe.components import RecipeError
from priorsolve.solvers import Latent, Staged, load_solution, save_solution

any_: Callable[[object], Any] = lambda value: value  # noqa: E731  # what a caller gives whom no type checker stops
NAN = torch.full((1, 3, 4, 4), torch.nan)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Holes(any_(torch.ones(64, 64))), r"^Holes: file is a Tensor; give the path of an image, or Mask\(known\)"),
        (lambda: Holes(boxes=any_([0.1, 0.1, 0.5, 0.5])), r"^Holes: boxes is \[0.1, 0.1, 0.5, 0.5\]; a single box is a list too"),
        (lambda: Holes(boxes=any_(np.array([0.1, 0.1, 0.5, 0.5]))), "; a single box is a list too"),
        (lambda: Holes(boxes=any_("left")), "^Holes: boxes is 'left'; give a list of boxes"),
        (lambda: Holes(boxes=any_([["a", 0, 1, 1]])), "^Holes: a box is .*, got "),
        (lambda: Holes(pixels=any_(".5")), "^Holes: pixels is the fraction .*, got '.5'$"),
        (lambda: Holes(strokes="thin", seed=any_("a")), "^Holes: seed must be a whole number of 64 bits, got 'a'$"),
        (lambda: Lines(any_("2")), "^Lines: count is .*, a whole number from 1 to 1000, got '2'$"),
        (lambda: Lines(any_(2.5)), "^Lines: count is .*, got 2.5$"),
        (lambda: Lines(2, any_("a")), "^Lines: width is .*, got 'a'$"),
        (lambda: Lines(2, seed=any_(0.5)), "^Lines: seed must be a whole number of 64 bits, got 0.5$"),
        (lambda: Photons(any_("a")), "^Photons: peak, .*, got 'a'"),
        (lambda: FixedPhotons(any_("a")), "^FixedPhotons: peak, .*, got 'a'"),
        (lambda: FixedPhotons(9, seed=any_(None)), "^FixedPhotons: seed must be a whole number of 64 bits, got None$"),
        (lambda: PillowJPEG(any_(50.5)), "^PillowJPEG: quality must be a whole number from 1 to 100, got 50.5$"),
        (lambda: Chain(any_(Gaussian(0.1))), r"^Chain: noises is Gaussian\(sigma=0.1\); give a list of noises"),
        (lambda: Chain(any_([0.1])), r"^Chain: noises is \[0.1\]; give a list of noises"),
        (lambda: compose(any_(Gray())), r"^compose: operators is Gray\(weights=rec601\); give a list of operators"),
        (lambda: check_laws(Gray(), any_(64)), r"^check_laws: in_shape is 64; give \(C, H, W\)"),
        (lambda: save_solution(any_(None), "a.safetensors"), "^save_solution: expected a Solution, got None; give what a solver returned"),
        (lambda: load_solution(any_(None)), "^load_solution: path is None; give"),
        (lambda: Poisson(30)(NAN, rng=torch.Generator()), r"^Poisson\(peak=30\): cannot count NaN or infinite values"),
        (lambda: Photons(30)(NAN, rng=torch.Generator()), r"^Photons\(peak=30, dead=0.0\): cannot count NaN"),
        (lambda: psnr(any_(pictures(1).numpy()), pictures(1)), "^psnr takes images as float tensors"),
        (lambda: psnr(pictures(1), any_((pictures(1) * 255).byte())), r"^psnr takes images as float tensors .*, not torch.uint8$"),
        (lambda: psnr(pictures(2), pictures(1)), "^psnr: images are .*, the reference is "),
        (lambda: ssim(pictures(1), any_(None)), r"^ssim takes images as float tensors \(B, C, H, W\) in \[0, 1\], not None$"),
        (lambda: ps.Recipe.load(any_(None)), "^the recipe is None; give a built-in name"),
        (
            lambda: ps.write_image("a.png", torch.zeros(3, 4, 4, dtype=torch.uint8)),
            "^write_image: the image is of torch.uint8; give floats",
        ),
        (lambda: ps.write_image("a.png", torch.zeros(3, 4, 4, dtype=torch.complex64)), "^write_image: the image is of torch.complex64"),
        (lambda: ps.solve_several(Latent(linear(), steps=0), pictures(2), Identity(), 2, seeds=any_(["a", 1])), "^a seed is 'a'"),
    ],
)
def test_a_slip_is_one_line(call: Callable[[], object], message: str) -> None:
    with pytest.raises((ValueError, RecipeError), match=message) as told:
        call()
    assert "\n" not in str(told.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file; give one that save_solution wrote"):
        load_solution(tmp_path / "none.safetensors")


def test_stages_have_one_prior() -> None:
    one, other = Latent(linear(), steps=0), Latent(made("dcgan"), steps=0)
    with pytest.raises(ValueError, match=r"^the stages have two priors, LinearPrior\(3×8×8\) and DCGAN\("):
        Staged([one, other])
    assert Staged([one, Latent(linear().computing(torch.bfloat16), steps=0)]).steps == 0


def test_a_physics_has_a_shape_and_a_seed() -> None:
    interop = pytest.importorskip("priorsolve.interop.deepinv")
    with pytest.raises(ValueError, match=r"^to_physics: img_size is 64; give \(C, H, W\)"):
        interop.to_physics(Gray(), img_size=64)
    with pytest.raises(ValueError, match="to_physics: seed must be a whole number"):
        interop.to_physics(Gray(), Gaussian(0.1), img_size=(3, 8, 8), seed="a")
    x, seeded = (
        torch.rand(1, 3, 8, 8),
        [interop.to_physics(Gray(), Gaussian(0.1), img_size=(3, 8, 8), seed=seed) for seed in (3, np.int64(3))],
    )
    assert torch.equal(seeded[0](x), seeded[1](x))


@pytest.mark.parametrize(
    "made_with",
    [
        lambda seed: FastSensing(m=5, shape=[3, 8, 8], seed=seed),
        lambda seed: GaussianSensing(m=5, shape=[3, 8, 8], seed=seed),
        lambda seed: Holes(strokes="thin", pixels=0.2, seed=seed),
        lambda seed: Lines(3, seed=seed),
        lambda seed: FixedPhotons(30, seed=seed),
    ],
)
def test_a_seed_of_numpy_s_is_the_number(made_with: Callable[[Any], ps.operators.Operator]) -> None:
    x = torch.rand(1, 3, 8, 8)
    assert torch.equal(made_with(np.int64(3)).A(x), made_with(3).A(x))


@pytest.mark.parametrize("seeds", [np.array([4, 5]), torch.tensor([4, 5]), [np.uint64(4), 5]])
def test_seeds_of_several_solutions_may_be_an_array(seeds: Any) -> None:
    expected, found = (
        ps.solve_several(Latent(linear(), steps=1), pictures(2), Identity(), 2, noise=Gaussian(0.1), seeds=given)[1]
        for given in ([4, 5], seeds)
    )
    assert expected is not None
    assert found is not None
    assert torch.equal(expected.images, found.images)


def test_a_solver_s_seed_may_be_numpy_s() -> None:
    first, second = (
        ps.solve_several(Latent(linear(), steps=1, seed=seed), pictures(1), Identity(), 3)[1] for seed in (5, cast(int, np.int64(5)))
    )
    assert first is not None
    assert second is not None
    assert torch.equal(first.images, second.images)


@pytest.mark.parametrize("boxes", [np.array([[0.1, 0.1, 0.5, 0.5]]), torch.tensor([[0.1, 0.1, 0.5, 0.5]]), ((0.1, 0.1, 0.5, 0.5),)])
def test_boxes_may_be_an_array(boxes: Any) -> None:
    x = torch.ones(1, 1, 16, 16)
    assert torch.equal(Holes(boxes=boxes).A(x), Holes(boxes=[[0.1, 0.1, 0.5, 0.5]]).A(x))


def test_what_is_no_number_in_a_hole_is_not_counted() -> None:
    y = torch.rand(1, 3, 8, 8)
    where = torch.ones_like(y).index_fill(3, torch.tensor([2]), 0)
    dirty = torch.where(where > 0, y, torch.nan)
    rng = torch.Generator().manual_seed
    found = Poisson(30)(dirty, rng=rng(0), where=where)
    assert torch.equal(found.isnan(), where == 0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    "operator",
    [
        gaussian_blur(0.7),
        gaussian_blur(0.7, "circular"),
        GaussianSensing(m=9, shape=[3, 64, 64]),
        Gray() @ Downsample(2),
        Holes(half="left") @ gaussian_blur(0.7),
    ],
    ids=str,
)
def test_half_precision_is_put_back_as_well_as_it_can_hold(operator: LinearOperator, dtype: torch.dtype) -> None:
    rng = torch.Generator().manual_seed(0)
    truth, x = torch.rand(2, 1, 3, 64, 64, generator=rng)
    y = operator.A(truth)
    exact, found = ps.put_back(x, y, operator), ps.put_back(x.to(dtype), y.to(dtype), operator)
    assert found.dtype == dtype
    assert float((found.float() - exact).abs().mean()) < 64 * torch.finfo(dtype).eps * float(exact.abs().mean())


def test_what_the_package_shows_is_its_own() -> None:
    code = """import priorsolve as ps, sys
print(ps.__version__, *(name for name in dir(ps) if name[:2] != "__"))
assert "torch" not in sys.modules
"""
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1]
    ).stdout.split()
    assert shown[1:] == sorted(ps.__all__)
    root = Path(__file__).parents[1]
    assert f'version="{shown[0]}"' in (root / "setup.py").read_text()
    assert f"version: {shown[0]}" in (root / "CITATION.cff").read_text()


def test_lpips_is_among_the_losses_and_loaded_when_asked_for() -> None:
    code = "import sys; from priorsolve import losses; assert 'priorsolve.losses.lpips' not in sys.modules; assert 'LPIPS' in dir(losses)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])
    from priorsolve.losses.lpips import LPIPS

    assert ps.losses.LPIPS is LPIPS
    with pytest.raises(AttributeError, match="has no attribute 'Lpips'"):
        _ = ps.losses.Lpips
