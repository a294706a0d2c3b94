"""Both ways with the real deepinv: its physics in our solvers, our solvers and operators in its pipelines."""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from solvers_support import difference, random_mask
from torch import Tensor
from torch.utils.data import DataLoader

import priorsolve as ps
from priorsolve.operators import JPEG, Downsample, FastSensing, GaussianSensing, Gray, Identity, Operator, Quantize, gaussian_blur
from priorsolve.operators.noise import Chain, Gaussian, Noise, Poisson, SaltPepper
from priorsolve.priors import LinearPrior, Prior
from priorsolve.solvers import Latent, Staged, solve_fitting

deepinv: Any = pytest.importorskip("deepinv", reason='deepinv is not installed; run: pip install "deepinv>=0.5"')

from deepinv import physics as theirs  # noqa: E402

from priorsolve.interop.deepinv import as_reconstructor, to_physics  # noqa: E402

SHAPE = (3, 16, 16)
COUNT = 3


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def prior(shape: tuple[int, ...] = SHAPE) -> LinearPrior:
    return LinearPrior.random(8, shape, seed=1)


def pictures(count: int = COUNT) -> Tensor:
    return prior().decode(prior().sample(count, rng(3)))


MASKS = (torch.rand(COUNT, 1, 16, 16, generator=rng()) < 0.5).float().expand(COUNT, *SHAPE)
KERNELS = torch.softmax(torch.randn(COUNT, 1, 25, generator=rng()), 2).view(COUNT, 1, 5, 5)

PHYSICS: dict[str, Callable[[slice], Any]] = {
    "inpainting": lambda images: theirs.Inpainting(SHAPE, mask=0.5, rng=rng()),
    "inpainting-mask-each": lambda images: theirs.Inpainting(SHAPE, mask=MASKS[images]),
    "downsampling": lambda images: theirs.Downsampling(SHAPE, factor=2, filter="bicubic"),
    "blur-kernel-each": lambda images: theirs.Blur(filter=KERNELS[images], padding="circular"),
    "blur-valid": lambda images: theirs.Blur(filter=KERNELS[:1], padding="valid"),
    "blur-fft-kernel-each": lambda images: theirs.BlurFFT(SHAPE, filter=KERNELS[images]),
    "decolorize": lambda images: theirs.Decolorize(),
    "compressed-sensing": lambda images: theirs.CompressedSensing(m=100, img_size=SHAPE, rng=rng()),
    "structured-random": lambda images: theirs.StructuredRandom(SHAPE, (3, 8, 8), rng=rng()),
    "single-pixel-camera": lambda images: theirs.SinglePixelCamera(m=100, img_size=SHAPE),
    "tomography": lambda images: theirs.Tomography(angles=20, img_width=16, normalize=True),
    "demosaicing": lambda images: theirs.Demosaicing(SHAPE),
    "denoising": lambda images: theirs.Denoising(theirs.GaussianNoise(0.02, rng=rng())),
}
"""A physics of deepinv's for the images of a batch, with parameters of their own where it has them."""


def test_the_documentation_runs(digiface64: Prior) -> None:
    """Its deepinv block is marked `py`, so that tests/test_docs.py leaves it to this file."""
    page = (Path(__file__).resolve().parent.parent / "docs" / "library.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```py\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    scope: dict[str, Any] = {}
    exec(compile(block, "docs/library.md", "exec"), scope)
    assert scope["solution"].images.shape == scope["images"].shape == (2, 3, 64, 64)
    assert scope["physics"](scope["images"]).shape == (2, 1, 32, 32)


# -- their physics, our solvers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PHYSICS)
def test_their_physics_are_solved_in_batches_as_one_by_one(name: str) -> None:
    solver, x, physics = Latent(prior(), steps=80, restarts=2, candidates=8), pictures(), PHYSICS[name](slice(None))
    y = physics(x)
    whole = solver(y, physics)
    assert float((whole.images - x).abs().max()) < 0.05
    assert float((whole.images - x).square().mean().sqrt()) < 0.01, "the pictures are the prior's own, and there is enough of each"
    for i in range(COUNT):
        alone = solver(y[i : i + 1], PHYSICS[name](slice(i, i + 1)))
        assert difference(alone, whole[i]) < 1e-4


def test_a_physics_is_measured_without_its_noise() -> None:
    x, solver = pictures(), Latent(prior(), steps=20, restarts=2)
    y = theirs.Decolorize()(x)
    noisy = theirs.Decolorize(noise_model=theirs.GaussianNoise(10.0))
    assert torch.equal(solver(y, noisy).images, solver(y, theirs.Decolorize()).images)


# -- our solvers, their pipelines ------------------------------------------------------------------------------------------------------


class Photos(torch.utils.data.Dataset[dict[str, Any]]):
    """A picture, its measurement, and its own mask, as deepinv's data sets have them."""

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, i: int) -> dict[str, Any]:
        x = pictures()[i]
        return {"x": x, "y": x * MASKS[i], "params": {"mask": MASKS[i]}}


