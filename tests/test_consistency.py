"""What was measured is kept: A(result) = y for every linear operator, and in the way that people like."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from priorsolve.consistency import EXACT, put_back, put_back_within
from priorsolve.operators import (
    JPEG,
    Downsample,
    FastSensing,
    Gray,
    Holes,
    Identity,
    LinearOperator,
    Mask,
    Operator,
    gaussian_blur,
    motion_blur,
)
from priorsolve.operators.base import compose, factors

OPERATORS: list[Operator] = [
    Identity(),
    Holes(boxes=[[0.25, 0.25, 0.75, 0.75]]),
    Downsample(4),
    Gray(),
    Gray([1.0, -1.0, 0.0]),
    gaussian_blur(1.0, "circular"),
    FastSensing(ratio=0.2, shape=[3, 16, 16]),
    Gray() @ Downsample(2),
    Downsample(2) @ Gray(),
    Holes(strokes="thin") @ gaussian_blur(0.6) @ Gray(),
    Downsample(2) @ Holes(half="left"),
]


SHAPE = (3, 16, 16)


def pictures(seed: int) -> torch.Tensor:
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("operator", OPERATORS, ids=str)
def test_the_result_explains_the_measurement(operator: Operator) -> None:
    assert isinstance(operator, LinearOperator)
    operator = operator.double()
    y = operator.A(pictures(0))
    kept = operator.A(put_back(pictures(1), y, operator))
    assert float((kept - y).norm() / y.norm()) < 1e-9


@pytest.mark.parametrize("operator", OPERATORS, ids=str)
def test_what_explains_it_already_stays(operator: Operator) -> None:
    assert isinstance(operator, LinearOperator)
    operator = operator.double()
    x = pictures(0)
    torch.testing.assert_close(put_back(x, operator.A(x), operator), x, atol=1e-9, rtol=0)


NEAREST: list[Operator] = [
    Holes(strokes="thin") @ gaussian_blur(0.7),
    gaussian_blur(0.7) @ Holes(strokes="thin"),
    Holes(half="left") @ Downsample(2) @ gaussian_blur(0.5),
    Downsample(2, "area") @ motion_blur(5),
    FastSensing(ratio=0.3, shape=[3, 16, 16]) @ gaussian_blur(0.7),
    FastSensing(ratio=0.3, shape=[3, 8, 8]) @ Downsample(2),
    gaussian_blur(0.7, "zero") @ Downsample(2, "area") @ Holes(boxes=[[0.25, 0.25, 0.75, 0.75]]) @ gaussian_blur(0.5, "circular"),
    Gray() @ Holes(strokes="thin") @ gaussian_blur(0.7),
    Holes(strokes="thin") @ gaussian_blur(0.7) @ Gray(),
    Holes(half="top") @ Gray([0.5, 0.2, 0.1]) @ Downsample(2),
    Holes(strokes="thin") @ Gray([1.0, -1.0, 0.0]) @ gaussian_blur(0.5),
]


def allowed(operator: Operator) -> torch.Tensor:
    """The changes that are allowed, side by side: those of each number, or of all three colours of a pixel where only grey is measured."""
    grey = any(isinstance(part, Gray) and abs(sum(part.w)) > 0.1 for part in factors(operator))
    ways = torch.eye(math.prod(SHAPE) // (3 if grey else 1), dtype=torch.float64)
    return ways.repeat(3, 1) if grey else ways


@pytest.mark.parametrize("operator", NEAREST, ids=str)
def test_of_several_damages_the_result_is_the_nearest_picture(operator: Operator) -> None:
    """By the dense pseudo-inverse; with grey among them, of the pictures with the same chroma."""
    assert isinstance(operator, LinearOperator)
    operator, x = operator.double(), pictures(1)
    y, ways = operator.A(pictures(0)), allowed(operator)
    matrix = operator.A(ways.T.reshape(-1, *SHAPE)).flatten(1).T
    change = ways @ torch.linalg.pinv(matrix, rtol=1e-9) @ (y - operator.A(x)).flatten(1).T
    torch.testing.assert_close(put_back(x, y, operator), x + change.T.reshape(x.shape), atol=1e-6, rtol=0)


def test_scratches_on_a_soft_photo_leave_it_alone() -> None:
    """They were taken for black pixels of it, and made sharp: 7 dB where the nearest picture has 33."""
    truth, A = torch.nn.functional.interpolate(pictures(0).float(), (48, 48), mode="bicubic"), Holes(strokes="thin") @ gaussian_blur(1.0)
    assert isinstance(A, LinearOperator)
    guess = truth + 0.05 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(1))
    assert float((put_back(guess, A.A(truth), A) - truth).norm()) < float((guess - truth).norm())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_few_known_pixels_under_a_blur_do_not_lead_away(dtype: torch.dtype) -> None:
    """What rounding left was followed into directions that the blur hardly sees: to 1e9, in float64 to 1e119."""
    x, guess, chance = pictures(0)[:1].to(dtype), pictures(1)[:1].to(dtype), torch.Generator().manual_seed(0)
    known = (torch.rand(1, 1, 16, 16, generator=chance) < 0.05).to(dtype)
    A = gaussian_blur(1.5) @ Mask(known)
    assert isinstance(A, LinearOperator)
    A = A.to(dtype)
    result = put_back(guess, A.A(x), A)
    assert float(result.abs().max()) < 2
    torch.testing.assert_close(A.A(result), A.A(x), atol=1e-6, rtol=0)


def test_colours_keep_their_chroma() -> None:
    x, y = pictures(1), Gray().A(pictures(0))
    change = put_back(x, y, Gray()) - x
    torch.testing.assert_close(change[:, 0], change[:, 1])
    torch.testing.assert_close(change[:, 0], change[:, 2])


@pytest.mark.parametrize("operator", OPERATORS, ids=str)
@pytest.mark.parametrize("damping", [0.01, 1.0])
def test_a_damped_change_is_tikhonovs(operator: Operator, damping: float) -> None:
    operator, x = operator.double(), pictures(1)
    assert isinstance(operator, LinearOperator)
    y = operator.A(pictures(0)) + 0.1 * torch.rand(2, *operator.out_shape(SHAPE), generator=torch.Generator().manual_seed(2))
    change = put_back(x, y, operator, damping=damping) - x
    ways = allowed(operator)
    matrix = operator.A(ways.T.reshape(-1, *SHAPE)).flatten(1).T
    normal = matrix.T @ matrix + damping * torch.eye(ways.shape[1], dtype=torch.float64)
    left = torch.where(operator.support(torch.ones_like(x)) > 0, y - operator.A(x), 0)
    expected = (ways @ torch.linalg.solve(normal, matrix.T @ left.flatten(1).T)).T.reshape(x.shape)
    torch.testing.assert_close(change, expected, atol=1e-9, rtol=0)
    alone = put_back(x[:1], y[:1], operator, damping=damping) - x[:1]
    torch.testing.assert_close(alone, change[:1], atol=1e-9, rtol=0)


@pytest.mark.parametrize("inner", [Identity(), Downsample(2), gaussian_blur(0.5), Holes(strokes="thin")], ids=str)
def test_the_least_damping_does_not_tint_either(inner: LinearOperator) -> None:
    operator, x, y = (Gray() @ inner).double(), pictures(1), pictures(0)
    exact, damped = (put_back(x, operator.A(y), operator, damping=damping) for damping in (0.0, 1e-9))
    torch.testing.assert_close(damped, exact, atol=1e-6, rtol=0)


@pytest.mark.parametrize("operator", [*OPERATORS, gaussian_blur(0.6)], ids=str)
@pytest.mark.parametrize("damping", [0.0, 0.1])
@pytest.mark.parametrize("explained", [False, True])
def test_its_gradient_is_that_of_the_result(operator: Operator, damping: float, explained: bool) -> None:
    """It is linear in the picture and in the measurement, so a difference is exact; and a row's gradient is its own."""
    operator, x, along, v = operator.double(), pictures(1), pictures(2) - 0.5, pictures(3)
    assert isinstance(operator, LinearOperator)
    y = operator.A(x if explained else pictures(0))
    steps = along, (operator.A(pictures(4)) - y).detach()

    def result(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return (put_back(x, y, operator, damping=damping) * v[: len(x)]).flatten(1).sum(1)

    x, y = x.requires_grad_(), y.detach().clone().requires_grad_()
    made = result(x, y)
    to_x, to_y = torch.autograd.grad(made.sum(), (x, y))
    with torch.no_grad():
        change = result(x + steps[0], y) - made, result(x, y + steps[1]) - made
    torch.testing.assert_close((to_x * steps[0]).flatten(1).sum(1), change[0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close((to_y * steps[1]).flatten(1).sum(1), change[1], atol=1e-4, rtol=1e-4)
    alone = torch.autograd.grad(result(x[:1], y[:1]).sum(), (x, y))
    torch.testing.assert_close(alone[0][:1], to_x[:1], atol=1e-8, rtol=1e-8)
    torch.testing.assert_close(alone[1][:1], to_y[:1], atol=1e-8, rtol=1e-8)


def test_damping_keeps_noise_out() -> None:
    """The statistics' optimum: errors of the picture of 0.1 and of the measurement of 0.02."""
    rng, operator = torch.Generator().manual_seed(0), gaussian_blur(2.0)
    x = torch.rand(1, 3, 32, 32, generator=rng)
    y = operator.A(x) + 0.02 * torch.randn(1, 3, 32, 32, generator=rng)
    guess = x + 0.1 * torch.randn(1, 3, 32, 32, generator=rng)
    errors = {damping: float((put_back(guess, y, operator, damping=damping) - x).square().mean()) for damping in (0.004, 0.04, 0.4, 1e9)}
    assert min(errors, key=lambda damping: errors[damping]) == 0.04
    assert errors[0.04] < 0.95 * errors[1e9]


@pytest.mark.parametrize("A", [Holes(half="left"), compose([Downsample(2), Holes(half="left")])], ids=str)
@pytest.mark.parametrize("dirt", [7.0, math.nan])
def test_what_lies_in_a_hole_of_the_measurement_is_ignored(A: LinearOperator, dirt: float) -> None:
    y = A.A(pictures(0))
    dirty = torch.where(A.support(torch.ones_like(pictures(0))) > 0, y, dirt)
    torch.testing.assert_close(put_back(pictures(1), dirty, A), put_back(pictures(1), y, A))


@pytest.mark.parametrize(
    ("y", "operator", "message"),
    [
        (pictures(0), JPEG(50), "^put_back needs a linear operator of priorsolve's, got JPEG.*; others have no A†"),
        (pictures(0), lambda x: x, "^put_back needs a linear operator"),
        (pictures(0)[:, :1], Identity(), r"^Identity\(\): makes measurements of shape \(3, 16, 16\) .*, got \(1, 16, 16\)$"),
        (pictures(0)[0], Identity(), r"got \(16, 16\); for a single measurement give y\[None\]"),
        (pictures(0)[[0, 1, 1]], Identity(), "^got 3 measurements for 2 images; give one each, or one for all$"),
        ((pictures(0) * 255).to(torch.uint8), Identity(), "divide 8-bit values by 255$"),
        (pictures(0).numpy(), Identity(), "got a ndarray; give torch.from_numpy"),
    ],
)
def test_what_cannot_be_put_back_is_told(y: Any, operator: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        put_back(pictures(1), y, operator)


@pytest.mark.parametrize(
    ("damping", "message"),
    [
        (-1, "^damping is -1; it must be at least 0$"),
        (math.inf, "^damping is inf; it must be a finite number$"),
        (math.nan, "^damping is nan; it must be a finite number$"),
        ("0.1", "^damping is '0.1'; it must be a number$"),
        (True, "^damping is True; it must be a number$"),
    ],
)
def test_a_damping_that_is_none_is_told(damping: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        put_back(pictures(1), pictures(0), Identity(), damping=damping)


def test_measurements_come_to_the_pictures_type_and_one_may_serve_all() -> None:
    x, y, A = pictures(1).float(), pictures(0)[:1], Downsample(4)
    found = put_back(x, A.A(y), A)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, torch.cat([put_back(row[None], A.A(y).float(), A) for row in x]))


def test_a_composition_of_linear_operators_is_linear_for_the_type_checker_too() -> None:
    A: LinearOperator = Gray() @ Downsample(2)
    B: LinearOperator = compose([Downsample(2), Gray()])
    C: Operator = A @ JPEG(50)
    assert isinstance(B, LinearOperator)
    assert not isinstance(C, LinearOperator)
    x, y = pictures(0), A.A(pictures(1))
    assert put_back(x, y, Gray() @ Downsample(2)).shape == x.shape


@pytest.mark.parametrize("damping", [0.001, 0.05])
def test_coarse_convolutions_do_not_lead_damped_answers_away(damping: float) -> None:
    """A GPU's TF32 made 1e11 or NaN of them: steps on were taken from the answer, along what rounding had left."""
    operator = Holes(boxes=[[0.3, 0.4, 0.35, 0.9]]) @ gaussian_blur(0.7) @ Gray()
    x, y = pictures(1).float(), operator.A(pictures(0).float())
    exact = put_back(x, y, operator, damping=damping)
    with Coarse():  # type: ignore[no-untyped-call]
        rounded = put_back(x, y, operator, damping=damping)
    torch.testing.assert_close(rounded, exact, atol=5e-3, rtol=0)


class Coarse(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """What enters a convolution is rounded to 10 bits of mantissa, as TF32 does."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.convolution.default:
            args = (*(self.rounded(each) for each in args[:2]), *args[2:])
        return func(*args, **(kwargs or {}))

    @staticmethod
    def rounded(x: torch.Tensor) -> torch.Tensor:
        return ((x.contiguous().view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


@pytest.mark.parametrize("operator", [*OPERATORS, gaussian_blur(0.6)], ids=str)
@pytest.mark.parametrize("damping", [0.0, 0.1])
def test_a_callers_autocast_rounds_nothing(operator: LinearOperator, damping: float) -> None:
    x, y = pictures(1).float(), operator.A(pictures(0).float())
    with torch.autocast("cpu", torch.bfloat16):
        found = put_back(x, y, operator, damping=damping)
    assert torch.equal(found, put_back(x, y, operator, damping=damping))


PICTURES = [Downsample(4), Gray(), Gray() @ Downsample(2), FastSensing(ratio=0.2, shape=[3, 16, 16]), Downsample(2) @ Holes(half="left")]


@pytest.mark.parametrize("operator", PICTURES, ids=str)
def test_what_is_written_of_a_dark_picture_explains_the_measurement(operator: LinearOperator) -> None:
    """Where the nearest picture that explains it leaves [0, 1], clamping changed it by many levels; and a batch changes nothing."""
    dark, x = (pictures(0) - 0.4).clamp(0), pictures(1)
    operator = operator.double()
    y = operator.A(dark)
    assert (operator.A(put_back(x, y, operator).clamp(0, 1)) - y).abs().max() > 4 * EXACT
    made = put_back_within(x, y, operator)
    assert (operator.A(made.clamp(0, 1)) - y).abs().max() <= EXACT
    assert torch.equal(put_back_within(x[1:], y[1:], operator), made[1:])


@pytest.mark.parametrize("operator", PICTURES, ids=str)
def test_a_picture_that_stays_in_the_range_is_the_nearest_one(operator: LinearOperator) -> None:
    x = pictures(1) * 0.1 + 0.45
    y = operator.double().A(pictures(0) * 0.1 + 0.45)
    assert torch.equal(put_back_within(x, y, operator), put_back(x, y, operator))


def test_a_small_picture_that_none_in_the_range_gives_is_put_back_as_far_as_that_goes() -> None:
    operator = Downsample(4)
    y = (torch.arange(4)[:, None] + torch.arange(4)).remainder(2).expand(1, 3, 4, 4).to(torch.float64)  # no blurred board is so sharp
    x = pictures(1)[:1]
    assert torch.equal(put_back_within(x, y, operator), put_back(x, y, operator))
