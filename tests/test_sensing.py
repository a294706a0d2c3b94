"""Compressed sensing: the statistics, orthogonality, the memory guard, and a megapixel."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from laws_support import few
from scipy.fft import dct as scipy_dct
from scipy.linalg import hadamard as scipy_hadamard
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from priorsolve.operators import sensing
from priorsolve.operators.sensing import FastSensing, GaussianSensing, Sensing
from priorsolve.operators.transforms import TRANSFORMS, Transform, dct, hadamard, real_fft

EVERY = pytest.mark.parametrize("transform", list(TRANSFORMS.values()), ids=list(TRANSFORMS))


def matrix(operator: Sensing) -> Tensor:
    """The operator as a matrix (m, n)."""
    eye = torch.eye(operator.n, dtype=torch.float64)
    return operator.A(eye.view(-1, *operator.shape or ())).T


@EVERY
@given(n=st.integers(1, 70))
@few
def test_transforms_are_orthonormal(transform: Transform, n: int) -> None:
    eye = torch.eye(n, dtype=torch.float64)
    T = transform.forward(eye)
    torch.testing.assert_close(T @ T.T, eye)
    torch.testing.assert_close(transform.inverse(eye), T.T)


def test_transforms_are_the_known_ones() -> None:
    x = torch.rand(2, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(dct(x), torch.from_numpy(scipy_dct(x.numpy(), norm="ortho")))
    torch.testing.assert_close(hadamard(x), x @ torch.from_numpy(scipy_hadamard(16) / 4.0))
    three = torch.from_numpy(scipy_dct(np.eye(3), norm="ortho", axis=0))  # with which the length 12 makes up for 3 · 4
    torch.testing.assert_close(hadamard(x[:, :12]), x[:, :12] @ torch.kron(three, torch.from_numpy(scipy_hadamard(4) / 2.0)).T)
    for n in (15, 16):
        z = np.fft.rfft(x[:, :n].numpy(), norm="ortho")
        pairs = slice(1, (n + 1) // 2)  # of a frequency and its mirror image
        z[:, pairs] *= math.sqrt(2)
        torch.testing.assert_close(real_fft(x[:, :n]), torch.from_numpy(np.concatenate([z.real, z.imag[:, pairs]], 1)))


def test_what_a_seed_draws() -> None:
    """Measurements that somebody keeps mean nothing with other rows, signs or numbers than they were made with."""
    rng, fast = torch.Generator().manual_seed(7), FastSensing(m=20, seed=7, shape=[3, 4, 5])
    assert torch.equal(fast.signs, 2 * torch.randint(0, 2, (60,), generator=rng, dtype=torch.int8) - 1)
    assert fast.chosen.tolist() == sorted(torch.randperm(60, generator=rng)[:20].tolist())
    rows = torch.randn(2, 60, generator=torch.Generator().manual_seed(7)) / math.sqrt(2)
    assert torch.equal(GaussianSensing(m=2, seed=7, shape=[3, 4, 5]).matrix, rows)


@pytest.mark.parametrize("transform", ["hadamard", "dct", "fft"])
@pytest.mark.parametrize("shape", [[3, 4, 4], [1, 5, 7], [3, 6, 5]])
def test_rows_are_orthogonal_and_dagger_exact(transform: Any, shape: list[int]) -> None:
    operator = FastSensing(ratio=0.5, transform=transform, shape=shape)
    A = matrix(operator)
    torch.testing.assert_close(A @ A.T, operator.n / operator.rows * torch.eye(operator.rows, dtype=torch.float64))
    y = torch.rand(1, operator.rows, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(operator.A_dagger(y).flatten(1), y @ torch.linalg.pinv(A).T)


def test_as_many_numbers_as_a_picture_has_tell_all_of_it() -> None:
    x = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    for operator in (FastSensing(m=48, shape=[3, 4, 4]), FastSensing(ratio=1.0, shape=[3, 4, 4])):
        torch.testing.assert_close(operator.A_dagger(operator.A(x)), x)


def test_gaussian_dagger_is_the_pseudo_inverse() -> None:
    for m in (10, 100):
        operator = GaussianSensing(m=m, shape=[3, 4, 4])
        y = torch.rand(2, m, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        torch.testing.assert_close(operator.A_dagger(y).flatten(1), y @ torch.linalg.pinv(matrix(operator)).T)


def test_gaussian_gradients_and_theirs() -> None:
    operator = GaussianSensing(m=5, shape=[1, 2, 3])
    for function, shape in ((operator.A, (2, 1, 2, 3)), (operator.A_adjoint, (2, 5))):
        numbers = torch.rand(shape, dtype=torch.float64, requires_grad=True)
        assert gradcheck(function, (numbers,))
        assert gradgradcheck(function, (numbers,))


def test_gaussian_statistics() -> None:
    operator = GaussianSensing(m=400, shape=[3, 20, 20])
    entries = operator.matrix.double() * math.sqrt(400)
    assert abs(float(entries.mean())) < 5 / math.sqrt(entries.numel())
    assert float(entries.var()) == pytest.approx(1, abs=0.01)
    assert float((entries**4).mean()) == pytest.approx(3, abs=0.05)


@pytest.mark.parametrize("transform", ["hadamard", "dct", "fft"])
def test_fast_sensing_keeps_lengths_on_average(transform: Any) -> None:
    """A smooth picture, the hard case without the random signs."""
    x = torch.linspace(0, 1, 3 * 32 * 32).view(1, 3, 32, 32)
    ratios = [FastSensing(ratio=0.1, transform=transform, seed=seed, shape=[3, 32, 32]).A(x).norm() / x.norm() for seed in range(20)]
    assert float(torch.stack(ratios).mean()) == pytest.approx(1, abs=0.03)
    assert float(torch.stack(ratios).std()) < 0.08


@pytest.mark.parametrize("make", [GaussianSensing, FastSensing])
def test_amount_seed_and_shape(make: Callable[..., Any]) -> None:
    x = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    free = make(ratio=0.25, seed=3)
    operator = free.for_shape((3, 8, 8))
    assert operator.for_shape((3, 8, 8)) is operator
    assert operator.A(x).shape == (2, 48)
    torch.testing.assert_close(operator.A(x), make(m=48, seed=3, shape=[3, 8, 8]).A(x))
    assert not torch.allclose(operator.A(x), make(m=48, seed=4, shape=[3, 8, 8]).A(x))
    torch.testing.assert_close(operator.A(x.double()).float(), operator.A(x))
    with pytest.raises(ValueError, match=r"shape is not known; pass shape=\[3, 64, 64\]"):
        free.A(x)
    with pytest.raises(ValueError, match=r"expected images of shape \(B, 3, 8, 8\), got \(B, 3, 8, 9\)"):
        operator.out_shape((3, 8, 9))
    with pytest.raises(ValueError, match=r"expected measurements of shape \(B, 48\), got \(B, 47\)"):
        operator.A_adjoint(torch.ones(1, 47))
    with pytest.raises(ValueError, match=r"asked for \[3, 9, 9\]"):
        operator.for_shape((3, 9, 9))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GaussianSensing(), "give one of m .* got m=None and ratio=None"),
        (lambda: FastSensing(m=3, ratio=0.1), "give one of m .* got m=3 and ratio=0.1"),
        (lambda: FastSensing(m=0), "m must be a whole number of 1 or more, got 0"),
        (lambda: GaussianSensing(ratio=-0.5), "ratio must be above 0, got -0.5"),
        (lambda: GaussianSensing(m=3, shape=[64, 64]), r"shape must be \[C, H, W\].* got \[64, 64\]"),
        (lambda: FastSensing(m=3, transform="haar"), "transform must be one of hadamard, dct, fft, got 'haar'"),  # type: ignore[arg-type]
        (lambda: FastSensing(ratio=1.1, shape=[3, 8, 8]), "at most n = 192 .* got m = 211"),
    ],
)
def test_errors_name_the_thing_and_the_value(make: Callable[..., Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_memory_guard_names_the_way_out() -> None:
    with pytest.raises(ValueError, match=r"3\.96e\+03 GB, above limit_gb=2; use .*FastSensing\(ratio=0.1, seed=5\)"):
        GaussianSensing(ratio=0.1, seed=5).for_shape((3, 1024, 1024))
    with pytest.raises(ValueError, match=r"above limit_gb=0.001; use"):
        GaussianSensing(ratio=0.5, limit_gb=0.001).for_shape((3, 32, 32))


@pytest.mark.parametrize("make", [GaussianSensing, FastSensing])
def test_the_smallest_ratio_measures_one_number(make: Callable[..., Any]) -> None:
    assert make(ratio=1e-6).for_shape((1, 4, 4)).A(torch.ones(2, 1, 4, 4)).shape == (2, 1)


@pytest.mark.parametrize("transform", ["hadamard", "dct", "fft"])
def test_a_megapixel_is_quick(transform: Any) -> None:
    """Well under a second on one quiet core; the bound leaves room for busy ones."""
    operator = FastSensing(ratio=0.1, transform=transform, shape=[3, 1024, 1024])
    x = torch.rand(1, 3, 1024, 1024, generator=torch.Generator().manual_seed(0))
    start = time.perf_counter()
    y = operator.A(x)
    back = operator.A(operator.A_dagger(y))
    assert time.perf_counter() - start < 10
    assert float((back - y).norm() / y.norm()) < 1e-5


@pytest.mark.parametrize("transform", ["hadamard", "dct", "fft"])
def test_every_number_counts_as_measured(transform: Literal["hadamard", "dct", "fft"]) -> None:
    operator = FastSensing(ratio=0.5, transform=transform, shape=[3, 16, 16])
    assert bool((operator.support(torch.ones(2, 3, 16, 16)) == 1).all())


def test_without_onednn_each_row_is_a_product_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """In which order another library adds several up is not known."""
    taken: list[int] = []

    def noted(rows: Tensor, matrix: Tensor) -> Tensor:
        taken.append(len(rows))
        return rows @ matrix.T

    operator, x = GaussianSensing(m=7, shape=[3, 4, 4]), torch.rand(3, 3, 4, 4, requires_grad=True)
    usual = operator.A(x)
    (slope,) = torch.autograd.grad(usual.square().sum(), x)
    monkeypatch.setattr(sensing, "rounds_alike", lambda: False)
    monkeypatch.setattr(sensing, "product", noted)
    torch.testing.assert_close(operator.A(x), usual)
    assert taken == [1, 1, 1]
    assert operator.A(x[:0]).shape == (0, 7)
    alone = [torch.autograd.grad(operator.A(row[None]).square().sum(), row)[0] for row in x.detach().requires_grad_().unbind()]
    torch.testing.assert_close(torch.stack(alone), slope)