def test_deepinv_tests_a_solver_with_its_own_mask_for_each_photo() -> None:
    solver = Latent(prior(), steps=80, restarts=2, candidates=8)
    psnr = {}
    for size in (1, COUNT):
        found = deepinv.test(
            as_reconstructor(solver),
            DataLoader(Photos(), batch_size=size),
            theirs.Inpainting(SHAPE, mask=torch.ones(SHAPE)),
            metrics=[deepinv.metric.PSNR(), deepinv.metric.SSIM()],
            verbose=False,
            show_progress_bar=False,
            non_blocking_transfers=False,
        )
        psnr[size] = found["PSNR"]
        assert found["PSNR"] > 40 > 20 > found["PSNR no learning"]
        assert found["SSIM"] > 0.99
    assert psnr[1] == pytest.approx(psnr[COUNT], abs=0.01)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_a_reconstructor_is_the_solver(mode: Any) -> None:
    solver, physics = Latent(prior(), steps=20, restarts=2), theirs.Decolorize()
    y = physics(pictures())
    model = as_reconstructor(Staged([solver, solver]))
    assert isinstance(model, deepinv.models.Reconstructor)
    with mode():
        images = model(y, physics)
    assert torch.equal(images, Staged([solver, solver])(y, physics).images)
    assert not images.requires_grad


def test_a_reconstructor_takes_its_prior_along_and_keeps_it_in_eval_mode() -> None:
    own = prior()
    model = as_reconstructor(Latent(own, steps=5)).to(torch.float64)
    assert own.weight.dtype == torch.float64
    model.train()
    assert not own.training
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_a_stack_of_physics_is_solved_as_one() -> None:
    x = pictures()
    stack = theirs.Decolorize().stack(theirs.Downsampling(SHAPE, factor=4, filter="bicubic"))
    y = stack(x)
    images = as_reconstructor(Latent(prior(), steps=80, restarts=2, candidates=8))(y, stack)
    assert float((images - x).square().mean().sqrt()) < 0.01


def test_our_operator_comes_back_as_itself() -> None:
    """With its holes known, so that whatever stands in them is not looked at."""
    operator, solver = random_mask(COUNT, 1, 16, 16), Latent(prior(), steps=20, restarts=2)
    y = operator.A(pictures())
    physics = to_physics(operator, img_size=SHAPE)
    holey = torch.where(operator.known > 0, y, torch.nan)
    assert torch.equal(as_reconstructor(solver)(holey, physics), solver(y, operator).images)
    expected, found = solver(y, operator), solver(holey, physics)
    assert torch.equal(found.images, expected.images)
    assert torch.equal(found.residual, expected.residual)
    torch.testing.assert_close(solve_fitting(solver, holey, physics, batch_size=1)[0].residual, expected.residual, atol=1e-5, rtol=0)
    loud = Gaussian(0.1)
    assert torch.equal(ps.put_back(found.images, holey, physics), ps.put_back(found.images, y, operator))
    with pytest.raises(ValueError, match=r"^put_back needs a linear operator of priorsolve's, got JPEG\(quality=50\)"):
        ps.put_back(found.images, y, to_physics(JPEG(50), img_size=SHAPE))
    assert ps.find_limits(solver, physics, range(COUNT)) == ps.find_limits(solver, operator, range(COUNT))
    several, own = (ps.solve_several(solver, y, given, 2, noise=loud) for given in (physics, operator))
    assert several.samples is not None
    assert own.samples is not None
    assert torch.equal(several.samples.images, own.samples.images)


