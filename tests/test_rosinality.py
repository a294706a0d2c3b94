from __future__ import annotations

import pytest
import torch
from style_support import WIDTHS, style2_state
from torch import Tensor

from priorsolve.priors import CheckpointError, StyleGAN2
from priorsolve.priors.rosinality import recognises, renamed

LAYER = {
    "weight": "conv.weight",
    "affine.weight": "conv.modulation.weight",
    "affine.bias": "conv.modulation.bias",
    "noise_strength": "noise.weight",
    "resample_filter": "conv.blur.kernel",
}


def rosinality_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """NVIDIA's tensors under rosinality's names."""
    made: dict[str, Tensor] = {}
    for key, value in state.items():
        first, place, *inside = key.split(".")
        if first == "mapping":
            made["latent_avg" if place == "w_avg" else f"style.{int(place[2:]) + 1}.{inside[0]}"] = value
        elif place == "b4" and inside == ["const"]:
            made["input.input"] = value[None]
        elif inside == ["resample_filter"]:
            made[f"to_rgbs.{[*WIDTHS].index(int(place[1:])) - 1}.upsample.kernel"] = value * 4
        else:
            k, (layer, rest) = [*WIDTHS].index(int(place[1:])), (inside[0], ".".join(inside[1:]))
            picture = layer == "torgb"
            if rest == "noise_const":
                made[f"noises.noise_{2 * k - (layer == 'conv0')}"] = value[None, None]
                continue
            single, many = ("to_rgb1", f"to_rgbs.{k - 1}") if picture else ("conv1", f"convs.{2 * k - 2 + (layer == 'conv1')}")
            name = LAYER.get(rest, "bias" if picture else "activate.bias")
            made[f"{many if k else single}.{name}"] = {"weight": value[None], "resample_filter": value * 4}.get(rest, value)
    return made


def test_filters_are_those_of_the_file() -> None:
    state = style2_state()
    rng = torch.Generator().manual_seed(1)
    filters = {f"synthesis.b{side}{part}.resample_filter": torch.rand(4, 4, generator=rng) for side in (8, 16) for part in ("", ".conv0")}
    prior = StyleGAN2.from_state(renamed(rosinality_state(state | filters)))
    own, usual = StyleGAN2.from_state(state | filters), StyleGAN2.from_state(renamed(rosinality_state(state)))
    z = own.sample(2, torch.Generator().manual_seed(0))
    assert torch.equal(prior.decode(z), own.decode(z))
    assert torch.equal(usual.decode(z), StyleGAN2.from_state(state).decode(z))
    assert not torch.allclose(usual.decode(z), own.decode(z))
    with pytest.raises(CheckpointError, match=r"resample_filter has shape \[2, 2\], expected \[4, 4\]"):
        StyleGAN2.from_state(renamed({**rosinality_state(state), "convs.0.conv.blur.kernel": torch.ones(2, 2)}))


@pytest.mark.parametrize("n", [20, 24, 98])
def test_no_noise_is_drawn_for_sides_that_no_picture_has(n: int) -> None:
    state = rosinality_state(style2_state()) | {f"convs.{n}.noise.weight": torch.zeros(1)}
    assert recognises(state)
    with pytest.raises(
        CheckpointError, match=rf"convs\.{n}\.noise\.weight is of a side of \d+; no generator known here draws more than 4096"
    ):
        renamed(state)


def test_no_noise_is_drawn_for_layers_that_are_not_there() -> None:
    named = renamed(rosinality_state(style2_state()) | {"convs.18.noise.weight": torch.zeros(1)})
    assert "synthesis.b4096.conv0.noise_const" not in named
    with pytest.raises(CheckpointError):
        StyleGAN2.from_state(named)
