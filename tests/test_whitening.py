"""Whitened styles, p_n and p_n+, of every prior that is drawn by styles."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from prior_support import STYLED, made, sampled
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from priorsolve.operators.base import Identity
from priorsolve.priors import CheckpointError, StyleGAN2, load_prior, save_prior
from priorsolve.priors.kept import run_form
from priorsolve.priors.styled import Styled
from priorsolve.priors.whitening import Whitening
from priorsolve.solvers import Staged, Tuned, load_delta, picture, save_delta

ONES = ["stylegan2-skip", "stylegan2-classes", "stylegan3", "mobilestylegan"]


@pytest.fixture
def measurings(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What was measured since."""
    noted: list[object] = []
    real = Whitening.measured

    def measured(mapping: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
        noted.append(mapping)
        return real(mapping)  # type: ignore[arg-type]

    monkeypatch.setattr(Whitening, "measured", measured)
    return noted


@pytest.mark.parametrize("name", ONES)
def test_new_samples_have_mean_0_and_covariance_1(name: str) -> None:
    n = 50_000
    codes = sampled(made(name), n, "p_n").double()
    products = codes[:, :, None] * codes[:, None]
    for values, expected in ((codes, torch.zeros(codes.shape[1])), (products, torch.eye(codes.shape[1]))):
        error = values.std(0) * (1 / n + 1 / 65_536) ** 0.5  # of these samples, and of those that were measured
        assert float(((values.mean(0) - expected) / error).abs().max()) < 4.5


@pytest.mark.parametrize("name", STYLED)
def test_they_come_back_and_draw_the_picture_of_their_styles(name: str) -> None:
    prior = made(name)
    for space, style in (("p_n", "w"), ("p_n+", "w+")):
        codes = torch.randn(3, *prior.spaces[space], generator=torch.Generator().manual_seed(1))
        styles = prior.map(codes, source=space, target=style)
        torch.testing.assert_close(prior.map(styles, source=style, target=space), codes, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(prior.decode(codes, space), prior.decode(styles, style), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(prior.map(codes, source=space, target="s"), prior.map(styles, source=style, target="s"))
    repeated = prior.map(sampled(prior, 3, "p_n"), source="p_n", target="p_n+")
    torch.testing.assert_close(repeated, sampled(prior, 3, "p_n")[:, None].expand_as(repeated), atol=1e-4, rtol=1e-4)
    for source, target in (("p_n+", "p_n"), ("s", "p_n"), ("p_n", "z"), ("features@2", "p_n+")):
        with pytest.raises(ValueError, match=f"no map from '{source.replace('+', '[+]')}' back to '{target.replace('+', '[+]')}'"):
            prior.map(sampled(prior, 3, source), source=source, target=target)


@pytest.mark.parametrize("name", ["stylegan2-skip", "stylegan2-classes", "stylegan3"])
def test_it_is_measured_when_first_asked_for_and_once_for_all_copies(name: str, measurings: list[object]) -> None:
    prior = made(name)
    before, state = copy.deepcopy(prior), list(prior.state_dict())
    form = run_form(prior)
    prior.decode(sampled(prior, 3, "w"), "w")
    assert not measurings
    codes = sampled(prior, 3, "p_n")
    for other in (prior, form, before, copy.deepcopy(prior), pickle.loads(pickle.dumps(prior)), prior.computing(torch.bfloat16)):
        with torch.no_grad():  # of computing, which is for gradients, the exact numbers
            assert torch.equal(sampled(other, 3, "p_n"), codes)
    assert len(measurings) == 1
    assert list(prior.state_dict()) == state
    assert run_form(prior) is form
    torch.testing.assert_close(sampled(copy.deepcopy(prior).double(), 3, "p_n").float(), codes, atol=1e-4, rtol=1e-4)
    assert len(measurings) == 1
    assert torch.equal(sampled(made(name), 3, "p_n"), codes)


@pytest.mark.parametrize("name", ["stylegan2-skip", "stylegan3"])
def test_another_machines_rounding_measures_the_same_directions(name: str) -> None:
    one, other = (Whitening.measured(made(name).to(dtype).mapping) for dtype in (torch.float32, torch.float64))  # type: ignore[arg-type]
    for key, tensor in one.items():
        torch.testing.assert_close(other[key], tensor, atol=1e-3, rtol=1e-3)


def test_directions_point_where_their_numbers_sum_to_more_than_0() -> None:
    """Which of two opposite ones a machine finds is its own choice."""
    prior = made("stylegan2-skip")
    assert isinstance(prior, StyleGAN2)
    assert bool((Whitening.measured(prior.mapping)["components"].sum(0) > 0).all())


def test_directions_fall_and_those_of_nothing_are_finite() -> None:
    """Where styles lie in a plane the other directions have no spread at all, or by rounding less than none."""

    class Flat:
        def drawn(self, start: int, n: int, rng: torch.Generator) -> Tensor:
            return torch.rand(n, 2, generator=rng)

        def __call__(self, code: Tensor) -> Tensor:
            return code @ torch.tensor([[1.0, 2, 3, 4, 5], [3, 1, 4, 1, 5]])

    found = Whitening.measured(Flat(), n=4096)
    assert bool((found["deviations"].diff() <= 0).all())
    assert found["deviations"][1] > 0.1
    assert found["deviations"][2:].tolist() == pytest.approx([1e-6] * 3, rel=1e-3)
    p = Flat()(torch.rand(4096, 2, generator=torch.Generator().manual_seed(0)))  # of which no number is below 0
    spread = ((p - found["p_mean"]) @ found["components"]).std(0)
    torch.testing.assert_close(spread[:2], found["deviations"][:2], rtol=0.05, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_come_through_and_what_is_measured_in_inference_mode_is_of_use_outside(dtype: torch.dtype) -> None:
    prior = made("stylegan2-skip").to(dtype)
    with torch.inference_mode():
        sampled(prior, 3, "p_n")
    codes = sampled(prior, 3, "p_n").requires_grad_()
    (slope,) = torch.autograd.grad(prior.decode(codes, "p_n").square().sum(), codes)
    assert bool((slope.flatten(1).norm(dim=1) > 0).all())


def test_a_prior_that_is_saved_within_autocast_has_an_exact_one() -> None:
    """It is measured then, if nobody asked for it before: a file's would be another than that of the prior in memory."""
    states = []
    for rough in (False, True):
        prior = made("stylegan2-skip")
        assert isinstance(prior, StyleGAN2)
        with torch.no_grad():
            prior.get_parameter("mapping.fc0.weight").mul_(2)
        with torch.autocast("cpu", torch.bfloat16, enabled=rough):
            states.append(prior.saved_state())
    assert all(torch.equal(states[1][name], tensor) for name, tensor in states[0].items())
    assert any(name.startswith("whitening.") for name in states[0])


@pytest.mark.parametrize("by_row", [True, False])
def test_a_code_is_the_same_style_whatever_becomes_of_the_weights(by_row: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it is first asked for while the mapping is exchanged, with rows by themselves or, as on a GPU, all at once."""
    monkeypatch.setattr(Styled, "row_by_row", by_row)
    prior = made("stylegan2-skip")
    y = prior.decode(sampled(prior, 2, "z"))
    stages = [Tuned(prior, space=space, steps=2, candidates=2, weights_lr=1e-2) for space in ("z", "p_n")]
    solution = Staged(stages)(y, Identity())
    assert float((solution.codes["weights:mapping.fc0.weight"] - prior.get_parameter("mapping.fc0.weight")).abs().max()) > 1e-3
    assert torch.equal(picture(made("stylegan2-skip"), solution.codes), solution.images)
    save_delta(prior, solution, 1, tmp_path / "one.safetensors")
    assert torch.equal(picture(*load_delta(made("stylegan2-skip"), tmp_path / "one.safetensors")), solution.images[1:])


def test_a_saved_prior_keeps_it(tmp_path: Path) -> None:
    """Of a tuned prior, also where it was not yet asked for: loading would measure the tuned mapping."""
    prior = made("stylegan2-skip")
    tuned, asked = copy.deepcopy(prior), copy.deepcopy(made("stylegan2-skip"))
    sampled(asked, 3, "p_n")
    for other in (tuned, asked):
        with torch.no_grad():
            other.get_parameter("mapping.fc0.weight").mul_(1.5)
        save_prior(other, tmp_path / "once")
        save_prior(load_prior(tmp_path / "once"), tmp_path / "twice")
        code = torch.randn(2, *prior.spaces["p_n"], generator=torch.Generator().manual_seed(1))
        for name in ("once", "twice"):
            assert torch.equal(load_prior(tmp_path / name).map(code, source="p_n", target="w"), prior.map(code, source="p_n", target="w"))


def test_a_file_has_it_only_where_it_must(tmp_path: Path, measurings: list[object]) -> None:
    prior = made("stylegan3")
    save_prior(prior, tmp_path / "plain")
    assert not measurings
    assert load_file(tmp_path / "plain").keys() == prior.state_dict().keys()
    sampled(prior, 3, "p_n")
    save_prior(prior, tmp_path / "whole")
    whole = load_file(tmp_path / "whole")
    with safe_open(tmp_path / "whole", "pt") as file:
        about = file.metadata()
    sampled(load_prior(tmp_path / "whole"), 3, "p_n")
    assert len(measurings) == 1
    for changed in ({**whole, "whitening.p_mean": torch.zeros(3)}, {k: v for k, v in whole.items() if k != "whitening.p_mean"}):
        save_file(changed, tmp_path / "damaged", about)
        with pytest.raises(CheckpointError, match=r"whitening\.p_mean (has shape \[3\]|is missing)"):
            load_prior(tmp_path / "damaged")


def test_what_becomes_of_the_mapping_before_it_is_asked_for_does_not_count() -> None:
    prior = made("stylegan2-skip")
    before = copy.deepcopy(prior)
    with torch.no_grad():
        prior.get_parameter("mapping.fc0.weight").mul_(1.5)
    w = torch.randn(2, *prior.spaces["w"], generator=torch.Generator().manual_seed(1))
    for other in (before, prior):
        expected = made("stylegan2-skip").map(w, source="w", target="p_n")
        assert torch.equal(other.map(w, source="w", target="p_n"), expected)
