from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from feedforward_support import check_chain, reference, with_changes
from prior_support import made, sampled
from states_support import BIGGAN_DEEP_CONFIG, biggan_deep_state
from torch import Tensor

from priorsolve.priors import CheckpointError, load_prior, read_state
from priorsolve.priors.biggan_deep import BigGANDeep, recognises


@pytest.mark.parametrize("with_config", [True, False])
def test_parity_with_the_original(shared: Path, with_config: bool) -> None:
    folder, expected = reference(shared, "04_hf_biggan_deep_128layers_ch4")
    state = read_state(folder / "pytorch_model.bin")
    assert recognises(state)
    prior = BigGANDeep.from_state(state, json.loads((folder / "config.json").read_text()) if with_config else None)
    label = expected["class_vector"]
    torch.testing.assert_close(prior.embed(label), expected["class_embedding"], atol=1e-6, rtol=0)
    for truncation in (0.4, 0.7, 1.0, 0.58, 0.05):
        images = expected[f"image_truncation{truncation}"]
        z = truncation * expected["z_before_truncation"][: len(images)]
        drawn = prior.with_truncation(truncation).decode(z, "z", label=label[: len(images)])
        torch.testing.assert_close(2 * drawn - 1, images, atol=2e-5, rtol=1e-4)
    for k in (0, 8):
        features = expected[f"feature.layers.{k}_truncation0.4"]
        z = 0.4 * expected["z_before_truncation"][: len(features)]
        chosen = prior.with_truncation(0.4).map(z, source="z", target=f"features@{k + 2}", label=label[: len(features)])
        torch.testing.assert_close(chosen[:, : features.shape[1]], features, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("config", [None, BIGGAN_DEEP_CONFIG])
def test_it_is_a_chain(config: Mapping[str, Any] | None) -> None:
    prior = BigGANDeep.from_state(biggan_deep_state(), config)
    check_chain(prior)
    # beside the channels: the 9 numbers that every block is told
    assert dict(prior.spaces) == {
        **{"z+c": (9,), "z": (5,), "features@1": (8 + 9, 4, 4), "features@2": (8 + 9, 4, 4), "features@3": (8 + 9, 4, 4)},
        **{"features@4": (4, 8, 8)},
    }
    assert prior.image_shape == (3, 8, 8)


def test_truncation_chooses_rows_as_the_original() -> None:
    state = biggan_deep_state()
    prior = BigGANDeep.from_state(state, truncation=0.5)
    assert prior.truncation == 0.5
    means = state["generator.bn.running_means"]
    found = prior.get_submodule(f"_blocks.{len(prior.blocks) - 1}.statistics").get_buffer("mean")
    torch.testing.assert_close(found, means[25], atol=0, rtol=0)
    # halfway the swapped weights do not show, at a quarter they do
    between = prior.with_truncation(0.505).get_submodule("_blocks.4.statistics").get_buffer("mean")
    torch.testing.assert_close(between, 0.25 * means[25] + 0.75 * means[26], atol=1e-5, rtol=0)
    torch.testing.assert_close(found, means[25], atol=0, rtol=0)


def test_samples_are_truncated() -> None:
    prior = BigGANDeep.from_state(biggan_deep_state())
    z = prior.map(sampled(prior, 4000), source="z+c", target="z")
    assert 1.9 < float(z.abs().max()) <= 2
    assert abs(float(z.std()) - 0.8796) < 0.02  # of a normal cut at ±2
    half = prior.with_truncation(0.5)
    torch.testing.assert_close(half.map(sampled(half, 4000), source="z+c", target="z"), z / 2)


def test_refusals_name_the_way_out() -> None:
    state = biggan_deep_state()
    with pytest.raises(ValueError, match=r"a truncation of 1\.5; choose one from 0 to 1"):
        BigGANDeep.from_state(state, truncation=1.5)
    with pytest.raises(ValueError, match="need a label"):
        BigGANDeep.from_state(state).decode(torch.zeros(1, 5), "z")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"z_dim": 7}, "config: z_dim is 7, the tensors show 5"),
        ({"n_stats": 11}, "config: n_stats is 11, the tensors show 51"),
        ({"output_dim": 16}, "config: output_dim is 16, the tensors show 8"),
        ({"layers": [[False, 2, 2]]}, "config: layers lists 1 blocks, the tensors have 2"),
        ({"layers": 3}, "config: layers is no list"),
        ({"eps": "small"}, "config: eps is 'small'"),
    ],
)
def test_a_configuration_of_other_weights_is_refused(changes: Mapping[str, Any], words: str) -> None:
    with pytest.raises(CheckpointError, match=words):
        BigGANDeep.from_state(biggan_deep_state(), {**BIGGAN_DEEP_CONFIG, **changes})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"embeddings.weight": None}, "not a BigGAN-deep generator"),
        ({"generator.bn.running_means": None}, r"generator\.bn\.running_means is missing"),
        ({"generator.layers.2.conv_3.weight_v": None}, r"generator\.layers\.2\.conv_3\.weight_v is missing"),
        ({"generator.layers.0.bn_1.running_vars": torch.full((51, 2), -1.0)}, r"negative variances in generator\.layers\.0\.bn_1"),
        ({"generator.layers.0.bn_1.running_vars": torch.ones(50, 2)}, r"bn_1\.running_vars has shape \(50, 2\), expected \(51, 2\)"),
        ({"generator.conv_to_rgb.weight_u": torch.zeros(4)}, r"generator\.conv_to_rgb\.weight_orig has spectral norm 0"),
        ({"generator.layers.1.gamma": torch.tensor([torch.nan])}, r"NaN or infinite values in generator\.layers\.1\.gamma"),
        ({"generator.layers.0.extra": torch.ones(1)}, r"generator\.layers\.0\.extra has no place"),
    ],
)
def test_unusable_tensors_are_named(changes: Mapping[str, Tensor | None], words: str) -> None:
    with pytest.raises(CheckpointError, match=words):
        BigGANDeep.from_state(with_changes(biggan_deep_state(), changes))


def test_a_folder_is_read_with_its_configuration(tmp_path: Path) -> None:
    import json

    growing = {**BIGGAN_DEEP_CONFIG, "eps": 0.5}
    (tmp_path / "config.json").write_text(json.dumps(growing))
    torch.save(biggan_deep_state(), tmp_path / "pytorch_model.bin")
    from priorsolve.priors.biggan_deep import BigGANDeep

    expected, code = BigGANDeep.from_state(biggan_deep_state(), growing), sampled(made("biggan-deep"), 1)
    assert torch.equal(load_prior(tmp_path).decode(code), expected.decode(code))
    assert not torch.allclose(made("biggan-deep").decode(code), expected.decode(code))
