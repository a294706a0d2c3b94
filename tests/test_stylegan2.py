from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from prior_support import sampled
from safetensors.torch import load_file
from style_support import WIDTHS, W, Z, style2_picture, style2_state
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from priorsolve.priors import CheckpointError, load_prior, read_state
from priorsolve.priors.base import NoiseMode
from priorsolve.priors.rosinality import renamed
from priorsolve.priors.style import StylePrior
from priorsolve.priors.stylegan2 import StyleGAN2

NVIDIA = [
    "01_nvidia_sg2ada_cond_32_protocol3",
    "01_nvidia_sg2ada_fp32_noclamp_z512",
    "01_nvidia_sg2ada_uncond_32",
    "06_nvidia_sg3repo_sg2_32",
]
ROSINALITY = ["02_psp_style_decoder_32", "02_rosinality_converted_32", "02_rosinality_training_file_32"]
NOISES: tuple[NoiseMode, ...] = ("const", "none")


def case(shared: Path, name: str) -> tuple[StylePrior, dict[str, Tensor], float]:
    folder = shared / "reference" / name
    facts = json.loads((folder / "case.json").read_text())
    prior = load_prior(folder / facts["checkpoint"])
    assert isinstance(prior, StyleGAN2)
    return prior, load_file(folder / "expected.safetensors"), facts["suggested_tolerance"]["atol"]


@pytest.mark.parametrize("name", NVIDIA)
def test_parity_with_nvidia(shared: Path, name: str) -> None:
    prior, expected, atol = case(shared, name)
    z, label = expected["z"], expected.get("c_onehot")
    for psi in (1, 0.5):
        wplus = prior.map(z, source="z", target="w+", label=label, truncation=psi)
        torch.testing.assert_close(wplus, expected[f"w_plus_psi{psi}"], atol=atol, rtol=0)
        for noise in NOISES:
            raw = 2 * prior.decode(wplus, "w+", noise=noise) - 1
            torch.testing.assert_close(raw, expected[f"image_psi{psi}_noise_{noise}"], atol=atol, rtol=0)
    cutoff = next(int(key.split("cutoff")[1]) for key in expected if "cutoff" in key)
    plain = expected["w_plus_psi1"]
    torch.testing.assert_close(prior.truncated(plain, 0.5, cutoff), expected[f"w_plus_psi0.5_cutoff{cutoff}"], atol=atol, rtol=0)
    mixed = torch.cat([plain[:1, :cutoff], plain[1:, cutoff:]], dim=1)
    torch.testing.assert_close(2 * prior.decode(mixed, "w+", noise="none") - 1, expected["image_style_mix_noise_none"], atol=atol, rtol=0)
    features = prior.map(z, source="z", target="features@3", label=label)
    torch.testing.assert_close(features, torch.cat([expected["feature.b8.x"], expected["feature.b8.img"]], 1), atol=atol, rtol=0)


@pytest.mark.parametrize("name", ROSINALITY)
def test_parity_with_rosinality(shared: Path, name: str) -> None:
    prior, expected, atol = case(shared, name)
    if "training" not in name:
        torch.testing.assert_close(prior.mapping.w_avg, expected["latent_avg"], atol=0, rtol=0)
    prior.mapping.w_avg = expected["latent_avg"]
    torch.testing.assert_close(prior.map(expected["z"], source="z", target="w+"), expected["w_plus_psi1"], atol=atol, rtol=0)
    for psi in (1, 0.5):
        for noise in NOISES:
            wplus = prior.map(expected["z"], source="z", target="w+", truncation=psi)
            raw = 2 * prior.decode(wplus, "w+", noise=noise) - 1
            torch.testing.assert_close(raw, expected[f"image_psi{psi}_noise_{noise}"], atol=atol, rtol=0)
    raw = 2 * prior.decode(expected["w_plus_input"], "w+") - 1
    torch.testing.assert_close(raw, expected["image_from_w_plus_input_noise_const"], atol=atol, rtol=0)
    entered = prior.map(expected["w_plus_psi1"], source="w+", target="features@3")
    torch.testing.assert_close(entered[:, :-3], expected["feature.convs.1"], atol=atol, rtol=0)
    torch.testing.assert_close(entered[:, -3:], expected["feature.to_rgbs.0"], atol=atol, rtol=0)


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
@pytest.mark.parametrize("clamp", [None, 1.5])
def test_every_architecture_draws_what_the_equations_say(architecture: str, clamp: float | None) -> None:
    state = style2_state(architecture)
    prior = StyleGAN2.from_state(state, {"conv_clamp": clamp})
    assert prior.settings["architecture"] == architecture
    wplus = prior.map(sampled(prior), source="z", target="w+") + 0.1 * torch.randn(2, 6, W, generator=torch.Generator().manual_seed(1))
    expected = torch.cat([style2_picture(state, row, architecture, clamp) for row in wplus])
    torch.testing.assert_close(2 * prior.decode(wplus, "w+") - 1, expected, atol=2e-5, rtol=1e-5)


