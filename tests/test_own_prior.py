"""Priors of a user's own: what they may leave out, and what they get wrong, in one line."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from prior_support import Own
from solvers_support import linear
from torch import Tensor, nn

from priorsolve.operators.base import Identity
from priorsolve.priors import Prior, save_prior
from priorsolve.solvers import Latent, Pivotal, Staged, Tuned, picture
from priorsolve.solvers.weights import tunable
from priorsolve.types import Codes, Images, Shape

SHAPE = (3, 8, 8)


def measured() -> Tensor:
    return torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[0], r"^Own\(3×8×8\): draws \(3, 8, 8\) of \d codes; its image_shape says \(\d, 3, 8, 8\)$"),
        (lambda x: x[:, :1], r"draws \(\d, 1, 8, 8\) of \d codes"),
        (lambda x: x.detach().numpy(), "draws a ndarray of"),
        (lambda x: x.detach(), "lets no gradient through to its codes; draw with differentiable torch functions$"),
    ],
)
def test_what_it_draws_is_checked(change: Callable[[Tensor], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Latent(Own(change), steps=2, candidates=4)(measured(), Identity())


def test_what_no_solver_can_search_is_told_at_once() -> None:
    with pytest.raises(ValueError, match="has no parameter, whose device and type codes have; register one"):
        Latent(Own(parameter=False))
    with pytest.raises(ValueError, match="has no parameter, whose device and type codes have; register one"):
        Own(parameter=False).sample(2, torch.Generator())
    with pytest.raises(ValueError, match=r"is float16, too coarse to search in; .* let prior.computing\(...\) be quick$"):
        Latent(Own().half())
    shaken = Own()
    shaken.dropout = nn.Dropout()
    with pytest.raises(
        ValueError, match=r"is in training mode, where a picture depends on its neighbours or on chance; call prior.eval\(\)$"
    ):
        Latent(shaken)
    solver = Latent(shaken.eval(), steps=2, candidates=4)
    shaken.dropout.train()  # as a module that holds the network beside the prior does on .train()
    with pytest.raises(ValueError, match=r"is in training mode, .*; call prior.eval\(\)$"):
        solver(measured(), Identity())


def test_one_that_no_file_gives_is_not_written_to_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"and of a prior of your own class its state_dict\(\), with torch\.save or safetensors$"):
        save_prior(Own(), tmp_path / "own.safetensors")


class Styled(Own):
    """With a w, and no w for each layer."""

    @property
    def spaces(self) -> Mapping[str, Shape]:
        return {"z": (6,), "w": (6,)}

    def _map(self, codes: Codes, source: str, target: str, label: Tensor | None, truncation: float, noise: str | Tensor) -> Codes:
        return codes


def test_a_w_without_a_w_for_each_layer_is_one_length() -> None:
    """It ended in a KeyError: 'w+'."""
    prior = Styled()
    found = Latent(prior, space="w", steps=2, candidates=4)(measured(), Identity())
    tuned = Pivotal(prior, steps=3, lr=1e-2, locality=0.5, distance=1.0)(measured(), Identity(), start=found)
    assert bool((tuned.misfit < found.misfit).all())


@pytest.mark.parametrize(
    ("n", "rng", "message"),
    [
        (2, 0, r"^Own\(3×8×8\): rng is 0; give one of the CPU, torch.Generator\(\).manual_seed\(0\)$"),
        (2, None, "rng is None; give one of the CPU"),
        (2.0, torch.Generator(), "cannot sample 2.0 codes; give a whole number$"),
        (True, torch.Generator(), "cannot sample True codes; give a whole number$"),
        (-1, torch.Generator(), "cannot sample -1 codes"),
    ],
)
def test_what_it_is_sampled_with_is_told(n: Any, rng: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Own().sample(n, rng)


@pytest.mark.parametrize(
    ("sampled", "message"),
    [
        (lambda n, rng: torch.randn(1, 6, generator=rng), r"^Own\(3×8×8\): _sample gives \(1, 6\) for 2 codes; its spaces say \(2, 6\)$"),
        (lambda n, rng: torch.randn(n, 6, generator=rng).tolist(), r"^Own\(3×8×8\): _sample gives a list for 2 codes; its spaces say"),
        (lambda n, rng: None, "_sample gives a NoneType for 2 codes"),
    ],
)
def test_what_it_samples_is_checked(sampled: Any, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Own, "_sample", lambda _, n, rng: sampled(n, rng))
    with pytest.raises(ValueError, match=message):
        Own().sample(2, torch.Generator())


@pytest.mark.parametrize("shape", [6, (6.0,), None])
def test_spaces_say_shapes(shape: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Own, "spaces", {"z": shape})
    said = rf"^Own\(3×8×8\): spaces has {re.escape(repr(shape))} for 'z'; give the shape of a code, such as \(6,\)$"
    with pytest.raises(ValueError, match=said):
        Own().sample(2, torch.Generator())
    with pytest.raises(ValueError, match=said):
        Own().decode(torch.zeros(2, 6))


def test_a_forgotten_super_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Own, "__init__", lambda self: None)
    for wrong in (Latent, lambda prior: prior.sample(2, torch.Generator()), lambda prior: prior.eval()):
        with pytest.raises(AttributeError, match=r"^Own: its __init__ does not call super\(\).__init__\(\); call it first$"):
            wrong(Own())


def test_it_stays_in_eval_mode_inside_a_module_that_is_trained(digiface64: Prior) -> None:
    codes = digiface64.sample(2, torch.Generator().manual_seed(0))
    before, state = digiface64.decode(codes), {name: value.clone() for name, value in digiface64.state_dict().items()}
    pipeline = nn.ModuleList([digiface64, nn.Dropout()]).train()
    assert pipeline[1].training
    assert not any(part.training for part in digiface64.modules())
    assert torch.equal(digiface64.decode(codes), before)
    assert all(torch.equal(value, state[name]) for name, value in digiface64.state_dict().items())


def test_weights_move_without_blocks() -> None:
    prior, y = Own(), measured()
    begun = Latent(prior, steps=2)(y, Identity())
    tuned = Tuned(prior, steps=30, candidates=2, weights_lr=1e-2)(y, Identity())
    assert list(tuned.codes) == ["z", "weights:weight"]
    assert bool((tuned.misfit < begun.misfit).all())
    pivoted = Staged([Latent(prior, steps=2), Pivotal(prior, steps=5)])(y, Identity())
    assert bool((pivoted.misfit < begun.misfit).all())


class Twofold(Own):
    """Two layers that have two names each."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.ModuleDict({"first": nn.Linear(6, 12), "second": nn.Linear(12, 192)})
        self.parts = nn.ModuleList(self.net.values())

    @property
    def blocks(self) -> Sequence[nn.Module]:
        return list(self.parts)

    def _decode(self, codes: Codes, space: str, label: Tensor | None, noise: str | Tensor) -> Images:
        return torch.sigmoid(self.parts[1](self.net["first"](codes))).view(-1, *SHAPE)


