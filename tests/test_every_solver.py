"""Every solver on every family of priors: it runs and each image is by itself, or it is refused for a reason that is told."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from prior_support import made
from solvers_support import difference, linear, random_mask
from states_support import mlp_state
from torch import Tensor

from priorsolve.operators.base import Identity
from priorsolve.operators.mask import Mask
from priorsolve.penalties import total_variation
from priorsolve.priors import Prior
from priorsolve.priors.decoders import Decoder
from priorsolve.solvers import (
    Langevin,
    Latent,
    Layered,
    Multicode,
    Pivotal,
    Projector,
    Pulse,
    Solver,
    Staged,
    Tuned,
    load_solution,
    picture,
    save_solution,
    start_at,
)

CHAINS = ["linear", "decoder", "dcgan", "conditional-dcgan", "pggan", "biggan", "biggan-deep"]
STYLES = ["stylegan2-skip", "stylegan2-classes", "stylegan3", "mobilestylegan"]
CONDITIONAL = ["conditional-dcgan", "biggan", "biggan-deep", "stylegan2-classes"]
FAMILIES = [*CHAINS, *STYLES]


@cache
def prior_of(family: str) -> Prior:
    return Decoder.from_state(mlp_state()) if family == "decoder" else made(family)


def latent(prior: Prior, space: str | None = None) -> Latent:
    """Two restarts, of which one is dropped after the first step."""
    return Latent(prior, space=space, steps=2, restarts=2, candidates=3)


SOLVERS: Mapping[str, Callable[[Prior], Solver | Staged]] = {
    "multicode": lambda prior: Multicode(prior, codes=2, steps=2, candidates=3),
    "multicode-w+": lambda prior: Multicode(prior, codes=2, steps=2, candidates=3, space="w+"),
    "layered": lambda prior: Layered(prior, 2, steps=2, radius=3.0, total_variation=0.1),
    "projector": lambda prior: Projector(prior, steps=2),
    "projector-w+": lambda prior: Projector(prior, space="w+", steps=2),
    "pulse": lambda prior: Pulse(prior, steps=2),
    "langevin": lambda prior: Langevin(prior, noise=0.3, steps=2, candidates=2),
    "latent, layered": lambda prior: Staged([latent(prior), Layered(prior, 2, steps=2)]),
    "latent, noise": lambda prior: Staged([latent(prior), latent(prior, "noise")]),
}
LATENT = {f"latent@{space}": space for family in FAMILIES for space in prior_of(family).spaces}
CASES = [(family, name) for family in FAMILIES for name in (*(f"latent@{space}" for space in prior_of(family).spaces), *SOLVERS)]

NO_SPACE, NO_STYLES = "is not one of the prior's: z", r"has no styles w\+, only z.*; use latent with sphere"
NO_BLOCK = "block is 2, and the features inside .* are none$"
NOT_NORMAL = r"space is 'z\+c'; langevin needs one of standard normal codes"
NO_CLASS = r"^space 'z' leaves the class open, which .* must be told to draw; use 'z\+c', where it is part of the code$"
NO_MAPS = "has no noise maps; use latent in 'w"
CHAIN = {"multicode-w+": NO_SPACE, "projector": NO_SPACE, "projector-w+": NO_SPACE, "pulse": NO_STYLES, "latent, noise": NO_SPACE}
REFUSED: Mapping[str, Mapping[str, str]] = {
    **dict.fromkeys(CHAINS, CHAIN),
    "linear": CHAIN | {"multicode": "has no features inside, so codes cannot be mixed", "layered": NO_BLOCK, "latent, layered": NO_BLOCK},
    **dict.fromkeys(CONDITIONAL, CHAIN | {"latent@z": NO_CLASS, "langevin": f"{NOT_NORMAL}; .* has none, so use latent$"}),
    "stylegan2-classes": {"langevin": rf"{NOT_NORMAL}; use p_n, p_n\+$", "latent@z": NO_CLASS},
    "stylegan3": {"projector": NO_MAPS, "projector-w+": NO_MAPS, "latent, noise": "'noise' is not one"},
}


def solver_of(family: str, name: str) -> Solver | Staged:
    prior = prior_of(family)
    return latent(prior, LATENT[name]) if name in LATENT else SOLVERS[name](prior)


def problem(prior: Prior, count: int = 3) -> tuple[Mask, Tensor]:
    """Pictures of no prior, and a mask of its own for each."""
    operator = random_mask(count, 1, *prior.image_shape[1:])
    return operator, operator.A(torch.rand(count, *prior.image_shape, generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize(("family", "name"), [case for case in CASES if case[1] not in REFUSED.get(case[0], {})])
def test_it_runs_and_every_image_is_by_itself(family: str, name: str, tmp_path: Path) -> None:
    prior = prior_of(family)
    operator, y = problem(prior)
    solver = solver_of(family, name)
    whole = solver(y, operator, seeds=[3, 4, 5])
    assert whole.images.shape == y.shape
    assert bool(whole.images.isfinite().all())
    assert whole.steps.tolist() == [solver.steps] * 3
    assert all(len(codes) == 3 for codes in whole.codes.values())
    part = [2, 0]
    alone = solver(y[part], operator.select(torch.tensor(part)), seeds=[5, 3])
    assert difference(alone, whole[part]) < 1e-4
    # the codes are all there is to know
    torch.testing.assert_close(picture(prior, whole.codes), whole.images, atol=1e-5, rtol=0)
    save_solution(whole, tmp_path / "solution.safetensors")
    loaded = load_solution(tmp_path / "solution.safetensors")
    assert torch.equal(loaded.images, whole.images)
    assert torch.equal(picture(prior, loaded.codes), picture(prior, whole.codes))


EMPTY = ["latent@z", "latent@z+c", "latent, layered", "multicode", "langevin", "projector", "pulse"]
TUNING: Mapping[str, Callable[[Prior], Solver | Staged]] = {
    "tuned": lambda prior: Tuned(prior, steps=2, candidates=2),
    "latent, pivotal": lambda prior: Staged([latent(prior), Pivotal(prior, steps=2)]),
}


@pytest.mark.parametrize("family", ["dcgan", "stylegan2-skip"])
def test_tuned_pictures_are_drawn_again_with_their_own_weights(family: str) -> None:
    prior = prior_of(family)
    carrying = Tuned(prior, steps=2, candidates=2, carry_moments=True)
    for solver in (*(make(prior) for make in TUNING.values()), carrying):
        solution = solver(problem(prior, 2)[1], Identity())
        assert torch.equal(picture(prior, solution.codes), solution.images)
    with pytest.raises(ValueError, match=r"picture: got a Solution, with no code of .*; give solution\.codes"):
        picture(prior, solution)  # type: ignore[arg-type]


@pytest.mark.parametrize("family", FAMILIES)
def test_an_empty_batch_is_answered_whatever_the_network(family: str) -> None:
    prior = prior_of(family)
    y = torch.zeros(1, *prior.image_shape)
    names = [name for name in EMPTY if name not in REFUSED.get(family, {}) and LATENT.get(name) in (None, *prior.spaces)]
    solvers = [solver_of(family, name) for name in names] + [make(prior) for make in TUNING.values()]
    solvers += [Tuned(prior, steps=2, candidates=2, instance_norm=True)] if family in ("dcgan", "biggan") else []
    for solver in solvers:
        none, one = solver(y[:0], Identity()), solver(y, Identity())
        assert none.images.shape == y[:0].shape
        assert none.history.shape == (len(one.history), 0)
        assert none.stopped == ()
        assert {name: (0, *code.shape[1:]) for name, code in one.codes.items()} == {n: tuple(code.shape) for n, code in none.codes.items()}


@pytest.mark.parametrize(("family", "name"), [(family, name) for family in REFUSED for name in REFUSED[family]])
def test_what_a_prior_cannot_do_is_told(family: str, name: str) -> None:
    operator, y = problem(prior_of(family))
    with pytest.raises(ValueError, match=REFUSED[family][name]):
        solver_of(family, name)(y, operator)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_seeds_give_the_same_bits(family: str) -> None:
    prior = prior_of(family)
    operator, y = problem(prior, 2)
    for name in ("latent, layered", "multicode", "langevin", "projector", "pulse"):
        if name not in REFUSED.get(family, {}):
            one, two = (solver_of(family, name)(y, operator, seeds=[3, 4]) for _ in range(2))
            assert torch.equal(one.images, two.images), name
            assert torch.equal(one.history, two.history), name


SEEDED = {"latent": latent, **{name: SOLVERS[name] for name in ("multicode", "projector", "pulse", "langevin")}}


@pytest.mark.parametrize("name", SEEDED)
def test_another_seed_is_another_search(name: str) -> None:
    prior = prior_of("stylegan2-skip")
    y = problem(prior, 1)[1].expand(2, -1, -1, -1)
    solution = SEEDED[name](prior)(y, Identity(), seeds=[3, 4])
    assert float((solution.images[0] - solution.images[1]).abs().max()) > 1e-3


SMOOTHED: Mapping[str, Callable[[Prior, float], Solver]] = {
    "latent": lambda prior, weight: Latent(prior, steps=20, restarts=1, total_variation=weight),
    "multicode": lambda prior, weight: Multicode(prior, codes=2, steps=20, candidates=3, total_variation=weight),
    "layered": lambda prior, weight: Layered(prior, 2, steps=20, total_variation=weight),
    "tuned": lambda prior, weight: Tuned(prior, steps=20, total_variation=weight),
    "pivotal": lambda prior, weight: Pivotal(prior, steps=20, lr=0.01, total_variation=weight),
}


@pytest.mark.parametrize("name", SMOOTHED)
def test_total_variation_makes_smoother_pictures(name: str) -> None:
    prior = prior_of("dcgan")
    operator, y = problem(prior, 2)
    start = latent(prior)(y, operator)
    rough, smooth = (total_variation(SMOOTHED[name](prior, weight)(y, operator, start=start).images) for weight in (0.0, 30.0))
    assert bool((smooth < rough - 1e-3).all())


STOPPING: Mapping[str, Callable[[Prior], Solver]] = {
    "multicode": lambda prior: Multicode(prior, codes=2, steps=13, candidates=3, noise=0.1),
    "layered": lambda prior: Layered(prior, 2, steps=13, noise=0.1),
    "pulse": lambda prior: Pulse(prior, steps=13, noise=0.1),
    "latent-lbfgs": lambda prior: Latent(prior, space="w+", steps=13, restarts=3, candidates=4, optimiser="lbfgs", noise=0.1),
    "latent-momentum": lambda prior: Latent(prior, space="w+", steps=13, restarts=3, candidates=4, optimiser="momentum", noise=0.1),
}


@pytest.mark.parametrize("name", STOPPING)
def test_an_image_that_is_done_leaves_and_the_others_do_not_notice(name: str) -> None:
    prior = prior_of("mobilestylegan")
    operator, y = problem(prior)
    operator.known[1] = 0  # nothing was measured, so that whatever is drawn explains it
    solver = STOPPING[name](prior)
    whole = solver(operator.A(y), operator, seeds=[3, 4, 5])
    assert whole.steps.tolist() == [13, 0, 13]
    part = [2, 0]
    alone = solver(operator.A(y)[part], operator.select(torch.tensor(part)), seeds=[5, 3])
    assert difference(alone, whole[part]) < 1e-4


# -- one after another -----------------------------------------------------------------------------------------------------------------

GOES_ON: Mapping[str, Callable[[Prior], tuple[Solver | Staged, Solver]]] = {
    "w+, layered": lambda prior: (latent(prior, "w+"), Layered(prior, 2, steps=2)),
    "z, layered": lambda prior: (latent(prior, "z"), Layered(prior, 3, steps=2)),
    "layered, layered": lambda prior: (Layered(prior, 2, steps=2), Layered(prior, 3, steps=2)),
    "features, layered": lambda prior: (latent(prior, "features@2"), Layered(prior, 3, steps=2)),  # with the styles of the middle
    "z, w+": lambda prior: (latent(prior, "z"), latent(prior, "w+")),
    "w+, noise": lambda prior: (latent(prior, "w+"), latent(prior, "noise")),
    "pulse, pulse": lambda prior: (Pulse(prior, steps=4), Pulse(prior, steps=4)),
    "pulse, noise": lambda prior: (Pulse(prior, steps=4), latent(prior, "noise")),
    "multicode, multicode": lambda prior: (Multicode(prior, codes=2, steps=2), Multicode(prior, codes=2, steps=2, seed=1)),
    "multicode, layered": lambda prior: (Multicode(prior, codes=2, block=2, steps=2), Layered(prior, 3, steps=2)),
    "projector, noise": lambda prior: (Projector(prior, steps=4), latent(prior, "noise")),
    "z, langevin": lambda prior: (latent(prior, "z"), Langevin(prior, noise=0.3, steps=2)),
    # noise maps that moved, and act before the block
    "pulse, layered": lambda prior: (Pulse(prior, steps=4), Layered(prior, 3, steps=2)),
    "projector, layered": lambda prior: (Projector(prior, space="w+", steps=4), Layered(prior, 2, steps=2)),
    "w+ noise, layered": lambda prior: (Staged([latent(prior, "w+"), latent(prior, "noise")]), Layered(prior, 3, steps=2)),
    "layered maps, layered": lambda prior: (Layered(prior, 2, steps=2, moving_maps=5), Layered(prior, 3, steps=2)),
    "pulse, features": lambda prior: (Pulse(prior, steps=4), latent(prior, "features@2")),
    "w+ noise, multicode": lambda prior: (
        Staged([latent(prior, "w+"), latent(prior, "noise")]),
        Multicode(prior, codes=2, steps=2, space="w+"),
    ),
    "z noise, langevin": lambda prior: (
        Staged([latent(prior, "z"), latent(prior, "noise")]),
        Langevin(prior, noise=0.3, steps=2, space="z"),
    ),
}


@pytest.mark.parametrize("family", ["stylegan2-skip", "mobilestylegan"])
@pytest.mark.parametrize("name", GOES_ON)
def test_a_stage_begins_with_the_picture_of_the_one_before(family: str, name: str) -> None:
    prior = prior_of(family)
    operator, y = problem(prior)
    first, second = GOES_ON[name](prior)
    before = first(y, operator)
    after = second(y, operator, start=before)
    torch.testing.assert_close(after.history[0], before.misfit, rtol=1e-5, atol=1e-6)
    begun = replace(second, steps=0)(y, operator, start=before)  # type: ignore[type-var]  # every solver is a dataclass
    torch.testing.assert_close(begun.images, before.images, rtol=0, atol=2e-5)


def test_multicode_goes_on_with_a_round_of_its_own_kind_alone() -> None:
    """Codes of z and of w have one shape, and so have features that enter different blocks: which they were, the features tell."""
    prior = prior_of("mobilestylegan")
    operator, y = problem(prior)
    first = Multicode(prior, codes=2, space="z", block=2, steps=2)
    found = first(y, operator)
    again = replace(first, steps=0, seed=1)(y, operator, start=found)
    assert torch.equal(again.codes["codes"], found.codes["codes"])
    broken = {name: codes.index_fill(0, torch.tensor([1]), torch.nan) for name, codes in found.codes.items()}
    beside = replace(first, steps=0)(y, operator, start=replace(found, codes=broken))
    assert torch.equal(beside.images[::2], again.images[::2])
    for other in ({"space": "w"}, {"space": "p_n"}, {"block": 3}, {"codes": 3}, {"divide_again": True}):
        with pytest.raises(ValueError, match=r"^multicode: .* features@2, .* keep its space, block and number of codes$"):
            replace(first, **other)(y, operator, start=found)
    with pytest.raises(ValueError, match=r"^multicode: the start has features@2, and codes of 'w' would begin without them"):
        Multicode(prior, codes=2, space="w")(y, operator, start=Layered(prior, 2, steps=1)(y, operator))
    chain = prior_of("dcgan")
    operator, y = problem(chain)
    mixed = Multicode(chain, codes=3, block=1, steps=2)(y, operator)
    inside = Multicode(chain, codes=2, space="features@1", block=3, steps=0)(y, operator, start=mixed)
    torch.testing.assert_close(inside.images, mixed.images, rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    ("family", "space"),
    [*(("mobilestylegan", space) for space in ("w++", "s", "noise", "features@1")), ("dcgan", "features@3")],
)
def test_multicode_says_at_once_which_codes_it_cannot_mix(family: str, space: str) -> None:
    with pytest.raises(ValueError, match=rf"^multicode: codes of '{re.escape(space)}' cannot be mixed at 'features@2' of .*; use z"):
        Multicode(prior_of(family), space=space, block=2)


@pytest.mark.parametrize("family", ["stylegan2-skip", "mobilestylegan", "dcgan"])
def test_a_start_may_be_of_another_precision(family: str) -> None:
    """As one of another device: both are brought to the prior's before any map sees them."""
    prior = copy.deepcopy(prior_of(family)).double()
    operator, y = problem(prior)
    found = latent(prior)(y, operator)
    single = replace(found, codes={name: codes.float() for name, codes in found.codes.items()})
    solver = Layered(prior, 2, steps=2)
    torch.testing.assert_close(solver(y, operator, start=single).images, solver(y, operator, start=found).images, atol=1e-3, rtol=0)


