"""What callers get wrong is one line that names the thing, the value and the way out. Settings have theirs in test_settings.py."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy
import pytest
import torch
from solvers_support import linear, pictures, smooth
from torch import Tensor, nn

import priorsolve as ps
from priorsolve.operators.base import Identity
from priorsolve.operators.jpeg import JPEG
from priorsolve.operators.laws import dot_test
from priorsolve.operators.mask import Mask
from priorsolve.priors import LinearPrior
from priorsolve.report import write_report
from priorsolve.solvers import (
    Langevin,
    Latent,
    Multicode,
    Pivotal,
    Projector,
    Pulse,
    Staged,
    Stop,
    Tuned,
    save_delta,
    solve_fitting,
    start_at,
)
from priorsolve.solvers.layerwise import Layerwise

SOLVERS: list[Callable[..., Any]] = [Latent, Langevin, Multicode, Pivotal, Projector, Pulse, Tuned, Layerwise]


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    ("prior", "message"),
    [
        ("ffhq128", r"^prior is 'ffhq128'; it must be a Prior; load it first: load_prior\('ffhq128'\)$"),
        (nn.Linear(3, 3), r"^prior is Linear\(.*; it must be a Prior, such as load_prior gives$"),
        (LinearPrior, "^prior is the class LinearPrior; it must be a Prior"),
        (None, "^prior is None"),
    ],
)
def test_a_prior_that_is_none_is_told_at_once(solver: Callable[..., Any], prior: Any, message: str) -> None:
    more = {"noise": 0.1} if solver is Langevin else {}
    with pytest.raises(ValueError, match=message):
        solver(prior, **more)


def test_a_prior_says_which_codes_it_takes() -> None:
    prior = linear(torch.float32)
    codes: Any = prior.sample(2, torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match=r"codes are torch.float64 on cpu, and the prior is torch.float32 on cpu; bring them there"):
        prior.decode(codes.double())
    with pytest.raises(ValueError, match=r"expected codes in 'z' as a tensor, got a ndarray$"):
        prior.decode(torch.cat([codes] * 9).numpy())  # type: ignore[arg-type]


# -- measurements and operators ------------------------------------------------------------------------------------------------------------


def holding(value: float, count: int = 2) -> torch.Tensor:
    y = pictures(count)
    y[-1, 0, 2, 3] = value
    return y


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (pictures(2).numpy(), r"^expected measurements as a float tensor of shape \(B, ...\), got a ndarray; give torch.from_numpy\(y\)$"),
        (pictures(2).tolist(), "got a list$"),
        (None, "got None$"),
        ((pictures(2) * 255).to(torch.uint8), "^expected float measurements, got torch.uint8; .*divide 8-bit values by 255$"),
        (pictures(2) > 0.5, r"^expected float measurements, got torch.bool; convert it with .float\(\)$"),
        (pictures(2) * 255, r"^measurement 0 has values of about \d+, and the operator makes at most .* of a picture; .* by 255$"),
        (torch.cat([pictures(1), pictures(1) * 255]), "^measurement 1 has values of about"),
        (torch.rand(2), r"of shape \(2,\); for one number per image give y\[:, None\]$"),
    ],
)
@pytest.mark.parametrize("operator", [Identity(), lambda x: x], ids=["ours", "theirs"])
def test_measurements_that_are_none_are_told(y: Any, message: str, operator: Any) -> None:
    with pytest.raises(ValueError, match=message):
        Latent(linear(), steps=2)(y, operator)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (pictures(1).to_sparse(), r"^expected measurements as a dense tensor, got a sparse_coo one; give y.to_dense\(\)$"),
        (pictures(1).to("meta"), "^expected measurements with values, got a tensor on the device meta"),
    ],
)
def test_measurements_without_values_are_told(y: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Latent(linear(), steps=2)(y, Identity())


@pytest.mark.parametrize("operator", [Identity(), lambda x: x], ids=["ours", "theirs"])
def test_a_measurement_without_its_batch_axis_is_told(operator: Any) -> None:
    with pytest.raises(ValueError, match=r"got \(8, 8\); for a single measurement give y\[None\], a batch of one$"):
        Latent(linear(), steps=2)(pictures(1)[0], operator)


@pytest.mark.parametrize("value", [math.nan, -math.inf])
@pytest.mark.parametrize("operator", [Identity(), lambda x: x], ids=["ours", "theirs"])
def test_an_image_that_is_not_finite_ends_by_itself(value: float, operator: Any) -> None:
    prior = linear()
    for solver in (Latent(prior, steps=5), Latent(prior, steps=5, begin_at="regressed", bank=16)):
        plain, found = solver(pictures(2), operator), solver(holding(value), operator)
        torch.testing.assert_close(found.images[:1], plain.images[:1], atol=1e-9, rtol=0)
        assert found.stopped[0] == plain.stopped[0]
        assert found.stopped[1].value.endswith("look for such numbers in the measurement")
        everywhere = solver(torch.full_like(pictures(2), value), operator)
        assert everywhere.stopped == (Stop.diverged, Stop.diverged)


def test_measurements_may_be_as_large_as_the_operator_makes_them() -> None:
    """Also far larger in a few places, and of an operator that sees only differences."""
    prior, y = linear(), pictures(2)
    plain = Latent(prior, steps=5, restarts=2)(y, Identity())
    scaled = Latent(prior, steps=5, restarts=2)(255 * y, lambda x: 255 * x)
    torch.testing.assert_close(scaled.images, plain.images)
    assert bool(Latent(prior, steps=2)(holding(1e4), Identity()).misfit.isfinite().all())
    edges = Latent(prior, steps=2)(255 * y.diff(dim=3), lambda x: 255 * x.diff(dim=3))
    assert bool(edges.misfit.isfinite().all())


@pytest.mark.parametrize("operator", [Identity(), lambda x: x], ids=["ours", "theirs"])
def test_pictures_around_0_are_told(operator: Any) -> None:
    y = torch.cat([smooth(1), 2 * smooth(1) - 1])
    y[0, 0, 0, 0] = math.nan
    with pytest.raises(ValueError, match=r"^measurement 1 has values down to -1, and the operator .* give \(y \+ 1\) / 2$"):
        Latent(linear(), steps=2)(y, operator)


@pytest.mark.parametrize("sigma", [0.25, 0.5, 1.0])
def test_noise_on_dark_pictures_is_none_of_their_range(sigma: float) -> None:
    y = 0.1 * smooth(4) + sigma * torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1)).double()
    solution = Latent(linear(), steps=1)(y, Identity())
    torch.testing.assert_close(solution.misfit, (solution.images - y).square().mean((1, 2, 3)))
    around = Latent(linear(), steps=1)(2 * smooth(2) - 1, lambda x: 2 * x - 1)  # nor are values that the operator makes
    torch.testing.assert_close(around.misfit, 4 * (around.images - smooth(2)).square().mean((1, 2, 3)))


@pytest.mark.parametrize(
    ("operator", "message"),
    [
        (Identity, "got the class Identity; make one of it$"),
        (torch.ones(8, 8), "got a Tensor$"),
        (None, "got None$"),
        (linear(), r"got the prior LinearPrior\(3×8×8\); that goes into the solver, and what was measured of its pictures here$"),
        (SimpleNamespace(A=torch.ones(8, 8)), "got one whose A is a Tensor; give a function, such as lambda x: x \\* mask$"),
    ],
)
def test_an_operator_that_is_none_is_told(operator: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^expected an operator with a method A, or a function of images, {message}"):
        Latent(linear(), steps=2)(pictures(2), operator)


# -- seeds and who is told of steps --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seeds", "message"),
    [
        ([0.5, 1.5], "^a seed is 0.5; it must be a whole number$"),
        ([1.0, 2.0], "^a seed is 1.0; it must be a whole number$"),
        (["a", "b"], "^a seed is 'a'"),
        ("ab", "^seeds is 'ab'; give a list of whole numbers, one for each of 2 measurements, or none$"),
        (3, "^seeds is 3; give a list"),
        ({7, 3}, "^seeds is {3, 7}; give a list"),
        ({7: 1, 3: 2}, "^seeds is {7: 1, 3: 2}; give a list"),
        (b"ab", "^seeds is b'ab'; give a list"),
        ((seed for seed in (1, 2)), "^seeds is <generator object .*; give a list"),
        ([1, 2, 3], "^got 3 seeds for 2 measurements; give one each, or none$"),
        ([1, 2**64], "^a seed is 18446744073709551616; it must be at least 0 and below"),
    ],
)
@pytest.mark.parametrize("solve", [Latent(linear(), steps=1), partial(solve_fitting, Latent(linear(), steps=1))], ids=["solver", "fitting"])
def test_seeds_that_are_none_are_told(solve: Callable[..., Any], seeds: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        solve(pictures(2), Identity(), seeds=seeds)


@pytest.mark.parametrize("space", ["", 0, False, {}, []])
def test_a_space_that_is_empty_is_none(space: Any) -> None:
    """It was the prior's first, which is what None says."""
    prior = linear()
    codes = prior.sample(1, torch.Generator())
    for solver in (Latent, Multicode, Tuned, partial(Langevin, noise=0.1)):
        with pytest.raises(ValueError, match=r"^space .* is not one of the prior's: z; "):
            solver(prior, space=space)
    for call in (
        lambda: prior.decode(codes, space),
        lambda: prior.sample(1, torch.Generator(), space),
        lambda: start_at(prior, codes, space),
        lambda: prior.map(codes, source=space, target="z"),
    ):
        with pytest.raises(ValueError, match=r"^LinearPrior.*: has no space .*; it has z$"):
            call()