@pytest.mark.filterwarnings("ignore:Complex modules:UserWarning")
def test_a_physics_of_complex_pictures_is_told() -> None:
    """It ended in torch's "expected scalar type ComplexFloat but found Float"."""
    physics, solver = theirs.RandomPhaseRetrieval(m=60, img_size=SHAPE, rng=rng()), Latent(prior(), steps=2)
    y = physics.A(pictures() + 0j)
    for solve in (solver, as_reconstructor(solver)):
        with pytest.raises(ValueError, match=r"^the operator measures complex pictures, and a prior draws real ones; give one that makes"):
            solve(y, physics)
    assert solver(y, lambda x: physics.A(x + 0j)).images.shape == (COUNT, *SHAPE)
    with pytest.raises(RuntimeError, match="size 192"):  # and another error is left as it is
        as_reconstructor(solver)(y, theirs.CompressedSensing(m=60, img_size=(3, 8, 8), rng=rng()))


# -- our operators as their physics ----------------------------------------------------------------------------------------------------

LINEAR: dict[str, Operator] = {
    "identity": Identity(),
    "mask-each": random_mask(COUNT, 1, 16, 16),
    "downsample": Downsample(2, "lanczos"),
    "gray": Gray(),
    "blur": gaussian_blur(0.6),
    "gaussian-sensing": GaussianSensing(m=100, shape=list(SHAPE)),
    "fast-sensing": FastSensing(m=100, shape=list(SHAPE)),
    "masked-blur": random_mask(16, 16) @ gaussian_blur(0.6),
    "gray-downsample": Gray() @ Downsample(2, "area"),
}


@pytest.mark.parametrize("name", LINEAR)
def test_our_linear_operators_pass_their_adjointness_test(name: str) -> None:
    operator, x = LINEAR[name], pictures()
    physics = to_physics(operator, img_size=SHAPE)
    assert isinstance(physics, theirs.LinearPhysics)
    torch.manual_seed(0)
    assert float(physics.adjointness_test(num_samples=COUNT)) < 1e-5
    y = physics(x)
    assert torch.equal(y, operator.A(x))
    torch.testing.assert_close(physics.A(physics.A_dagger(y)), y, atol=1e-3, rtol=0)
    torch.testing.assert_close(physics.A_vjp(x, y), physics.A_adjoint(y))
    explained = physics.A(physics.prox_l2(torch.zeros_like(x), y, gamma=1e4, max_iter=200, tol=1e-6))
    torch.testing.assert_close(explained, y, atol=1e-2, rtol=0)


def test_an_adjointness_test_is_of_as_many_pictures_as_there_are_parameters() -> None:
    """One, deepinv's default, was refused by a mask for each of three."""
    physics = to_physics(LINEAR["mask-each"], img_size=SHAPE)
    torch.manual_seed(0)
    assert float(physics.adjointness_test()) < 1e-5
    assert float(physics.adjointness_test(pictures())) < 1e-5
    assert float(to_physics(Gray(), img_size=SHAPE).adjointness_test(num_samples=2, dtype=torch.float64)) < 1e-12
    with pytest.raises(ValueError, match="parameters for 3 images, got a batch of 2"):
        physics.adjointness_test(num_samples=2)


@pytest.mark.parametrize("name", LINEAR)
def test_the_pseudo_inverse_passes_gradients_on(name: str) -> None:
    """`⟨A† y, v⟩ = ⟨y, (A†)ᵀ v⟩`, in float64 and against a different random y."""
    physics = to_physics(deepcopy(LINEAR[name]), img_size=SHAPE).double()  # a physics shares its operator
    y, other = (physics.A(torch.rand(COUNT, *SHAPE, generator=rng(seed), dtype=torch.float64)) for seed in (1, 2))
    v = torch.rand(COUNT, *SHAPE, generator=rng(4), dtype=torch.float64)
    (gradient,) = torch.autograd.grad(physics.A_dagger(y.requires_grad_()), y, v)
    expected = (physics.A_dagger(other) * v).flatten(1).sum(1)
    torch.testing.assert_close((other * gradient).flatten(1).sum(1), expected, atol=1e-6, rtol=1e-6)


