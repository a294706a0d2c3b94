"""A prior by name or by file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from priorsolve.priors.base import Prior
from priorsolve.priors.checkpoint import read_state
from priorsolve.priors.dcgan import DCGAN
from priorsolve.priors.download import Progress, fetch
from priorsolve.priors.errors import CheckpointError
from priorsolve.priors.faces import load_faces
from priorsolve.priors.zoo import ZOO


def load_prior(source: str | Path, *, on_progress: Progress | None = None) -> Prior:
    """The frozen prior called `source` in the zoo, or in the checkpoint at that path; a name goes before a file of the same name.

    Args:
        source: a name such as "digiface64", or a path; a file's format is told by its content.
        on_progress: called with bytes done and bytes in all while weights are downloaded.

    Raises:
        ValueError: neither a known name nor a path.
        CheckpointError: the file is not a generator known here.
        FetchError: the weights of a named prior could not be had.
    """
    if isinstance(source, str) and (source in ZOO or not _looks_like_path(source)):
        path = fetch(source, on_progress=on_progress)  # an unknown name raises, with the nearest one
        if path.is_dir():
            return load_faces(source, path)
    else:
        path = Path(source).expanduser()
    state = read_state(path)
    try:
        return _built(state)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {' '.join(str(error).split())}") from None


def _looks_like_path(source: str) -> bool:
    return Path(source).exists() or Path(source).suffix != "" or any(mark in source for mark in ("/", os.sep, "~"))


def _built(state: Mapping[str, Tensor]) -> Prior:
    """The generator whose layout the tensors' names show."""
    if "main.0.weight" in state and state["main.0.weight"].ndim == 4:
        return DCGAN.from_state(state)
    first = ", ".join(list(state)[:5]) or "(none)"
    raise CheckpointError(f"no known generator layout matches; its first tensors are {first}; DCGAN is known")