def test_codes_from_elsewhere_are_a_start() -> None:
    prior = prior_of("stylegan2-skip")
    operator, y = problem(prior)
    codes = prior.sample(3, torch.Generator().manual_seed(4), "w").double().requires_grad_()
    start = start_at(prior, codes, "w")
    drawn = prior.decode(codes.detach().float(), "w")
    assert torch.equal(start.images, drawn)
    begun = Latent(prior, space="w", steps=0)(y, operator, start=start)
    torch.testing.assert_close(begun.images, drawn)
    torch.testing.assert_close(Layered(prior, 2, steps=0)(y, operator, start=start).images, drawn)
    assert bool((Latent(prior, space="w+", steps=9)(y, operator, start=start).misfit < begun.misfit).all())
    assert list(start_at(prior, prior.sample(2, torch.Generator())).codes) == ["z"]
    with pytest.raises(ValueError, match=r"expected codes of shape \(B, .*\) in 'w\+'"):
        start_at(prior, codes, "w+")


def test_noise_maps_that_no_layer_adds_any_more_change_nothing() -> None:
    """Behind the last block that has a map a picture depends on none of them, whatever is asked to move."""
    prior = prior_of("mobilestylegan")
    operator, y = problem(prior)
    last = max(int(space.removeprefix("features@")) for space in prior.spaces if space.startswith("features@"))
    start = latent(prior, "w+")(y, operator)
    moving = Layered(prior, last, steps=3, moving_maps=2)
    begun, found = replace(moving, steps=0)(y, operator, start=start), moving(y, operator, start=start)
    assert float((found.codes[f"features@{last}"] - begun.codes[f"features@{last}"]).abs().max()) > 1e-3
    plain = Layered(prior, last, steps=3)(y, operator, start=start)
    torch.testing.assert_close(found.images, plain.images)


