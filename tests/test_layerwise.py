"""Layer by layer back to the code: exact where the prior can draw the measurement, within the noise elsewhere, and what it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from solvers_support import least_squares, linear, pictures, random_mask
from states_support import matrices, mlp_state
from style_support import style2_state
from torch import Tensor, nn

import priorsolve as ps
from priorsolve.operators.base import Identity, LinearOperator, Operator
from priorsolve.operators.blur import gaussian_blur
from priorsolve.operators.gray import Gray
from priorsolve.operators.mask import Mask
from priorsolve.photos.writing import write_image
from priorsolve.priors import DCGAN, Prior
from priorsolve.priors.decoders import Decoder, Hidden, Output
from priorsolve.priors.feedforward import FeedForward
from priorsolve.priors.layers import PixelNorm
from priorsolve.priors.layers import linear as matrix
from priorsolve.priors.stylegan2 import StyleGAN2
from priorsolve.recipe.components import RecipeError
from priorsolve.recipe.recipe import Recipe
from priorsolve.sampling import solve_several
from priorsolve.solvers import Latent, Staged, Step, Stop
from priorsolve.solvers.layerwise import Layerwise
from priorsolve.solvers.one_layer import Norm
from priorsolve.types import Images, Shape

NORMS: tuple[Norm, ...] = ("linf", "l1")


def mlp(*widths: int, hidden: Hidden = "relu", output: Output = "sigmoid") -> Prior:
    return Decoder.from_state(mlp_state(widths, bias=0.1), hidden=hidden, output=output).double()


class Plain(FeedForward):
    """Matrices with one activation behind each, the last one included."""

    def __init__(self, widths: Sequence[int], activation: nn.Module, image_shape: Shape) -> None:
        layers = [matrix(state, bias) for state, bias in zip(*[iter(mlp_state(widths, bias=0.1).values())] * 2, strict=True)]
        blocks: list[nn.Module] = [nn.Sequential(layer, activation) for layer in layers]
        spaces = {"z": (widths[0],)} | {f"features@{k}": (widths[k],) for k in range(1, len(layers))}
        super().__init__([*blocks[:-1], nn.Sequential(blocks[-1], nn.Unflatten(1, image_shape))], spaces, image_shape)


def dcgan(*widths: int) -> Prior:
    rng = torch.Generator().manual_seed(1)
    state = {}
    for k, (inputs, outputs) in enumerate(pairwise(widths)):
        state[f"main.{3 * k}.weight"] = torch.randn(inputs, outputs, 4, 4, generator=rng) / (4 * inputs) ** 0.5
        for name in ("weight", "bias", "running_mean"):
            state[f"main.{3 * k + 1}.{name}"] = torch.randn(outputs, generator=rng) * 0.3 + (name == "weight")
        state[f"main.{3 * k + 1}.running_var"] = torch.rand(outputs, generator=rng) + 0.5
    last = 3 * (len(widths) - 2) + 1
    return DCGAN.from_state({key: value for key, value in state.items() if not key.startswith(f"main.{last}.")}).double()


def drawn(prior: Prior, count: int = 2) -> tuple[Tensor, Images]:
    z = prior.sample(count, torch.Generator().manual_seed(3))
    return z, prior.decode(z)


def error(prior: Prior, z: Tensor, found: Tensor) -> float:
    assert found.shape == z.shape
    return float((found - z).abs().max())


# -- exact -----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("widths", [(4, 64), (6, 24, 100), (6, 24, 96, 256)])
def test_random_relu_networks_are_inverted_exactly(widths: tuple[int, ...], norm: Norm) -> None:
    prior = Plain(widths, nn.ReLU(), (1, *[round(widths[-1] ** 0.5)] * 2)).double()
    z, y = drawn(prior)
    solution = Layerwise(prior, norm=norm)(y, Identity())
    assert error(prior, z, solution.codes["z"]) < 1e-8
    assert solution.stopped == (Stop.exact, Stop.exact)
    torch.testing.assert_close(solution.images, y)
    torch.testing.assert_close(solution.residual, solution.misfit.sqrt())
    assert solution.steps.tolist() == [len(widths) - 1] * 2


@pytest.mark.parametrize("output", ["sigmoid", "tanh"])
@pytest.mark.parametrize("hidden", ["relu", "tanh", "softplus"])
def test_decoders_are_inverted_exactly(hidden: Hidden, output: Output) -> None:
    prior = mlp(6, 24, 100, hidden=hidden, output=output)
    z, y = drawn(prior)
    solution = Layerwise(prior)(y, Identity())
    assert error(prior, z, solution.codes["z"]) < 1e-5
    assert solution.stopped == (Stop.exact, Stop.exact)


def test_leaky_relus_need_no_more_numbers_than_they_get() -> None:
    prior = Plain((64, 64, 64), nn.LeakyReLU(0.2), (1, 8, 8)).double()
    z, y = drawn(prior)
    for norm in NORMS:
        assert error(prior, z, Layerwise(prior, norm=norm)(y, Identity()).codes["z"]) < 1e-5
    with pytest.raises(ValueError, match=r"block 0 .* has a LeakyReLU"):
        Layerwise(Plain((4, 64), nn.LeakyReLU(-0.2), (1, 8, 8)))


@pytest.mark.parametrize("norm", NORMS)
def test_transposed_convolutions_and_their_normalisation(norm: Norm) -> None:
    prior = dcgan(4, 3, 4, 3)
    z, y = drawn(prior)
    solution = Layerwise(prior, norm=norm)(y, Identity())
    assert prior.image_shape == (3, 16, 16)
    assert error(prior, z, solution.codes["z"]) < 1e-5
    assert solution.stopped == (Stop.exact, Stop.exact)
    assert solution.steps.tolist() == [3, 3]


def test_float32_is_exact_to_its_rounding() -> None:
    prior = mlp(6, 24, 100).float()
    z, y = drawn(prior)
    solution = Layerwise(prior)(y.double(), Identity())
    assert solution.images.dtype == solution.codes["z"].dtype == torch.float32
    assert error(prior, z, solution.codes["z"]) < 1e-4
    assert solution.stopped == (Stop.exact, Stop.exact)


@pytest.mark.parametrize(
    "operator", [Identity(), random_mask(8, 8), random_mask(2, 1, 8, 8), Identity() @ random_mask(8, 8) @ random_mask(8, 8, seed=1)]
)
def test_a_linear_prior_is_least_squares(operator: Operator) -> None:
    y = operator.A(pictures(2))
    solution = Layerwise(linear())(y, operator)
    assert float((solution.codes["z"] - least_squares(linear(), operator, y)).abs().max()) < 1e-8
    assert solution.stopped == (Stop.budget, Stop.budget)
    assert float(solution.misfit.min()) > 1e-6, "the case is too easy to tell an optimum from a perfect fit"


# -- holes, noise, outliers ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "operator", [random_mask(10, 10), random_mask(2, 1, 10, 10), Mask(torch.linspace(-0.5, 1, 100).clamp_min(0).view(10, 10))]
)
def test_enough_pixels_are_enough(operator: Mask) -> None:
    prior = mlp(6, 24, 100)
    z, images = drawn(prior)
    y = torch.where(operator.known > 0, operator.A(images), torch.nan)
    solution = Layerwise(prior)(y, operator)
    assert error(prior, z, solution.codes["z"]) < 1e-5
    torch.testing.assert_close(solution.images, images)


@pytest.mark.parametrize("noise", [1e-3, 1e-2])
def test_bounded_noise_leaves_a_bounded_residual(noise: float) -> None:
    """With ±ε everywhere the true code has slack ε, and the tolerance that is doubled stops below 2ε: no pixel is further off."""
    prior = Plain((6, 100), nn.ReLU(), (1, 10, 10)).double()
    z, clean = drawn(prior)
    y = clean + noise * (2 * torch.rand(clean.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64) - 1)
    solution = Layerwise(prior, noise=noise)(y, Identity())
    assert float((solution.images - y).abs().max()) <= 2 * noise
    assert error(prior, z, solution.codes["z"]) < 10 * noise
    assert solution.stopped == (Stop.noise, Stop.noise)
    assert Layerwise(prior, noise=noise).noisier(2) == Layerwise(prior, noise=2 * noise)


def test_noise_through_three_layers_and_a_search_after_it() -> None:
    prior = mlp(6, 24, 96, 256)
    _, clean = drawn(prior)
    y = clean + 0.01 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    first, second = Layerwise(prior), Latent(prior, steps=60, lr=0.02)
    alone: ps.solvers.Solution = first(y, Identity())
    assert float(alone.residual.max()) < 0.015
    assert alone.stopped == (Stop.budget, Stop.budget)
    staged = Staged([first, second])(y, Identity())
    assert bool((staged.misfit < alone.misfit).all())
    assert staged.steps.tolist() == [63, 63]
    assert Staged([first, second]).varied() == Staged([first, second])
    with pytest.raises(ValueError, match=r"^layerwise: begins at the measurement, not at another solution; make it the first stage$"):
        Staged([second, first])
    exact = Staged([first])
    torch.testing.assert_close(exact(y, Identity()).misfit, exact.loss(alone.images, y, torch.ones_like(y)))
    with pytest.raises(ValueError, match=r"^solve_several: the solver draws nothing and there is no noise.*give noise=, or k=1$"):
        solve_several(exact, y, Identity(), 2, noise=None, where=torch.ones_like(y), seeds=[0, 1], batch_size=2)


def test_l1_ignores_wrong_pixels_and_linf_does_not() -> None:
    prior = mlp(6, 24, 144)
    z, y = drawn(prior)
    wrong = torch.rand(y.shape, generator=torch.Generator().manual_seed(4)) < 0.1
    y = torch.where(wrong, 0.9, y)
    assert error(prior, z, Layerwise(prior, norm="l1")(y, Identity()).codes["z"]) < 1e-5
    assert error(prior, z, Layerwise(prior, norm="linf")(y, Identity()).codes["z"]) > 0.1


# -- like every solver -----------------------------------------------------------------------------------------------------------------


def test_a_batch_is_its_singles_and_nothing_given_is_changed() -> None:
    prior, operator = mlp(6, 24, 100), random_mask(3, 1, 10, 10)
    y = operator.A(drawn(prior, 3)[1] + 0.01 * torch.randn(3, 1, 10, 10, generator=torch.Generator().manual_seed(4)))
    before = y.clone()
    together = Layerwise(prior)(y, operator, seeds=[1, 2, 3])
    assert torch.equal(y, before)
    for i in range(3):
        single = Layerwise(prior)(y[i : i + 1], operator.select(torch.tensor([i])))
        for name in ("images", "misfit", "residual", "history"):
            torch.testing.assert_close(getattr(single, name), getattr(together[i], name), atol=1e-9, rtol=0)


def test_progress_is_a_layer_at_a_time() -> None:
    prior, seen, frames = mlp(6, 24, 96, 256), list[Step](), list[Images]()

    def tell(step: Step) -> None:
        seen.append(step)
        frames.append(step.images())

    solver = Layerwise(prior)
    solution = solver(drawn(prior)[1], Identity(), on_step=tell)
    torch.testing.assert_close(frames[-1], solution.images)
    assert [(step.index, step.steps) for step in seen] == [(1, 3), (2, 3), (3, 3)]
    assert [step.active.tolist() for step in seen] == [[True] * 2, [True] * 2, [False] * 2]
    assert solver.steps == 3
    assert solution.history.shape == (3, 2)
    assert torch.equal(solution.history[-1], solution.misfit)
    assert solver(torch.zeros(0, 1, 16, 16), Identity()).images.shape == (0, 1, 16, 16)


def test_it_works_where_gradients_are_off() -> None:
    prior = mlp(6, 24, 100)
    z, y = drawn(prior)
    with torch.inference_mode():
        found = Layerwise(prior)(y, Identity())
    assert error(prior, z, found.codes["z"]) < 1e-5


def test_a_callers_autocast_changes_nothing() -> None:
    prior = mlp(6, 24, 100).float()
    _, y = drawn(prior)
    with torch.autocast("cpu", torch.bfloat16):
        solution = Layerwise(prior)(y, Identity())
    assert solution.stopped == (Stop.exact, Stop.exact)
    assert torch.equal(solution.images, Layerwise(prior)(y, Identity()).images)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("operator", [Identity(), random_mask(10, 10)])
def test_an_image_that_is_not_finite_ends_by_itself(value: float, operator: LinearOperator) -> None:
    prior, seen = mlp(6, 24, 100), list[Step]()
    y = operator.A(drawn(prior, 3)[1])
    together = Layerwise(prior)(y, operator)
    y[1, 0, 0] = value
    solution = Layerwise(prior)(y, operator, on_step=seen.append)
    assert solution.stopped == (Stop.exact, Stop.diverged, Stop.exact)
    assert solution.steps.tolist() == [2, 0, 2]
    assert [step.active.tolist() for step in seen] == [[True, False, True], [False] * 3]
    assert solution.misfit[1] == torch.inf
    torch.testing.assert_close(solution.images[1:2], prior.decode(prior.centre("z")))
    assert torch.equal(solution.images[::2], together.images[::2])


@pytest.mark.parametrize("norm", NORMS)
def test_an_image_whose_program_fails_ends_by_itself(norm: Norm) -> None:
    """HiGHS takes 1e20 for infinite."""
    prior = Plain((6, 24, 100), nn.ReLU(), (1, 10, 10)).double()
    z, y = drawn(prior, 3)
    y[1, 0, :5] = 1e25
    solution = Layerwise(prior, norm=norm)(y, Identity())
    assert solution.stopped == (Stop.exact, Stop.diverged, Stop.exact)
    assert error(prior, z[::2], solution.codes["z"][::2]) < 1e-8
    assert bool(solution.images.isfinite().all())
    torch.testing.assert_close(solution.images, prior.decode(solution.codes["z"]))


def test_weights_that_were_loaded_since_are_those_that_are_inverted() -> None:
    prior, other = mlp(6, 24, 100), mlp(6, 24, 100)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.5)
    solver = Layerwise(prior)
    solver(drawn(prior)[1], Identity())
    prior.load_state_dict(other.state_dict())
    assert solver(drawn(prior)[1], Identity()).stopped == (Stop.exact, Stop.exact)
    for parameter in prior.parameters():
        parameter.data.mul_(0.5)  # which counts nowhere
    assert solver(drawn(prior)[1], Identity()).stopped == (Stop.exact, Stop.exact)


def test_it_is_named_in_recipes(tmp_path: Path) -> None:
    state = matrices(("fc3", 4, 16), ("fc4", 16, 64), bias=0.1)
    torch.save(state, tmp_path / "vae.pth")
    prior = ps.load_prior(tmp_path / "vae.pth")
    write_image(tmp_path / "in.png", prior.decode(prior.sample(1, torch.Generator().manual_seed(0)))[0])
    mask = {"mask": {"boxes": [[0, 0, 0.5, 0.5]]}}
    given = {"operator": mask, "prior": "vae.pth", "solver": {"layerwise": {"norm": "l1"}}, "metrics": ["psnr"]}
    recipe = Recipe.parse(given, folder=tmp_path)
    (record,) = ps.restore(recipe, [tmp_path / "in.png"], tmp_path / "out", ps.Options(degrade=True))
    assert record.status == "done", record.reason
    assert record.steps == 2
    assert record.metrics["psnr"] > 40, "8-bit pixels are the only noise there is"
    twice = Recipe.parse({**given, "samples": 2}, folder=tmp_path)
    (record,) = ps.restore(twice, [tmp_path / "in.png"], tmp_path / "twice", ps.Options(degrade=True))
    assert record.reason.startswith("samples: the solver draws nothing and the recipe has no noise, so that all solutions are one;")
    with pytest.raises(RecipeError, match=r"solver\[0\]\.layerwise\.norm"):
        Recipe.parse({**given, "solver": {"layerwise": {"norm": "l2"}}}, folder=tmp_path)


# -- refusals --------------------------------------------------------------------------------------------------------------------------


class Residual(nn.Module):
    """Like BigGAN's and StyleGAN3's blocks: not one path."""

    def forward(self, x: Tensor) -> Tensor:
        return x + x.relu()


class Aside(FeedForward):
    """Draws something else than what its blocks make."""

    def _picture(self, output: Tensor) -> Images:
        return output.square()


def chain(*blocks: nn.Module, kind: type[FeedForward] = FeedForward, shape: Shape = (1, 8, 8)) -> Prior:
    torch.manual_seed(0)
    return kind([nn.Sequential(matrix(torch.eye(64)[:, :16])), *blocks, nn.Unflatten(1, shape)], {"z": (16,)}, shape)


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        (lambda: StyleGAN2.from_state(style2_state()), r"block 0 of StyleGAN2\(3×16×16\) has a MappingNetwork.* use the solver latent"),
        (lambda: chain(Residual()), "block 1 of .* has a Residual"),
        (lambda: chain(PixelNorm()), "block 1 of .* has a PixelNorm"),
        (lambda: chain(nn.Softplus(beta=2)), "block 1 of .* has a Softplus"),
        (lambda: chain(nn.Tanh(), kind=Aside), "does not draw what its blocks make"),
        (lambda: dcgan(4, 6, 40, 3), r"block 2 of DCGAN\(3×16×16\) makes 768 numbers of 2560, which leaves many inputs possible"),
    ],
)
def test_priors_that_are_no_such_chain_are_refused_at_once(prior: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Layerwise(prior(), largest=1)  # what no size would mend is told before what is too large


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"norm": "l2"}, "norm is 'l2'; it must be one of linf, l1"),
        ({"noise": 0.0}, "noise is 0.0; it must be above 0"),
        ({"largest": 2000}, "block 1 .* makes 100 numbers of 24, a program with more than 2000 coefficients; raise largest"),
    ],
)
def test_wrong_settings_are_refused_at_once(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Layerwise(mlp(6, 24, 100), **wrong)


@pytest.mark.parametrize(
    ("operator", "message"),
    [
        (gaussian_blur(0.8), r"cannot look through .*[bB]lur.*only the identity and masks"),
        (Gray() @ random_mask(10, 10), "cannot look through Gray"),
        (lambda x: x, "nothing is known of it"),
        (Mask(torch.eye(10)), "only 10 numbers of a picture were measured, for 24 unknowns"),
    ],
)
def test_operators_that_mix_pixels_are_refused(operator: Any, message: str) -> None:
    prior = mlp(6, 24, 100)
    with pytest.raises(ValueError, match=message):
        Layerwise(prior)(torch.full((1, 1, 10, 10), 0.5), operator)


def test_wrong_arguments_are_one_clear_error() -> None:
    prior = mlp(6, 24, 100)
    _, y = drawn(prior)
    solver = Layerwise(prior)
    with pytest.raises(ValueError, match="make it the first stage"):
        solver(y, Identity(), start=solver(y, Identity()))
    with pytest.raises(ValueError, match="1 seeds for 2"):
        solver(y, Identity(), seeds=[1])
    with pytest.raises(ValueError, match=r"\(1, 10, 10\)"):
        solver(y[..., :5], Identity())
    assert replace(solver, norm="l1").norm == "l1"


def test_what_is_solved_in_inference_mode_are_ordinary_tensors() -> None:
    prior = mlp(4, 12, 48)
    y = prior.decode(prior.sample(1, torch.Generator().manual_seed(0)))
    with torch.inference_mode():
        solution = Layerwise(prior)(y, Identity())
    assert not solution.images.is_inference()
    solution.codes["z"].add_(1)