def test_a_non_linear_operator_is_a_plain_physics() -> None:
    operator = JPEG(30)
    physics = to_physics(operator, img_size=SHAPE)
    x = pictures()
    assert not isinstance(physics, theirs.LinearPhysics)
    assert torch.equal(physics(x), operator.A(x))
    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(operator.A(leaf), leaf, torch.ones_like(x))
    torch.testing.assert_close(physics.A_vjp(x, torch.ones_like(x)), expected)
    assert to_physics(Quantize(8) @ Gray(), img_size=SHAPE).A(x).shape == (COUNT, 1, 16, 16)


@pytest.mark.parametrize("noise", [Gaussian(0.1), Poisson(50), SaltPepper(0.3), Chain([Poisson(50), Gaussian(0.1)])], ids=repr)
def test_noise_is_ours_seeded_and_spares_holes(noise: Noise) -> None:
    operator, x = random_mask(16, 16), pictures()
    physics = to_physics(operator, noise, img_size=SHAPE, seed=5)
    clone = physics.clone()
    first, second = physics(x), physics(x)
    assert torch.equal(first, noise(operator.A(x), rng=rng(5), where=operator.known))
    assert not torch.equal(first, second)
    assert bool((first[:, :, operator.known.view(16, 16) == 0] == 0).all())
    assert torch.equal(clone(x), first), "a clone has a generator of its own"
    assert torch.equal(physics(x, seed=5), first)
    physics.noise_model.reset_rng()
    assert torch.equal(physics(x), first)


def test_their_noise_works_on_ours_and_spares_holes_too() -> None:
    operator, x = random_mask(16, 16), pictures()
    physics = to_physics(operator, img_size=SHAPE)
    physics.set_noise_model(theirs.GaussianNoise(0.1, rng=rng()))
    loud = physics(x, sigma=5.0) - operator.A(x)
    assert float(loud.std()) > 1
    assert bool((loud[:, :, operator.known.view(16, 16) == 0] == 0).all())


def test_what_cannot_be_is_one_clear_error() -> None:
    physics = to_physics(random_mask(16, 16), img_size=SHAPE)
    for refused, given in [(physics, [pictures()]), (physics.A_adjoint, [pictures()]), (physics.update, [])]:
        with pytest.raises(ValueError, match=r"Mask.*never change, so mask"):
            refused(*given, mask=MASKS)
    with pytest.raises(ValueError, match=r"^Mask.* takes none of deepinv's solver settings, so solver, max_iter cannot be given"):
        physics.A_dagger(pictures(), solver="CG", max_iter=5)
    with pytest.raises(ValueError, match=r"Gray.*\(B, 3, 16, 16\), got \(B, 3, 8, 8\)"):
        to_physics(Gray(), img_size=SHAPE).A(torch.rand(1, 3, 8, 8))
    with pytest.raises(ValueError, match="divisible by 3"):
        to_physics(Downsample(3), img_size=SHAPE)


def test_what_cannot_be_exchanged_is_told() -> None:
    wrong: list[tuple[Callable[[], Any], str]] = [
        (lambda: as_reconstructor(prior()), r"^as_reconstructor needs a solver, such as Latent\(prior\), got LinearPrior"),  # type: ignore[arg-type]
        (lambda: as_reconstructor(Latent), "got the class Latent$"),  # type: ignore[arg-type]
        (lambda: as_reconstructor("latent"), "got 'latent'$"),  # type: ignore[arg-type]
        (lambda: to_physics(lambda x: x, img_size=SHAPE), "^to_physics needs one of priorsolve's operators, got a function"),  # type: ignore[arg-type]
        (lambda: to_physics(theirs.Decolorize(), img_size=SHAPE), "^to_physics needs one of priorsolve's operators, got"),
        (lambda: to_physics(Gray(), 0.1, img_size=SHAPE), "^to_physics needs a noise of priorsolve.noise, .*, got 0.1"),  # type: ignore[arg-type]
        (lambda: to_physics(Gray(), theirs.GaussianNoise(0.1), img_size=SHAPE), "set afterwards, with set_noise_model$"),
        (lambda: Latent(prior())(theirs.StackedPhysics([theirs.Denoising()])(pictures()), Identity()), "works through as_reconstructor$"),
    ]
    for call, message in wrong:
        with pytest.raises(ValueError, match=message):
            call()
