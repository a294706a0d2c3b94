"""Losses against their formulas, image by image, and as recipes write them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import torch
from solvers_support import linear, pictures, random_mask
from torch import Tensor
from torch.nn import functional

from priorsolve.losses import L1, L2, DeadZone, Huber, LaplacianPyramid, Loss, Mixture, MultiResolution, huber, l1, l2, prepared
from priorsolve.losses.base import Distance
from priorsolve.operators.base import Identity
from priorsolve.priors.linear import LinearPrior
from priorsolve.recipe.build import build_solver
from priorsolve.recipe.components import RecipeError, build_loss, check_loss
from priorsolve.recipe.recipe import Recipe
from priorsolve.recipe.schema import recipe_schema
from priorsolve.recipe.yamlfile import parse
from priorsolve.solvers.latent import Latent
from priorsolve.solvers.mirrored import Mirrored
from priorsolve.solvers.target import Target

PIXEL: dict[str, Loss] = {"l2": L2(), "l1": L1(), "huber": Huber(0.05), "dead_zone": DeadZone(0.02)}
PICTURE: dict[str, Loss] = {
    "multi_resolution": MultiResolution(l2, levels=3),
    "coarsest": MultiResolution(l1, levels=3, coarsest=True),
    "laplacian_pyramid": LaplacianPyramid(2),
    "mixture": Mixture([(l1, 0.3), (LaplacianPyramid(1), 2.0)]),
}
EVERY = PIXEL | PICTURE
GOOD = {"operator": "gray", "prior": "digiface64", "solver": "latent"}


def triple(shape: tuple[int, ...] = (3, 2, 12, 9)) -> tuple[Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    estimate, measured = torch.rand(2, *shape, generator=rng, dtype=torch.float64).unbind(0)
    return estimate, measured, (torch.rand(shape, generator=rng) < 0.7).double()


@pytest.mark.parametrize(
    ("loss", "residual", "expected"),
    [(l2, 0.3, 0.09), (l1, -0.3, 0.3), (Huber(1.0), 0.3, 0.045), (Huber(0.1), 0.3, 0.1 * 0.25), (huber, 0.3, 0.025),
     (DeadZone(0.1), -0.3, 0.2), (DeadZone(), 0.3, 0.25), (DeadZone(0.5), 0.3, 0.0), (MultiResolution(l1, 3), 0.3, 0.9),
     (MultiResolution(l2, 3, coarsest=True), 0.3, 0.09), (LaplacianPyramid(3), 0.3, 0.3), (Mixture([(l1, 2.0), (l2, 0.5)]), 0.3, 0.645)],
)  # fmt: skip
def test_a_constant_difference(loss: Loss, residual: float, expected: float) -> None:
    _, measured, where = triple((2, 3, 16, 16))
    values = loss(measured + residual, measured, torch.ones_like(where))
    assert values.tolist() == pytest.approx([expected] * 2, rel=1e-9)


@pytest.mark.parametrize("name", PIXEL)
@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_a_large_picture_in_half_precision_is_not_summed_past_its_end(name: str, kind: torch.dtype) -> None:
    """float16 ends at 65504: from 148×148 pixels on the mean was 0, or no number."""
    measured = torch.full((2, 3, 160, 160), 0.25, dtype=kind)
    estimate = torch.stack([measured[0] + 0.5, measured[1] + 0.75]).requires_grad_()
    values = PIXEL[name](estimate, measured, torch.ones_like(measured))
    assert values.dtype == kind
    expected = PIXEL[name](estimate[..., :4, :4].double(), measured[..., :4, :4].double(), torch.ones(2, 3, 4, 4, dtype=torch.float64))
    torch.testing.assert_close(values.double(), expected, rtol=1e-2, atol=0)
    assert (torch.autograd.grad(values.sum(), estimate)[0] > 0).all()


@pytest.mark.parametrize("name", EVERY)
def test_each_image_by_itself_and_what_was_measured_only(name: str) -> None:
    loss = EVERY[name]
    estimate, measured, where = triple()
    values = loss(estimate, measured, where)
    assert values.shape == (3,)
    assert (values > 0).all()
    for i in range(3):
        assert torch.allclose(loss(estimate[i : i + 1], measured[i : i + 1], where[i : i + 1]), values[i], rtol=1e-12)
    hidden = torch.where(where > 0, estimate, 77.0)
    assert torch.allclose(loss(hidden, measured, where), values, rtol=1e-9)
    assert (loss(torch.where(where > 0, measured, 77.0), measured, where) < 1e-12).all()
    assert torch.equal(loss(estimate, measured, torch.zeros_like(where)), torch.zeros(3, dtype=torch.float64))
    assert torch.equal(prepared(loss, measured, where)(estimate), values)
    with torch.no_grad():
        assert torch.equal(prepared(loss, measured, where)(estimate.requires_grad_()), values)


@pytest.mark.parametrize("name", EVERY)
def test_a_mask_may_be_of_bool(name: str) -> None:
    estimate, measured, where = triple()
    known = where > 0
    torch.testing.assert_close(EVERY[name](estimate, measured, known), EVERY[name](estimate, measured, known.to(measured)))


@pytest.mark.parametrize("name", EVERY)
def test_a_mask_of_one_channel_counts_for_all(name: str) -> None:
    estimate, measured, where = triple()
    known = where[:, :1]
    assert torch.equal(EVERY[name](estimate, measured, known), EVERY[name](estimate, measured, known.expand_as(measured)))


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("channels", [1, 3])
def test_values_and_gradients_are_to_the_last_bit_the_same_in_any_batch(name: str, channels: int) -> None:
    given = [part.float() for part in triple((5, channels, 32, 32))]

    def looked_at(estimate: Tensor, measured: Tensor, where: Tensor) -> tuple[Tensor, Tensor]:
        values = EVERY[name](estimate.requires_grad_(), measured, where)
        return values.detach(), torch.autograd.grad(values.sum(), estimate)[0]

    alone = [looked_at(*row) for row in zip(*[torch.split(part, 1) for part in given], strict=True)]
    for whole, single in zip(looked_at(*given), zip(*alone, strict=True), strict=True):
        assert torch.equal(whole, torch.cat(single))


@pytest.mark.parametrize("name", EVERY)
def test_no_images_have_no_misfits(name: str) -> None:
    estimate, measured, where = (part[:0] for part in triple())
    values = EVERY[name](estimate.requires_grad_(), measured, where)
    assert values.shape == prepared(EVERY[name], measured, where)(estimate).shape == (0,)
    assert torch.autograd.grad(values.sum(), estimate)[0].shape == estimate.shape
    found = Mirrored(Latent(linear(), steps=2, loss=EVERY[name]))(pictures(0), Identity())  # takes the misfit again
    assert found.misfit.shape == (0,)


@pytest.mark.parametrize("name", EVERY)
def test_gradients_lead_downhill_and_stay_out_of_holes(name: str) -> None:
    estimate, measured, where = triple()
    estimate.requires_grad_()
    before = EVERY[name](estimate, measured, where)
    (gradient,) = torch.autograd.grad(before.sum(), estimate)
    assert (gradient[where == 0] == 0).all()
    assert (gradient.flatten(1).abs().sum(1) > 0).all()
    assert (EVERY[name](estimate - 1e-3 * gradient, measured, where) < before).all()


def test_coarse_levels_average_what_was_measured() -> None:
    y, e = torch.zeros(1, 1, 2, 2), torch.tensor([[[[1.0, 0.0], [0.5, 9.0]]]])
    where = torch.tensor([[[[1.0, 1.0], [1.0, 0.0]]]])
    assert MultiResolution(l1, 9)(e, y, where).item() == pytest.approx(0.5 + 0.5)  # both levels average the same three pixels
    assert MultiResolution(l2, 9, coarsest=True)(e, y, where).item() == pytest.approx(0.25)


@pytest.mark.parametrize(("side", "coarse"), [(1024, 16), (128, 16), (64, 16), (48, 12), (32, 16), (16, 16), (8, 8)])
def test_halving_ends_at_the_smallest_size(side: int, coarse: int) -> None:
    """As robust restoration has it (Poirier-Ginter & Lalonde 2023): at 16 pixels or fewer, whatever was measured."""
    loss, where = MultiResolution(l2, levels=7, coarsest=True, smallest=16), torch.ones(1, 1, side, side)
    e = torch.rand(1, 1, side, side, generator=torch.Generator().manual_seed(side))
    expected = functional.avg_pool2d(e, side // coarse).square().mean()
    torch.testing.assert_close(loss(e, torch.zeros_like(e), where)[0], expected)


def test_a_laplacian_pyramid_tells_edges_from_levels() -> None:
    """A checkerboard is all edge: the first level keeps it whole, since a Gaussian of σ = 2 leaves next to nothing of it."""
    board = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(8, 8)[None, None]
    zero, ones = torch.zeros_like(board), torch.ones_like(board)
    assert LaplacianPyramid(1)(board, zero, ones).item() == pytest.approx(1.0, abs=0.02)


def test_a_laplacian_pyramid_ends_at_one_pixel() -> None:
    estimate, measured = torch.full((1, 3, 8, 9), 0.5), torch.zeros(1, 3, 8, 9)
    torch.testing.assert_close(LaplacianPyramid(3)(estimate, measured, torch.ones_like(measured)), torch.tensor([0.5]))


def test_a_laplacian_pyramid_is_its_formula() -> None:
    picture = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    line = torch.exp(-torch.arange(-2.0, 3.0).square() / 8)
    kernel = line.outer(line)[None, None] / line.sum() ** 2
    mask = (torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(1)) < 0.7).float()
    for where in (torch.ones_like(mask), mask):
        rest, share, expected = picture * where, where, torch.zeros(())
        for _ in range(2):
            blurred = functional.conv2d(functional.pad(rest, (2, 2, 2, 2), mode="replicate"), kernel)
            expected += ((rest - blurred).abs() * share).sum() / share.sum()
            rest, share = functional.avg_pool2d(blurred, 2), functional.avg_pool2d(share, 2)
        expected += (rest.abs() * share).sum() / share.sum()
        torch.testing.assert_close(LaplacianPyramid(2)(picture, torch.zeros_like(picture), where)[0], expected)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Huber(0), "delta is 0; it must be above 0"),
        (lambda: DeadZone(-1), "width is -1; it must be at least 0"),
        (lambda: MultiResolution(levels=0), "levels is 0; it must be at least 1"),
        (lambda: MultiResolution(smallest=0), "smallest is 0; it must be at least 1"),
        (lambda: LaplacianPyramid(0), "levels is 0; it must be at least 1"),
        (lambda: Mixture([]), "at least one loss"),
        (lambda: Mixture([(l1, float("nan"))]), "weight is nan"),
        (lambda: LaplacianPyramid(4)(*triple()), "4 levels need pictures of 16 pixels, got 12×9; use fewer levels"),
        (lambda: MultiResolution()(*triple((2, 7))), r"compares pictures .* the measurement is \(7,\); use l2"),
        (lambda: LaplacianPyramid()(*triple((2, 7))), r"compares pictures .* the measurement is \(7,\); use l2"),
    ],
)
def test_what_is_refused(make: Any, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        make()


def test_losses_are_values() -> None:
    assert Huber(0.1) == huber
    assert Huber(0.2) != huber
    assert Mixture([(l1, 1.0)]) == Mixture(((L1(), 1.0),))
    assert len({L1(), l1, L2(), Mixture([(l1, 1.0)]), Mixture([(L1(), 1.0)])}) == 3


@dataclass
class Counting:  # has no hash
    calls: list[int] = field(default_factory=list)

    def against(self, measured: Tensor, where: Tensor) -> Distance:
        self.calls.append(len(measured))
        return lambda estimate: l1(estimate, measured, where)

    def __call__(self, estimate: Tensor, measured: Tensor, where: Tensor) -> Tensor:
        return self.against(measured, where)(estimate)


def test_a_target_prepares_a_loss_once() -> None:
    estimate, measured, where = triple()
    target, loss = Target(lambda x: x, measured, where), Counting()
    for shift in (0.0, 0.1, 0.2):
        assert torch.equal(target.misfit(estimate + shift, loss), l1(estimate + shift, measured, where))
        assert torch.equal(target.misfit(estimate, l2), l2(estimate, measured, where))
    mixture = Mixture([(loss, 1.0), (l2, 1.0)])
    assert torch.equal(target.misfit(estimate, mixture), target.misfit(estimate, mixture))
    levels = MultiResolution(loss, levels=2)
    assert torch.equal(target.misfit(estimate, levels), target.misfit(estimate, levels))
    assert len(loss.calls) == 4 * len(measured)  # for each image once for the loss itself, once inside the mixture, once for each level


def test_an_image_is_prepared_once_for_all_its_candidates_and_restarts() -> None:
    prior, loss = linear(), Counting()
    operator = random_mask(3, 1, 8, 8)
    y = operator.A(pictures(3))
    solver = Latent(prior, steps=3, restarts=4, candidates=48, halving=False, loss=loss)
    found = solver(y, operator)
    assert loss.calls == [1] * 3 * 2  # once while candidates are compared, once in the search
    assert torch.equal(found.images, replace(solver, loss=l1)(y, operator).images)


@pytest.mark.parametrize(
    ("given", "complete", "built"),
    [
        ("l2", "l2", l2),
        ({"l1": None}, "l1", l1),
        (["l1"], "l1", l1),
        ({"l1": {"weight": 1}}, "l1", l1),
        ("huber", {"huber": {"delta": 0.1, "weight": 1.0}}, huber),
        ({"huber": {"delta": 0.05}}, {"huber": {"delta": 0.05, "weight": 1.0}}, Huber(0.05)),
        ({"l1": {"weight": 0.1}}, {"l1": {"weight": 0.1}}, Mixture([(l1, 0.1)])),
        (["l1", {"l2": {"weight": 3}}], ["l1", {"l2": {"weight": 3.0}}], Mixture([(l1, 1.0), (l2, 3.0)])),
        (
            {"multi_resolution": {"loss": ["l1", "l2"]}},
            {"multi_resolution": {"loss": ["l1", "l2"], "levels": 3, "coarsest": False, "smallest": 1, "weight": 1.0}},
            MultiResolution(Mixture([(l1, 1.0), (l2, 1.0)])),
        ),
    ],
)
def test_losses_as_recipes_write_them(given: Any, complete: Any, built: Loss) -> None:
    assert check_loss(given, "loss") == check_loss(complete, "loss") == complete
    assert build_loss(complete, "loss") == built
    recipe = Recipe.parse({**GOOD, "solver": {"latent": {"loss": given}}})
    assert recipe.solver[0]["latent"]["loss"] == complete
    assert Recipe.parse(parse(recipe.dump())) == recipe
    solver = build_solver(recipe, LinearPrior(torch.eye(12), torch.zeros(12), (3, 2, 2)))
    assert getattr(solver, "loss", None) == built
    assert jsonschema.Draft202012Validator(recipe_schema()).is_valid({**GOOD, "solver": {"latent": {"loss": given}}})


def test_the_default_loss_is_written_out_and_prints_as_before() -> None:
    said = Recipe.parse({**GOOD, "solver": {"latent": {"loss": {"l2": {}}}}})
    assert said.fingerprint() == Recipe.parse(GOOD).fingerprint()
    assert parse(said.dump())["solver"][0]["latent"]["loss"] == "l2"


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ("l3", "solver[0].latent.loss: no loss is called 'l3'; known: l2, l1, huber"),
        ({"hubr": {}}, "solver[0].latent.loss: no loss is called 'hubr'; did you mean 'huber'?"),
        (["l1", "l2", {"huber": {"dlta": 1}}], "solver[0].latent.loss[2].huber.dlta: unknown key; did you mean 'delta'?"),
        (["l1", {"huber": {"delta": "a"}}], "solver[0].latent.loss[1].huber.delta: should be a valid number, got 'a'"),
        ({"multi_resolution": {"loss": {"hube": {}}}}, "solver[0].latent.loss.multi_resolution.loss: no loss is called 'hube'"),
        ({"l1": {"weight": -1}}, "solver[0].latent.loss.l1.weight: should be greater than or equal to 0, got -1"),
        ({"l1": {"wait": 1}}, "solver[0].latent.loss.l1.wait: unknown key; did you mean 'weight'?"),
        ({"l1": 3}, "solver[0].latent.loss.l1: should be the loss's settings, such as {weight: 0.5}, got 3"),
        ([["l1"]], "solver[0].latent.loss[0]: should be a loss, such as `l2`"),
        ({"l1": {}, "l2": {}}, "solver[0].latent.loss: should be a loss, such as `l2`"),
        ([], "solver[0].latent.loss: the list is empty; name at least one loss, such as l2"),
        (None, "solver[0].latent.loss: should be a loss, such as `l2`"),
        (3, "solver[0].latent.loss: should be a loss, such as `l2`"),
    ],
)
def test_mistakes_name_the_place(given: Any, error: str) -> None:
    recipe = {**GOOD, "solver": {"latent": {"loss": given}}}
    with pytest.raises(RecipeError) as raised:
        Recipe.parse(recipe)
    assert error in str(raised.value)
    assert not jsonschema.Draft202012Validator(recipe_schema()).is_valid(recipe)


def test_a_value_that_the_loss_refuses_is_told_by_its_place() -> None:
    with pytest.raises(RecipeError, match=r"^loss\[1\]\.huber: delta is -1\.0; it must be above 0$"):
        build_loss(check_loss(["l1", {"huber": {"delta": -1}}], "loss"), "loss")


def test_the_smaller_side_ends_halving() -> None:
    loss, where = MultiResolution(l2, levels=7, coarsest=True, smallest=16), torch.ones(1, 1, 64, 32)
    e = torch.rand(1, 1, 64, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(loss(e, torch.zeros_like(e), where)[0], torch.nn.functional.avg_pool2d(e, 2).square().mean())


def test_a_part_of_weight_0_may_stand_beside_others_and_not_alone() -> None:
    assert check_loss([{"l1": {"weight": 0}}, "l2"], "loss") == [{"l1": {"weight": 0.0}}, "l2"]
    for nothing in ({"l1": {"weight": 0}}, [{"l1": {"weight": 0}}, {"l2": {"weight": 0}}]):
        with pytest.raises(RecipeError, match=r"^loss: every weight is 0, so nothing would be fitted; raise one of them$"):
            check_loss(nothing, "loss")