@pytest.mark.parametrize("blocks", [1, None])
def test_a_module_may_have_two_names(blocks: int | None) -> None:
    """torch's functional_call put back what it had exchanged by one name with what it had put there by the other."""
    prior, y = Twofold(), measured()
    state = {name: value.clone() for name, value in prior.state_dict().items()}
    tuned = Tuned(prior, steps=10, candidates=2, weights_lr=1e-2, blocks=blocks)(y, Identity())
    assert [name for name in tuned.codes if "net" in name] == [*tuned.codes][1:]
    assert bool((tuned.misfit < Latent(prior, steps=2)(y, Identity()).misfit).all())
    assert torch.equal(picture(prior, tuned.codes), tuned.images)
    Staged([Latent(prior, steps=2), Pivotal(prior, steps=2)])(y, Identity())
    assert len([*prior.parameters()]) == 5
    assert all(torch.equal(value, state[name]) for name, value in prior.state_dict().items())


@pytest.mark.parametrize(
    ("held", "name"),
    [(threading.Lock(), "held, a lock"), (nn.Parameter(torch.ones(3)) * 2, "held, a Tensor"), ([sys.stdout], "held, a list")],
)
def test_what_cannot_be_copied_is_told(held: object, name: str) -> None:
    """Of a file or a lock it was Python's word of pickles, of a tensor with a graph three lines of torch's."""
    prior, y = Own(), measured()
    prior.part = nn.Identity()
    prior.part.held = held  # type: ignore[assignment]
    said = rf"^Own\(3×8×8\): its part.{name}, cannot be copied, and weights move in a copy; hold it .* detach\(\) them$"
    with pytest.raises(ValueError, match=said):
        Tuned(prior, steps=2, candidates=2)(y, Identity())
    with pytest.raises(ValueError, match=said):
        Staged([Latent(prior, steps=2), Pivotal(prior, steps=2)])(y, Identity())


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_weights_of_torchscript_do_not_move() -> None:
    """It was `weight` is not an nn.Parameter."""
    prior, y = Twofold(), measured()
    prior.parts[1] = torch.jit.trace(prior.parts[1], torch.zeros(1, 12))  # type: ignore[no-untyped-call]
    Tuned(prior, steps=2, candidates=2, blocks=1)(y, Identity())
    with pytest.raises(
        ValueError, match=r"^Twofold\(3×8×8\): parts.1.weight is in a TorchScript module, whose weights cannot be moved; make"
    ):
        Tuned(prior, steps=2, candidates=2)(y, Identity())


def test_where_gradients_are_off_none_is_missed() -> None:
    prior = linear()
    codes = torch.zeros(1, 4, dtype=torch.float64, requires_grad=True)
    with torch.no_grad():
        assert torch.equal(prior.decode(codes), prior.bias.view(1, *SHAPE))


def test_a_weight_that_two_blocks_share_is_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """It moves as soon as that does, at its rate."""
    prior = Own()
    shared = nn.ParameterList([prior.get_parameter("weight")])
    monkeypatch.setattr(Own, "blocks", [shared, nn.Identity(), shared])
    codes = {"z": torch.zeros(1, 6)}
    assert tunable(prior, codes, 1, 0.5) == tunable(prior, codes, 3, 0.5) == {"weight": 1}
