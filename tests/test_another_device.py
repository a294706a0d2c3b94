"""On another device than the CPU: nothing is left behind on the CPU, answers are the same, and the loop seldom waits for the device.

The device is pretended (`device_support`), so that this is tested on every machine.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import run_support as run
import test_every_solver as every
import torch
from device_support import DEVICE, another_device
from prior_support import made
from torch import Tensor

from priorsolve.cli import main
from priorsolve.losses import DeadZone, Huber, LaplacianPyramid, Loss, Mixture, MultiResolution, l1
from priorsolve.losses.features import VGGFeatures
from priorsolve.losses.lpips import LPIPS
from priorsolve.losses.weights import weights_of
from priorsolve.operators.base import Identity, LinearOperator, Operator
from priorsolve.operators.blur import gaussian_blur, motion_blur
from priorsolve.operators.clip import Clip
from priorsolve.operators.downsample import Downsample
from priorsolve.operators.gray import Gray
from priorsolve.operators.holes import Holes
from priorsolve.operators.jpeg import JPEG
from priorsolve.operators.lines import Lines
from priorsolve.operators.mask import Mask
from priorsolve.operators.noise import Gaussian, Noise, Poisson, SaltPepper
from priorsolve.operators.photo_holes import PhotoHoles
from priorsolve.operators.photons import FixedPhotons
from priorsolve.operators.pillow import PillowJPEG, PillowResize
from priorsolve.operators.quantize import Quantize
from priorsolve.operators.sensing import FastSensing, GaussianSensing
from priorsolve.priors import DownloadError, LinearPrior, Prior, load_prior
from priorsolve.run import restoration
from priorsolve.solvers import Langevin, Latent, Layered, Multicode, Pivotal, Projector, Pulse, Solver, Staged, Tuned
from priorsolve.solvers.delta import load_delta, save_delta

Make = Callable[[Prior], Solver | Staged]


def on_both(make: Make, prior: Prior, operator: Operator, y: Tensor) -> tuple[Tensor, Tensor, Counter[str]]:
    """The pictures that the CPU finds, those that the other device finds, and what was read and uploaded meanwhile."""
    here = make(prior)(y, operator, seeds=range(len(y)))
    return here.images, *on_the_other(make, prior, operator, y)


def on_the_other(make: Make, prior: Prior, operator: Operator, y: Tensor) -> tuple[Tensor, Counter[str]]:
    """The pictures that the other device finds, and what was read and uploaded meanwhile."""
    with another_device() as device:
        solver, there, measured = make(copy.deepcopy(prior).to(DEVICE)), copy.deepcopy(operator).to(DEVICE), y.to(DEVICE)
        device.traffic.clear()
        solution = solver(measured, there, seeds=range(len(y)))
        traffic = device.traffic.copy()
        assert solution.images.device == DEVICE
        assert all(code.device == DEVICE for code in solution.codes.values())
        return solution.images.cpu(), traffic


def test_the_pretended_device_refuses_what_is_on_the_cpu() -> None:
    with another_device() as device:
        there = torch.rand(3).to(DEVICE)
        with pytest.raises(RuntimeError, match="is on the CPU"):
            there + torch.rand(3)
        assert device.traffic == {"uploads": 1}
        assert float((there + torch.tensor([1.0], device=DEVICE)).sum()) > 3
        assert there[there > 2].cpu().tolist() == []
        assert device.traffic == {"uploads": 2, "reads": 3}


@pytest.mark.parametrize(("family", "name"), [case for case in every.CASES if case[1] not in every.REFUSED.get(case[0], {})])
def test_every_solver_finds_the_same(family: str, name: str) -> None:
    prior = every.prior_of(family)
    operator, y = every.problem(prior, 2)
    here, there, _ = on_both(lambda prior: latent_or(name)(prior), prior, operator, y)
    torch.testing.assert_close(there, here, rtol=0, atol=1e-4)


def latent_or(name: str) -> Make:
    return every.SOLVERS[name] if name in every.SOLVERS else lambda prior: every.latent(prior, every.LATENT[name])


@pytest.mark.parametrize("family", every.FAMILIES)
@pytest.mark.parametrize("name", every.TUNING)
def test_weights_move_there_too(family: str, name: str) -> None:
    """By the whole rate wherever a gradient's sign depends on rounding, as of style priors some do."""
    prior = every.prior_of(family)
    here, there, _ = on_both(every.TUNING[name], prior, *every.problem(prior, 2))
    torch.testing.assert_close(there, here, rtol=0, atol=1e-4 if family in every.CHAINS else 0.1)


