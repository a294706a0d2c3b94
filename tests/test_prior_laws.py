"""`check_prior_laws`: priors of every family keep the laws, and each way of breaking one is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from prior_support import CHAINS, Own, made

from priorsolve.priors import LinearPrior, Prior, check_prior_laws


@pytest.mark.parametrize("name", [*CHAINS, "mobilestylegan"])
def test_every_family_keeps_them(name: str) -> None:
    check_prior_laws(made(name), batch=3)


@pytest.mark.parametrize("name", ["stylegan2-skip", "stylegan2-classes"])
def test_a_network_of_random_weights_keeps_them_but_for_its_range(name: str) -> None:
    with pytest.raises(AssertionError, match=r"decode gives values from -[\d.]+ to [\d.]+; pictures are in .* return \(x \+ 1\) / 2$"):
        check_prior_laws(made(name))


def test_published_weights_keep_them(digiface64: Prior) -> None:
    check_prior_laws(digiface64)


def test_they_are_kept_more_exactly_in_float64() -> None:
    check_prior_laws(LinearPrior.random(3, (3, 4, 4), dtype=torch.float64))
    with pytest.raises(ValueError, match=r"is of torch.float16; laws are kept in torch.float32 and torch.float64$"):
        check_prior_laws(LinearPrior.random(3, (3, 4, 4)).half())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x - 0.1 * x.mean(0, keepdim=True), r"^Own\(3×8×8\): independence in 'z' is off by .* on 2 codes; allowed 1e-04: a p"),
        (lambda x: x + 0.01 * torch.rand_like(x), "constancy in 'z' is off by .*: draw no chance in _decode"),
        (lambda x: torch.cat([x[:-1], x[-1:] * (0.5 if len(x) > 1 else 1)]), r"independence in 'z' is off by 5\.00e-01"),
        (lambda x: torch.cat([x[:-1], x[-1:].detach() + 0 * x[-1:]]), "vjp in 'z' is off by 1.00e.00 "),
        (lambda x: (8 * x).round() / 8 + 0 * x, "vjp in 'z' is off by .*: draw with .* functions whose gradient is finite"),
        (lambda x: x.detach(), r"^Own\(3×8×8\): vjp in 'z' is off by 1\.00e.00 .*: draw with differentiable torch functions"),
        (lambda x: x.detach() + 0.001 * (x - x.detach()), r"slope in 'z' is off by 9.9.e-01 .*; allowed 3e-02: draw with functions"),
        (lambda x: x.detach() + 1.1 * (x - x.detach()), "slope in 'z' is off by [89].*e-02"),
        (lambda x: x * x.detach(), "slope in 'z' is off by .*: draw with functions whose gradient is that of what they draw: detach noth"),
        (lambda x: 2 * x - 1, r"decode gives values from -0\.\d+ to 0\.\d+; pictures are in \[0, 1\]"),
        (lambda x: 255 * x, r"decode gives values from \d+\.?\d* to 2\d\d; pictures are in \[0, 1\]"),
        (lambda x: x / 0, "^Own.*: decode gives NaN or infinite values$"),
    ],
)
def test_pictures_that_break_one(change: Callable[[torch.Tensor], Any], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_prior_laws(Own(lambda x: change(torch.sigmoid(4 * torch.logit(x)))))


SAMPLED: dict[str, Callable[[int, torch.Generator], torch.Tensor]] = {
    "global": lambda n, rng: torch.randn(n, 6),
    "constant": lambda n, rng: torch.ones(n, 6),
    "repeated": lambda n, rng: torch.randn(1, 6, generator=rng).expand(n, 6),
}


@pytest.mark.parametrize("sampled", SAMPLED, ids=SAMPLED)
def test_codes_that_are_not_drawn_with_the_rng(sampled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Own, "_sample", lambda _, n, rng: SAMPLED[sampled](n, rng))
    with pytest.raises(AssertionError, match=r"chance in 'z' is off by .*: draw each code anew, with the rng given and nothing else$"):
        check_prior_laws(Own())


def test_maps_to_another_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through ReLU, where the picture goes through tanh."""
    monkeypatch.setattr(Own, "spaces", {"z": (6,), "features@1": (6,)})
    monkeypatch.setattr(
        Own,
        "_decode",
        lambda self, codes, space, *_: torch.sigmoid((codes.tanh() if space == "z" else codes) @ self.weight).view(-1, 3, 8, 8),
    )
    monkeypatch.setattr(Own, "_map", lambda self, codes, *_: codes.tanh())
    check_prior_laws(Own())
    monkeypatch.setattr(Own, "_map", lambda self, codes, *_: codes.relu())
    with pytest.raises(AssertionError, match=r"agreement in 'features@1' is off by .*; allowed 1e-04: let _map give the code from which"):
        check_prior_laws(Own())


