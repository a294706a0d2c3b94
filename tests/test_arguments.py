"""What callers get wrong is one line that names the thing, the value and the way out. Numbers out of range: test_solvers.py."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy
import pytest
import torch
from prior_support import made
from solvers_support import linear, pictures
from torch import Tensor, nn
from torch.nn import functional as F

from priorsolve.losses import Mixture, MultiResolution, l2
from priorsolve.operators.base import Identity, LinearOperator
from priorsolve.operators.blur import gaussian_blur
from priorsolve.operators.laws import check_laws
from priorsolve.operators.pillow import PillowJPEG
from priorsolve.priors import LinearPrior
from priorsolve.solvers import Langevin, Latent, Multicode, Pivotal, Projector, Pulse, Staged, Stop, Tuned
from priorsolve.solvers.fit import solve_fitting
from priorsolve.solvers.layerwise import Layerwise
from priorsolve.types import Shape

# -- settings --------------------------------------------------------------------------------------------------------------------------

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


def windowed(one: Tensor, other: Tensor, window: int) -> Tensor:
    return (one - other).flatten(1).mean(1) / window


@pytest.mark.parametrize(
    "loss",
    ["l1", None, {"huber": {}}, ["l1"], nn.MSELoss(), nn.MSELoss, F.l1_loss, F.huber_loss, windowed, lambda estimate, measured: estimate],
)
def test_a_loss_that_is_none_is_told_at_once(loss: Any) -> None:
    message = "is .*; it must be a function of estimate, measurement and mask that gives one number per image, .*names are for recipes$"
    with pytest.raises(ValueError, match=f"^loss {message}"):
        Latent(linear(), loss=loss)
    with pytest.raises(ValueError, match=f"^locality_loss {message}"):
        Pivotal(linear(), locality_loss=loss)
    if loss is not None:
        with pytest.raises(ValueError, match=f"^stop_loss {message}"):
            Pivotal(linear(), stop_at=0.1, stop_loss=loss)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"steps": 10.0}, "^steps is 10.0; it must be a whole number$"),
        ({"steps": "10"}, "^steps is '10'; it must be a whole number$"),
        ({"steps": 10**23}, f"^steps is {10**23}; it must be at most 10000000, which would take days$"),
        ({"candidates": 10**12}, "^candidates is 1000000000000; it must be at most 10000000"),
        ({"restarts": None}, "^restarts is None; it must be a whole number$"),
        ({"plateau": 2.5}, "^plateau is 2.5; it must be a whole number$"),
        ({"seed": 0.5}, "^seed is 0.5; it must be a whole number$"),
        ({"lr": "0.1"}, "^lr is '0.1'; it must be a number$"),
        ({"noise": [0.1]}, r"^noise is \[0.1\]; it must be a number$"),
        ({"lr": torch.ones(200)}, "^lr is a Tensor; it must be a number$"),
        ({"penalties": ["gaussian"]}, r"^penalties is \['gaussian'\]; give each its weight by name, such as \{'gaussian': 0.01\}$"),
    ],
)
def test_a_setting_of_another_kind_is_told_at_once(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Latent(linear(), **wrong)


def test_numbers_of_numpy_and_losses_that_prepare_are_settings() -> None:
    class Prepares:
        def against(self, measured: torch.Tensor, where: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
            return lambda estimate: ((estimate - measured) * where).square().flatten(1).mean(1)

    loss: Any = Prepares()
    solver = Latent(linear(), steps=numpy.int64(3), lr=numpy.float32(0.1), plateau=None, loss=loss)  # type: ignore[arg-type]
    plain = Latent(linear(), steps=3, lr=float(numpy.float32(0.1)))
    y = torch.rand(2, 3, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(solver(y, lambda x: x).images, plain(y, lambda x: x).images)


# -- measurements, operators, seeds ------------------------------------------------------------------------------------------------------


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


def test_an_operator_without_a_gradient_is_told_with_both_ways_out() -> None:
    with pytest.raises(ValueError, match=r"^the operator lets no gradient .*, such as JPEG for PillowJPEG \(in a recipe: `surrogate`\)$"):
        Latent(linear(), steps=2)(pictures(1), lambda x: x.detach())


def test_measurements_may_be_as_large_as_the_operator_makes_them() -> None:
    """Also far larger in a few places, and of an operator that sees only differences."""
    prior, y = linear(), pictures(2)
    plain = Latent(prior, steps=5, restarts=2)(y, Identity())
    scaled = Latent(prior, steps=5, restarts=2)(255 * y, lambda x: 255 * x)
    torch.testing.assert_close(scaled.images, plain.images)
    assert bool(Latent(prior, steps=2)(holding(1e4), Identity()).misfit.isfinite().all())
    edges = Latent(prior, steps=2)(255 * y.diff(dim=3), lambda x: 255 * x.diff(dim=3))
    assert bool(edges.misfit.isfinite().all())


@pytest.mark.parametrize(
    ("operator", "message"),
    [
        (Identity, "got the class Identity; make one of it$"),
        (torch.ones(8, 8), "got a Tensor$"),
        (None, "got None$"),
    ],
)
def test_an_operator_that_is_none_is_told(operator: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^expected an operator with a method A, or a function of images, {message}"):
        Latent(linear(), steps=2)(pictures(2), operator)


def test_an_operator_that_does_not_make_what_it_says_is_told() -> None:
    class Lying(Identity):
        def out_shape(self, in_shape: Shape) -> Shape:
            return (1, *in_shape[1:])

    with pytest.raises(ValueError, match=r"^Lying\(\): makes measurements of shape \(3, 8, 8\), and its out_shape says \(1, 8, 8\)$"):
        Latent(linear(), steps=2)(pictures(2)[:, :1], Lying())


@pytest.mark.parametrize(
    ("seeds", "message"),
    [
        ([0.5, 1.5], "^a seed is 0.5; it must be a whole number$"),
        ([1.0, 2.0], "^a seed is 1.0; it must be a whole number$"),
        (["a", "b"], "^a seed is 'a'"),
        ("ab", "^seeds is 'ab'; give a list of whole numbers, one for each of 2 measurements, or none$"),
        (3, "^seeds is 3; give a list"),
        ((seed for seed in (1, 2)), "^seeds is <generator object .*; give a list"),
        ([1, 2, 3], "^got 3 seeds for 2 measurements; give one each, or none$"),
        ([1, 2**64], "^a seed is 18446744073709551616; it must be at least 0 and below"),
    ],
)
@pytest.mark.parametrize("solve", [Latent(linear(), steps=1), partial(solve_fitting, Latent(linear(), steps=1))], ids=["solver", "fitting"])
def test_seeds_that_are_none_are_told(solve: Callable[..., Any], seeds: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        solve(pictures(2), Identity(), seeds=seeds)


def test_seeds_may_be_of_any_sequence() -> None:
    solver, y = Latent(linear(), steps=1), pictures(2)
    expected = solver(y, Identity(), seeds=[0, 1]).images
    for seeds in (range(2), (0, 1), numpy.arange(2), torch.arange(2)):
        assert torch.equal(solver(y, Identity(), seeds=seeds).images, expected)  # type: ignore[arg-type]


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


ANSWERED = ("prior", "steps", "seed", "loss", "samples", "descends", "amplifies", "prepare", "varied", "passes")


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


# -- what operators and losses give ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda e, y, where: (e - y).square().mean(), r"^the loss gives a tensor of shape \(\) for \d+ images; .* one number per image"),
        (lambda e, y, where: (e - y).square(), r"^the loss gives a tensor of shape \(\d+, 3, 8, 8\)"),
        (lambda e, y, where: (e - y).flatten(1).mean(1, keepdim=True), r"^the loss gives a tensor of shape \(\d+, 1\)"),
        (lambda e, y, where: 0.5, r"^the loss gives a float"),
        (lambda e, y, where: y.sub_(e).square().flatten(1).mean(1), r"^the loss changes the measurement, .*; write e - m, not e\.sub_"),
        (lambda e, y, where: (e - y.nan_to_num_()).square().flatten(1).mean(1), r"^the loss changes the measurement"),
        (lambda e, y, where: e.sub_(y).square().flatten(1).mean(1), r"^the loss changes the estimate"),
        (lambda e, y, where: ((e - y) * where.div_(2)).square().flatten(1).mean(1), r"^the loss changes the mask"),
        (Mixture([(lambda e, y, where: e.sub_(y).square().flatten(1).mean(1), 1.0)]), r"^the loss changes the estimate"),
        (lambda e, y, where: (e - y).detach().flatten(1).mean(1), r"^the loss lets no gradient through"),
        (Mixture([(lambda e, y, where: (e - y).square().mean(), 1.0)]), r"^the loss gives a tensor of shape \(\)"),
    ],
)
@pytest.mark.parametrize("restarts", [1, 2])
def test_a_loss_gives_one_number_for_each_image(loss: Any, message: str, restarts: int) -> None:
    for count in (1, 2):
        with pytest.raises(ValueError, match=message):
            Latent(linear(), steps=2, restarts=restarts, loss=loss)(pictures(count), Identity())


def test_so_does_the_loss_of_the_pivots_neighbourhood() -> None:
    prior = made("mobilestylegan")
    y = torch.rand(2, *prior.image_shape, generator=torch.Generator().manual_seed(0))
    start = Latent(prior, space="w", steps=0, candidates=1)(y, Identity())
    solver = Pivotal(prior, steps=2, locality=0.1, locality_loss=lambda e, y, where: (e - y).square().mean())
    with pytest.raises(ValueError, match=r"^the loss gives a tensor of shape \(\) for 2 images"):
        solver(y, Identity(), start=start)


@pytest.mark.parametrize("restarts", [1, 2])
@pytest.mark.parametrize(
    ("operator", "message"),
    [
        (lambda x: x[0], r"of shape \(3, 8, 8\) from images of shape \(\d+, 3, 8, 8\); it must make one for each image"),
        (lambda x: x.mean(0, keepdim=True), r"of shape \(1, 3, 8, 8\) from images of shape \(\d+, 3, 8, 8\)"),
        (lambda x: x.mean(), r"of shape \(\) from images"),
        (lambda x: x.detach().numpy(), "^the operator makes a ndarray of images; it must make a real tensor"),
        (lambda x: (x, x), "^the operator makes a tuple of images"),
        (lambda x: None, "^the operator makes a NoneType of images"),
        (lambda x: torch.fft.fft2(x), "^the operator makes complex numbers of images; .*, such as torch.view_as_real gives$"),
    ],
)
def test_an_operator_gives_one_measurement_for_each_image(operator: Any, message: str, restarts: int) -> None:
    with pytest.raises(ValueError, match=message):
        Latent(linear(), steps=2, restarts=restarts)(pictures(2), operator)


@pytest.mark.parametrize("operator", [Identity(), lambda x: x], ids=["ours", "theirs"])
def test_a_measurement_without_its_batch_axis_is_told(operator: Any) -> None:
    with pytest.raises(ValueError, match=r"got \(8, 8\); for a single measurement give y\[None\], a batch of one$"):
        Latent(linear(), steps=2)(pictures(1)[0], operator)


def test_operators_and_losses_may_compute_in_another_precision() -> None:
    prior, y = linear(torch.float32), pictures(2, torch.float32)
    plain = Latent(prior, steps=12, restarts=2)(y, Identity())
    for loss, operator in [(lambda e, y, where: l2(e.double(), y.double(), where), Identity()), (l2, lambda x: x.double())]:
        found = Latent(prior, steps=12, restarts=2, loss=loss)(y, operator)  # type: ignore[arg-type]
        assert found.misfit.dtype == found.images.dtype == torch.float32
        torch.testing.assert_close(found.images, plain.images, atol=1e-3, rtol=0)


# -- operators by themselves -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["A", "A_adjoint", "A_dagger"])
@pytest.mark.parametrize("operator", [Identity(), gaussian_blur(1.0), Identity() @ gaussian_blur(1.0)], ids=repr)
def test_operators_measure_floats(operator: LinearOperator, method: str) -> None:
    """A blur of bytes was bytes, rounded at every step."""
    x = torch.rand(2, 3, 8, 8)
    what = "images" if method == "A" else "measurements"
    with pytest.raises(ValueError, match=f"expected float {what}, got torch.uint8; pictures are in .*, so divide 8-bit values by 255$"):
        getattr(operator, method)((x * 255).to(torch.uint8))
    with pytest.raises(ValueError, match=rf"expected float {what}, got torch.bool; convert it with .float\(\)$"):
        getattr(operator, method)(x > 0.5)
    with pytest.raises(ValueError, match=f"expected {what} as a float tensor, got an object of type ndarray$"):
        getattr(operator, method)(x.numpy())


@pytest.mark.parametrize(
    ("inner", "message"),
    [
        (
            lambda x: x,
            "^an object of type function is not one of priorsolve's operators and cannot be composed .*; give the solver a function",
        ),
        (nn.Identity(), "^an object of type Identity is not one"),
        (Identity, "^the class Identity is not one"),
        ("gray", "^an object of type str is not one"),
        (3, "^an object of type int is not one"),
    ],
)
def test_what_is_no_operator_is_not_composed(inner: Any, message: str) -> None:
    """A module, which every deepinv physics is, was left out without a word."""
    with pytest.raises(ValueError, match=message):
        Identity() @ inner


# -- losses and priors by themselves ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "given", "message"),
    [
        (Mixture, [("l1", 1.0)], "^a mixture's loss is 'l1'; it must be a function of estimate, measurement and mask"),
        (Mixture, iter([l2]), r"^a part of a mixture is L2\(\); give pairs of a loss and its weight, such as \(l1, 0.5\)$"),
        (Mixture, [(l2, "half")], r"^a part of a mixture is \(L2\(\), 'half'\); give pairs"),
        (MultiResolution, "l1", "^loss is 'l1'; it must be a function"),
        (MultiResolution, nn.MSELoss(), r"^loss is MSELoss\(\); it must be a function"),
    ],
)
def test_losses_of_losses_say_what_they_take(make: Callable[[Any], object], given: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(given)


def test_a_prior_says_which_codes_it_takes() -> None:
    prior = linear(torch.float32)
    codes: Any = prior.sample(2, torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match=r"codes are torch.float64 on cpu, and the prior is torch.float32 on cpu; bring them there"):
        prior.decode(codes.double())
    with pytest.raises(ValueError, match=r"expected codes in 'z' as a tensor, got a ndarray$"):
        prior.decode(torch.cat([codes] * 9).numpy())  # type: ignore[arg-type]


def test_an_operator_without_a_gradient_breaks_the_law_of_it() -> None:
    """It was an error of torch's."""
    with pytest.raises(AssertionError, match=r"PillowJPEG\(quality=50\): vjp is off by 1.00e\+00"):
        check_laws(PillowJPEG(50), (3, 16, 16))


def test_a_mixture_takes_its_parts_from_anything_that_can_be_gone_through() -> None:
    assert Mixture(pair for pair in [(l2, 1.0)]) == Mixture([(l2, 1.0)])  # type: ignore[arg-type]