def test_sizes_come_from_the_tensors() -> None:
    prior = StyleGAN2.from_state(style2_state())
    assert prior.image_shape == (3, 16, 16)
    sizes = {
        "z": (Z,),
        "w": (W,),
        "w+": (6, W),
        "w++": (6, 4, W),
        "s": (25,),
        "p_n": (W,),
        "p_n+": (6, W),
        "noise": (16 + 2 * 64 + 2 * 256,),
        "features@2": (7, 4, 4),
        "features@3": (6, 8, 8),
    }
    assert dict(prior.spaces) == sizes
    assert dict(StyleGAN2.from_state(style2_state("orig")).spaces) == {
        **sizes,
        "s": (18,),
        "features@2": (4, 4, 4),
        "features@3": (3, 8, 8),
    }
    assert len(prior.blocks) == 1 + len(WIDTHS)


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_every_space_draws_the_same_picture(architecture: str) -> None:
    prior = StyleGAN2.from_state(style2_state(architecture))
    z = sampled(prior)
    whole = prior.decode(z)
    resumed = prior.resumed(z, "z")
    for space in prior.spaces.keys() - {"noise"}:
        there = prior.map(z, source="z", target=space)
        torch.testing.assert_close(resumed.decode(there, space), whole, atol=1e-5, rtol=0)
    on = prior.map(z, source="z", target="features@2")
    torch.testing.assert_close(resumed.map(on, source="features@2", target="features@3"), prior.map(z, source="z", target="features@3"))
    assert not torch.allclose(prior.decode(on, "features@2"), whole)
    mean = prior.decode(prior.w_mean[None].expand(2, -1, -1), "w+")
    torch.testing.assert_close(prior.decode(prior.map(prior.w_mean[None], source="w+", target="features@2"), "features@2"), mean[:1])


def test_truncation_moves_styles_to_their_mean() -> None:
    prior = StyleGAN2.from_state(style2_state())
    z = sampled(prior)
    w = prior.map(z, source="z", target="w")
    half = prior.map(z, source="z", target="w", truncation=0.5)
    torch.testing.assert_close(half, (w + prior.w_mean[0]) / 2)
    torch.testing.assert_close(prior.map(w, source="w", target="w+", truncation=0.5)[:, 3], half)
    torch.testing.assert_close(
        prior.map(z, source="z", target="s", truncation=0), prior.map(z * 2 + 1, source="z", target="s", truncation=0)
    )
    with pytest.raises(ValueError, match="truncation is between styles w"):
        prior.map(torch.zeros(1, 25), source="s", target="features@2", truncation=0.5)


def test_a_mean_for_each_layer() -> None:
    state = style2_state()
    means = torch.randn(6, W, generator=torch.Generator().manual_seed(3))
    prior = StyleGAN2.from_state({**state, "mapping.w_avg": means})
    torch.testing.assert_close(prior.map(sampled(prior, 1), source="z", target="w+", truncation=0)[0], means)
    with pytest.raises(CheckpointError, match=r"mapping\.w_avg has shape \[4, 5\]"):
        StyleGAN2.from_state({**state, "mapping.w_avg": means[:4]})


