"""A photo's class, where it is known."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from prior_support import CLASSES, made
from solvers_support import measured

from priorsolve.counter_rng import STARTS, generator_for
from priorsolve.operators.base import Identity
from priorsolve.solvers import Latent, Staged
from priorsolve.solvers.tuned import Tuned


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("solver", [Tuned, Latent])
def test_candidates_are_of_the_class_and_their_z_is_what_it_was(name: str, solver: Any) -> None:
    prior, label = made(name), CLASSES[name] - 1
    y, size = measured(prior, 2), prior.spaces["z"][0]
    free, told = (solver(prior, space="z+c", steps=0, candidates=1, label=of, **_alone(solver))(y, Identity()) for of in (None, label))
    own = prior.embed(torch.tensor([label])).expand(2, -1)
    assert torch.equal(told.codes["z+c"][:, size:], own)
    assert torch.equal(told.codes["z+c"][:, :size], free.codes["z+c"][:, :size])
    torch.testing.assert_close(told.images, prior.decode(told.codes["z+c"][:, :size], "z", label=torch.tensor([label, label])))


def _alone(solver: Any) -> dict[str, int]:
    return {"restarts": 1} if solver is Latent else {}


def test_the_best_of_the_class_begins() -> None:
    """With every candidate drawn by hand."""
    prior = made("biggan")
    y, size = measured(prior, 1), prior.spaces["z"][0]
    codes = prior.sample(20, generator_for(STARTS, 0))
    images = prior.decode(codes[:, :size] * 0.5, "z", label=torch.full((20,), 3))
    best = (images - y).square().flatten(1).mean(1).argmin()
    found = Tuned(prior, steps=0, candidates=20, sample_std=0.5, label=3)(y, Identity())
    torch.testing.assert_close(found.codes["z+c"][0, :size], codes[best, :size] * 0.5)
    torch.testing.assert_close(found.images[0], images[best], atol=1e-5, rtol=0)


def test_the_class_stays_in_tuned_moves_in_latent_and_goes_on_into_later_stages() -> None:
    prior = made("biggan")
    y, size = measured(prior, 2), prior.spaces["z"][0]
    own = prior.embed(torch.tensor([2])).expand(2, -1)
    stages = [Tuned(prior, steps=2, candidates=2, label=2), Tuned(prior, steps=2)]
    assert torch.equal(Staged(stages)(y, Identity()).codes["z+c"][:, size:], own)
    assert not torch.equal(Latent(prior, steps=2, label=2)(y, Identity()).codes["z+c"][:, size:], own)


@pytest.mark.parametrize("begin_at", ["centre", "regressed", "likely"])
def test_other_beginnings_are_of_the_class_too(begin_at: Any) -> None:
    prior = made("biggan")
    y, size = measured(prior, 2), prior.spaces["z"][0]
    told = Latent(prior, steps=0, restarts=1, begin_at=begin_at, bank=8, label=4)(y, Identity()).codes["z+c"]
    assert torch.equal(told[:, size:], prior.embed(torch.tensor([4])).expand(2, -1))


@pytest.mark.parametrize("solver", [Tuned, Latent])
def test_what_makes_no_sense_is_refused_in_a_line(solver: Any) -> None:
    refused: list[tuple[str, dict[str, Any], str]] = [
        ("biggan", {"label": 5}, r"label is 5; classes of BigGAN\(3×16×16\) are 0 … 4"),
        ("biggan", {"label": -1}, r"label is -1; classes of .* are 0 … 4"),
        ("biggan", {"label": "cat"}, r"label is 'cat'; it must be a whole number"),
        ("biggan", {"label": 1, "space": "features@1"}, r"label is 1: it goes into codes of 'z\+c', not of 'features@1'; leave it out"),
        ("dcgan", {"label": 1}, r"label is 1: DCGAN\(.*\) has no classes; leave it out"),
    ]
    for name, settings, words in refused:
        with pytest.raises(ValueError, match=words):
            solver(made(name), **settings)


@pytest.mark.parametrize("name", CLASSES)
def test_labels_that_name_no_class_are_told(name: str) -> None:
    prior, n = made(name), CLASSES[name]
    z = torch.zeros(2, *prior.spaces["z"])
    cases: list[tuple[object, str]] = [
        (torch.tensor([0, -1]), f"no class -1; classes are 0 … {n - 1}"),
        (torch.tensor([0, n]), f"no class {n}; classes are 0 … {n - 1}"),
        (torch.tensor([True, False]), "label is of torch.bool; give class indices"),
        (torch.tensor([0.0, 1.0]), r"a label of shape \(\d,\) and torch.float32, expected class indices \(B,\) or weights"),
        ([0, 1], r"label is \[0, 1\]; give class indices as a tensor"),
        (torch.ones(1, n) * 1j, rf"a label of shape \(1, {n}\) and torch.complex64, expected class indices"),
        (torch.tensor(1), r"a label of shape \(\), expected class indices \(B,\) or weights"),
        (torch.zeros(2, n + 1), rf"a label of shape \(2, {n + 1}\), expected class indices \(B,\) or weights \(B, {n}\)"),
        (torch.zeros(2, 1), r"a label of shape \(2, 1\), expected class indices"),
        (torch.full((2, n), torch.nan), rf"label has weights that are NaN or infinite; give finite ones, \(B, {n}\)"),
        (1, "label is 1; give class indices as a tensor"),
    ]
    for label, words in cases:
        with pytest.raises(ValueError, match=words):
            prior.decode(z, "z", label=label)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=words):
            prior.embed(label)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=words):
            prior.map(z, source="z", target=[*prior.spaces][-1], label=label)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["dcgan", "mobilestylegan", "stylegan2-skip", "linear"])
def test_priors_without_classes_take_no_label(name: str) -> None:
    prior = made(name)
    z = torch.zeros(2, *prior.spaces["z"])
    for label in (1, torch.tensor(1), torch.tensor([0, 0]), torch.zeros(2, 3)):
        with pytest.raises(ValueError, match="has no classes; leave label out"):
            prior.decode(z, "z", label=label)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="has no classes; leave label out"):
            prior.map(z, source="z", target="z", label=label)  # type: ignore[arg-type]
