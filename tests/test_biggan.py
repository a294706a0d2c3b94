from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from feedforward_support import check_chain, reference, with_changes
from prior_support import sampled
from states_support import State, biggan_discriminator_state, biggan_state
from torch import Tensor

from priorsolve.priors import CheckpointError, read_state
from priorsolve.priors.biggan import BigGAN, recognises
from priorsolve.priors.biggan_discriminator import BigGANDiscriminator
from priorsolve.priors.biggan_discriminator import recognises as recognises_discriminator


def other_batch_norm(state: State) -> State:
    """The same with the names of the two other normalisations that ajbrock's code can be built with."""
    renamed = {key.replace("bn1.stored_", "bn1.bn.stored_").replace("bn2.stored_", "bn2.bn.running_"): v for key, v in state.items()}
    return renamed | {"blocks.0.0.bn1.bn.accumulation_counter": torch.ones(1)}


CASES = [("03_biggan_brock_128_ch4", "128", 5e-5), ("03_biggan_brock_64_ch4", "64", 2e-5)]


@pytest.mark.parametrize(("case", "side", "atol"), CASES)
def test_parity_with_the_original(shared: Path, case: str, side: str, atol: float) -> None:
    folder, expected = reference(shared, case)
    state = read_state(folder / f"G_ema_{side}.pth")
    assert recognises(state)
    assert not recognises_discriminator(state)
    prior, z, y = BigGAN.from_state(state), expected["z"], expected["y"]
    torch.testing.assert_close(prior.embed(y), expected["class_embedding"], atol=1e-6, rtol=0)
    torch.testing.assert_close(2 * prior.decode(z, "z", label=y) - 1, expected["image"], atol=atol, rtol=1e-4)
    both = torch.cat([z, expected["class_embedding"]], 1)
    torch.testing.assert_close(2 * prior.decode(both, "z+c") - 1, expected["image"], atol=atol, rtol=1e-4)
    weights = torch.zeros(1, prior.n_classes)
    weights[0, y[0]], weights[0, y[1]] = 0.25, 0.75
    mixed = prior.decode(z[:1], "z", label=weights)
    torch.testing.assert_close(2 * mixed - 1, expected["image_class_mix_25_75_of_z0"], atol=atol, rtol=1e-4)
    for k in (0, 1):
        features = expected[f"feature.blocks.{k}"]
        mapped = prior.map(z[:1], source="z", target=f"features@{k + 2}", label=y[:1])
        torch.testing.assert_close(mapped[:, : features.shape[1]], features, atol=atol, rtol=1e-4)


@pytest.mark.parametrize(("case", "side", "atol"), CASES)
def test_discriminator_parity_with_dgp(shared: Path, case: str, side: str, atol: float) -> None:
    folder, expected = reference(shared, case)
    state = read_state(folder / f"D_{side}.pth")
    assert recognises_discriminator(state)
    assert not recognises(state)
    discriminator = BigGANDiscriminator.from_state(state)
    n = len(expected["D_out_no_class"])
    images = (expected["image"][:n] + 1) / 2
    features = discriminator.features(images)
    assert len(features) == {"128": 8, "64": 7}[side]
    for key in (key for key in expected if key.startswith("D_feature_")):
        found = features[int(key.removeprefix("D_feature_"))]
        torch.testing.assert_close(found[: len(expected[key])], expected[key], atol=atol, rtol=1e-4)
    torch.testing.assert_close(discriminator(images)[:, None], expected["D_out_no_class"], atol=atol, rtol=1e-4)
    torch.testing.assert_close(discriminator(images, expected["y"][:n])[:, None], expected["D_out_with_class"], atol=atol, rtol=1e-4)