def test_pulse_begins_at_any_style() -> None:
    """On the sphere, which the styles found before need not lie on."""
    prior = prior_of("stylegan2-skip")
    operator, y = problem(prior)
    start = latent(prior, "w")(y, operator)
    plain, continued = (Pulse(prior, steps=0)(y, operator, start=begin) for begin in (None, start))
    assert float((plain.images - continued.images).abs().max()) > 1e-2
    again = Pulse(prior, steps=0)(y, operator, start=continued)
    torch.testing.assert_close(again.codes["w+"], continued.codes["w+"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("space", ["z", "s", "noise", "features@2"])
def test_the_projector_shakes_styles_only(space: str) -> None:
    with pytest.raises(ValueError, match=r"space is '.*'; it must be one of w, w\+, w\+\+"):
        Projector(prior_of("stylegan2-skip"), space=space)


@pytest.mark.parametrize("rate", ["lr", "mix_lr"])
@pytest.mark.parametrize("optimiser", ["adam", "lbfgs"])
def test_a_rate_of_nothing_holds_codes_or_weights(rate: str, optimiser: str) -> None:
    prior = prior_of("dcgan")
    operator, y = problem(prior)
    begin = Multicode(prior, codes=2, steps=0)(y, operator)
    moved = Multicode(prior, codes=2, steps=3, optimiser=optimiser, **{rate: 0.0})(y, operator)  # type: ignore[arg-type]
    held, free = ("codes", "mix") if rate == "lr" else ("mix", "codes")
    assert torch.equal(moved.codes[held], begin.codes[held])
    assert float((moved.codes[free] - begin.codes[free]).abs().max()) > 1e-6


@pytest.mark.parametrize("family", ["stylegan2-skip", "mobilestylegan"])
def test_pulse_may_keep_one_code_for_all_layers(family: str) -> None:
    prior = prior_of(family)
    operator, y = problem(prior)
    y = operator.A(y)
    solver = Pulse(prior, steps=5, same_code=True)
    whole = solver(y, operator, seeds=[3, 4, 5])
    styles = whole.codes["w+"]
    assert torch.equal(styles, styles[:, :1].expand_as(styles))
    begun = Pulse(prior, steps=0, same_code=True)(y, operator, seeds=[3, 4, 5])
    assert bool(((styles - begun.codes["w+"]).abs().amax((1, 2)) > 1e-3).all())
    apart = Pulse(prior, steps=5)(y, operator, seeds=[3, 4, 5]).codes["w+"]
    assert float((apart - apart[:, :1]).abs().max()) > 1e-3
    again = Pulse(prior, steps=0, same_code=True)(y, operator, start=whole).codes["w+"]
    torch.testing.assert_close(again, styles, rtol=1e-4, atol=1e-4)
    for i in range(3):
        alone = solver(y[[i]], operator.select(torch.tensor([i])), seeds=[3 + i])
        assert difference(alone, whole[i]) < 1e-4


def test_a_start_keeps_its_codes_whatever_becomes_of_the_callers() -> None:
    prior, codes = linear(), torch.ones(2, 4, dtype=torch.float64)
    start = start_at(prior, codes)
    codes.zero_()
    torch.testing.assert_close(start.codes["z"], torch.ones(2, 4, dtype=torch.float64))
    torch.testing.assert_close(prior.decode(start.codes["z"]), start.images)
