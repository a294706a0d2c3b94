"""Frozen networks on the CPU: folded MobileStyleGANs draw the same and lead the same gradients back, and so do their parts."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from device_support import DEVICE, another_device
from prior_support import drawn, sampled, traced
from states_support import mobilestylegan_state
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional as F

from priorsolve.priors.frozen import Cast, depthwise, pointwise
from priorsolve.priors.mobilestylegan import MobileStyleGAN
from priorsolve.priors.mobilestylegan_frozen import upsampled

SPACES = ("z", "w", "w+", "w++", "s", "p_n", "noise", "features@1", "features@2", "features@3")


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("outputs", [3, 12])
def test_a_folded_network_is_the_same(space: str, outputs: int) -> None:
    prior = MobileStyleGAN.from_state(mobilestylegan_state(outputs=outputs))
    folded, codes = prior.folded(), sampled(prior, 2, space)
    (image, slope), (again, same) = (traced(partial(each.decode, space=space), codes) for each in (prior, folded))
    torch.testing.assert_close(again, image, atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(same, slope, atol=1e-4, rtol=1e-4)


def test_a_folded_network_maps_to_the_same_features() -> None:
    prior = MobileStyleGAN.from_state(mobilestylegan_state())
    folded, w = prior.folded(), sampled(prior, 2, "w")
    for k in (1, 2, 3):
        target = f"features@{k}"
        features = prior.map(w, source="w", target=target)
        torch.testing.assert_close(folded.map(w, source="w", target=target), features, atol=2e-5, rtol=1e-5)
    assert folded.state_dict().keys() == prior.state_dict().keys()


def test_a_folded_network_in_a_head_of_3x3() -> None:
    state = mobilestylegan_state(outputs=3)
    state["head.weight"] = drawn(3, 8, 3, 3)
    prior = MobileStyleGAN.from_state(state)
    for space in ("w", "w++"):
        codes = sampled(prior, 2, space)
        torch.testing.assert_close(prior.folded().decode(codes, space), prior.decode(codes, space), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("size", [4, 40])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_pointwise_convolution_is_one(size: int, layout: torch.memory_format) -> None:
    x, weight, bias = drawn(1, 16, size, size).contiguous(memory_format=layout), drawn(24, 16, 1, 1, seed=1), drawn(24, seed=2)
    found, expected = (traced(partial(convolve, weight=weight, bias=bias), x) for convolve in (pointwise, F.conv2d))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_a_depthwise_convolution_is_one() -> None:
    x, weight = drawn(2, 6, 7, 5), drawn(6, 1, 3, 3, seed=1)
    found = traced(lambda x: depthwise(x, weight, weight.flip(2, 3)), x)
    torch.testing.assert_close(found, traced(lambda x: F.conv2d(x, weight, padding=1, groups=6), x), atol=1e-5, rtol=1e-5)


def test_gradients_of_gradients() -> None:
    x, weight = drawn(2, 4, 4, 2).double().requires_grad_(), drawn(4, 1, 3, 3, seed=1).double()
    functions = (lambda x: depthwise(x, weight, weight.flip(2, 3)), upsampled)
    for function in functions:
        assert gradcheck(function, (x,))
        assert gradgradcheck(function, (x,))


def test_what_is_brought_to_a_type_moves_to_another_device() -> None:
    cast = Cast(torch.ones(2))
    assert cast(torch.bfloat16).dtype == torch.bfloat16
    with another_device():
        there = cast.to(DEVICE)(torch.bfloat16)
        assert (there.dtype, there.device) == (torch.bfloat16, DEVICE)
