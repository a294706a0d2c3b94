"""Solutions on disk and across processes: bit by bit the same, and as good a start as the original."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from laws_support import few
from safetensors.torch import save_file
from solvers_support import linear, pictures, random_mask
from torch import Tensor

from priorsolve.operators.base import Identity
from priorsolve.priors import Prior
from priorsolve.solvers import Latent, Layerwise, Solution, Staged, Stop, load_solution, save_solution


def solved(count: int = 3, dtype: torch.dtype = torch.float64) -> Solution:
    operator = random_mask(8, 8)
    y = operator.A(pictures(count, dtype))
    if count:
        y[0] = operator.A(linear(dtype).decode(torch.zeros(1, 4, dtype=dtype)))[0]
    return Latent(linear(dtype), steps=25, restarts=3, plateau=6, noise=0.02, seed=2)(y, operator)


def same(a: Solution, b: Solution) -> bool:
    """Every field of the two, bit by bit."""
    for field in fields(Solution):
        mine, theirs = getattr(a, field.name), getattr(b, field.name)
        mine, theirs = (value if isinstance(value, Mapping) else {"": value} for value in (mine, theirs))
        if mine.keys() != theirs.keys():
            return False
        for name, value in mine.items():
            if isinstance(value, Tensor):
                if value.dtype != theirs[name].dtype or not torch.equal(value, theirs[name]):
                    return False
            elif value != theirs[name]:
                return False
    return True


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_field_comes_back(tmp_path: Path, dtype: torch.dtype) -> None:
    solution = solved(dtype=dtype)
    assert len(set(solution.stopped)) > 1, "the case should have more than one reason to stop"
    path = tmp_path / "new" / "a.safetensors"
    save_solution(solution, path)
    assert same(load_solution(path), solution)
    assert not same(load_solution(path), replace(solution, misfit=solution.misfit + 1))
    assert [file.name for file in path.parent.iterdir()] == ["a.safetensors"]


@given(
    count=st.integers(0, 3),
    names=st.sets(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), max_size=3),
    stops=st.lists(st.sampled_from(list(Stop)), min_size=3, max_size=3),
)
@few
def test_any_codes_and_stops_come_back(count: int, names: set[str], stops: list[Stop], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("any") / "a.safetensors"
    both = torch.rand(count, 4, 5)
    codes = {name: both[:, i : i + 2] for i, name in enumerate(sorted(names))}  # neither contiguous nor memory of their own
    solution = Solution(
        torch.rand(count, 3, 2, 2),
        codes,
        torch.rand(count),
        torch.full((count,), torch.inf),
        torch.arange(count),
        tuple(stops[:count]),
        torch.rand(2, count),
    )
    save_solution(solution, path)
    assert same(load_solution(path), solution)
    save_solution(load_solution(path), path)
    assert same(load_solution(path), solution)


def test_a_path_may_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    save_solution(Latent(linear(), steps=1)(pictures(1), Identity()), "~/kept/a.safetensors")
    assert (tmp_path / "kept" / "a.safetensors").is_file()
    assert len(load_solution("~/kept/a.safetensors").images) == 1


def test_a_start_from_disk_or_from_a_pickle_is_the_start_itself(tmp_path: Path) -> None:
    y, operator = pictures(2), random_mask(8, 8)
    first = Latent(linear(), steps=15, restarts=2)(operator.A(y), operator)
    second = Latent(linear(), steps=15, lr=0.05)
    expected = second(operator.A(y), operator, start=first)
    assert float((expected.images - first.images).abs().max()) > 1e-4, "there is a way to go"
    save_solution(first, tmp_path / "first")
    for start in (load_solution(tmp_path / "first"), pickle.loads(pickle.dumps(first))):
        assert same(second(operator.A(y), operator, start=start), expected)


def test_solvers_and_solutions_can_be_pickled(digiface64: Prior) -> None:
    y = pictures(2)
    later = Latent(linear(), steps=4)
    for solver in (Latent(linear(), steps=8, noise=0.1), Staged([later, later]), Staged([Layerwise(later.prior), later])):
        solution = solver(y, Identity())
        for copied in (pickle.loads(pickle.dumps(solver)), copy.deepcopy(solver)):
            assert same(copied(y, Identity()), solution)
        assert same(pickle.loads(pickle.dumps(solution)), solution)
    real = Latent(digiface64, steps=2, restarts=1, candidates=2)
    photo = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert same(pickle.loads(pickle.dumps(real))(photo, Identity()), real(photo, Identity()))


def test_a_solution_made_and_loaded_where_gradients_are_off_starts_a_solve_elsewhere(tmp_path: Path) -> None:
    y, solver = pictures(2), Latent(linear(), steps=10)
    expected = solver(y, Identity(), start=solver(y, Identity()))
    with torch.inference_mode():
        save_solution(solver(y, Identity()), tmp_path / "a")
        inside = load_solution(tmp_path / "a")
        continued = solver(y, Identity(), start=inside)
    for start in (inside, load_solution(tmp_path / "a")):
        assert same(solver(y, Identity(), start=start), expected)
    assert same(continued, expected)


# -- what is no solution ---------------------------------------------------------------------------------------------------------------


def write(path: Path, tensors: dict[str, Tensor], **metadata: str) -> Path:
    save_file(tensors, path, {"priorsolve.solution": "1", "stopped": '["budget", "budget"]', **metadata})
    return path


def parts() -> dict[str, Tensor]:
    return {
        "images": torch.rand(2, 3, 4, 4),
        "codes/z": torch.rand(2, 5),
        "misfit": torch.rand(2),
        "residual": torch.rand(2),
        "steps": torch.tensor([3, 4]),
        "history": torch.rand(6, 2),
    }


def test_the_parts_of_a_solution_are_one(tmp_path: Path) -> None:
    """So that the refusals below are for the one thing each changes."""
    assert load_solution(write(tmp_path / "a", parts())).codes.keys() == {"z"}


@pytest.mark.parametrize(
    ("changes", "metadata", "message"),
    [
        ({"images": torch.rand(3, 3, 4, 4)}, {}, r"why 2 images stopped, but holds images \(3, 3, 4, 4\)"),
        ({"images": torch.rand(2, 3)}, {}, r"images \(2, 3\)"),
        ({"codes/z": torch.rand(1, 5)}, {}, r"codes/z \(1, 5\)"),
        ({"codes/z": torch.tensor(1.0)}, {}, r"codes/z \(\)"),
        ({"history": torch.rand(2, 6)}, {}, r"history \(2, 6\)"),
        ({"misfit": torch.rand(2, 1)}, {}, r"misfit \(2, 1\)"),
        ({"images": torch.ones(2, 3, 4, 4, dtype=torch.long)}, {}, r"images of torch\.int64, expected floats"),
        ({"misfit": torch.ones(2).bool(), "steps": torch.ones(2)}, {}, r"misfit of torch\.bool, steps of torch\.float32, expected floats"),
        *(({"codes/z": torch.ones(2, 5).to(kind)}, {}, f"codes/z of {kind}, expected") for kind in (torch.long, torch.bool, torch.cfloat)),
        ({"steps": torch.ones(2).bool()}, {}, r"steps of torch\.bool, expected floats, and whole numbers"),
        ({"steps": torch.tensor([3, -4])}, {}, "a number of steps below 0"),
        ({"misfit": None, "steps": None}, {}, "lacks misfit, steps"),
        ({}, {"stopped": '["budget"]'}, "why 1 images stopped"),
        ({}, {"stopped": '["budget", "tired"]'}, "tired.*expected a list of budget"),
        ({}, {"stopped": "nothing"}, "'nothing'.*expected a list"),
        ({}, {"stopped": "3"}, "'3'.*expected a list"),
        ({}, {"stopped": "[" * 100_000}, "expected a list"),
        ({}, {"priorsolve.solution": "2"}, "version 2.*update"),
        ({}, {"priorsolve.solution": "2\n\x1b" * 100_000}, "version 2.*update"),
    ],
)
def test_a_damaged_solution_is_one_clear_error(
    tmp_path: Path, changes: dict[str, Tensor | None], metadata: dict[str, str], message: str
) -> None:
    tensors = {name: tensor for name, tensor in (parts() | changes).items() if tensor is not None}
    path = write(tmp_path / "a", tensors, **metadata)
    with pytest.raises(ValueError, match=message) as caught:
        load_solution(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 2000, "not all that a file says is told"


def test_other_files_are_one_clear_error(tmp_path: Path) -> None:
    save_file({"weight": torch.rand(2)}, tmp_path / "tensors")
    (tmp_path / "text").write_text(json.dumps({"z": 1}))
    (tmp_path / "empty").touch()
    save_solution(solved(), tmp_path / "whole")
    whole = (tmp_path / "whole").read_bytes()
    (tmp_path / "half").write_bytes(whole[: len(whole) // 2])
    for name, message in {
        "tensors": "tensors and no solution",
        "text": "safetensors",
        "empty": "safetensors",
        "half": "safetensors",
    }.items():
        with pytest.raises(ValueError, match=f"{name}: .*{message}") as caught:
            load_solution(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError, match="none"):
        load_solution(tmp_path / "none")
    with pytest.raises(IsADirectoryError):
        load_solution(tmp_path)


def test_a_file_is_whole_or_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, solution = tmp_path / "a", solved(1)
    save_solution(solution, path)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_solution(solved(2), path)
    assert same(load_solution(path), solution)
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_a_solution_is_told_in_a_line_and_is_equal_to_itself_only() -> None:
    solution = solved()
    assert repr(solution) == "Solution(3 × 3×8×8; codes: z (4,); stopped: 1 noise, 2 plateau)"
    assert repr(solved(0)) == "Solution(0 × 3×8×8; codes: z (4,); stopped: none)"
    tuned = replace(solution, codes={**solution.codes, "weights:a": torch.zeros(3, 1), "weights:b": torch.zeros(3, 1)})
    assert "codes: z (4,), 2 tuned weights;" in repr(tuned)
    assert solution == solution
    assert solution != replace(solution)
    assert len({solution, replace(solution)}) == 2


@pytest.mark.parametrize("kind", [torch.long, torch.bool, torch.cfloat])
def test_what_would_not_be_read_back_is_not_written(tmp_path: Path, kind: torch.dtype) -> None:
    solution = load_solution(write(tmp_path / "a", parts()))
    with pytest.raises(ValueError, match=f"^the solution holds codes/z of {kind}, which would not be read back: expected floats"):
        save_solution(replace(solution, codes={"z": solution.codes["z"].to(kind)}), tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_what_was_loaded_stays_when_the_file_is_written_over(tmp_path: Path) -> None:
    """In its place, as other programs copy files: tensors in the file's own memory would change with it."""
    solution = Latent(linear(), steps=1)(pictures(2), Identity())
    save_solution(solution, tmp_path / "one")
    loaded = load_solution(tmp_path / "one")
    with (tmp_path / "one").open("r+b") as file:
        file.write(bytes((tmp_path / "one").stat().st_size))
    assert torch.equal(loaded.images, solution.images)
    assert torch.equal(loaded.codes["z"], solution.codes["z"])
