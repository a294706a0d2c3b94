"""What every generator that is a chain of blocks must do, whatever its family."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

import torch
from prior_support import sampled
from safetensors.torch import load_file
from torch import Tensor

from priorsolve.priors import Prior


def reference(shared: Path, case: str) -> tuple[Path, dict[str, Tensor]]:
    folder = shared / "reference" / case
    return folder, load_file(folder / "expected.safetensors")


def with_changes(state: Mapping[str, Tensor], changes: Mapping[str, Tensor | None]) -> dict[str, Tensor]:
    """`state` with tensors replaced, and removed where None."""
    return {key: value for key, value in {**state, **changes}.items() if value is not None}


def check_chain(prior: Prior) -> None:
    """One picture from every space; gradients in each; frozen; no image depends on its neighbours; seeded; any dtype."""
    first = prior.first_space
    start = sampled(prior, 3)
    whole = prior.decode(start)
    assert whole.shape == (3, *prior.image_shape)
    assert not prior.training
    assert not any(parameter.requires_grad for parameter in prior.parameters())
    folded = prior.folded()
    assert folded.spaces == prior.spaces
    entries = [space for space in prior.spaces if space != "z" or first == "z"]
    assert len(entries) == len(prior.blocks)
    for space in entries:
        x = prior.map(start, source=first, target=space).requires_grad_()
        assert x.shape == (3, *prior.spaces[space])
        picture = prior.decode(x, space)
        torch.testing.assert_close(picture, whole, atol=2e-5, rtol=0)
        torch.testing.assert_close(folded.decode(x, space), whole, atol=2e-5, rtol=0)
        (gradient,) = torch.autograd.grad(picture.square().sum(), x)
        assert float(gradient.abs().sum()) > 0
    torch.testing.assert_close(prior.map(x.detach(), source=space, target=space), x)
    torch.testing.assert_close(prior.decode(start[1:2]), whole[1:2], atol=2e-5, rtol=0)
    torch.testing.assert_close(sampled(prior, 3), start, atol=0, rtol=0)
    torch.testing.assert_close(folded.decode(start), whole, atol=1e-5, rtol=0)
    torch.testing.assert_close(folded.folded().decode(start), folded.decode(start), atol=0, rtol=0)
    with torch.no_grad():
        for parameter in folded.parameters():
            parameter.zero_()
    torch.testing.assert_close(prior.decode(start), whole, atol=0, rtol=0)
    double = copy.deepcopy(prior).double()
    torch.testing.assert_close(double.decode(start.double()).float(), whole, atol=1e-4, rtol=0)