def test_codes_that_are_changed_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Own, "_decode", lambda self, codes, *_: torch.sigmoid(codes.detach().tanh_() @ self.weight).view(-1, 3, 8, 8))
    with pytest.raises(AssertionError, match=r"unchanged in 'z' is off by .*: work on a copy, not in place$"):
        check_prior_laws(Own())


def test_what_is_no_prior_and_other_shapes_are_told() -> None:
    cases: list[tuple[Any, dict[str, Any], str]] = [
        (torch.nn.Linear(1, 1), {}, r"expected a Prior, got Linear\(.*; subclass priorsolve.priors.Prior$"),
        (Own(), {"batch": 1}, "batch is 1; give a whole number above 1"),
        (Own(lambda x: x[:1]), {}, r"draws \(1, 3, 8, 8\) of 2 codes; its image_shape says \(2, 3, 8, 8\)$"),
    ]
    for prior, settings, message in cases:
        with pytest.raises(ValueError, match=message):
            check_prior_laws(prior, **settings)


@pytest.mark.parametrize("shape", [(8, 8), 8, (3.0, 8, 8)])
def test_what_no_solver_can_use_is_told(shape: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    training = Own()
    training.dropout = torch.nn.Dropout()
    with pytest.raises(ValueError, match=r"^Own.*: is in training mode, .*; call prior.eval\(\)$"):
        check_prior_laws(training)
    check_prior_laws(training.eval())
    with torch.inference_mode():
        made = Own()
    with pytest.raises(ValueError, match=r"^Own.*: was made under torch\.inference_mode, .*; make it outside"):
        check_prior_laws(made)
    monkeypatch.setattr(Own, "image_shape", shape)
    with pytest.raises(ValueError, match=r"^Own: image_shape is .*; give \(C, H, W\), such as \(3, 64, 64\)$"):
        check_prior_laws(Own())


@pytest.mark.parametrize("spaces", [{}, ("z",), None])
def test_a_prior_without_spaces_is_told(spaces: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Own, "spaces", spaces)
    for wrong in (check_prior_laws, lambda prior: prior.sample(2, torch.Generator()), lambda prior: prior.decode(torch.zeros(2, 6))):
        with pytest.raises(ValueError, match=r"^Own.*: spaces is .*; name a space and the shape .*, such as \{'z': \(512,\)\}$"):
            wrong(Own())


def test_codes_that_their_neighbours_are_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of features that a map draws from the whole batch, whose pictures are their own."""
    monkeypatch.setattr(Own, "spaces", {"z": (6,), "features@1": (6,)})
    monkeypatch.setattr(
        Own,
        "_decode",
        lambda self, codes, *_: torch.sigmoid(codes @ self.weight).view(-1, 3, 8, 8),
    )
    monkeypatch.setattr(Own, "_map", lambda self, codes, *_: codes - codes.mean(0, keepdim=True))
    with pytest.raises(AssertionError, match=r"independence in 'features@1' is off by .*: a picture is its own code's alone"):
        check_prior_laws(Own())


def test_codes_that_are_the_same_for_every_rng(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Own, "_sample", lambda _, n, rng: torch.randn(n, 6, generator=torch.Generator().manual_seed(0)))
    with pytest.raises(AssertionError, match=r"chance in 'z' is off by .*: draw each code anew, with the rng given and nothing else$"):
        check_prior_laws(Own())
