"""A solver that also looks at its measurements in a mirror: against closed forms, and as a recipe names it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import run_support as run
import torch
from PIL import Image
from scipy import ndimage
from solvers_support import SHAPE, difference, least_squares, linear, pictures, random_mask

from priorsolve.losses import l1
from priorsolve.operators import Gray, Identity, Mask, Mirror, check_laws
from priorsolve.operators.noise import Gaussian
from priorsolve.recipe.components import RecipeError
from priorsolve.recipe.recipe import Recipe
from priorsolve.run.restoration import Options, restore
from priorsolve.sampling import solve_several
from priorsolve.solvers import Langevin, Latent, Mirrored, Staged, Step


def exact(steps: int = 60) -> Latent:
    return Latent(linear(), steps=steps, lr=1.0, optimiser="lbfgs", warmup=0.0, decay="none", restarts=1, candidates=1)


@pytest.mark.parametrize("shape", [(4, 5), (1, 1), (3, 6)])
def test_a_mirror_is_an_operator_that_undoes_itself(shape: tuple[int, int]) -> None:
    x = torch.rand(2, 3, *shape, generator=torch.Generator().manual_seed(0))
    check_laws(Mirror(), (3, *shape))
    check_laws(Gray() @ Mirror(), (3, *shape))
    assert torch.equal(Mirror().A(x), torch.stack([x[..., j] for j in reversed(range(shape[1]))], -1))


def test_the_answer_is_the_mean_of_both_optima() -> None:
    """The least squares of each search are known: of the second, those of mirrored pictures."""
    prior, x, mask = linear(), pictures(3), random_mask(3, 1, *SHAPE[1:])
    y = mask.A(x)
    found = Mirrored(exact())(y, mask)
    straight = prior.decode(least_squares(prior, mask, y))
    turned = prior.decode(least_squares(prior, Mask(mask.known.flip(-1)), y.flip(-1))).flip(-1)
    torch.testing.assert_close(found.images, (straight + turned) / 2, atol=1e-5, rtol=0)
    assert (straight - turned).abs().amax() > 0.1
    for i, residual in enumerate(found.residual):
        known = mask.known[i].expand(SHAPE) > 0
        assert float(residual) == pytest.approx(float((found.images[i] - x[i])[known].square().mean().sqrt()), rel=1e-6)
        assert float(found.misfit[i]) == pytest.approx(float(residual) ** 2, rel=1e-6)


def test_fine_detail_may_be_left_as_the_photo_s_own_answer_has_it() -> None:
    """Only the coarse part of what the mean changes is taken, by another library's blur."""
    x, mask = pictures(2), random_mask(2, 1, *SHAPE[1:])
    y = mask.A(x)
    own, mean = exact()(y, mask).images, Mirrored(exact())(y, mask).images
    found = Mirrored(exact(), own_detail=0.8)(y, mask)
    coarse = ndimage.gaussian_filter((mean - own).numpy(), (0, 0, 0.8, 0.8), mode="nearest")
    torch.testing.assert_close(found.images, own + torch.from_numpy(coarse), atol=1e-6, rtol=0)
    known = mask.known.expand_as(x) > 0
    expected = [float((found.images[i] - x[i])[known[i]].square().mean().sqrt()) for i in range(2)]
    assert found.residual.tolist() == pytest.approx(expected, rel=1e-6)
    for wrong in (-1.0, 129.0, float("nan"), "1"):
        with pytest.raises(ValueError, match=r"^own_detail is .*; give the σ of a blur in pixels, from 0 to 128$"):
            Mirrored(exact(0), own_detail=wrong)  # type: ignore[arg-type]
    assert Mirrored(exact(0), own_detail=128.0).own_detail == 128
    told = "output.own_detail: 2 is for the mean with a mirror image; set output.mean to mirror, or own_detail to 0$"
    with pytest.raises(RecipeError, match=f"^recipe: {told}"):
        run.quick(output={"own_detail": 2.0})
    with pytest.raises(RecipeError, match=told):
        Recipe.load("upscale", ["output.mean=[]"])
    assert not Recipe.load("upscale", ["output.mean=[]", "output.own_detail=0"]).output.own_detail
    assert run.quick(output={"mean": "mirror", "own_detail": 2.0}).fingerprint() != run.quick(output={"mean": "mirror"}).fingerprint()


def test_what_is_told_of_both_searches() -> None:
    seen: list[Step] = []
    solver = Latent(linear(), steps=15)
    y = pictures(2)
    found, alone, turned = Mirrored(solver)(y, Identity(), on_step=seen.append), solver(y, Identity()), solver(y.flip(-1), Identity())
    assert [step.index for step in seen] == [0, 10, 15, 15, 25, 30]
    assert {step.steps for step in seen} == {30} == {Mirrored(solver).steps}
    assert torch.equal(found.steps, alone.steps + turned.steps)
    torch.testing.assert_close(found.history, torch.cat([alone.history, turned.history]))
    assert found.stopped == alone.stopped
    assert all(torch.equal(found.codes[name], code) for name, code in alone.codes.items())
    assert Mirrored(solver).passes(30) == 2 * solver.passes(15)


def test_a_start_is_refused() -> None:
    """No code of it is one for the mirror image; a second search from nothing would undo what the stage before it found."""
    solver, y = exact(3), pictures(1)
    with pytest.raises(ValueError, match=r"^Mirrored begins two searches.*put all stages inside it: Mirrored\(Staged\(\[…\]\)\)$"):
        Mirrored(solver)(y, Identity(), start=solver(y, Identity()))
    for last in (Mirrored(solver), Staged([Mirrored(solver), solver])):
        with pytest.raises(ValueError, match=r"^Mirrored begins two searches"):  # before any stage runs
            Staged([solver, last])