def test_a_missing_mean_is_measured() -> None:
    state = {key: value for key, value in style2_state(classes=3).items() if key != "mapping.w_avg"}
    prior = StyleGAN2.from_state(state)
    z = torch.randn(4096, Z, generator=torch.Generator().manual_seed(0))
    evenly = prior.map(z, source="z", target="w", label=torch.arange(4096) % 3)
    torch.testing.assert_close(prior.w_mean[0], evenly.mean(0), atol=1e-4, rtol=1e-4)
    w = prior.sample(3000, torch.Generator().manual_seed(9), space="w")
    torch.testing.assert_close(prior.w_mean[0], w.mean(0), atol=0.1, rtol=0.1)
    assert torch.equal(prior.w_mean, StyleGAN2.from_state(state).w_mean)


class Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The most numbers that any tensor made within it has."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        self.numbers = max(self.numbers, made.numel() if isinstance(made, torch.Tensor) else 0)
        return made


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_mean_over_many_classes_takes_no_more_than_the_file(dtype: torch.dtype) -> None:
    state = {key: value for key, value in style2_state(classes=9000).items() if key != "mapping.w_avg"}
    usual = StyleGAN2.from_state(state).w_mean
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with Largest() as largest:  # type: ignore[no-untyped-call]
            assert torch.equal(StyleGAN2.from_state(state).w_mean, usual)
    finally:
        torch.set_default_dtype(before)
    assert largest.numbers < 100_000


def test_classes() -> None:
    prior = StyleGAN2.from_state(style2_state(classes=4))
    assert prior.spaces["z+c"] == (Z + 3,)
    assert prior.n_classes == 4
    z, label = torch.randn(2, Z, generator=torch.Generator().manual_seed(2)), torch.tensor([3, 1])
    image = prior.decode(z, "z", label=label)
    torch.testing.assert_close(prior.decode(z, "z", label=torch.eye(4)[label]), image)
    torch.testing.assert_close(prior.decode(torch.cat([z, prior.embed(label)], 1), "z+c"), image)
    assert not torch.allclose(prior.decode(z, "z", label=torch.tensor([0, 1]))[0], image[0])
    assert prior.sample(3, torch.Generator().manual_seed(0), space="w+").shape == (3, 6, W)
    with pytest.raises(ValueError, match="need a label"):
        prior.decode(z, "z")
    with pytest.raises(ValueError, match="carry their class"):
        prior.decode(torch.zeros(1, W), "w", label=torch.tensor([0]))
    with pytest.raises(ValueError, match="no class 4; classes are 0 … 3"):
        prior.decode(z, "z", label=torch.tensor([4, 0]))
    with pytest.raises(ValueError, match="give each code its class"):
        prior.decode(z, "z", label=torch.tensor([0]))
    plain = StyleGAN2.from_state(style2_state())
    with pytest.raises(ValueError, match="has no classes"):
        plain.decode(z, label=label)


def test_sampled_classes_are_all_classes() -> None:
    prior = StyleGAN2.from_state(style2_state(classes=4))
    classes = prior.sample(200, torch.Generator().manual_seed(0))[:, Z:]
    assert len({*map(tuple, classes.tolist())}) == 4


def test_noise_is_constant_none_or_seeded() -> None:
    prior = StyleGAN2.from_state(style2_state())
    z = sampled(prior, 3)
    drawn = prior.decode(z, noise="random")
    assert torch.equal(prior.decode(z, noise="random"), drawn)
    assert not torch.allclose(drawn, prior.decode(z))
    assert not torch.allclose(prior.decode(z, noise="none"), prior.decode(z))
    torch.testing.assert_close(prior.decode(z[1:2], noise="random"), drawn[1:2], atol=1e-5, rtol=0)
    features = torch.zeros(1, *prior.spaces["features@3"])
    before = prior.decode(features, "features@3", noise="random")
    prior.noise_seed = 1
    assert not torch.allclose(prior.decode(features, "features@3", noise="random"), before)