def test_it_is_a_chain() -> None:
    prior = BigGAN.from_state(biggan_state())
    check_chain(prior)
    # beside the channels: the chunks of z that are still to come, 2 · 3 and 3, and 6 numbers of the class
    assert dict(prior.spaces) == {
        **{"z+c": (15,), "z": (9,), "features@1": (8 + 12, 4, 4), "features@2": (8 + 9, 8, 8), "features@3": (4, 16, 16)},
    }
    assert prior.image_shape == (3, 16, 16)


def test_of_a_plane_for_a_condition_the_mean_counts() -> None:
    prior = BigGAN.from_state(biggan_state())
    features = prior.map(sampled(prior), source="z+c", target="features@1")
    noise = torch.randn(features[:, 8:].shape, generator=torch.Generator().manual_seed(1))
    moved = torch.cat([features[:, :8], features[:, 8:] + noise - noise.mean((2, 3), keepdim=True)], 1)
    torch.testing.assert_close(prior.decode(moved, "features@1"), prior.decode(features, "features@1"), atol=1e-5, rtol=0)


def test_z_may_be_whole() -> None:
    prior = BigGAN.from_state(biggan_state(conditioned=False))
    check_chain(prior)
    assert prior.spaces["z"] == (3,)


def test_batch_norm_by_other_names() -> None:
    prior, other = BigGAN.from_state(biggan_state()), BigGAN.from_state(other_batch_norm(biggan_state()))
    torch.testing.assert_close(other.decode(sampled(prior)), prior.decode(sampled(prior)), atol=0, rtol=0)


def test_class_as_index_weights_and_code() -> None:
    prior = BigGAN.from_state(biggan_state())
    start = sampled(prior)
    z, y = prior.map(start, source="z+c", target="z"), torch.tensor([3, 0])
    torch.testing.assert_close(z, start[:, :9], atol=0, rtol=0)
    one_hot = torch.nn.functional.one_hot(y, 5).float()
    by_index = prior.decode(z, "z", label=y)
    torch.testing.assert_close(prior.decode(z, "z", label=one_hot), by_index, atol=1e-6, rtol=0)
    both = prior.map(z, source="z", target="z+c", label=y)
    torch.testing.assert_close(both, torch.cat([z, prior.embed(y)], 1))
    torch.testing.assert_close(prior.decode(both), by_index, atol=1e-6, rtol=0)
    weights = one_hot.requires_grad_()
    prior.decode(z, "z", label=weights).square().sum().backward()  # type: ignore[no-untyped-call]
    assert weights.grad is not None
    assert float(weights.grad.abs().sum()) > 0


def test_sampled_classes_are_all_classes() -> None:
    prior = BigGAN.from_state(biggan_state())
    drawn = prior.sample(64, torch.Generator().manual_seed(0))[:, 9:]
    nearest = torch.cdist(drawn, prior.embed(torch.arange(5))).argmin(1)
    assert set(nearest.tolist()) == set(range(5))


