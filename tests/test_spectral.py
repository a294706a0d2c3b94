"""Spectral norm while drawing: what moves is the raw weight, as where the network was trained."""

from __future__ import annotations

import copy

import pytest
import torch
from prior_support import made
from solvers_support import measured
from states_support import biggan_discriminator_state, biggan_state
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import spectral_norm

from priorsolve.operators.base import Identity
from priorsolve.priors import BigGAN
from priorsolve.priors.biggan_discriminator import BigGANDiscriminator
from priorsolve.priors.spectral import SpectralConvolution, SpectralLinear, SpectralNorm
from priorsolve.solvers.tuned import Tuned

NAMES = {
    **{"conv1.layer": "0.conv1", "conv2": "0.conv2", "shortcut": "0.conv_sc", "norm1": "0.bn1", "norm2": "0.bn2", "attention": "1"},
    **{"_blocks.3.convolution": "output_layer.2", "_blocks.3": "output_layer.0", "_blocks.0.linear": "linear"},
    **{"_blocks.1": "blocks.0", "_blocks.2": "blocks.1"},
}


def ajbrock(name: str) -> str:
    """What ajbrock's files call our parameter."""
    for ours, theirs in NAMES.items():
        name = name.replace(ours, theirs)
    return name


def drawn(state: dict[str, Tensor], code: Tensor) -> Tensor:
    """ajbrock's generator in eval mode, restated: two blocks, attention after the first; one power step in every pass."""

    def weight(name: str) -> Tensor:
        raw, u0 = state[f"{name}.weight"], state[f"{name}.u0"]
        matrix = raw.view(len(raw), -1)
        with torch.no_grad():
            v = F.normalize(u0 @ matrix, eps=1e-12)
            u = F.normalize(v @ matrix.t(), eps=1e-12)
        return raw / torch.squeeze(v @ matrix.t() @ u.t())

    def convolved(x: Tensor, name: str) -> Tensor:
        kernel = weight(name)
        return F.conv2d(x, kernel, state.get(f"{name}.bias"), padding=kernel.shape[2] // 2)

    def normed(x: Tensor, name: str, gain: Tensor, bias: Tensor) -> Tensor:
        x = F.batch_norm(x, state[f"{name}.stored_mean"], state[f"{name}.stored_var"], eps=1e-5)
        return x * gain[..., None, None] + bias[..., None, None]

    *chunks, conditions = torch.split(code, [3, 3, 3, 6], 1)
    h = F.linear(chunks[0], weight("linear"), state["linear.bias"]).view(-1, 8, 4, 4)
    for i in (0, 1):
        told = torch.cat([conditions, chunks[i + 1]], 1)
        gains = {norm: [F.linear(told, weight(f"blocks.{i}.0.{norm}.{part}")) for part in ("gain", "bias")] for norm in ("bn1", "bn2")}
        left = F.interpolate(normed(h, f"blocks.{i}.0.bn1", 1 + gains["bn1"][0], gains["bn1"][1]).relu(), scale_factor=2)
        left = convolved(left, f"blocks.{i}.0.conv1")
        left = convolved(normed(left, f"blocks.{i}.0.bn2", 1 + gains["bn2"][0], gains["bn2"][1]).relu(), f"blocks.{i}.0.conv2")
        h = left + convolved(F.interpolate(h, scale_factor=2), f"blocks.{i}.0.conv_sc")
        if i == 0:
            theta, phi, g = (convolved(h, f"blocks.0.1.{part}") for part in ("theta", "phi", "g"))
            phi, g = F.max_pool2d(phi, 2).flatten(2), F.max_pool2d(g, 2).flatten(2)
            beta = F.softmax(theta.flatten(2).transpose(1, 2) @ phi, -1)
            o = convolved((g @ beta.transpose(1, 2)).view(len(h), -1, *h.shape[2:]), "blocks.0.1.o")
            h = state["blocks.0.1.gamma"] * o + h
    h = normed(h, "output_layer.0", state["output_layer.0.gain"], state["output_layer.0.bias"]).relu()
    return convolved(h, "output_layer.2").tanh() / 2 + 0.5


@pytest.mark.parametrize("steps", [1, 4])
def test_adam_moves_the_raw_weights_as_the_original_does(steps: int) -> None:
    state = {key: value.double() for key, value in biggan_state().items()}
    prior = copy.deepcopy(BigGAN.from_state(biggan_state())).double()
    y = measured(prior, 1)
    code = Tuned(prior, steps=0, candidates=1)(y, Identity()).codes["z+c"]
    torch.testing.assert_close(drawn(state, code), prior.decode(code), atol=1e-12, rtol=0)
    solution = Tuned(prior, steps=steps, candidates=1, lr=0, weights_lr=1e-2, keep="last")(y, Identity())

    found = {key.removeprefix("weights:"): value[0] for key, value in solution.codes.items() if key.startswith("weights:")}
    moving = {name: state[ajbrock(name)].requires_grad_() for name in found}
    assert len(moving) == 2 + 2 * 10 + 5 + 4  # the matrix, two blocks, attention, the layer that draws
    adam = torch.optim.Adam([*moving.values()], lr=1e-2, betas=(0.0, 0.999), eps=1e-8)
    for _ in range(steps):
        adam.zero_grad()
        (drawn(state, code) - y).square().mean().backward()  # type: ignore[no-untyped-call]
        adam.step()
    for name, value in found.items():
        torch.testing.assert_close(value, moving[name].detach(), atol=1e-8, rtol=0)


@pytest.mark.parametrize("family", ["biggan", "biggan-deep"])
def test_the_size_of_a_raw_weight_moves_no_picture(family: str) -> None:
    """W/σ of 3W is that of W; a prior that held W/σ would be another one with it."""
    prior, louder = made(family), made(family)
    with torch.no_grad():
        for module in louder.modules():
            if isinstance(module, SpectralConvolution | SpectralLinear):
                module.weight.mul_(3)
    codes = prior.sample(2, torch.Generator().manual_seed(1))
    torch.testing.assert_close(louder.decode(codes), prior.decode(codes), atol=1e-5, rtol=0)
    torch.testing.assert_close(louder.folded().decode(codes), prior.decode(codes), atol=1e-5, rtol=0)


def test_stored_vectors_divide_as_torchs_own_and_gradients_go_the_same_way() -> None:
    rng = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        reference = spectral_norm(nn.Conv2d(3, 5, 3, padding=1).double()).eval()
    known, raw = reference.state_dict(), reference.get_parameter("weight_orig")
    norm = SpectralNorm(known["weight_u"], known["weight_v"])
    whole, some = (SpectralConvolution(raw.detach().clone(), known["bias"].clone(), norm, outputs) for outputs in (None, 2))
    x = torch.randn(2, 3, 4, 4, generator=rng, dtype=torch.float64)
    expected = reference(x)
    torch.testing.assert_close(whole(x), expected)
    torch.testing.assert_close(some(x), expected[:, :2])
    torch.testing.assert_close(some.fused()(x), expected[:, :2])
    for layer, out in ((whole, expected), (some, expected[:, :2])):
        (wanted,) = torch.autograd.grad(out.square().sum(), raw, retain_graph=True)
        (gradient,) = torch.autograd.grad(layer(x).square().sum(), layer.weight)
        torch.testing.assert_close(gradient, wanted)


@pytest.mark.parametrize("family", ["biggan", "biggan-deep"])
def test_folded_priors_divide_no_more(family: str) -> None:
    assert any(isinstance(module, SpectralNorm) for module in made(family).modules())
    assert not any(isinstance(module, SpectralNorm) for module in made(family).folded().modules())


def test_the_discriminator_divides_on_loading() -> None:
    assert not any(isinstance(module, SpectralNorm) for module in BigGANDiscriminator.from_state(biggan_discriminator_state()).modules())


def test_the_norm_is_exact_where_the_network_computes_in_bfloat16() -> None:
    rng = torch.Generator().manual_seed(0)
    norm, weight = SpectralNorm(torch.randn(6, generator=rng)), torch.randn(6, 40, generator=rng)
    with torch.autocast("cpu", torch.bfloat16):
        half = norm.norm(weight)
    assert torch.equal(half, norm.norm(weight))
