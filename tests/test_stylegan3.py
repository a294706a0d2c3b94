from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from prior_support import sampled, stylegan3
from safetensors.torch import load_file
from states_support import STYLEGAN3_LAYERS, stylegan3_settings, stylegan3_state
from torch import Tensor
from torch.nn import functional as F

from priorsolve.priors import CheckpointError, load_prior
from priorsolve.priors.stylegan3 import StyleGAN3
from priorsolve.priors.stylegan3_layers import downsampled, upsampled
from priorsolve.priors.stylegan3_plan import names_of, plan_of

CASES = ["06_nvidia_sg3_T_32", "06_nvidia_sg3_R_32"]


def case(shared: Path, name: str) -> tuple[StyleGAN3, dict[str, Tensor], float]:
    folder = shared / "reference" / name
    facts = json.loads((folder / "case.json").read_text())
    prior = load_prior(folder / facts["checkpoint"])
    assert isinstance(prior, StyleGAN3)
    return prior, load_file(folder / "expected.safetensors"), facts["suggested_tolerance"]["atol"]


@pytest.mark.parametrize("name", CASES)
def test_parity_with_nvidia(shared: Path, name: str) -> None:
    prior, expected, atol = case(shared, name)
    plain = prior.map(expected["z"], source="z", target="w+")
    torch.testing.assert_close(plain, expected["w_plus_psi1"], atol=atol, rtol=0)
    half = prior.map(expected["z"], source="z", target="w+", truncation=0.5)
    torch.testing.assert_close(half, expected["w_plus_psi0.5"], atol=atol, rtol=0)
    torch.testing.assert_close(prior.truncated(plain, 0.5, 8), expected["w_plus_psi0.5_cutoff8"], atol=atol, rtol=0)
    torch.testing.assert_close(2 * prior.decode(plain, "w+") - 1, expected["image_psi1_each_alone"], atol=atol, rtol=0)
    # NVIDIA's batch shares one style size; one at a time they are these
    mixed = torch.cat([plain[:1, :8], plain[1:, 8:]], dim=1)
    torch.testing.assert_close(2 * prior.decode(mixed, "w+") - 1, expected["image_style_mix"], atol=atol, rtol=0)
    inner = next(key for key in expected if key.startswith("feature.L5"))
    for key, space in (("feature.input", "features@2"), (inner, "features@8")):
        torch.testing.assert_close(prior.map(plain[:1], source="w+", target=space), expected[key], atol=atol, rtol=0)


@pytest.mark.parametrize("name", CASES)
def test_sampling_rates_follow_from_the_names_where_a_file_has_none(shared: Path, name: str) -> None:
    prior, expected, _ = case(shared, name)
    plain = StyleGAN3.from_state(prior.state_dict())
    assert plain.settings == prior.settings
    assert torch.equal(plain.decode(expected["z"]), prior.decode(expected["z"]))


def test_published_sizes_follow_from_the_formulas() -> None:
    sizes = [36] * 3 + [52] * 2 + [84] * 2 + [148] * 3 + [276] * 3 + [256] * 2
    names = [f"L{i}_{size}_8" for i, size in enumerate(sizes)]
    waves, plans = plan_of(names, {})
    assert waves == {"size": 36, "sampling_rate": 16, "bandwidth": 2.0}
    assert [(plan.up_factor, plan.down_factor) for plan in plans[2:5]] == [(2, 2), (4, 2), (2, 2)]
    assert (plans[-1].up_factor, plans[-1].down_factor) == (1, 1)


@pytest.mark.parametrize("side", [32, 64, 128, 256, 512, 1024])
def test_published_sizes_are_none_too_large(side: int) -> None:
    """Sides as NVIDIA's code works them out, for its 14 layers and the colours' own."""
    way = [min(i / 12, 1) for i in range(15)]
    stopbands = [2**2.1 * (side / 2 * 2**0.3 / 2**2.1) ** part for part in way]
    sizes = [2 ** math.ceil(math.log2(min(2 * stopband, side))) + 20 for stopband in stopbands][:-2] + [side] * 2
    names = [f"L{i}_{size}_8" for i, size in enumerate(sizes)]
    waves, plans = plan_of(names, {})
    assert [plan.name for plan in plans] == names
    assert [plan.out_size for plan in plans] == sizes
    assert [plan.in_size for plan in plans] == [waves["size"], *sizes[:-1]]
    assert waves["size"] == 36


@pytest.mark.parametrize(("large", "factor", "dense"), [(200, 1, 400), (52, 4, 208), (20, 16, 320)])
def test_layers_much_larger_than_the_picture_are_refused(large: int, factor: int, dense: int) -> None:
    settings = stylegan3_settings()
    names = [STYLEGAN3_LAYERS[0], f"L1_{large}_4", *STYLEGAN3_LAYERS[2:]]
    settings["layers"][1] |= {"name": names[1], "out_size": large, "down_factor": factor}
    settings["layers"][2]["in_size"] = large
    with pytest.raises(CheckpointError, match=rf"^L1_{large}_4 goes from 20 to {large} pixels through {dense}, for pictures of 16; "):
        plan_of(names, settings)