@pytest.mark.parametrize("family", ["dcgan", "biggan", "stylegan2-skip", "mobilestylegan"])
@pytest.mark.parametrize("whose", [DEVICE, torch.device("cpu")])
def test_a_default_device_changes_nothing(family: str, whose: torch.device) -> None:
    """Random numbers are the CPU's, which a generator of the CPU draws nowhere else; all others lie beside the prior."""
    prior = every.prior_of(family)
    mask, y = every.problem(prior, 2)
    operator = Downsample(2) @ mask
    y = operator.A(y)
    solvers: list[Make] = [every.latent, *every.TUNING.values(), lambda prior: Multicode(prior, codes=2, steps=2, candidates=3)]
    if family == "dcgan":
        solvers.append(lambda prior: Langevin(prior, noise=0.3, steps=2, candidates=2))
    here = [make(prior)(y, operator).images for make in solvers]
    with another_device(), DEVICE:
        there = copy.deepcopy(prior).to(whose), copy.deepcopy(operator).to(whose), y.to(whose)
        found = [make(there[0])(there[2], there[1]).images for make in solvers]
        assert all(images.device == whose for images in found)
        for make, one, other in zip(solvers, found, here, strict=True):
            loose = make in every.TUNING.values() and family in every.STYLES  # as above
            torch.testing.assert_close(one.cpu(), other, rtol=0, atol=0.1 if loose else 1e-4)


def test_what_is_read_from_files_lies_on_the_cpu(digiface64: Prior) -> None:
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with another_device(), DEVICE:
        prior = load_prior("digiface64")
        assert all(torch.equal(one, other) for one, other in zip(prior.parameters(), digiface64.parameters(), strict=True))
        codes = prior.sample(2, torch.Generator("cpu").manual_seed(0))
        assert torch.equal(codes, digiface64.sample(2, torch.Generator("cpu").manual_seed(0)))
        assert prior.decode(codes).device == picture.device


