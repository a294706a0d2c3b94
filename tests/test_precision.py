"""A network that computes in bfloat16 while codes are searched: nearly the same gradients, and the pictures that are kept as ever."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import run_support as run
import torch
from prior_support import CHAINS, STYLED, made
from solvers_support import least_squares, linear, pictures, random_mask
from states_support import mobilestylegan_state

from priorsolve.onednn import has_onednn, multiplies_bfloat16
from priorsolve.operators import Downsample, Identity
from priorsolve.priors import LinearPrior, Prior, base
from priorsolve.priors.mobilestylegan import MobileStyleGAN
from priorsolve.run import devices
from priorsolve.run.devices import dtype_of
from priorsolve.run.restoration import Options, restore
from priorsolve.solvers import Latent, picture

NEEDS_BFLOAT16 = pytest.mark.skipif(has_onednn() and not multiplies_bfloat16(), reason="this processor has no arithmetic for bfloat16")


def test_only_passes_with_gradients_are_in_bfloat16(digiface64: Prior) -> None:
    half = digiface64.computing(torch.bfloat16)
    z = digiface64.sample(2, torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(half.decode(z), digiface64.decode(z))
    leaf, same = z.clone().requires_grad_(), z.clone().requires_grad_()
    rough, exact = half.decode(leaf), digiface64.decode(same)
    assert rough.dtype == torch.float32
    assert not torch.equal(rough, exact)
    assert (rough - exact).abs().max() < 0.1
    (a,) = torch.autograd.grad(rough.square().sum(), leaf)
    (b,) = torch.autograd.grad(exact.square().sum(), same)
    assert a.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(a, b).min() > 0.99
    assert digiface64.computes is None


@pytest.mark.parametrize("name", [*STYLED, *CHAINS])
def test_every_map_from_the_start(name: str) -> None:
    prior = made(name)
    half, first = prior.computing(torch.bfloat16), prior.first_space
    codes = prior.sample(2, torch.Generator().manual_seed(0))
    for space in prior.spaces:
        for truncation in (1.0, 0.7):
            try:
                exact = prior.map(codes, source=first, target=space, truncation=truncation)
            except ValueError:  # there is none
                continue
            mapped = half.map(codes.clone().requires_grad_(), source=first, target=space, truncation=truncation)
            assert (mapped.dtype, mapped.requires_grad) == (torch.float32, True)
            assert (mapped - exact).norm() < 0.05 * exact.norm()


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64, torch.int8])
def test_types_that_no_network_switches_to(digiface64: Prior, dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match=rf"^DCGAN.*: computes in torch.bfloat16 .*, as it is; got {dtype}$"):
        digiface64.computing(dtype)


@NEEDS_BFLOAT16
def test_a_solver_ends_nearly_as_well(digiface64: Prior) -> None:
    operator = Downsample(4)
    y = operator.A(digiface64.decode(digiface64.sample(2, torch.Generator().manual_seed(9)))).detach()
    exact = Latent(digiface64, steps=60, restarts=1, candidates=8)(y, operator)
    rough = Latent(digiface64.computing(torch.bfloat16), steps=60, restarts=1, candidates=8)(y, operator)
    assert (rough.residual / exact.residual - 1).abs().max() < 0.25
    with torch.no_grad():
        assert torch.allclose(rough.images, digiface64.decode(rough.codes["z"]), atol=1e-5)


@pytest.mark.parametrize(("polish", "rough"), [(0.25, 15), (0.0, 20), (1.0, 0)])
def test_the_last_steps_are_exact(monkeypatch: pytest.MonkeyPatch, polish: float, rough: int) -> None:
    seen, plain = [], LinearPrior._decode
    monkeypatch.setattr(base, "rounds_alike", lambda: True)  # else there are two of each

    def watched(prior: LinearPrior, *given: Any) -> torch.Tensor:
        if torch.is_grad_enabled():
            seen.append(torch.is_autocast_enabled("cpu"))
        return plain(prior, *given)

    monkeypatch.setattr(LinearPrior, "polish", polish)
    monkeypatch.setattr(LinearPrior, "_decode", watched)
    prior, operator = linear(torch.float32).computing(torch.bfloat16), random_mask(1, 8, 8)
    Latent(prior, steps=20, restarts=1, candidates=1)(operator.A(pictures(2, torch.float32)), operator)
    assert seen[1:] == [True] * rough + [False] * (20 - rough)  # the first chooses among the candidates


def test_polishing_finds_the_optimum(monkeypatch: pytest.MonkeyPatch) -> None:
    prior, operator = linear(torch.float32), random_mask(1, 8, 8)
    y = operator.A(pictures(3, torch.float32))
    optimum = least_squares(prior, operator, y).float()
    apart = {}
    for polish in (0.5, Prior.polish, 0.0):
        monkeypatch.setattr(LinearPrior, "polish", polish)
        found = Latent(prior.computing(torch.bfloat16), steps=400, restarts=1, candidates=1)(y, operator)
        apart[polish] = float((found.codes["z"] - optimum).abs().max())
    assert apart[0.5] < 2e-4
    assert apart[Prior.polish] < 1e-3
    assert apart[0.0] > 5e-3


@NEEDS_BFLOAT16
def test_a_photos_answer_does_not_depend_on_its_batch(digiface64: Prior) -> None:
    """A last bit that differs is a whole step of bfloat16 soon."""
    operator, rng = Downsample(4), torch.Generator().manual_seed(9)
    y = operator.A(digiface64.decode(digiface64.sample(24, rng))).detach() + 0.02 * torch.randn(24, 3, 16, 16, generator=rng)
    solver = Latent(digiface64.computing(torch.bfloat16), steps=20, restarts=4, candidates=8)
    whole = solver(y, operator)
    for few in ([3], [20, 23]):
        torch.testing.assert_close(solver(y[few], operator).images, whole.images[few], atol=1e-5, rtol=0)


def test_the_misfit_is_that_of_the_picture_that_is_kept(digiface64: Prior) -> None:
    """It stops at its start, which was judged in bfloat16."""
    operator = Downsample(4)
    y = operator.A(digiface64.decode(digiface64.sample(2, torch.Generator().manual_seed(9)))).detach()
    found = Latent(digiface64.computing(torch.bfloat16), steps=20, candidates=8, noise=1.0)(y, operator)
    assert not bool(found.steps.any())
    torch.testing.assert_close(found.misfit, (operator.A(found.images) - y).square().flatten(1).mean(1), atol=0, rtol=1e-5)
    torch.testing.assert_close(found.misfit, found.residual.square(), atol=0, rtol=1e-5)


def test_a_picture_drawn_again_is_the_one_that_is_kept(digiface64: Prior) -> None:
    """Where gradients are taken, as they are for whoever does not switch them off, it was drawn in bfloat16."""
    prior = digiface64.computing(torch.bfloat16)
    y = torch.rand(2, *prior.image_shape, generator=torch.Generator().manual_seed(0))
    solution = Latent(prior, steps=1, restarts=1, candidates=2)(y, Identity())
    assert torch.is_grad_enabled()
    torch.testing.assert_close(picture(prior, solution.codes), solution.images, atol=2e-6, rtol=0)


def test_torchs_own_precision_is_left_as_it_is(digiface64: Prior) -> None:
    """TF32 on GPUs is a setting of the whole process (docs/priors.md)."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32, torch.get_float32_matmul_precision()
    y = Downsample(4).A(digiface64.decode(digiface64.sample(1, torch.Generator().manual_seed(0))))
    Latent(digiface64.computing(torch.bfloat16), steps=2, candidates=2)(y, Downsample(4))
    assert before == (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32, torch.get_float32_matmul_precision())