@pytest.mark.parametrize("kernel", [torch.rand(6), torch.rand(5, 5), torch.rand(1)])
@pytest.mark.parametrize(("before", "after"), [(3, 2), (-2, -5), (9, 8)])
def test_resampling_is_zeros_a_convolution_and_every_nth_pixel(kernel: Tensor, before: int, after: int) -> None:
    x = torch.randn(2, 3, 7, 7, generator=torch.Generator().manual_seed(0))
    spread = torch.zeros(2, 3, 14, 14)
    spread[:, :, ::2, ::2] = x
    square = kernel if kernel.ndim == 2 else kernel.outer(kernel)
    weight = square.flip(0, 1).expand(3, 1, -1, -1)
    expected = F.conv2d(F.pad(spread, (before, after, before, after)), weight, groups=3) * 4
    torch.testing.assert_close(upsampled(x, kernel, 2, before, after), expected)
    torch.testing.assert_close(downsampled(x, kernel, 2), F.conv2d(x, weight, groups=3)[:, :, ::2, ::2])


def test_spaces_and_blocks() -> None:
    prior = stylegan3()
    assert prior.image_shape == (3, 16, 16)
    features = {"features@2": (2, 20, 20), "features@3": (3, 20, 20), "features@4": (4, 20, 20), "features@5": (5, 20, 20)}
    spaces = {"z": (6,), "w": (5,), "w+": (6, 5), "w++": (6, 5, 5), "s": (21,), "p_n": (5,), "p_n+": (6, 5)}
    assert dict(prior.spaces) == spaces | features | {"features@6": (3, 16, 16)}
    assert len(prior.blocks) == 7
    z = sampled(prior)
    whole, resumed = prior.decode(z), prior.resumed(z, "z")
    for space in prior.spaces:
        x = prior.map(z, source="z", target=space).detach().requires_grad_()
        image = resumed.decode(x, space)
        torch.testing.assert_close(image, whole, atol=1e-5, rtol=0)
        image.square().sum().backward()  # type: ignore[no-untyped-call]
        assert x.grad is not None
        assert float(x.grad.abs().sum()) > 0


def test_an_image_does_not_depend_on_its_neighbours() -> None:
    prior = stylegan3()
    z = sampled(prior, 3)
    torch.testing.assert_close(prior.decode(z)[1:2], prior.decode(z[1:2]), atol=1e-6, rtol=0)


def test_pictures_move(shared: Path) -> None:
    prior, expected, _ = case(shared, CASES[1])
    before = prior.decode(expected["z"][:1])
    prior.move(torch.tensor([[1.0, 0, 4 / 16], [0, 1, 0], [0, 0, 1]]))
    moved = prior.decode(expected["z"][:1])
    inside = slice(8, 24)
    assert float((moved[..., inside, 4:20] - before[..., inside, 12:28]).abs().mean()) < 0.2 * float((moved - before).abs().mean())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"synthesis.L1_20_4.bias": torch.zeros(9)}, r"synthesis\.L1_20_4\.bias has shape \[9\], expected \[4\]"),
        ({"synthesis.L1_20_4.weight": torch.zeros(4, 9, 3, 3)}, r"L1_20_4\.weight takes 9 channels, but 3 come in"),
        ({"synthesis.L1_20_4.weight": torch.zeros(4, 3, 5, 5)}, r"L1_20_4\.weight has a 5×5 kernel"),
        ({"synthesis.L1_20_4.up_filter": torch.zeros(500)}, r"up_filter has shape \[500\]"),
        ({"synthesis.input.freqs": torch.zeros(2, 3)}, r"synthesis\.input\.freqs has shape \[2, 3\], expected \[2, 2\]"),
        ({"synthesis.input.phases": torch.full((2,), torch.nan)}, r"NaN or infinite values in synthesis\.input\.phases"),
        ({"synthesis.L7_16_3.weight": torch.zeros(3)}, "has layers .*without a gap"),
    ],
)
def test_unusable_tensors_are_named(changes: dict[str, Tensor], words: str) -> None:
    with pytest.raises(CheckpointError, match=words):
        StyleGAN3.from_state({**stylegan3_state(), **changes}, stylegan3_settings())


@pytest.mark.parametrize(
    "changes",
    [
        {"input": {"size": 1e9, "sampling_rate": 16, "bandwidth": 2}},
        {"input": {"size": 20, "sampling_rate": 16, "bandwidth": 9}},
        {"input": 3},
        {"layers": []},
        {"layers": stylegan3_settings()["layers"][:4]},
        {"layers": [{**layer, "up_factor": 99} for layer in stylegan3_settings()["layers"]]},
        {"layers": [{**layer, "out_size": [20, 30]} for layer in stylegan3_settings()["layers"]]},
        {"layers": [{**layer, "in_size": 16} for layer in stylegan3_settings()["layers"]]},
        {"output_scale": "x"},
    ],
)
def test_settings_that_make_no_sense(changes: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError) as caught:
        StyleGAN3.from_state(stylegan3_state(), {**stylegan3_settings(), **changes})
    assert "\n" not in str(caught.value)


def test_names_are_ordered_by_number() -> None:
    keys = [f"synthesis.L{i}_8_8.weight" for i in range(12)]
    assert names_of(keys[::-1]) == [key.split(".")[1] for key in keys]
