from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from priorsolve.priors import CheckpointError
from priorsolve.priors.inert import Record, Storage, View
from priorsolve.priors.unwrap import generator_of

RAW = {"main.0.weight": torch.zeros(2, 1, 4, 4), "main.1.weight": torch.zeros(2), "main.1.bias": torch.zeros(2)}
EMA = {key: value + 1 for key, value in RAW.items()}
OTHER = {"main.0.weight": torch.zeros(2, 1, 4, 4), "main.2.weight": torch.zeros(2), "main.3.weight": torch.zeros(3)}


def read(content: object) -> Mapping[str, Tensor]:
    return generator_of(content, 1 << 20)[0]


@pytest.mark.parametrize(
    ("raw", "averaged"),
    [
        ("g", "g_ema"),
        ("G", "G_EMA"),
        ("generator", "generator_ema"),
        ("generator", "generator_averaged"),
        ("netG", "netG_ema"),
        ("model", "model_ema"),
        ("model", "ema_model"),
        ("state_dict", "state_dict_ema"),
        ("netG_state_dict", "netG_ema_state_dict"),
        ("params", "params_ema"),
    ],
)
def test_the_averaged_generator_is_taken_under_any_name(raw: str, averaged: str) -> None:
    for content in ({raw: RAW, averaged: EMA}, {averaged: EMA, raw: RAW}, {raw: RAW, averaged: {"state_dict": EMA}}):
        assert torch.equal(read(content)["main.0.weight"], EMA["main.0.weight"])
    prefixed = {f"module.{key}": value for key, value in EMA.items()}
    assert torch.equal(read({raw: RAW, averaged: prefixed})["main.0.weight"], EMA["main.0.weight"])


@pytest.mark.parametrize(
    "content",
    [
        {"netG": RAW, "ema": {"decay": torch.tensor(0.99), "n": torch.tensor(3)}},
        {"netG": RAW, "netG_ema": {"decay": 0.99}},
        {"generator": RAW, "encoder_ema": {"fc.weight": torch.ones(3, 3)}},
        {"netG": RAW, "netD_ema": OTHER, "optimizer": {"state": {0: {"step": 1}}}},
    ],
)
def test_what_else_is_called_so_is_not_taken(content: Any) -> None:
    assert torch.equal(read(content)["main.0.weight"], RAW["main.0.weight"])


def test_averages_that_cannot_be_told_apart_are_named() -> None:
    with pytest.raises(CheckpointError, match="holds netG and averages that may be its own, 'ema_1', 'ema_2'; save the one"):
        read({"netG": RAW, "ema_1": EMA, "ema_2": EMA})
    with pytest.raises(CheckpointError, match="holds model and averages that may be its own, 'model_ema'"):
        read({"model": RAW, "model_ema": {key: EMA[key] for key in [*EMA][:2]}})


def test_of_nvidias_networks_too() -> None:
    raw, averaged, judge = (Record(kind, {"_parameters": {}}) for kind in ("Generator", "Generator", "Discriminator"))
    averaged.state["_buffers"] = {"a": View(Storage(torch.float32, 1, lambda: bytes(4)), 0, (1,), (1,))}
    assert read({"G": raw, "D_EMA": judge, "G_EMA": averaged}) == {"a": torch.zeros(1)}
    with pytest.raises(CheckpointError, match="averages"):
        read({"G": raw, "G_EMA": averaged, "G_ema_2": averaged})


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "module.module._orig_mod.module."])
def test_prefixes_go_in_any_order(prefix: str) -> None:
    assert [*read({prefix + key: value for key, value in RAW.items()})] == [*RAW]
    average = {"latent_avg": torch.zeros(2)}
    assert [*read({"state_dict": {prefix + key: value for key, value in RAW.items()}, **average})] == [*RAW, "latent_avg"]
    uneven = {"module.module.a": torch.zeros(1, 1), "module._orig_mod.b": torch.zeros(1)}
    assert {*read(uneven)} == {"module.a", "_orig_mod.b"}


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod."])
@pytest.mark.parametrize("inner", ["", "module.", "_orig_mod."])
def test_an_averaged_model_of_torch_is_read(prefix: str, inner: str) -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    averaged = AveragedModel(model).state_dict()
    state = {prefix + key.replace("module.", "module." + inner, 1): value for key, value in averaged.items()}
    assert [*read(state)] == [*model.state_dict()]
    assert [*read({"netG": model.state_dict(), "netG_ema": state})] == [*model.state_dict()]
    assert "n_averaged" in read({"n_averaged": torch.zeros(1), "main.0.weight": torch.zeros(1, 1)})


def test_thousands_of_prefixes_are_gone_through_once() -> None:
    begin = time.perf_counter()
    assert [*read({"module." * 60_000 + "x": torch.zeros(1, 1)})] == ["x"]
    assert time.perf_counter() - begin < 1