def test_codes_have_gradients_and_no_neighbours() -> None:
    prior = StyleGAN2.from_state(style2_state())
    assert not any(parameter.requires_grad for parameter in prior.parameters())
    z = sampled(prior, 3)
    torch.testing.assert_close(prior.decode(z)[1:2], prior.decode(z[1:2]), atol=1e-5, rtol=0)
    for space in prior.spaces.keys() - {"noise"}:
        x = prior.map(z, source="z", target=space).detach().requires_grad_()
        prior.decode(x, space).square().sum().backward()  # type: ignore[no-untyped-call]
        assert x.grad is not None
        assert float(x.grad.abs().sum()) > 0


def test_state_goes_out_and_in_again() -> None:
    prior = StyleGAN2.from_state(style2_state("resnet", classes=2), {"conv_clamp": 2})
    again = StyleGAN2.from_state(prior.state_dict(), prior.settings)
    z = sampled(prior)
    assert torch.equal(again.decode(z), prior.decode(z))


def test_rosinality_files_of_early_versions_get_noise_once(shared: Path) -> None:
    state = read_state(shared / "reference" / "02_rosinality_converted_32" / "model-converted.pt")
    early = {key: value for key, value in state.items() if not key.startswith("noises.")}
    first, second = StyleGAN2.from_state(renamed(early)), StyleGAN2.from_state(renamed(early))
    z = sampled(first)
    assert torch.equal(first.decode(z), second.decode(z))
    assert not torch.allclose(first.decode(z), first.decode(z, noise="none"))
    with pytest.raises(CheckpointError, match=r"convs\.0\.conv\.more has no place"):
        renamed({**state, "convs.0.conv.more": torch.zeros(1)})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"synthesis.b8.conv1.bias": torch.zeros(9)}, r"synthesis\.b8\.conv1\.bias has shape \[9\], expected \[3\]"),
        ({"synthesis.b8.conv0.affine.weight": None}, r"synthesis\.b8\.conv0\.affine\.weight is missing"),
        ({"synthesis.b8.conv0.weight": torch.zeros(3, 4, 5, 5)}, r"b8\.conv0\.weight has a 5×5 kernel"),
        ({"synthesis.b8.conv0.weight": torch.zeros(2, 4, 3, 3)}, r"b8\.conv1\.weight takes 3 channels, but synthesis\.b8\.conv0 gives 2"),
        ({"synthesis.b16.conv1.weight": torch.full((2, 2, 3, 3), torch.inf)}, r"infinite values in synthesis\.b16\.conv1\.weight"),
        ({"synthesis.b4.const": None}, r"synthesis\.b4\.const is missing"),
        ({"synthesis.b16.torgb.weight": torch.zeros(5, 2, 1, 1)}, r"b16\.torgb\.weight has shape \[5, 2, 1, 1\], expected \[1 or 3"),
        ({"synthesis.extra": torch.zeros(1)}, r"synthesis\.extra has no place"),
        ({"mapping.fc1.weight": torch.zeros(W, 8)}, r"mapping\.fc1\.weight has shape \[5, 8\], expected \[5, 7\]"),
        ({"mapping.fc0.weight": None}, r"mapping\.fc"),
        ({"synthesis.b8.resample_filter": torch.zeros(6, 6)}, r"resample_filter has shape \[6, 6\], expected \[4, 4\]"),
        ({f"synthesis.b{n}.x": torch.zeros(1) for n in range(20, 40)}, "tensors of 23 blocks"),
    ],
)
def test_unusable_tensors_are_named(changes: dict[str, Tensor | None], words: str) -> None:
    state = {key: value for key, value in {**style2_state(), **changes}.items() if value is not None}
    with pytest.raises(CheckpointError, match=words):
        StyleGAN2.from_state(state)


@pytest.mark.parametrize("settings", [{"architecture": "other"}, {"conv_clamp": "x"}, {"conv_clamp": -1}, {"lr_multiplier": True}])
def test_settings_that_make_no_sense(settings: dict[str, object]) -> None:
    with pytest.raises(CheckpointError, match=r"has (architecture|conv_clamp|lr_multiplier)"):
        StyleGAN2.from_state(style2_state(), settings)
