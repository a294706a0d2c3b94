from __future__ import annotations

from collections.abc import Mapping

import pytest
import test_biggan
import test_biggan_deep
import test_conditional_dcgan
import test_dcgan
import test_pggan
from style_support import style2_state
from torch import Tensor

from priorsolve.priors import CheckpointError, load
from priorsolve.priors.checkpoint import Checkpoint
from priorsolve.priors.load import build


@pytest.mark.parametrize(
    ("state", "side"),
    [
        (test_dcgan.random_state(widths=(5, *[1] * 11, 3)), 8192),
        (test_dcgan.random_state(widths=(5, *[1] * 300, 3)), "a number of 303 bits"),
        (test_pggan.random_state((5, *[1] * 12)), 8192),
        (test_biggan.generator_state(widths=(2,) * 12), 8192),
    ],
)
def test_pictures_too_large_for_any_memory_are_refused(state: Mapping[str, Tensor], side: object) -> None:
    with pytest.raises(CheckpointError, match=f"draws pictures of a side of {side}, more than 4096"):
        build(Checkpoint(dict(state)))


@pytest.mark.parametrize(
    "state",
    [
        *(style2_state(), test_dcgan.random_state(), test_conditional_dcgan.random_state()),
        *(test_pggan.random_state(), test_biggan.generator_state(), test_biggan_deep.random_state()),
    ],
)
def test_so_they_are_of_every_family(state: Mapping[str, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    build(Checkpoint(dict(state)))
    monkeypatch.setattr(load, "SIDE_LIMIT", 4)
    with pytest.raises(CheckpointError, match="more than 4; it is damaged"):
        build(Checkpoint(dict(state)))
