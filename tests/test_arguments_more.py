"""More of what callers get wrong: paths, pictures, codes and operators that are none, each told in a line."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from solvers_support import linear, pictures, random_mask
from torch import Tensor

import priorsolve as ps
from priorsolve.operators.base import Identity
from priorsolve.operators.jpeg import JPEG
from priorsolve.operators.laws import dot_test, linearity
from priorsolve.report import write_report
from priorsolve.solvers import Langevin, Latent, Staged, Tuned, save_delta, solve_fitting, start_at
from priorsolve.solvers.layerwise import Layerwise

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
        (lambda: linearity(JPEG(50), (3, 16, 16)), r"^linearity: JPEG\(.*\) is not linear"),  # type: ignore[arg-type]
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


@pytest.mark.parametrize(
    ("operator", "message"),
    [
        (linear(), r"got the prior LinearPrior\(3×8×8\); that goes into the solver, and what was measured of its pictures here$"),
        (SimpleNamespace(A=torch.ones(8, 8)), "got one whose A is a Tensor; give a function, such as lambda x: x \\* mask$"),
    ],
)
def test_an_operator_that_is_none_is_told(operator: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^expected an operator with a method A, or a function of images, {message}"):
        Latent(linear(), steps=2)(pictures(2), operator)


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


@pytest.mark.parametrize("solver", [Latent(linear(), steps=2), Staged([Latent(linear(), steps=2)]), Layerwise(linear())])
def test_who_is_told_of_steps_is_a_function(solver: Any) -> None:
    with pytest.raises(ValueError, match=r"^on_step is 3; give a function of a Step, or None$"):
        solver(pictures(1), Identity(), on_step=3)


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_beyond_64_bits_is_told_at_once(seed: int) -> None:
    for solver in (Latent, Layerwise):
        with pytest.raises(ValueError, match=f"^a seed is {seed}; it must be at least 0 and below 2"):
            solver(linear(), seed=seed)


@pytest.mark.parametrize("space", ["q", [], [1]])
def test_a_space_that_is_none_is_told(space: Any) -> None:
    with pytest.raises(ValueError, match=r"^space .* is not one of the prior's: z; "):
        Latent(linear(), space=space)


def test_a_number_beyond_all_floats_is_told() -> None:
    with pytest.raises(ValueError, match=r"^lr is beyond all floats; it must be a finite number$"):
        Latent(linear(), lr=10**400)


@pytest.mark.parametrize("solve", [Latent(linear(), steps=1), partial(solve_fitting, Latent(linear(), steps=1))], ids=["solver", "fitting"])
def test_a_start_has_a_code_for_each_measurement(solve: Callable[..., Any]) -> None:
    start = Latent(linear(), steps=1)(pictures(2), Identity())
    for code in (start.codes["z"][:1], start.codes["z"].repeat(2, 1), torch.tensor(1.0)):
        with pytest.raises(ValueError, match=r"^the start's codes 'z' are of shape \(.*\), got 2 measurements; give a code for each$"):
            solve(pictures(2), Identity(), start=replace(start, codes={"z": code}))


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


@pytest.mark.parametrize("restarts", [1, 3])
def test_a_function_may_change_the_pictures_it_is_given(restarts: int) -> None:
    def halved(x: Tensor) -> Tensor:
        return x.mul_(0.5)

    solver, y = Latent(linear(), steps=5, restarts=restarts), pictures(2) / 2
    found, expected = solver(y, halved), solver(y, lambda x: 0.5 * x)
    assert torch.equal(found.images, expected.images)
    assert torch.equal(found.misfit, expected.misfit)


def test_masks_by_themselves_are_solved_as_ever() -> None:
    solver, y, mask = Latent(linear(), steps=5), pictures(2), random_mask(2, 1, 8, 8)
    both = solver(mask.A(y), mask)
    for i in range(2):
        own = mask.select(torch.tensor([i]))
        alone = solver(own.A(y[i : i + 1]), own)
        torch.testing.assert_close(both.images[i : i + 1], alone.images)
        torch.testing.assert_close(both.residual[i : i + 1], alone.residual)
    crossed = solver(mask.A(y), mask.select(torch.tensor([1, 0])))
    assert (crossed.images - both.images).abs().amax((1, 2, 3)).min() > 1e-3


class Holder:
    """An operator that keeps its network, and measures with it."""

    def __init__(self, network: torch.nn.Module) -> None:
        self.A = network


@pytest.mark.parametrize("layer", [torch.nn.BatchNorm2d(3), torch.nn.Dropout(0.5)])
@pytest.mark.parametrize("given", [lambda net: net, Holder, lambda net: net.forward, lambda net: Holder(net.forward)])
def test_a_network_in_training_is_no_operator(layer: torch.nn.Module, given: Callable[[torch.nn.Module], Any]) -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 1), layer).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(ValueError, match=r"^the operator, .*, is in training mode, where .* neighbours or on chance; call its eval\(\)$"):
        Latent(linear(torch.float32), steps=2)(pictures(2, torch.float32), given(network))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    Latent(linear(torch.float32), steps=2)(pictures(2, torch.float32), given(network.eval()))


ours: Any = ps.operators  # what follows gives its classes what their types do not allow


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ours.Downsample("2"), "^Downsample: factor must be a whole number of at least 1, got '2'$"),
        (lambda: ours.PillowResize("2"), "^PillowResize: factor must be a whole number of at least 1, got '2'$"),
        (lambda: ours.JPEG("a"), "^JPEG: quality must be from 1 to 100, got 'a'$"),
        (lambda: ours.PillowJPEG("a"), "^PillowJPEG: quality must be a whole number from 1 to 100, got 'a'$"),
        (lambda: ours.Quantize("a"), "^Quantize: levels must be a whole number of 2 or more, got 'a'$"),
        (lambda: ours.Clip("a", 1), "^Clip: low must be below high, got low='a' and high=1$"),
        (lambda: ours.Gray(["a", 1, 2]), r"^Gray: weights are three finite numbers .*, got \['a', 1, 2\]$"),
        (lambda: ours.Gray(3), "^Gray: weights are three finite numbers .*, got 3$"),
        (lambda: ours.gaussian_blur("a"), "^gaussian_kernel: sigma must be above 0 pixels, got 'a'$"),
        (lambda: ours.disk_blur(None), "^disk_kernel: radius must be above 0 pixels, got None$"),
        (lambda: ours.motion_blur(3, "a"), "^motion_kernel: angle must be a number of degrees, got 'a'$"),
        (lambda: ours.gaussian_blur(1, []), r"^Blur: padding must be one of .*, got \[\]$"),
        (lambda: ours.file_blur(3), "^file_blur: file is 3; give the path"),
        (lambda: ours.Blur([[1.0]]), r"^Blur: expected a kernel as a real tensor \(h, w\), got a list; torch.as_tensor\(...\) makes one$"),
        (lambda: ours.Blur(torch.ones(3, 3) * 1j), r"^Blur: expected a kernel as a real tensor \(h, w\), got complex numbers"),
        (lambda: ours.GaussianSensing(m=3.5), "^GaussianSensing: m must be a whole number of 1 or more, got 3.5$"),
        (lambda: ours.GaussianSensing(m=True), "^GaussianSensing: m must be a whole number of 1 or more, got True$"),
        (lambda: ours.GaussianSensing(m="3"), "^GaussianSensing: m must be a whole number of 1 or more, got '3'$"),
        (lambda: ours.GaussianSensing(m=3, limit_gb="a"), "^GaussianSensing: limit_gb is 'a'; it must be a number$"),
        (lambda: ours.FastSensing(ratio="a"), "^FastSensing: ratio must be above 0, got 'a'$"),
        (lambda: ours.FastSensing(m=3, seed="a"), "^FastSensing: seed must be a whole number of 64 bits, got 'a'$"),
        (lambda: ours.FastSensing(m=3, seed=2**64), "^FastSensing: seed must be a whole number of 64 bits, got 1844"),
        (lambda: ours.FastSensing(m=3, transform=[]), r"^FastSensing: transform must be one of hadamard, dct, fft, got \[\]$"),
        (lambda: ours.FastSensing(m=3, shape=[3, 8, 8.5]), r"^FastSensing: shape must be \[C, H, W\], .*, got \[3, 8, 8.5\]$"),
        (lambda: ours.FastSensing(m=3, shape=8), r"^FastSensing: shape must be \[C, H, W\], .*, got 8$"),
    ],
)
def test_what_is_no_number_of_an_operator_is_told(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_fast_sensing_has_transforms_in_some_types(dtype: torch.dtype) -> None:
    x = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert ours.FastSensing(m=9, shape=[1, 8, 8]).A(x.to(dtype)).dtype == dtype
    for operator, rows in (
        (ours.FastSensing(m=9, shape=[1, 8, 8], transform="dct"), x),
        (ours.FastSensing(m=9, shape=[1, 8, 7]), x[..., :7]),
    ):
        for call, given in ((operator.A, rows), (operator.A_adjoint, x.new_ones(2, 9))):
            with pytest.raises(ValueError, match=rf"\): computes in float32 and float64, got {dtype}; give it .float\(\)$"):
                call(given.to(dtype))


class Once(torch.autograd.Function):
    """Twice its input, with a gradient that has none."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return 2 * gradients[0]


def test_langevin_tells_of_an_operator_without_second_derivatives() -> None:
    twice: Callable[[Tensor], Tensor] = Once.apply
    with pytest.raises(ValueError, match=r"^langevin: finds its step by gradients of gradients, and the operator .* has none"):
        Langevin(linear(), noise=0.1, steps=2)(pictures(2), twice)
    assert len(Latent(linear(), steps=2)(pictures(2), twice)) == 2


def test_a_noise_that_is_none_is_told() -> None:
    number: Any = 0.1
    with pytest.raises(ValueError, match=r"^solve_several needs a noise of priorsolve.noise, such as Gaussian\(0.02\), got 0.1$"):
        ps.solve_several(Latent(linear(), steps=2), pictures(2), Identity(), 2, noise=number)
