"""MobileStyleGAN: a small random one for the laws, the real one against the OpenVINO runtime's pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from prior_support import sampled
from safetensors.torch import load_file
from states_support import mobilestylegan_state
from torch import Tensor
from torch.nn import functional as F

from priorsolve.priors import ZOO, CheckpointError, DownloadError, Prior, fetch, load_prior
from priorsolve.priors.base import NoiseMode
from priorsolve.priors.faces import _shipped
from priorsolve.priors.mobilestylegan import MobileStyleGAN
from priorsolve.priors.mobilestylegan_layers import haar

N = 8


@pytest.fixture(scope="module")
def small() -> MobileStyleGAN:
    return MobileStyleGAN.from_state(mobilestylegan_state())


@pytest.fixture(scope="module")
def ffhq1024() -> MobileStyleGAN:
    return real("ffhq1024")


def real(name: str) -> MobileStyleGAN:
    try:
        fetch(name)
    except DownloadError as error:
        pytest.skip(f"no real weights: {error}")
    prior = load_prior(name)
    assert isinstance(prior, MobileStyleGAN)
    return prior


def test_haar_inverts_the_haar_transform() -> None:
    x = torch.randn(2, 3, 6, 4, generator=torch.Generator().manual_seed(0))
    a, b, c, d = (x[..., i::2, j::2] for i in (0, 1) for j in (0, 1))
    low, vertical, horizontal, diagonal = a + b + c + d, a + b - c - d, a - b + c - d, a - b - c + d
    bands = torch.cat([low, torch.stack([vertical, horizontal, diagonal], 2).flatten(1, 2)], 1)
    torch.testing.assert_close(haar(bands) / 4, x)


def test_sizes_come_from_the_tensors(small: MobileStyleGAN) -> None:
    assert small.image_shape == (3, 32, 32)
    assert MobileStyleGAN.from_state(mobilestylegan_state(outputs=3)).image_shape == (3, 16, 16)
    assert dict(small.spaces) == {
        **{"z": (8,), "w": (8,), "w+": (8, 8), "w++": (8, 16, 8), "s": (16 + 16 + 4 + 12 + 12 + 3 + 8 + 8,), "p_n": (8,), "p_n+": (8, 8)},
        **{"noise": (4 * 4 + 2 * 8 * 8 + 2 * 16 * 16,)},
        **{"features@1": (16, 4, 4), "features@2": (12, 8, 8), "features@3": (8, 16, 16)},
    }
    assert len(small.blocks) == 4
    assert not any(parameter.requires_grad for parameter in small.parameters())


def test_a_state_makes_the_same_network_again(small: MobileStyleGAN) -> None:
    again = MobileStyleGAN.from_state(small.state_dict())
    assert torch.equal(again.decode(sampled(small)), small.decode(sampled(small)))


@pytest.mark.parametrize("space", ["z", "w", "w+", "w++", "s", "p_n", "p_n+"])
def test_every_space_draws_the_same_picture(small: MobileStyleGAN, space: str) -> None:
    z = sampled(small)
    torch.testing.assert_close(small.decode(small.map(z, source="z", target=space), space), small.decode(z), atol=1e-4, rtol=0)


def test_a_repeated_w_is_that_w(small: MobileStyleGAN) -> None:
    w = sampled(small, space="w")
    torch.testing.assert_close(small.decode(w[:, None].expand(-1, 8, -1), "w+"), small.decode(w, "w"), atol=1e-5, rtol=0)


def test_whitened_codes_are_standard_normal_and_come_back(small: MobileStyleGAN) -> None:
    p_n = sampled(small, 20_000, "p_n")
    torch.testing.assert_close(p_n.T.cov(), torch.eye(N), atol=0.05, rtol=0)
    w = sampled(small, 64, "w")
    back = small.map(small.map(w, source="w", target="p_n"), source="p_n", target="w")
    torch.testing.assert_close(back, w, atol=1e-4, rtol=1e-4)


def test_features_go_on_with_the_mean_or_the_given_styles(small: MobileStyleGAN) -> None:
    w = sampled(small, space="w")
    wplus = small.map(w, source="w", target="w+")
    for k in (1, 2, 3):
        space = f"features@{k}"
        features = small.map(w, source="w", target=space)
        torch.testing.assert_close(small.resumed(wplus, "w+").decode(features, space), small.decode(w, "w"), atol=1e-5, rtol=0)
        mean = small.resumed(small.w_mean[None], "w+")
        torch.testing.assert_close(small.decode(features, space), mean.decode(features, space), atol=1e-5, rtol=0)
    early = small.map(w, source="w", target="features@1")
    later = small.map(early, source="features@1", target="features@3")
    torch.testing.assert_close(small.decode(later, "features@3"), small.decode(early, "features@1"))


@pytest.mark.parametrize(
    ("source", "target"),
    [("w", "z"), ("w+", "w"), ("s", "w+"), ("w++", "w+"), ("s", "p_n"), ("features@2", "features@1"), ("features@1", "s")],
)
def test_there_is_no_way_back(small: MobileStyleGAN, source: str, target: str) -> None:
    with pytest.raises(ValueError, match=f"no map from '{source.replace('+', '[+]')}' back to"):
        small.map(sampled(small, space=source), source=source, target=target)


def test_truncation_moves_toward_the_mean(small: MobileStyleGAN) -> None:
    z = sampled(small)
    w, mean = small.map(z, source="z", target="w"), small.w_mean[0]
    torch.testing.assert_close(small.map(z, source="z", target="w", truncation=0.5), mean + 0.5 * (w - mean))
    torch.testing.assert_close(small.map(z, source="z", target="w+", truncation=0.0), small.w_mean.expand(2, -1, -1))
    torch.testing.assert_close(
        small.map(w, source="w", target="s", truncation=0.5), small.map(mean + 0.5 * (w - mean), source="w", target="s")
    )


@pytest.mark.parametrize("noise", ["none", "random"])
def test_noise_is_the_networks_own_or_none_or_drawn(small: MobileStyleGAN, noise: NoiseMode) -> None:
    z = sampled(small)
    other = small.decode(z, noise=noise)
    assert not torch.allclose(other, small.decode(z), atol=1e-3)
    assert torch.equal(small.decode(z, noise=noise), other)


def test_neighbours_do_not_matter(small: MobileStyleGAN) -> None:
    for space in small.spaces:
        batch = sampled(small, 4, space)
        singles = torch.cat([small.decode(code[None], space) for code in batch])
        torch.testing.assert_close(small.decode(batch, space), singles, atol=1e-5, rtol=0)


@pytest.mark.parametrize("space", ["z", "w", "w+", "w++", "s", "p_n", "p_n+", "features@1", "features@3"])
def test_gradients(space: str) -> None:
    prior = MobileStyleGAN.from_state(mobilestylegan_state()).double()
    code = sampled(prior, 1, space).double().requires_grad_()
    loss = prior.decode(code, space).square().mean()
    (slope,) = torch.autograd.grad(loss, code)
    way = torch.randn(code.shape, generator=torch.Generator().manual_seed(1)).double() * 1e-6
    with torch.no_grad():
        rise = prior.decode(code + way, space).square().mean() - prior.decode(code - way, space).square().mean()
    torch.testing.assert_close((slope * way).sum() * 2, rise, rtol=1e-3, atol=1e-14)


def test_a_cut_network_draws_with_another_head(small: MobileStyleGAN) -> None:
    rng = torch.Generator().manual_seed(2)
    head = {"weight": torch.randn(12, 12, 3, 3, generator=rng), "bias": torch.zeros(12)}
    head |= {"styles.weight": torch.zeros(12, N), "styles.bias": torch.ones(12)}
    cut = small.cut("features@2", head)
    assert cut.image_shape == (3, 16, 16)
    assert cut.spaces["w+"] == (5, N)
    z = sampled(small)
    features = small.map(z, source="z", target="features@2")
    expected = haar(F.conv2d(features, head["weight"], padding=1))
    torch.testing.assert_close(2 * cut.decode(z) - 1, expected, atol=1e-4, rtol=1e-4)
    with pytest.raises(CheckpointError, match=r"not a head for features@3 of MobileStyleGAN\(3×32×32\)"):
        small.cut("features@3", head)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"first.input": None}, "first.input is missing"),
        ({"layers.1.conv2.finish.bias": None}, "layers.1.conv2.finish.bias"),
        ({"layers.1.conv1.pointwise": torch.zeros(8, 4, 1, 1)}, "layers.1.conv1.pointwise"),
        ({"head.weight": torch.zeros(5, 8, 1, 1)}, "head.weight draws 5 channels"),
        ({"head.bias": torch.full((12,), torch.nan)}, "NaN or infinite values in head.bias"),
        ({"extra": torch.zeros(1)}, "extra"),
    ],
)
def test_wrong_tensors_are_named(change: dict[str, Tensor | None], words: str) -> None:
    state = {key: value for key, value in (mobilestylegan_state() | change).items() if value is not None}
    with pytest.raises(CheckpointError) as caught:
        MobileStyleGAN.from_state(state)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_labels_and_unknown_spaces_are_refused(small: MobileStyleGAN) -> None:
    with pytest.raises(ValueError, match="has no classes"):
        small.decode(sampled(small), label=torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="has no space 'features@0'"):
        small.decode(sampled(small), "features@0")


def test_parity_with_the_openvino_runtime(shared: Path, ffhq1024: MobileStyleGAN) -> None:
    expected = load_file(shared / "reference" / "08a_real_random_face_mobilestylegan" / "expected.safetensors")
    torch.testing.assert_close(ffhq1024.map(expected["z"], source="z", target="w"), expected["w"], atol=1e-4, rtol=0)
    torch.testing.assert_close(ffhq1024.w_mean[0], expected["w_avg_4096"], atol=0.05, rtol=0)
    half = torch.lerp(expected["w_avg_4096"], expected["w"][:1], 0.5)
    for suffix, w in (("psi1", expected["w"][:2]), ("psi0_5", half)):
        for i, code in enumerate(w):
            image = 2 * ffhq1024.decode(code[None], "w")[0] - 1
            for crop, (top, left) in enumerate([(448, 448), (300, 352), (0, 960)]):
                torch.testing.assert_close(
                    image[:, top : top + 64, left : left + 64], expected[f"crop{crop}_{suffix}"][i], atol=2e-4, rtol=0
                )
            if suffix == "psi1":
                small = F.avg_pool2d(image, 4)
                torch.testing.assert_close(small, expected["image_psi1_area256"][i].float(), atol=1e-3, rtol=0)
                assert small.shape == (3, 256, 256)


def test_the_real_spaces(ffhq1024: MobileStyleGAN) -> None:
    assert ffhq1024.image_shape == (3, 1024, 1024)
    assert ffhq1024.spaces["w+"] == (23, 512)
    assert ffhq1024.spaces["features@5"] == (512, 64, 64)
    w = sampled(ffhq1024, 8, "w")
    p_n = ffhq1024.map(w, source="w", target="p_n")
    assert 0.8 < float(p_n.square().mean()) < 1.25
    torch.testing.assert_close(ffhq1024.map(p_n, source="p_n", target="w"), w, atol=1e-4, rtol=1e-4)


@pytest.fixture(scope="module")
def whole(ffhq1024: MobileStyleGAN) -> tuple[Tensor, Tensor]:
    """Four styles (4, N), and what the whole network draws of them, at the largest size that any head draws."""
    w = ffhq1024.map(ffhq1024.sample(4, torch.Generator().manual_seed(77)), source="z", target="w", truncation=0.7)
    return w, torch.cat([F.avg_pool2d(ffhq1024.decode(code[None], "w"), 4) for code in w])


@pytest.mark.parametrize(("name", "least"), [("ffhq64", 26.0), ("ffhq128", 27.5), ("ffhq128-fast", 24.5), ("ffhq256", 26.5)])
def test_the_heads_draw_what_the_whole_network_draws(whole: tuple[Tensor, Tensor], name: str, least: float) -> None:
    cut = real(name)
    assert cut.image_shape == ZOO[name].image_shape
    side = cut.image_shape[1]
    w, large = whole
    small = F.avg_pool2d(large, large.shape[-1] // side).clamp(0, 1)
    drawn = cut.decode(w, "w").clamp(0, 1)
    decibels = -10 * (drawn - small).square().flatten(1).mean(1).log10()
    assert float(decibels.mean()) > least
    assert float((drawn - small).mean((0, 2, 3)).abs().max()) < 0.02
    singles = torch.cat([cut.decode(code[None], "w") for code in w])
    torch.testing.assert_close(singles, cut.decode(w, "w"), atol=1e-4, rtol=0)


def test_a_mapping_without_a_layer_is_refused() -> None:
    state = {key: value for key, value in mobilestylegan_state().items() if key != "mapping.layers.1.weight"}
    with pytest.raises(CheckpointError, match=r"^mapping\.layers\.1\.weight is missing; the network needs it"):
        MobileStyleGAN.from_state(state)


def test_the_faces_whitening_is_the_one_that_comes_with_the_package(ffhq128: Prior) -> None:
    """Measured anew it would take seconds at every start, and round otherwise on every machine."""
    shipped, _ = _shipped("ffhq-whitening")
    assert shipped
    for name, numbers in shipped.items():
        assert torch.equal(ffhq128.get_buffer(f"whitening.{name}"), numbers), name
