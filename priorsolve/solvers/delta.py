"""What tuning made of a prior for one photo, as a small file: the tuned weights and the codes, nothing of the rest."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from priorsolve.apart import apart
from priorsolve.files import write_atomically
from priorsolve.priors.base import Prior
from priorsolve.priors.errors import CheckpointError
from priorsolve.priors.layout import refuse_nonfinite, refuse_other_types
from priorsolve.priors.safetensors_file import read_safetensors, to_safetensors
from priorsolve.showing import checked_path, is_whole, shown
from priorsolve.solvers.checks import must_be_prior, must_be_solution
from priorsolve.solvers.instance_norm import NAME, instance_normed
from priorsolve.solvers.solution import Solution
from priorsolve.solvers.variables import forgotten
from priorsolve.solvers.weights import named, parted

_KIND = "priorsolve.delta"
_FAMILY = "priorsolve.delta.family"
_DIGEST = "priorsolve.delta.digest"
"""Of the file's own tensors; older files have none."""


def save_delta(prior: Prior, solution: Solution, index: int, path: str | Path) -> None:
    """Write image `index`'s codes and tuned weights to a safetensors file that `load_delta` reads with the same prior; whole or not at all.

    Args:
        prior: what the solver tuned, unchanged since; its fingerprint is written beside the tensors.
        solution: of `tuned` or `pivotal`, or of a list that ends with one.

    Raises:
        ValueError: nothing was tuned, there is no such image, or an argument is not what it must be.
        OSError: the folder cannot be written.
    """
    must_be_prior(prior, "save_delta: prior")
    must_be_solution(solution, "save_delta")
    path = checked_path(path, "save_delta: path")
    if not is_whole(index):
        raise ValueError(f"index is {shown(index)}; give the whole number of one image")
    if not 0 <= index < len(solution.images):
        raise ValueError(f"there is no image {index} in a solution of {len(solution.images)}; count from 0")
    if not parted(solution.codes)[1]:
        raise ValueError("the solution has no tuned weights; its codes are all there is, so save those")
    tensors = {name: value[index].detach().cpu().contiguous() for name, value in forgotten(solution.codes).items()}
    about = {"format": "pt", _KIND: fingerprint(prior), _FAMILY: str(prior), _DIGEST: _digest(tensors)}
    write_atomically(path, to_safetensors(tensors, about))


@apart()
def load_delta(prior: Prior, path: str | Path) -> tuple[Prior, dict[str, Tensor]]:
    """A copy of `prior` with the file's tuned weights, and the codes (1, ...) by space: together they draw the photo's picture,
    to the last bit.

    Raises:
        CheckpointError: no such file, not one of `save_delta`'s, one of another prior, or one that is damaged: with other tensors than
            were saved.
        ValueError: that is no prior, or no path.
    """
    must_be_prior(prior, "load_delta: prior")
    path = checked_path(path, "load_delta: path")
    tensors, about = _read(path)
    if _KIND not in about:
        raise CheckpointError(f"{path}: holds no tuned weights of save_delta; load a whole generator with load_prior")
    if about[_KIND] != fingerprint(prior):
        raise CheckpointError(f"{path}: was tuned of another prior, a {about.get(_FAMILY)}, than this {prior}; load that prior first")
    codes, weights = parted(tensors)
    digest = _digest(tensors)
    tuned = copy.deepcopy(instance_normed(prior, {name: value[None] for name, value in weights.items()}))
    own = named(tuned)
    try:
        _must_fit(weights, own)
        _must_be_codes(codes, prior)
        refuse_other_types(tensors, tensors)
        refuse_nonfinite(tensors, tensors)
        if about.get(_DIGEST, digest) != digest:
            raise CheckpointError("is damaged: it holds other tensors than were saved; save the tuned weights again")
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    for name, value in weights.items():
        with torch.no_grad():
            own[name].copy_(value)
    return tuned, {name: code[None].to(next(prior.parameters())) for name, code in codes.items()}


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The file's tensors and metadata, whatever they are of."""
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for without end
            raise OSError("it is no file")
        return read_safetensors(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be read as tuned weights ({' '.join(str(error).split())})") from None


def _must_fit(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Raise CheckpointError for a weight that is none of the prior's `own`, or of another shape."""
    for name, value in weights.items():
        wanted = tuple(own[name].shape) if name in own else "none"
        if name.endswith(f".{NAME}") and (value.ndim != 2 or len(value) != 2):
            wanted = "(2, channels)"  # `own` is of the file's shape there
        if tuple(value.shape) != wanted:
            raise CheckpointError(f"{name} has shape {tuple(value.shape)}, expected {wanted}; save the tuned weights again")


def _must_be_codes(codes: Mapping[str, Tensor], prior: Prior) -> None:
    """Raise CheckpointError for a code of another shape than its space."""
    for name, code in codes.items():
        if name in prior.spaces and tuple(code.shape) != tuple(prior.spaces[name]):
            raise CheckpointError(f"the code in {name} has shape {tuple(code.shape)}, expected {tuple(prior.spaces[name])}; save it again")


def fingerprint(prior: nn.Module) -> str:
    """sha256 over every tensor of the prior: name, shape, type and bytes."""
    return _digest(prior.state_dict())


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """sha256 over all of them: name, shape, type and bytes."""
    digest = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes() if value.numel() else b"")
    return digest.hexdigest()
