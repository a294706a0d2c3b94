"""Solutions in plain safetensors files: written whole or not at all, and read without running anything in them."""

from __future__ import annotations

import json
from errno import EINVAL, ENOENT
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor

from priorsolve.files import write_atomically
from priorsolve.priors.errors import in_one_line, told
from priorsolve.priors.safetensors_file import read_safetensors, to_safetensors
from priorsolve.showing import checked_path
from priorsolve.solvers.checks import must_be_solution
from priorsolve.solvers.solution import Solution
from priorsolve.solvers.stopping import Stop

KIND = "priorsolve.solution"
VERSION = "1"
_CODES = "codes/"
_RANKS = {"images": 4, "misfit": 1, "residual": 1, "steps": 1, "history": 2}
"""How many axes each tensor has: (B, C, H, W), (B,), and (k, B) for the history."""


def save_solution(solution: Solution, path: str | Path) -> None:
    """Write all of `solution` to a safetensors file; `load_solution` gives it back bit by bit, on the CPU.

    The tensors are `images`, `misfit`, `residual`, `steps`, `history` and `codes/NAME`; why each image stopped is in the metadata.

    Raises:
        ValueError: that is no solution, or no path; its codes are not floats, as `load_solution` wants them.
        OSError: the folder cannot be written.
    """
    must_be_solution(solution, "save_solution")
    write_atomically(checked_path(path, "save_solution: path"), packed(solution))


def packed(solution: Solution) -> bytes:
    """What `save_solution` writes of it."""
    tensors = {name: getattr(solution, name) for name in _RANKS} | {_CODES + name: codes for name, codes in solution.codes.items()}
    if odd := _odd(tensors):
        raise ValueError(f"the solution holds {odd}, which would not be read back: expected floats, and whole numbers of steps")
    # copies: a file holds no two tensors that share memory, as parts of one solution may
    plain = {name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
    metadata = {KIND: VERSION, "stopped": json.dumps([stop.name for stop in solution.stopped])}
    return to_safetensors(plain, metadata)


def load_solution(path: str | Path) -> Solution:
    """The solution that `save_solution` wrote, on the CPU: a start for any solver with a way from its codes.

    Raises:
        ValueError: the file holds no solution, or one that is damaged.
        OSError: it cannot be read.
    """
    path = checked_path(path, "load_solution: path")
    if not path.exists():
        raise FileNotFoundError(ENOENT, "no such file; give one that save_solution wrote", str(path))
    if not (path.is_file() or path.is_dir()):
        raise OSError(EINVAL, "a pipe or a device, no file; copy what it gives into a file", str(path))
    with path.open("rb"):  # a folder says so in its own words
        pass
    try:
        tensors, metadata = read_safetensors(path)
        # copies: the file may be written anew while what was read from it is in use
        return _unpacked(metadata, {name: tensor.clone() for name, tensor in tensors.items()})
    except SafetensorError as error:
        raise ValueError(f"{path}: is no safetensors file, or is damaged ({error}); save the solution again") from None
    except ValueError as error:
        raise ValueError(f"{path}: {in_one_line(error)}") from None


def _unpacked(metadata: dict[str, str], tensors: dict[str, Tensor]) -> Solution:
    """What `packed` made a file of. Raises ValueError where that is no solution."""
    if KIND not in metadata:
        raise ValueError("holds tensors and no solution; give a file that save_solution wrote")
    if metadata[KIND] != VERSION:
        raise ValueError(f"holds a solution of version {metadata[KIND]}, this priorsolve reads {VERSION}; update priorsolve")
    codes = {name.removeprefix(_CODES): tensor for name, tensor in tensors.items() if name.startswith(_CODES)}
    stopped = _stops(metadata.get("stopped", ""))
    _check(tensors, len(stopped))
    return Solution(**{name: tensors[name] for name in _RANKS}, codes=codes, stopped=stopped)


def _stops(text: str) -> tuple[Stop, ...]:
    try:
        return tuple(Stop[name] for name in json.loads(text))
    except (ValueError, TypeError, KeyError, RecursionError):
        known = ", ".join(stop.name for stop in Stop)
        raise ValueError(f"says {told(text)} about why images stopped, expected a list of {known}; save the solution again") from None


def _check(tensors: dict[str, Tensor], count: int) -> None:
    """Raises ValueError unless every part is there, of its type, and for `count` images."""
    missing = [name for name in _RANKS if name not in tensors]
    if missing:
        raise ValueError(f"lacks {', '.join(missing)}; save the solution again")
    if odd := _odd(tensors):
        raise ValueError(f"holds {odd}, expected floats, and whole numbers of steps; save the solution again")
    if bool((tensors["steps"] < 0).any()):
        raise ValueError("holds a number of steps below 0; save the solution again")
    wrong = [
        f"{name} {tuple(tensor.shape)}"
        for name, tensor in tensors.items()
        if tensor.ndim != _RANKS.get(name, tensor.ndim) or tensor.shape[name == "history" :][:1] != (count,)
    ]
    if wrong:
        raise ValueError(f"says why {count} images stopped, but holds {', '.join(wrong)}; save the solution again")


def _odd(tensors: dict[str, Tensor]) -> str:
    """Those of a type that they cannot have in a solution: all are floats but the numbers of steps."""
    return ", ".join(
        f"{name} of {value.dtype}" for name, value in tensors.items() if _kind(value) is not (int if name == "steps" else float)
    )


def _kind(tensor: Tensor) -> type:
    if tensor.is_floating_point():
        return float
    return complex if tensor.is_complex() else bool if tensor.dtype == torch.bool else int
