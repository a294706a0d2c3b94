"""What a file may hold in every family: pictures that fit a memory, weights of floating point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from prior_support import stylegan3
from states_support import (
    biggan_deep_state,
    biggan_state,
    conditional_dcgan_state,
    dcgan_state,
    mlp_state,
    mobilestylegan_state,
    pggan_state,
    vae_state,
)
from style_support import style2_state
from torch import Tensor

from priorsolve.priors import CheckpointError, load
from priorsolve.priors.checkpoint import Checkpoint
from priorsolve.priors.load import build


@pytest.mark.parametrize(
    ("state", "side"),
    [
        (dcgan_state(widths=(5, *[1] * 11, 3)), 8192),
        (dcgan_state(widths=(5, *[1] * 300, 3)), "a number of 303 bits"),
        (pggan_state((5, *[1] * 12)), 8192),
        (biggan_state(widths=(2,) * 12), 8192),
    ],
)
def test_pictures_too_large_for_any_memory_are_refused(state: Mapping[str, Tensor], side: object) -> None:
    with pytest.raises(CheckpointError, match=f"draws pictures of a side of {side}, more than 4096"):
        build(Checkpoint(dict(state)))


STATES = [
    *(style2_state(), dcgan_state(), conditional_dcgan_state(), mobilestylegan_state()),
    *(pggan_state(), biggan_state(), biggan_deep_state(), mlp_state(), vae_state()),
]
FAMILIES = [*map(Checkpoint, STATES), Checkpoint(stylegan3().state_dict(), stylegan3().settings)]


@pytest.mark.parametrize("file", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.complex64, torch.uint16, torch.int8, torch.int64, torch.bool])
def test_weights_of_another_type_are_refused(file: Checkpoint, dtype: torch.dtype) -> None:
    with pytest.raises(CheckpointError, match=rf"holds {dtype}, .*save the weights (as float32|unquantised)"):
        build(replace(file, state={key: value.to(dtype) for key, value in file.state.items()}))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_other_widths_are_not(dtype: torch.dtype) -> None:
    for state in (style2_state(), dcgan_state()):
        assert next(build(Checkpoint({key: value.to(dtype) for key, value in state.items()})).parameters()).dtype == torch.float32


@pytest.mark.parametrize("file", FAMILIES)
def test_so_they_are_of_every_family(file: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    build(file)
    monkeypatch.setattr(load, "SIDE_LIMIT", 4)
    with pytest.raises(CheckpointError, match="more than 4; it is damaged"):
        build(file)


@pytest.mark.parametrize("state", [style2_state(), dcgan_state(), pggan_state()])
def test_numbers_beyond_float32_are_refused_and_those_laid_otherwise_are_put_in_order(state: dict[str, Tensor]) -> None:
    key = max(state, key=lambda name: state[name].numel() if state[name].ndim == 4 else 0)
    with pytest.raises(CheckpointError, match=f"NaN or infinite values in {key}"):
        build(Checkpoint({**state, key: torch.full_like(state[key], 1e300, dtype=torch.float64)}))
    other = {name: x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x for name, x in state.items()}
    assert all(x.is_contiguous() for x in build(Checkpoint(other)).parameters())