def test_refusals_name_the_way_out() -> None:
    prior = BigGAN.from_state(biggan_state())
    start = sampled(prior)
    with pytest.raises(ValueError, match=r"codes in 'z' need a label, .* or use 'z\+c'"):
        prior.decode(start[:, :9], "z")
    with pytest.raises(ValueError, match="carry their class"):
        prior.decode(start, label=torch.tensor([0, 1]))
    with pytest.raises(ValueError, match=r"no class -1; classes are 0 … 4"):
        prior.decode(start[:, :9], "z", label=torch.tensor([2, -1]))
    with pytest.raises(ValueError, match=r"a label of shape \(2, 4\), expected class indices \(B,\) or weights \(B, 5\)"):
        prior.decode(start[:, :9], "z", label=torch.ones(2, 4))
    with pytest.raises(ValueError, match="2 codes but a label of shape"):
        prior.decode(start[:, :9], "z", label=torch.tensor([0]))
    with pytest.raises(ValueError, match="no map from 'features@1' back to 'z'"):
        prior.map(torch.zeros(1, 20, 4, 4), source="features@1", target="z")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shared.weight": None}, "not a BigGAN generator"),
        ({"blocks.1.0.conv2.u0": None}, r"blocks\.1\.0\.conv2\.u0 is missing"),
        ({"blocks.0.0.bn2.stored_var": None}, r"blocks\.0\.0\.bn2\.stored_var is missing"),
        ({"blocks.0.0.bn2.stored_var": torch.full((8,), -1.0)}, r"negative variances in blocks\.0\.0\.bn2\.stored_var"),
        ({"blocks.0.0.bn1.gain.weight": torch.ones(8, 7)}, r"blocks\.0\.0\.bn1\.gain\.weight takes 7 numbers"),
        ({"blocks.1.0.bn1.gain.weight": torch.ones(8, 7)}, r"blocks\.1\.0\.bn1\.gain\.weight has shape \(8, 7\), expected \(8, 9\)"),
        ({"blocks.0.0.conv1.weight": torch.full((8, 8, 3, 3), torch.inf)}, r"NaN or infinite values in blocks\.0\.0\.conv1\.weight"),
        ({"blocks.0.0.conv1.weight": torch.zeros(8, 8, 3, 3)}, r"blocks\.0\.0\.conv1\.weight has spectral norm 0"),
        ({"linear.weight": torch.ones(130, 3), "linear.u0": torch.ones(1, 130)}, r"linear\.weight makes 130 numbers"),
        ({"blocks.0.1.theta.u1": torch.ones(1)}, r"blocks\.0\.1\.theta\.u1 has no place"),
        ({"blocks.0.1.phi.weight": torch.ones(2, 8, 1, 1)}, r"phi\.weight has shape \(2, 8, 1, 1\), expected \(1, 8, 1, 1\)"),
        ({"linear.bias": torch.full((128,), torch.nan), "linear.u0": torch.full((1, 128), torch.inf)}, "in linear.bias, linear.u0;"),
        ({"blocks.9.0.conv1.weight": torch.ones(1)}, r"blocks\.2\.0\.conv1\.weight is missing"),
    ],
)
def test_unusable_tensors_are_named(changes: Mapping[str, Tensor | None], words: str) -> None:
    with pytest.raises(CheckpointError, match=words):
        BigGAN.from_state(with_changes(biggan_state(), changes))


def test_discriminator_features_have_gradients_and_frozen_weights() -> None:
    discriminator = BigGANDiscriminator.from_state(biggan_discriminator_state())
    assert not any(parameter.requires_grad for parameter in discriminator.parameters())
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)).requires_grad_()
    features = discriminator.features(images)
    assert [tuple(feature.shape) for feature in features] == [(2, 4, 8, 8), (2, 4, 8, 8), (2, 8, 4, 4), (2, 8, 4, 4), (2, 8)]
    for feature in features:
        (gradient,) = torch.autograd.grad(feature.sum(), images, retain_graph=True)
        assert float(gradient.abs().sum()) > 0
    torch.testing.assert_close(discriminator(images[1:]), discriminator(images)[1:], atol=1e-5, rtol=0)
    by_index, by_weights = discriminator(images, torch.tensor([4, 1])), discriminator(images, torch.eye(5)[[4, 1]])
    torch.testing.assert_close(by_index, by_weights, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"embed.weight": None}, "not a BigGAN discriminator"),
        ({"blocks.1.0.conv_sc.weight": None}, r"blocks\.1\.0\.conv_sc\.weight is missing"),
        ({"blocks.2.0.conv2.weight": None}, r"blocks\.2\.0\.conv2\.weight is missing"),
        ({"linear.weight": torch.full((1, 8), torch.nan)}, r"NaN or infinite values in linear\.weight"),
    ],
)
def test_unusable_discriminators_are_named(changes: Mapping[str, Tensor | None], words: str) -> None:
    with pytest.raises(CheckpointError, match=words):
        BigGANDiscriminator.from_state(with_changes(biggan_discriminator_state(), changes))
