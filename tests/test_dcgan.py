from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from prior_support import sampled
from safetensors.torch import load_file
from states_support import dcgan_state
from torch import Tensor

from priorsolve.priors import DCGAN, CheckpointError, Prior, load_prior, read_state


@pytest.mark.parametrize("case", ["07_dcgan_plain", "07_dcgan_module_prefix", "07_dcgan_netG_state_dict"])
def test_parity_with_the_original(shared: Path, case: str) -> None:
    folder = shared / "reference" / case
    prior, expected = load_prior(folder / "netG.pth"), load_file(folder / "expected.safetensors")
    z = expected["z"].flatten(1)
    torch.testing.assert_close(2 * prior.decode(z) - 1, expected["image_eval"], atol=1e-5, rtol=0)
    # main.6 is the convolution of the third block, before its BatchNorm
    inner = prior.blocks[2].get_submodule("0")(prior.map(z[:1], source="z", target="features@2"))
    torch.testing.assert_close(inner, expected["feature.main.6"], atol=1e-5, rtol=0)


def test_parity_with_the_real_weights(shared: Path, digiface64: Prior) -> None:
    expected = load_file(shared / "reference" / "08b_real_gan_face_generate_dcgan64" / "expected.safetensors")
    z = expected["z"].flatten(1)
    torch.testing.assert_close(2 * digiface64.decode(z) - 1, expected["image"], atol=1e-5, rtol=0)
    features = digiface64.map(z[:1], source="z", target="features@3")
    torch.testing.assert_close(features, expected["feature.main.8"], atol=1e-5, rtol=0)
    torch.testing.assert_close(digiface64.folded().decode(z), digiface64.decode(z), atol=1e-5, rtol=0)


def test_sizes_come_from_the_tensors() -> None:
    prior = DCGAN.from_state(dcgan_state(widths=(7, 8, 6, 4, 1)))
    assert prior.image_shape == (1, 32, 32)
    assert dict(prior.spaces) == {"z": (7,), "features@1": (8, 4, 4), "features@2": (6, 8, 8), "features@3": (4, 16, 16)}
    assert len(prior.blocks) == 4
    assert prior.decode(sampled(prior)).shape == (2, 1, 32, 32)
    assert DCGAN.from_state(dcgan_state(widths=(5, 8, 8, 6, 4, 3, 3))).image_shape == (3, 128, 128)


@pytest.mark.parametrize(("channels", "padding", "side"), [(1, None, 28), (3, None, 32), (3, 1, 30)])
def test_a_1x1_last_layer_is_understood(channels: int, padding: int | None, side: int) -> None:
    state = dcgan_state(widths=(7, 8, 6, 4, 3))
    state |= {key.replace("main.7", "main.10"): value for key, value in state.items() if key.startswith("main.7.")}
    state |= {"main.9.weight": torch.ones(4, 4, 4, 4), "main.12.weight": torch.ones(4, channels, 1, 1)}
    prior = DCGAN.from_state(state, last_padding=padding)
    assert prior.image_shape == (channels, side, side)
    assert prior.decode(sampled(prior)).shape == (2, channels, side, side)


def test_every_space_draws_the_same_picture() -> None:
    prior = DCGAN.from_state(dcgan_state())
    z = sampled(prior)
    whole = prior.decode(z)
    for space in prior.spaces:
        torch.testing.assert_close(prior.decode(prior.map(z, source="z", target=space), space), whole, atol=1e-6, rtol=0)
    at1 = prior.map(z, source="z", target="features@1")
    torch.testing.assert_close(prior.map(at1, source="features@1", target="features@3"), prior.map(z, source="z", target="features@3"))
    x = z
    for block in prior.blocks:
        x = block(x)
    torch.testing.assert_close((x + 1) / 2, whole)


def test_folded_equals_unfolded_and_has_no_norm() -> None:
    prior = DCGAN.from_state(dcgan_state())
    folded = prior.folded()
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    assert folded.spaces == prior.spaces
    for space in prior.spaces:
        x = prior.map(sampled(prior), source="z", target=space)
        torch.testing.assert_close(folded.decode(x, space), prior.decode(x, space), atol=1e-5, rtol=0)
    torch.testing.assert_close(folded.folded().decode(sampled(prior)), folded.decode(sampled(prior)), atol=0, rtol=0)
    with torch.no_grad():
        next(folded.parameters()).zero_()
    assert float(next(prior.parameters()).abs().sum()) > 0


