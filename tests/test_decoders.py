from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from feedforward_support import check_chain, with_changes
from prior_support import sampled
from states_support import State, matrices, mlp_state, vae_state
from torch import Tensor
from torch.nn import functional as F

from priorsolve.priors import CheckpointError
from priorsolve.priors.decoders import Decoder, recognises


def csgm() -> State:
    return matrices(("encoder.0", 64, 6), ("decoder.0", 4, 6), ("decoder.2", 6, 6), ("decoder.4", 6, 64))


def test_the_vae_of_the_pytorch_examples() -> None:
    state = vae_state()
    prior = Decoder.from_state(state)
    check_chain(prior)
    assert prior.image_shape == (1, 8, 8)
    assert dict(prior.spaces) == {"z": (4,), "features@1": (6,)}
    z = sampled(prior)
    hidden = F.linear(z, state["fc3.weight"], state["fc3.bias"]).relu()
    expected = F.linear(hidden, state["fc4.weight"], state["fc4.bias"]).sigmoid()
    torch.testing.assert_close(prior.decode(z).flatten(1), expected)


def test_the_mlp_of_a_gan() -> None:
    state = mlp_state()
    prior = Decoder.from_state(state)
    check_chain(prior)
    x = z = sampled(prior)
    for name, activation in (("0", torch.relu), ("2", torch.relu), ("4", torch.tanh)):
        x = activation(F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"]))
    torch.testing.assert_close(2 * prior.decode(z).flatten(1) - 1, x)


def test_the_decoder_of_csgm() -> None:
    state = csgm()
    prior = Decoder.from_state(state, hidden="softplus")
    check_chain(prior)
    x = z = sampled(prior)
    for k, activation in ((0, F.softplus), (2, F.softplus), (4, torch.sigmoid)):
        x = activation(F.linear(x, state[f"decoder.{k}.weight"], state[f"decoder.{k}.bias"]))
    torch.testing.assert_close(prior.decode(z).flatten(1), x)


def test_the_shape_is_square_or_given() -> None:
    assert Decoder.from_state(matrices(("0", 4, 6), ("2", 6, 48))).image_shape == (3, 4, 4)
    assert Decoder.from_state(matrices(("0", 4, 6), ("2", 6, 20)), image_shape=(1, 4, 5)).image_shape == (1, 4, 5)
    with pytest.raises(CheckpointError, match=r"2\.weight draws 20 numbers, .* give image_shape"):
        Decoder.from_state(matrices(("0", 4, 6), ("2", 6, 20)))


def test_only_matrices_that_draw_a_square_are_recognised() -> None:
    assert all(recognises(state) for state in (vae_state(), mlp_state(), csgm()))
    assert not recognises({})
    assert not recognises(matrices(("0", 4, 6), ("2", 6, 20)))
    assert not recognises(matrices(("0", 64, 6), ("2", 6, 1)))
    assert not recognises(matrices(("fc1", 64, 6), ("fc2", 6, 6), ("fc3", 6, 10)))
    assert not recognises({**mlp_state(), "6.weight": torch.zeros(3, 3, 3, 3)})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"0.weight": None, "2.weight": None, "4.weight": None}, "not a decoder of matrices"),
        ({"2.bias": None}, r"2\.bias is missing"),
        ({"2.weight": torch.zeros(6, 5)}, r"2\.weight has shape \(6, 5\), expected \(any, 6\)"),
        ({"2.weight": torch.full((6, 6), torch.inf)}, r"NaN or infinite values in 2\.weight"),
        ({"extra": torch.zeros(2)}, "extra has no place"),
    ],
)
def test_unusable_tensors_are_named(changes: Mapping[str, Tensor | None], words: str) -> None:
    with pytest.raises(CheckpointError, match=words):
        Decoder.from_state(with_changes(mlp_state(), changes))


def test_what_ends_in_a_handful_of_numbers_is_no_decoder() -> None:
    assert not recognises(matrices(("0", 4, 6), ("2", 6, 49)))
