"""Safetensors files that are written here: the same bytes of the same content, which the package reads as its own."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save

from priorsolve.operators import Downsample
from priorsolve.priors import Prior, save_prior
from priorsolve.priors.safetensors_file import read_safetensors, to_safetensors
from priorsolve.solvers import Latent, Solution, Tuned, save_delta, save_solution

TENSORS = {
    "z": torch.arange(3.0),
    "none": torch.zeros(0, 3),
    "b": torch.tensor([True, False]),
    "half": torch.ones(3, 1, dtype=torch.bfloat16),
    "count": torch.tensor(7),
}
METADATA = {"format": "pt", "b": 'é "\\/\n\r\t\b\f\x01\x7f\u2028🙂', "a": "", "🙂": "{}", "é": "1", "": "2"}


def test_the_same_content_has_the_same_bytes_and_is_read_back(tmp_path: Path) -> None:
    data = to_safetensors(TENSORS, METADATA)
    assert {to_safetensors(TENSORS, dict(reversed(METADATA.items()))) for _ in range(20)} == {data}
    (tmp_path / "a.safetensors").write_bytes(data)
    tensors, metadata = read_safetensors(tmp_path / "a.safetensors")
    assert metadata == METADATA
    assert all(torch.equal(tensors[name], tensor) and tensors[name].dtype == tensor.dtype for name, tensor in TENSORS.items())
    assert load(data).keys() == TENSORS.keys()


def test_where_there_is_one_order_alone_the_bytes_are_the_packages() -> None:
    assert to_safetensors(TENSORS, {"format": "pt"}) == save(TENSORS, {"format": "pt"})


def test_the_file_is_in_memory_once() -> None:
    tensors = {"a": torch.zeros(1 << 22)}
    tracemalloc.start()
    try:
        size = len(to_safetensors(tensors, METADATA))
        assert tracemalloc.get_traced_memory()[1] < 1.1 * size
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module")
def solved(digiface64: Prior) -> tuple[Prior, Solution, Solution]:
    """A prior, and what it found by its codes, and with its weights tuned."""
    A = Downsample(4)
    y = A.A(digiface64.decode(digiface64.sample(1, torch.Generator().manual_seed(0))))
    return digiface64, Latent(digiface64, steps=1, restarts=1, candidates=1)(y, A), Tuned(digiface64, steps=1)(y, A)


WRITERS: dict[str, Callable[[Prior, Solution, Solution, Path], None]] = {
    "solution": lambda prior, found, tuned, path: save_solution(found, path),
    "delta": lambda prior, found, tuned, path: save_delta(prior, tuned, 0, path),
    "prior": lambda prior, found, tuned, path: save_prior(prior, path),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_what_is_saved_twice_is_the_same_file(kind: str, solved: tuple[Prior, Solution, Solution], tmp_path: Path) -> None:
    made = set()
    for _ in range(12):
        WRITERS[kind](*solved, tmp_path / "a.safetensors")
        made.add((tmp_path / "a.safetensors").read_bytes())
    assert len(made) == 1