@pytest.mark.parametrize("dtype", ["float32", pytest.param("bfloat16", marks=NEEDS_BFLOAT16)])
def test_an_option_of_a_run(digiface64: Prior, tmp_path: Path, dtype: str) -> None:
    photo, out = run.photos(tmp_path / "in", 1), tmp_path / "out"
    (usual,) = restore(run.quick(), photo, out)
    assert usual.dtype == dtype_of("auto", digiface64)
    assert not list(restore(run.quick(), photo, out))
    (asked,) = restore(run.quick(), photo, out, Options(dtype=dtype))
    assert asked.status == "done", asked.reason
    assert asked.dtype == dtype
    assert asked.fingerprint == f"{usual.fingerprint}-{dtype}"
    assert (asked.misfit == usual.misfit) == (usual.dtype == dtype)


def test_bfloat16_is_refused_where_the_processor_has_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """torch's own loops took 15 s for what float32 does in a tenth of one."""
    monkeypatch.setattr(devices, "has_onednn", lambda: True)
    monkeypatch.setattr(devices, "multiplies_bfloat16", lambda: False)
    told = r"^dtype 'bfloat16': this processor has no arithmetic for it, .*; use --dtype float32$"
    with pytest.raises(ValueError, match=told):
        list(restore(run.quick(), run.photos(tmp_path / "in", 1), tmp_path / "out", Options(dtype="bfloat16")))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("capabilities", "chosen"),
    [
        ({"avx512_bf16": True, "cpu_name": "AMD EPYC 9B14"}, "bfloat16"),
        ({"avx512_bf16": False, "cpu_name": "AMD EPYC 7R13"}, "float32"),
        ({"avx512_bf16": True, "amx_bf16": False, "cpu_name": "Intel Xeon"}, "float32"),
        ({"avx512_bf16": True, "amx_bf16": True, "cpu_name": "Intel Xeon"}, "bfloat16"),
        ({"avx512_bf16": True}, "bfloat16"),
        ({}, "float32"),
    ],
)
def test_auto_asks_the_processor_and_the_prior(
    monkeypatch: pytest.MonkeyPatch, digiface64: Prior, capabilities: dict[str, bool | str], chosen: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    faces = MobileStyleGAN.from_state(mobilestylegan_state())
    assert dtype_of("auto", faces) == dtype_of("auto", digiface64) == chosen
    assert dtype_of("auto", linear()) == "float32"
    assert dtype_of("float64", faces) == "float64"
