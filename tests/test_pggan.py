from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from feedforward_support import check_chain, reference, with_changes
from prior_support import sampled
from states_support import State, pggan_state
from torch import Tensor
from torch.nn import functional as F

from priorsolve.priors import CheckpointError, read_state
from priorsolve.priors.pggan import PGGAN, recognises


def as_ganseeing(state: State) -> State:
    renamed = {}
    for key, value in state.items():
        if key.startswith("layer"):
            number, end = key.removeprefix("layer").split(".")
            renamed[f"layer{int(number) + 1}." + ("conv.weight" if end == "weight" else "wscale.b")] = value
    return renamed | {"output_16x16.conv.weight": state["output2.weight"], "output_16x16.wscale.b": state["output2.bias"]}


def as_old_ganseeing(state: State) -> State:
    layers = {key.removeprefix("layer").split(".", 1)[0]: key for key in state if key.startswith("layer") and key.endswith(".weight")}
    old = {f"features.{k}.conv.weight": state[key] for k, key in layers.items()}
    old |= {f"features.{k}.wscale.b": state[f"layer{k}.bias"] for k in layers}
    return old | {"output.conv.weight": state["output2.weight"], "output.wscale.b": state["output2.bias"]}


def as_mganprior(state: State) -> State:
    return {key.replace(".weight", ".conv.weight").replace(".bias", ".wscale.bias"): value for key, value in state.items()}


def genforce_fused(state: State) -> State:
    """Upsampling weights as the transposed convolution that draws the same: (in, out, k, k), mirrored."""
    return state | {f"layer{k}.weight": state[f"layer{k}.weight"].transpose(0, 1).flip(2, 3) for k in (2, 4)}


def mganprior_fused(state: State) -> State:
    renamed = as_mganprior(state)
    for k in (2, 4):
        renamed[f"layer{k}.weight"] = renamed.pop(f"layer{k}.conv.weight").flip(2, 3).permute(2, 3, 1, 0)
    return renamed


@pytest.mark.parametrize(("dialect", "layer", "atol"), [("ganseeing", 4, 3e-5), ("genforce", 3, 4e-5), ("mganprior", 3, 4e-5)])
def test_parity_with_the_original(shared: Path, dialect: str, layer: int, atol: float) -> None:
    folder, expected = reference(shared, f"05_pggan_{dialect}_32")
    prior, z = PGGAN.from_state(read_state(folder / "model.pth")), expected["z"]
    torch.testing.assert_close(2 * prior.decode(z) - 1, expected["image"], atol=atol, rtol=1e-4)
    scaled = z * (z.shape[1] ** 0.5 / z.norm(dim=1, keepdim=True))
    torch.testing.assert_close(2 * prior.decode(scaled) - 1, expected["image_of_z_scaled_to_sqrt_dim_norm"], atol=atol, rtol=1e-4)
    features = prior.map(z, source="z", target="features@4")
    torch.testing.assert_close(features, expected[f"feature.layer{layer}"], atol=atol, rtol=1e-4)


def test_it_is_a_chain() -> None:
    prior = PGGAN.from_state(pggan_state())
    check_chain(prior)
    assert prior.image_shape == (3, 16, 16)
    assert dict(prior.spaces) == {
        **{"z": (7,), "features@1": (8, 4, 4), "features@2": (8, 4, 4), "features@3": (6, 8, 8)},
        **{"features@4": (6, 8, 8), "features@5": (4, 16, 16), "features@6": (4, 16, 16)},
    }
    assert PGGAN.from_state(pggan_state(widths=(5, 4, 4), channels=1)).image_shape == (1, 8, 8)


@pytest.mark.parametrize("renamed", [as_ganseeing, as_old_ganseeing, as_mganprior, mganprior_fused, genforce_fused])
def test_every_dialect_draws_the_same(renamed: Callable[[State], State]) -> None:
    state = pggan_state()
    prior, other = PGGAN.from_state(state), PGGAN.from_state(renamed(state))
    assert recognises(renamed(state))
    expected = 2 * prior.decode(sampled(prior)) - 1
    if "ganseeing" in renamed.__name__:
        expected = expected.clamp(-1, 1)
    torch.testing.assert_close(2 * other.decode(sampled(prior)) - 1, expected, atol=2e-6, rtol=0)


def test_fused_upsampling_is_a_transposed_convolution() -> None:
    state = pggan_state(widths=(7, 6, 6))
    weight = state["layer2.weight"]  # as wide in as out: only the caller knows that it is (in, out, k, k)
    prior = PGGAN.from_state(state, fused=True)
    assert not torch.allclose(PGGAN.from_state(state).decode(sampled(prior)), prior.decode(sampled(prior)))
    x = prior.map(sampled(prior), source="z", target="features@2")
    normed = x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt()
    padded = F.pad(weight, (1, 1, 1, 1))
    spread = padded[..., 1:, 1:] + padded[..., :-1, 1:] + padded[..., 1:, :-1] + padded[..., :-1, :-1]
    expected = F.conv_transpose2d(normed, spread * (2 / 54) ** 0.5, state["layer2.bias"], stride=2, padding=1)
    torch.testing.assert_close(prior.blocks[2](x), F.leaky_relu(expected, 0.2), atol=1e-5, rtol=0)


def test_refusals_name_the_way_out() -> None:
    prior = PGGAN.from_state(pggan_state())
    with pytest.raises(ValueError, match="has no classes"):
        prior.decode(sampled(prior), label=torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="no map from 'features@2' back to 'z'"):
        prior.map(torch.zeros(1, 8, 4, 4), source="features@2", target="z")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"layer0.weight": None}, "not a PGGAN generator"),
        ({"layer2.weight": None}, r"layer2\.weight is missing"),
        ({"layer5.bias": None}, r"layer5\.bias is missing"),
        ({"layer5.weight": None, "layer5.bias": None}, r"layer5\.bias is missing"),
        ({"output2.bias": None}, r"output2\.bias is missing"),
        ({"layer3.weight": torch.zeros(6, 6, 5, 5)}, r"layer3\.weight has shape \(6, 6, 5, 5\), expected \(6, 6, 3, 3\)"),
        ({"layer4.weight": torch.zeros(4, 9, 3, 3)}, r"layer4\.weight has shape \(4, 9, 3, 3\), expected \(4, 6, 3, 3\)"),
        ({"layer3.bias": torch.full((6,), torch.nan)}, r"NaN or infinite values in layer3\.bias"),
        ({"output2.weight": torch.zeros(2, 4, 1, 1), "output2.bias": torch.zeros(2)}, r"output2\.weight draws 2 channels"),
        ({"encoder.weight": torch.zeros(2)}, r"encoder\.weight has no place"),
        ({"layer999999.weight": torch.zeros(2)}, r"layer999999\.weight has no place"),
        ({"layer3.bias": torch.zeros(6, dtype=torch.int64)}, r"layer3\.bias holds torch\.int64"),
        ({"layer0.weight": torch.zeros(0, 7, 4, 4)}, r"layer0\.weight has shape .* none empty"),
        ({"lod": torch.tensor(1.5)}, "lod is not 0"),
    ],
)
def test_unusable_tensors_are_named(changes: Mapping[str, Tensor | None], words: str) -> None:
    with pytest.raises(CheckpointError, match=words):
        PGGAN.from_state(with_changes(pggan_state(), changes))


def test_other_networks_are_not_recognised() -> None:
    assert not recognises({})
    assert not recognises({"layer0.weight": torch.zeros(3), "layer0.bias": torch.zeros(3)})
    assert not recognises({"main.0.weight": torch.zeros(7, 8, 4, 4)})