def test_weights_are_frozen_and_codes_have_gradients() -> None:
    prior = DCGAN.from_state(dcgan_state())
    assert not prior.training
    assert not any(parameter.requires_grad for parameter in prior.parameters())
    for space in prior.spaces:
        x = prior.map(sampled(prior), source="z", target=space).requires_grad_()
        prior.decode(x, space).square().sum().backward()  # type: ignore[no-untyped-call]
        assert x.grad is not None
        assert float(x.grad.abs().sum()) > 0


def test_an_image_does_not_depend_on_its_neighbours() -> None:
    prior = DCGAN.from_state(dcgan_state())
    z = sampled(prior, 4)
    torch.testing.assert_close(prior.decode(z)[2:3], prior.decode(z[2:3]), atol=1e-6, rtol=0)


def test_state_and_copies_do_not_share_memory() -> None:
    state = dcgan_state()
    prior = DCGAN.from_state(state)
    before = prior.decode(sampled(prior))
    clone = copy.deepcopy(prior)
    for value in state.values():
        value.zero_()
    torch.testing.assert_close(prior.decode(sampled(prior)), before, atol=0, rtol=0)
    torch.testing.assert_close(clone.double().decode(sampled(prior).double()).float(), before, atol=1e-5, rtol=0)


def test_half_precision_files_are_read_in_full() -> None:
    prior = DCGAN.from_state({key: value.half() if value.is_floating_point() else value for key, value in dcgan_state().items()})
    assert {parameter.dtype for parameter in prior.parameters()} == {torch.float32}


def test_refusals_name_the_way_out() -> None:
    prior = DCGAN.from_state(dcgan_state())
    with pytest.raises(ValueError, match="has no classes"):
        prior.decode(sampled(prior), label=torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="no map from 'features@2' back to 'z'"):
        prior.map(torch.zeros(1, 6, 8, 8), source="features@2", target="z")
    with pytest.raises(ValueError, match=r"expected codes of shape \(B, 7\)"):
        prior.decode(torch.zeros(1, 7, 1, 1))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"main.3.weight": torch.zeros(9, 6, 4, 4)}, r"main\.3\.weight has shape \(9, 6, 4, 4\), expected \(8, 6, 4, 4\)"),
        ({"main.4.running_var": None}, r"main\.4\.running_var is missing"),
        ({"main.4.running_mean": torch.zeros(5)}, r"main\.4\.running_mean has shape"),
        ({"main.6.weight": None}, r"main\.6\.weight is missing"),
        ({"main.3.weight": torch.full((8, 6, 4, 4), torch.nan)}, r"NaN or infinite values in main\.3\.weight"),
        ({"main.1.running_var": torch.full((8,), -1.0)}, r"negative variances in main\.1\.running_var"),
        ({"main.0.weight": torch.zeros(7, 8, 5, 5)}, r"main\.0\.weight has shape .* expected a 4×4 kernel"),
        ({"main.2.weight": torch.zeros(3)}, r"main\.2\.weight has no place"),
        ({"main.9999999999.weight": torch.zeros(3)}, r"main\.9999999999\.weight has no place"),
        ({"main.9.weight": torch.zeros(4, 5, 4, 4)}, r"main\.9\.weight draws 5 channels"),
        ({"main.0.weight": None}, "not a DCGAN generator"),
    ],
)
def test_unusable_tensors_are_named(changes: dict[str, Tensor | None], words: str) -> None:
    state = {key: value for key, value in {**dcgan_state(), **changes}.items() if value is not None}
    with pytest.raises(CheckpointError, match=words):
        DCGAN.from_state(state)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("20_dcgan_channels_disagree", ["main.3.weight"]),
        ("21_dcgan_missing_running_var", ["main.7.running_var"]),
        ("22_nan_and_inf_weights", ["main.3.weight", "main.6.weight"]),
        ("23_negative_running_variance", ["main.4.running_var"]),
        ("30_unrelated_state_dict", ["no known generator layout", "encoder.weight"]),
    ],
)
def test_broken_files_are_refused_by_name(shared: Path, case: str, words: list[str]) -> None:
    path = next(p for p in (shared / "reference" / "09_hostile_and_broken" / case).iterdir() if p.name != "case.json")
    read_state(path)
    with pytest.raises(CheckpointError) as caught:
        load_prior(path)
    message = str(caught.value)
    assert all(word in message for word in [*words, path.name])
    assert "\n" not in message
