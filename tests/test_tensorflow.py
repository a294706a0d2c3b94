"""No file of TensorFlow's StyleGAN2 can be made here without NVIDIA's program, so these undo the published conversion rules."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from nvidia_support import EasyDict
from prior_support import sampled
from style_support import style2_state
from torch import Tensor

from priorsolve.priors import CheckpointError, StyleGAN2, load_prior
from priorsolve.priors.tensorflow import renamed

PARTS = {"conv0": "Conv0_up", "conv1": "Conv1", "torgb": "ToRGB", "skip": "Skip"}


class Network:
    __module__ = "dnnlib.tflib.network"

    def __init__(self, variables: dict[str, Any], **components: Network) -> None:
        self._state = {"version": 4, "name": "n", "static_kwargs": EasyDict(conv_clamp=9), "build_module_src": "raise SystemExit"}
        self._state |= {"components": EasyDict(components), "variables": list(variables.items())}

    def __getstate__(self) -> dict[str, Any]:
        return self._state


def variables(state: dict[str, Tensor]) -> dict[str, Any]:
    """The tensors of StyleGAN2 under TensorFlow's names."""
    found: dict[str, Tensor] = {"lod": torch.tensor(0.0), "dlatent_avg": state["mapping.w_avg"]}
    for key, value in state.items():
        names = key.split(".")
        if names[0] == "mapping" and len(names) == 3:
            layer = names[1].replace("fc", "Dense").replace("embed", "LabelEmbed")
            found[f"mapping/{layer}/{names[2]}"] = value.T if names[2] == "weight" else value
        elif names[-1] == "const":
            found["synthesis/4x4/Const/const"] = value[None]
        elif names[0] == "synthesis":
            side = int(names[1][1:])
            level = side.bit_length() - 1
            block, part = f"synthesis/{side}x{side}", "Conv" if side == 4 and names[2] == "conv1" else PARTS[names[2]]
            if names[-1] == "noise_const":
                found[f"synthesis/noise{2 * level - (5 if names[2] == 'conv0' else 4)}"] = value[None, None]
            elif names[3] == "affine":
                found[f"{block}/{part}/mod_{names[4]}"] = value.T if names[4] == "weight" else value - 1
            elif names[3] == "weight":
                value = value.flip(2, 3) if part in ("Conv0_up", "Skip") else value
                found[f"{block}/{part}/weight"] = value.permute(2, 3, 1, 0)
            else:
                found[f"{block}/{part}/{names[3]}"] = value
    return {key: value.numpy() for key, value in found.items()}


def write(path: Path, content: object, protocol: int = 4) -> Path:
    modules = {name: ModuleType(name) for name in ("dnnlib", "dnnlib.util", "dnnlib.tflib", "dnnlib.tflib.network")}
    vars(modules["dnnlib.tflib.network"])["Network"] = Network
    vars(modules["dnnlib.util"])["EasyDict"] = EasyDict
    with mock.patch.dict(sys.modules, modules):
        path.write_bytes(pickle.dumps(content, protocol))
    return path


def snapshot(state: dict[str, Tensor]) -> tuple[Network, ...]:
    flat = variables(state)
    groups: dict[str, dict[str, Any]] = {"": {}, "mapping": {}, "synthesis": {}}
    for key, value in flat.items():
        group, _, name = key.rpartition("/") if "/" not in key else key.partition("/")
        groups[group][name] = value
    averaged = Network(groups[""], mapping=Network(groups["mapping"]), synthesis=Network(groups["synthesis"]))
    return (Network({}), Network({}), averaged)


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
@pytest.mark.parametrize("protocol", [2, 4])
def test_the_averaged_generator_is_read(architecture: str, protocol: int, tmp_path: Path) -> None:
    state = style2_state(architecture, classes=3)
    prior = load_prior(write(tmp_path / "f", snapshot(state), protocol))
    assert isinstance(prior, StyleGAN2)
    expected = StyleGAN2.from_state(state, {"conv_clamp": 9})
    assert prior.settings == expected.settings
    codes = expected.sample(2, torch.Generator().manual_seed(0))
    torch.testing.assert_close(prior.decode(codes), expected.decode(codes), atol=1e-5, rtol=0)


def test_colours_named_by_level_belong_to_the_finest(tmp_path: Path) -> None:
    state = {key: torch.from_numpy(np.asarray(value)) for key, value in variables(style2_state("orig")).items()}
    older = {key.replace("synthesis/16x16/ToRGB/", "synthesis/ToRGB_lod0/"): value for key, value in state.items()}
    older["synthesis/ToRGB_lod1/weight"] = torch.zeros(1)
    assert renamed(older).keys() == renamed(state).keys()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ((Network({}), Network({}), Network({"x": np.zeros(3, np.float32)})), "no known generator layout"),
        ((Network({}), Network({}), Network({}, part=Network({"x": 1}))), "no known generator layout"),
        (([], [], []), "holds a tuple"),
    ],
)
def test_other_networks_are_refused(content: object, words: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=words):
        load_prior(write(tmp_path / "f", content))


def test_versions_before_stylegan2_are_refused(tmp_path: Path) -> None:
    content = snapshot(style2_state())
    content[2]._state["version"] = 3
    with pytest.raises(CheckpointError, match="of version 3; only those of StyleGAN2"):
        load_prior(write(tmp_path / "f", content))


def test_damaged_networks_are_refused(tmp_path: Path) -> None:
    broken: list[dict[str, object]] = [{"variables": 3}, {"variables": [3]}, {"components": []}]
    for changes in broken:
        content = snapshot(style2_state())
        content[2]._state |= changes
        with pytest.raises(CheckpointError, match="is damaged"):
            load_prior(write(tmp_path / "f", content))


def test_variables_out_of_place_are_named() -> None:
    with pytest.raises(CheckpointError, match="synthesis/4x4/Other/weight has no place"):
        renamed({"synthesis/4x4/Other/weight": torch.zeros(1)})
    with pytest.raises(CheckpointError, match=r"synthesis/4x4/Conv/weight has shape \[3\]"):
        renamed({"synthesis/4x4/Conv/weight": torch.zeros(3)})


def test_the_multiplier_of_the_mapping_is_the_files(tmp_path: Path) -> None:
    networks = snapshot(style2_state())
    networks[2]._state["static_kwargs"]["mapping_lrmul"] = 0.5
    prior = load_prior(write(tmp_path / "f", networks))
    expected = StyleGAN2.from_state(style2_state(), {"conv_clamp": 9, "lr_multiplier": 0.5})
    torch.testing.assert_close(prior.decode(sampled(expected)), expected.decode(sampled(expected)), atol=1e-5, rtol=0)