def test_a_batch_is_its_images_alone() -> None:
    x, mask = pictures(3, torch.float32), random_mask(3, 1, *SHAPE[1:])
    first = Latent(linear(torch.float32), steps=12)
    solver = Mirrored(Staged([first, replace(first, steps=5)]))
    y = mask.A(x)
    together = solver(y, mask, seeds=[3, 4, 5])
    for i in range(3):
        alone = solver(y[i : i + 1], mask.select(torch.tensor([i])), seeds=[3 + i])
        assert difference(together[i], alone) < 1e-5
    assert solver(y[:0], mask.select(torch.tensor([], dtype=torch.long))).images.shape == (0, *SHAPE)


@pytest.mark.parametrize("other", [lambda own: own.A, lambda own: _Has(own.A)], ids=["function", "object with A"])
def test_other_people_s_operators(other: Callable[[Gray], Any]) -> None:
    own = Gray()
    y = own.A(pictures(2))
    torch.testing.assert_close(Mirrored(exact())(y, other(own)).images, Mirrored(exact())(y, own).images, atol=1e-5, rtol=0)


class _Has:
    def __init__(self, A: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.A = A


def test_several_solutions_of_it() -> None:
    y = pictures(2)
    solver = Mirrored(Latent(linear(), steps=5, restarts=1))
    answer, samples, _ = solve_several(solver, y, Identity(), 3, noise=Gaussian(0.1))
    assert samples is not None
    assert torch.equal(answer.images, solver(y, Identity()).images)
    assert samples.images.shape == (2, 3, *SHAPE)
    assert not solver.samples


def test_a_callers_autocast_changes_no_detail() -> None:
    y, solver = pictures(1, torch.float32), Mirrored(Latent(linear(torch.float32), steps=3), own_detail=1.0)
    plain = solver(y, Identity()).images
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(solver(y, Identity()).images, plain)


def test_what_it_says_of_itself_is_its_solver_s() -> None:
    """Several solutions of it are as different as those of its solver; only a sample is none any more."""
    prior = linear()
    plain = Latent(prior, begin_at="regressed", bank=16, steps=4, loss=l1, seed=3)
    assert Mirrored(plain).varied() == Mirrored(plain.varied()) != Mirrored(plain)
    assert Mirrored(plain).passes(9) == 2 * plain.passes(0) + 9
    for solver in (plain, Langevin(prior, noise=0.1, steps=4), Staged([plain, plain]), Latent(prior, steps=0)):
        mirrored = Mirrored(solver)
        assert (mirrored.descends, mirrored.amplifies) == (solver.descends, solver.amplifies)
        assert (mirrored.seed, mirrored.loss) == (solver.seed, solver.loss)
        assert not mirrored.samples
        assert mirrored.noisier(2) == Mirrored(solver.noisier(2))
    y = pictures(2)
    found = Mirrored(plain)(y, Identity())
    torch.testing.assert_close(found.misfit, (found.images - y).abs().flatten(1).mean(1))


def test_what_is_no_solver_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^solver is .*Latent.*; it must be a solver, such as Latent\(prior\)$"):
        Mirrored(Latent)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected an operator with a method A"):
        Mirrored(exact(0))(pictures(1), 3)  # type: ignore[arg-type]


@pytest.mark.usefixtures("digiface64")
def test_a_run_s_answer_may_be_the_mean_with_the_mirror_image(tmp_path: Path) -> None:
    """Half way between a photo's own answer and its mirror image's, turned back; beside the mean of stages, too."""
    photo = run.photos(tmp_path / "in", 1)
    (tmp_path / "turned").mkdir()
    Image.open(photo / "00.png").transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "turned" / "00.png")
    stages = [{"latent": {"steps": 2, "candidates": 4, "restarts": 1}}, {"layered": {"block": 2, "steps": 4}}]
    for mean in ([], ["stages"]):
        found = {}
        for name, folder, means in (("one", "in", mean), ("other", "turned", mean), ("both", "in", [*mean, "mirror"])):
            recipe = run.quick(solver=stages, output={"consistency": True, "mean": means})
            (record,) = restore(recipe, tmp_path / folder, tmp_path / f"{name}{len(mean)}", Options(degrade=True))
            found[name] = np.array(Image.open(tmp_path / f"{name}{len(mean)}" / str(record.image))).astype(float)
            assert record.steps == (12 if name == "both" else 6)
        one, other, both = found["one"], found["other"][:, ::-1], found["both"]
        assert np.abs(one - other).max() > 3
        inside = ((one > 0) & (one < 255) & (other > 0) & (other < 255)).all(-1)  # where nothing was clipped before it was rounded
        assert np.abs((one + other) / 2 - both)[inside].max() <= 1


def test_one_name_needs_no_list() -> None:
    assert run.quick(output={"mean": "mirror"}).fingerprint() == run.quick(output={"mean": ["mirror"]}).fingerprint()
    assert run.quick(output={"mean": ["stages", "mirror"]}).fingerprint() == run.quick(output={"mean": ["mirror", "stages"]}).fingerprint()
    assert (
        run.quick(output={"mean": None}).fingerprint()
        == run.quick(output={}).fingerprint()
        != run.quick(output={"mean": "mirror"}).fingerprint()
    )
    with pytest.raises(RecipeError, match=r"^recipe: output.mean.* 'samples', 'stages' or 'mirror'"):
        run.quick(output={"mean": "mirrors"})