def test_seeds_may_be_of_any_sequence() -> None:
    solver, y = Latent(linear(), steps=1), pictures(2)
    expected = solver(y, Identity(), seeds=[0, 1]).images
    for seeds in (range(2), (0, 1), numpy.arange(2), torch.arange(2)):
        assert torch.equal(solver(y, Identity(), seeds=seeds).images, expected)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_beyond_64_bits_is_told_at_once(seed: int) -> None:
    for solver in (Latent, Layerwise):
        with pytest.raises(ValueError, match=f"^a seed is {seed}; it must be at least 0 and below 2"):
            solver(linear(), seed=seed)


@pytest.mark.parametrize("solver", [Latent(linear(), steps=2), Staged([Latent(linear(), steps=2)]), Layerwise(linear())])
def test_who_is_told_of_steps_is_a_function(solver: Any) -> None:
    with pytest.raises(ValueError, match=r"^on_step is 3; give a function of a Step, or None$"):
        solver(pictures(1), Identity(), on_step=3)


# -- starts and stages ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (torch.randn(2, 4, 60), "^start is a Tensor; give a solver's solution, or codes as start_at"),
        ({"z": torch.zeros(2, 4)}, "^start is .*; give a solver's solution"),
        ("yesterday.safetensors", "^start is 'yesterday.safetensors'; give"),
    ],
)
def test_a_start_that_is_no_solution_is_told(start: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Latent(linear(), steps=1)(pictures(2), Identity(), start=start)


@pytest.mark.parametrize("solve", [Latent(linear(), steps=1), partial(solve_fitting, Latent(linear(), steps=1))], ids=["solver", "fitting"])
def test_a_start_has_a_code_for_each_measurement(solve: Callable[..., Any]) -> None:
    start = Latent(linear(), steps=1)(pictures(2), Identity())
    for code in (start.codes["z"][:1], start.codes["z"].repeat(2, 1), torch.tensor(1.0)):
        with pytest.raises(ValueError, match=r"^the start's codes 'z' are of shape \(.*\), got 2 measurements; give a code for each$"):
            solve(pictures(2), Identity(), start=replace(start, codes={"z": code}))


def test_stages_are_those_that_were_given() -> None:
    stages = [Latent(linear(), steps=1), Latent(linear(), steps=2)]
    solver = Staged(stages)
    assert solver == Staged(tuple(stages))
    assert hash(solver) == hash(Staged(tuple(stages)))
    stages.pop()
    assert solver.steps == 3


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (Latent(linear()), "^stages is a Latent; give a list of solvers$"),
        ("latent", "^stages is 'latent'; give a list"),
        ([Latent(linear()), "layered"], "^a stage is 'layered'; it must be a solver, such as Latent"),
        ([Latent], "^a stage is the class Latent; it must be"),
    ],
)
def test_stages_that_are_no_solvers_are_told(stages: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Staged(stages)


ATTRIBUTES = ("prior", "steps", "seed", "loss", "samples", "no_start", "descends", "amplifies")
ANSWERED = (*ATTRIBUTES, "prepare", "varied", "noisier", "noiseless", "passes")


@pytest.mark.parametrize("missing", [None, *ANSWERED, "__call__"])
def test_a_stage_answers_all_that_a_solver_is_asked(missing: str | None) -> None:
    solver = Latent(linear())
    answers = {name: getattr(solver, name) for name in ANSWERED} | {"__call__": lambda self, y, operator: solver(y, operator)}
    stage = type("Stage", (), {name: answer for name, answer in answers.items() if name != missing})()
    if missing is None:
        assert Staged([stage]).seed == solver.seed
        return
    with pytest.raises(ValueError, match=r"^a stage is .*Stage.*; it must be a solver, such as Latent"):
        Staged([stage])


def test_stages_share_a_prior_or_its_numbers() -> None:
    one, other = linear(), linear()
    for same in (other, copy.deepcopy(one), copy.deepcopy(one).float(), one.computing(torch.bfloat16)):
        assert Staged([Latent(one), Latent(same)]).prior is one
        assert Staged([Latent(same), Latent(one)]).prior is same
    assert pickle.loads(pickle.dumps(Staged([Latent(one), Latent(one)]))).varied().prior is not one
    with torch.no_grad():
        next(other.parameters()).neg_()
    with pytest.raises(ValueError, match=r"^the stages have two priors, "):
        Staged([Latent(one), Latent(other)])


# -- functions -----------------------------------------------------------------------------------------------------------------------------


CODES: Any = torch.zeros(1, 4).numpy()
PICTURES: Any = pictures(1).numpy()


def test_pictures_are_read_and_written_by_name_as_text(tmp_path: Path) -> None:
    image = torch.rand(3, 8, 8)
    ps.write_image(str(tmp_path / "one.png"), image)
    assert torch.equal(ps.read_image(str(tmp_path / "one.png"), (8, 8)), ps.read_image(tmp_path / "one.png", (8, 8)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ps.write_image(torch.rand(3, 8, 8), "one.png"), "^write_image: path is a Tensor; give the path of a file"),  # type: ignore[arg-type]
        (lambda: ps.write_image("one.png", [0.5]), r"^write_image: the image is \[0.5\]; give a float tensor \(1 or 3, H, W\)$"),  # type: ignore[arg-type]
        (lambda: ps.read_image("one.png", 128), r"^read_image: size is 128; give \(height, width\), such as \(128, 128\)$"),  # type: ignore[arg-type]
        (lambda: ps.read_image((128, 128), "one.png"), r"^read_image: path is \(128, 128\); give"),  # type: ignore[arg-type]
        (lambda: ps.read_image("one.png", (0, 8)), r"^read_image: size is \(0, 8\); give"),
        (lambda: ps.read_image("one.png", (8, 8), 4), "^read_image: channels is 4; give 1 or 3$"),  # type: ignore[arg-type]
        (lambda: write_report(3), "^write_report: out is 3; give"),  # type: ignore[arg-type]
        (lambda: start_at(linear(), CODES), r"^start_at: expected codes as a tensor.*; give torch.from_numpy\(codes\)$"),
        (lambda: ps.put_back(PICTURES, pictures(1), Identity()), r"^put_back: expected pictures .*; give torch.from_numpy\(x\)$"),
        (lambda: dot_test(JPEG(50), (3, 16, 16)), r"^dot_test: JPEG\(.*\) is not linear, so it has no adjoint"),  # type: ignore[arg-type]
        (lambda: ps.operators.check_laws(lambda x: x, (3, 8, 8)), "^check_laws: expected an Operator, got .*; subclass priorsolve"),  # type: ignore[arg-type]
        (
            lambda: ps.operators.check_laws(Identity(), (3, 8, 8), dtype=torch.float16),
            "^check_laws: dtype is torch.float16; laws are kept in torch.float32 and torch.float64$",
        ),
    ],
)
def test_what_a_function_cannot_take_is_one_line(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_a_report_may_be_asked_for_by_name_as_text(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^no records in "):
        write_report(str(tmp_path))


def test_one_image_of_a_solution_has_a_whole_number(tmp_path: Path) -> None:
    solution = Tuned(linear(), steps=1, candidates=1)(pictures(1), Identity())
    for index in (0.5, False):
        with pytest.raises(ValueError, match=rf"^index is {index}; give the whole number of one image$"):
            save_delta(linear(), solution, index, tmp_path / "one.safetensors")  # type: ignore[arg-type]


def test_a_noise_that_is_none_is_told() -> None:
    number: Any = 0.1
    with pytest.raises(ValueError, match=r"^solve_several needs a noise of priorsolve.noise, such as Gaussian\(0.02\), got 0.1$"):
        ps.solve_several(Latent(linear(), steps=2), pictures(2), Identity(), 2, noise=number)


@pytest.mark.parametrize(("y", "message"), [(255 * smooth(1), "^measurement 0 has values of about"), (2 * smooth(1) - 1, "down to -1,")])
def test_another_range_is_told_however_much_is_a_hole(y: Tensor, message: str) -> None:
    """Holes, two thirds of all, are neither values of a picture in [0, 1] nor neighbours of dark ones that are bright."""
    known = torch.zeros(24, 24)
    known[:, [0, 1, 6, 7, 12, 13, 18, 19]] = 1
    mask = Mask(known)
    wide = torch.nn.functional.interpolate(y, (24, 24), mode="bilinear")
    with pytest.raises(ValueError, match=message):
        Latent(LinearPrior.random(4, (3, 24, 24), dtype=torch.float64), steps=2)(mask.A(wide), mask)


def test_of_pictures_around_0_the_one_whose_operator_makes_none_is_told() -> None:
    y = 2 * smooth(2) - 1
    y[1, 0, 0, 0] = math.nan
    with pytest.raises(ValueError, match=r"^measurement 1 has values down to -1, and the operator makes none below 0\.\d+ of a picture"):
        Latent(linear(), steps=2)(y, lambda x: torch.stack([2 * x[0] - 1, x[1]]))
