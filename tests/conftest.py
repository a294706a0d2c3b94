"""What several test files share: the reference cases beside the checkout, and the one real prior."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from priorsolve.priors import DownloadError, Prior, fetch, load_prior

if "PYTEST_XDIST_WORKER" in os.environ:  # a core each: threads of several workers would wait for one another, many times over
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference cases, made with the original code; it is not part of the repository."""
    folder = Path(__file__).resolve().parent.parent.parent / "shared"
    if not folder.is_dir():
        pytest.skip("the reference cases (../shared) are not here")
    return folder


@pytest.fixture(scope="session")
def digiface64() -> Prior:
    """The real 64×64 face prior, downloaded once into the user's cache."""
    return _downloaded("digiface64")


@pytest.fixture(scope="session")
def ffhq128() -> Prior:
    """The real 128×128 face prior of the recipes, downloaded once into the user's cache."""
    return _downloaded("ffhq128")


def _downloaded(name: str) -> Prior:
    try:
        fetch(name)
    except DownloadError as error:
        pytest.skip(f"no real weights: {error}")
    return load_prior(name)