@pytest.mark.parametrize("begin", ["centre", "regressed", "likely"])
def test_starts(begin: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRIORSOLVE_CACHE", str(tmp_path))
    prior = every.prior_of("mobilestylegan")
    here, there, _ = on_both(lambda prior: Latent(prior, steps=2, begin_at=begin), prior, *every.problem(prior, 2))  # type: ignore[arg-type]
    torch.testing.assert_close(there, here, rtol=0, atol=1e-3)


OPERATORS: Mapping[str, Operator] = {
    "holes": Holes(boxes=[[0.2, 0.2, 0.6, 0.7]]),
    "a photo's holes": PhotoHoles((torch.arange(40 * 40).view(40, 40) % 7 == 0).float(), Holes(half="left")),
    "lines": Lines(count=3, width=0.05, seed=1),
    "blur": gaussian_blur(0.7),
    "long blur": motion_blur(9, 30.0, "circular"),
    "small": Downsample(4),
    "grey, small, holed": Holes(boxes=[[0, 0, 0.5, 0.5]]) @ Downsample(2) @ Gray(),
    "sensing": GaussianSensing(ratio=0.1, shape=[3, 16, 16]),
    "fast sensing": FastSensing(ratio=0.1, shape=[3, 16, 16]),
    "jpeg": JPEG(60),
    "levels": Clip(0.1, 0.9) @ Quantize(16),
    "photons": FixedPhotons(30.0),
    "pillow": PillowJPEG(50) @ PillowResize(2),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator_measures_the_same(name: str) -> None:
    operator, x = OPERATORS[name], torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    y = operator.A(x)
    with another_device():
        there = copy.deepcopy(operator).to(DEVICE, torch.float32)
        assert there.A(x.to(DEVICE)).device == DEVICE
        torch.testing.assert_close(there.A(x.to(DEVICE)).cpu(), y)
        if isinstance(operator, LinearOperator):
            assert isinstance(there, LinearOperator)
            torch.testing.assert_close(there.A_adjoint(y.to(DEVICE)).cpu(), operator.A_adjoint(y))
            torch.testing.assert_close(there.A_dagger(y.to(DEVICE)).cpu(), operator.A_dagger(y), atol=1e-4, rtol=0)
        torch.testing.assert_close(operator.A(x.to(DEVICE)).cpu(), y, msg="an operator that was left on the CPU follows its pictures")
        if operator.follows(tuple(x.shape[1:])):
            torch.testing.assert_close(slope(there, x.to(DEVICE)).cpu(), slope(operator, x))


def slope(operator: Operator, x: Tensor) -> Tensor:
    x = x.detach().requires_grad_()
    return torch.autograd.grad(operator.A(x).square().sum(), x)[0]


@pytest.mark.parametrize("noise", [Gaussian(0.1), Poisson(20), SaltPepper(0.1)], ids=repr)
def test_noise_is_the_same_on_every_device(noise: Noise) -> None:
    y = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with another_device():
        there, here = (noise(each, rng=torch.Generator().manual_seed(1)) for each in (y.to(DEVICE), y))
        torch.testing.assert_close(there.cpu(), here)


# -- the loop --------------------------------------------------------------------------------------------------------------------------

LOOPS: Mapping[str, Callable[[Prior, int], Solver | Staged]] = {
    **{
        f"latent, {optimiser}": lambda prior, steps, optimiser=optimiser: Latent(  # type: ignore[misc]
            prior, steps=steps, restarts=2, candidates=3, optimiser=optimiser, penalties={"gaussian": 0.1}
        )
        for optimiser in ("adam", "sgd", "momentum", "rmsprop", "normalised", "lbfgs")
    },
    "latent, w+": lambda prior, steps: Latent(
        prior, space="w+", steps=steps, begin_at="centre", noise=1e-3, plateau=50, penalties={"geocross": 0.1, "mahalanobis": 0.1}
    ),
    "latent, noise": lambda prior, steps: Latent(prior, space="noise", steps=steps, candidates=2),
    "multicode": lambda prior, steps: Multicode(prior, codes=2, steps=steps, candidates=3),
    "layered": lambda prior, steps: Layered(prior, 2, steps=steps, radius=3.0, moving_maps=2),
    "projector": lambda prior, steps: Projector(prior, steps=steps),
    "pulse": lambda prior, steps: Pulse(prior, steps=steps),
    "langevin": lambda prior, steps: Langevin(prior, noise=0.3, steps=steps, candidates=2),
    "tuned": lambda prior, steps: Tuned(prior, steps=steps, candidates=2),
    "latent, pivotal": lambda prior, steps: Staged([Latent(prior, steps=0, candidates=2), Pivotal(prior, steps=steps)]),
}
LOSSES: Mapping[str, Loss] = {
    "pixels": Mixture([(l1, 1.0), (Huber(0.1), 1.0), (DeadZone(0.1), 1.0)]),
    "pyramids": Mixture([(LaplacianPyramid(2), 0.5), (MultiResolution(l1, 2), 0.5)]),
    "lpips": LPIPS(),
    "vgg": VGGFeatures(),
}


def waits(
    make: Callable[[Prior, int], Solver | Staged], prior: Prior, operator: Operator, y: Tensor, steps: tuple[int, int] = (5, 25)
) -> Counter[str]:
    """What 20 more steps read and upload, or as many as lie between two others."""
    few, many = (on_the_other(lambda prior, count=count: make(prior, count), prior, operator, y)[1] for count in steps)  # type: ignore[misc]
    many.subtract(few)
    return many


@pytest.mark.parametrize("name", LOOPS)
def test_the_loop_waits_for_the_device_every_ten_steps_only(name: str) -> None:
    prior = every.prior_of("stylegan2-skip")
    assert waits(LOOPS[name], prior, *every.problem(prior, 2)) == {"reads": 2, "uploads": 0}


@pytest.mark.parametrize("name", ["blur", "sensing", "masks"])
def test_an_operator_left_on_the_cpu_is_brought_there_once(name: str) -> None:
    prior = every.prior_of("dcgan")
    shape = (3, *prior.image_shape[1:])
    rng = torch.Generator().manual_seed(0)
    operator = {
        "blur": gaussian_blur(0.7),
        "sensing": FastSensing(ratio=0.1, shape=list(shape)),
        "masks": Downsample(2) @ Mask(torch.rand(2, *shape, generator=rng)),
    }[name]
    y = operator.A(torch.rand(2, *shape, generator=rng))
    here = Latent(prior, steps=2, candidates=2)(y, operator).images

    def there(steps: int) -> tuple[Tensor, int]:
        with another_device() as device:
            solver, measured = Latent(copy.deepcopy(prior).to(DEVICE), steps=steps, candidates=2), y.to(DEVICE)
            return solver(measured, operator).images.cpu(), device.traffic["uploads"]

    torch.testing.assert_close(there(2)[0], here, rtol=0, atol=1e-4)
    assert there(12)[1] == there(2)[1], "none in the loop"
    assert {numbers.device.type for numbers in operator.buffers()} == {"cpu"}, "the caller's own stays where it is"


@pytest.mark.parametrize("name", [name for name in OPERATORS if name not in ("jpeg", "pillow")])
def test_no_operator_waits_for_the_device(name: str) -> None:
    """Pillow's lets no gradient through, and kornia tells by CUDA's name where its copy of a JPEG's quality may go without waiting."""
    prior, operator = LinearPrior.random(4, (3, 16, 16)), OPERATORS[name]
    y = operator.A(torch.rand(2, *prior.image_shape, generator=torch.Generator().manual_seed(0)))

    def make(prior: Prior, steps: int = 2) -> Solver:
        return Latent(prior, steps=steps, restarts=1, candidates=2)

    here, there, _ = on_both(make, prior, operator, y)
    torch.testing.assert_close(there, here, rtol=0, atol=1e-4)
    assert waits(make, prior, operator, y, (2, 12)) == {"reads": 1, "uploads": 0}, "the loop's own"


@pytest.mark.parametrize("name", LOSSES)
def test_no_loss_waits_for_the_device(name: str) -> None:
    try:
        weights_of("vgg" if name == "vgg" else "alex")
    except DownloadError as error:
        pytest.skip(f"no real weights: {error}")
    prior = every.prior_of("dcgan")
    operator, y = every.problem(prior, 2)

    def make(prior: Prior, steps: int = 2) -> Solver:
        return Latent(prior, steps=steps, restarts=2, candidates=2, loss=LOSSES[name])

    here, there, _ = on_both(make, prior, operator, y)
    torch.testing.assert_close(there, here, rtol=0, atol=1e-3)
    found = waits(make, prior, operator, y, (2, 12))
    assert found == {"reads": 1, "uploads": 0}, "the loop's own; the loss is asked ten times"


# -- a run -----------------------------------------------------------------------------------------------------------------------------

RECIPES = {
    "inpaint": "operator: [{mask: {boxes: [[0.25, 0.25, 0.75, 0.75]]}}]",
    "grey, small, noisy": "operator: [gray, {downsample: {factor: 2}}]\nnoise: {gaussian: {sigma: 0.05}}",
    "sense": "operator: [{fast_sensing: {ratio: 0.1}}]",
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_whole_run(name: str, digiface64: Prior, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    solver = "[{latent: {steps: 12, restarts: 2, candidates: 2}}, {layered: {block: 2, steps: 2}}]"
    recipe = run.recipe_file(tmp_path, f"{RECIPES[name]}\nprior: digiface64\nsamples: 2\nsolver: {solver}\n")
    # by itself a CPU may compute in bfloat16
    command = ["restore", recipe, str(run.photos(tmp_path / "photos", 2)), "--degrade", "--dtype", "float32", "--out"]
    assert main([*command, str(tmp_path / "here"), "--device", "cpu"]) == 0
    monkeypatch.setattr(restoration, "device_called", lambda name: DEVICE)
    with another_device():
        assert main([*command, str(tmp_path / "there")]) == 0
    here, there = (run.records(tmp_path / folder) for folder in ("here", "there"))
    assert [record["status"] for record in there.values()] == ["done"] * 2
    for photo, record in here.items():
        assert there[photo]["misfit"] == pytest.approx(record["misfit"], rel=1e-3)


def test_features_are_made_with_the_maps_given_there_too() -> None:
    """All rows at once, and on the CPU one after another."""
    prior = made("stylegan2-skip")
    codes, maps = (prior.sample(2, torch.Generator().manual_seed(seed), space) for seed, space in ((1, "w"), (2, "noise")))
    expected = prior.map(codes, source="w", target="features@3", noise=maps)
    assert float((expected - prior.map(codes, source="w", target="features@3")).abs().max()) > 0.01, "the maps are hardly seen"
    with another_device():
        found = prior.to(DEVICE).map(codes.to(DEVICE), source="w", target="features@3", noise=maps.to(DEVICE)).cpu()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_tuned_weights_are_read_to_where_the_prior_is(tmp_path: Path) -> None:
    prior = made("dcgan")
    solution = Tuned(prior, steps=1, candidates=1)(torch.full((1, *prior.image_shape), 0.5), Identity())
    save_delta(prior, solution, 0, tmp_path / "one")
    with another_device():
        tuned, codes = load_delta(copy.deepcopy(prior).to(DEVICE), tmp_path / "one")
        drawn = tuned.decode(codes["z"]).cpu()
    torch.testing.assert_close(drawn, solution.images, atol=1e-5, rtol=0)
