"""A solver's settings: what they may be, and that they stay as they were when the solver was made."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy
import pytest
import torch
from prior_support import made
from solvers_support import linear, pictures

import priorsolve as ps
from priorsolve.losses import Huber, MultiResolution, l2
from priorsolve.operators.base import Identity
from priorsolve.priors import Prior
from priorsolve.priors.spaces import features_of
from priorsolve.solvers import Langevin, Latent, Layered, Multicode, Pivotal, Projector, Pulse, Staged, Tuned
from priorsolve.solvers.checks import Block


@pytest.mark.parametrize("solver", [Latent, Tuned, lambda prior, **more: Multicode(made("dcgan"), **more)])
def test_solvers_with_penalties_are_values(solver: Callable[..., Any]) -> None:
    prior, given = linear(), {"gaussian": 0.5}
    first, again = solver(prior, penalties=given), solver(prior, penalties={"gaussian": 0.5})
    assert first.penalties == given == first.penalties
    assert repr(first.penalties) == repr(given)
    assert dict(first.penalties) == given
    assert hash(first.penalties) == hash(again.penalties)
    assert {Staged([first]): 1}
    given["gaussian"] = -1.0
    assert first.penalties == {"gaussian": 0.5}, "the caller's own may change"
    for other in (pickle.loads(pickle.dumps(first.penalties)), copy.deepcopy(first.penalties), replace(first, steps=3).penalties):
        assert other == first.penalties
        assert hash(other) == hash(first.penalties)
    with pytest.raises(TypeError, match="assign"):
        first.penalties["gaussian"] = 1.0
    with pytest.raises(AttributeError, match=r"is a solver's setting and stays as it is; make another by dataclasses.replace"):
        first.penalties.other = 1.0


def test_solvers_with_equal_settings_are_equal() -> None:
    prior = linear()
    assert Latent(prior, penalties={"gaussian": 0.5}) == Latent(prior, penalties={"gaussian": 0.5})
    assert hash(Latent(prior, penalties={"gaussian": 0.5})) == hash(Latent(prior, penalties={"gaussian": 0.5}))
    assert Latent(prior, penalties={"gaussian": 0.5}) != Latent(prior, penalties={"gaussian": 0.25})
    features = made("dcgan")
    side = min(features.spaces["features@1"][1:])
    assert hash(Layered(features, block={"side": side})) == hash(Layered(features, block={"side": side}))


@pytest.mark.parametrize("block", ["2", 2.0, None, True, [2], {"side": [8]}, {"side": "8"}, {"side": True}, {"sides": 8}])
@pytest.mark.parametrize("solver", [Layered, Multicode])
def test_a_block_that_is_none_is_told(solver: Callable[..., Any], block: Any) -> None:
    if solver is Multicode and block is None:
        return
    with pytest.raises(ValueError, match=r"^block is .*; give its number, or the side of the features that enter it, as \{side: 16\}$"):
        solver(made("dcgan"), block=block)


@pytest.mark.parametrize("solver", [Layered, Multicode])
def test_a_block_without_features_is_told_with_those_that_have_some(solver: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=r"^block is 9, and the features inside DCGAN\(.*\) enter its blocks 1, 2, 3$"):
        solver(made("dcgan"), block=9)
    with pytest.raises(ValueError, match=r"^block is 1, and the features inside Linear.* are none$"):
        Layered(linear(), block=1)


def test_a_block_may_be_a_number_of_numpys() -> None:
    block: Block = numpy.int64(1)  # type: ignore[assignment]
    prior = made("dcgan")
    y = prior.decode(prior.sample(1, rng=torch.Generator().manual_seed(0)))
    assert Layered(prior, block, steps=1)(y, Identity()).codes.keys() == Layered(prior, 1, steps=1)(y, Identity()).codes.keys()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"steps": 10.0}, "^steps is 10.0; it must be a whole number$"),
        ({"steps": "10"}, "^steps is '10'; it must be a whole number$"),
        ({"steps": 10**23}, f"^steps is {10**23}; it must be at most 10000000, which would take days$"),
        ({"candidates": 10**12}, "^candidates is 1000000000000; it must be at most 10000000"),
        ({"restarts": None}, "^restarts is None; it must be a whole number$"),
        ({"plateau": 2.5}, "^plateau is 2.5; it must be a whole number$"),
        ({"seed": 0.5}, "^seed is 0.5; it must be a whole number$"),
        ({"lr": "0.1"}, "^lr is '0.1'; it must be a number$"),
        ({"noise": [0.1]}, r"^noise is \[0.1\]; it must be a number$"),
        ({"lr": torch.ones(200)}, "^lr is a Tensor; it must be a number$"),
        ({"penalties": ["gaussian"]}, r"^penalties is \['gaussian'\]; give each its weight by name, such as \{'gaussian': 0.01\}$"),
        ({"halving": "false"}, "^halving is 'false'; it must be True or False$"),
        ({"sphere": "yes"}, "^sphere is 'yes'; it must be True or False$"),
        ({"sphere": 1}, "^sphere is 1; it must be True or False$"),
        ({"lr": math.inf}, "^lr is inf; it must be a finite number$"),
        ({"lr": math.nan}, "^lr is nan; it must be a finite number$"),
        ({"noise": math.inf}, "^noise is inf; it must be a finite number$"),
        ({"lr": True}, "^lr is True; it must be a number$"),
        ({"steps": True}, "^steps is True; it must be a whole number$"),
        ({"penalties": {"gaussian": "a"}}, "^penalties.gaussian is 'a'; it must be a number$"),
        ({"penalties": {"gaussian": None}}, "^penalties.gaussian is None; it must be a number$"),
        ({"penalties": {"gaussian": math.inf}}, "^penalties.gaussian is inf; it must be a finite number$"),
        ({"lr": 10**400}, "^lr is beyond all floats; it must be a finite number$"),
        ({"space": "q"}, "^space .* is not one of the prior's: z; "),
        ({"space": []}, "^space .* is not one of the prior's: z; "),
        ({"space": [1]}, "^space .* is not one of the prior's: z; "),
        ({"steps": -1}, "steps is -1"),
        ({"restarts": 0}, "restarts is 0"),
        ({"candidates": 0}, "candidates is 0"),
        ({"penalties": {"gaussian": -1.0}}, "penalties.gaussian"),
        ({"clip": 0.0}, "clip"),
        ({"noise": -0.1}, "noise"),
        ({"plateau": 0}, "plateau"),
        ({"warmup": 1.5}, "warmup"),
    ],
)
def test_a_wrong_setting_is_told_at_once(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Latent(linear(), **wrong)


def test_numbers_of_numpy_and_losses_that_prepare_are_settings() -> None:
    class Prepares:
        def against(self, measured: torch.Tensor, where: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
            return lambda estimate: ((estimate - measured) * where).square().flatten(1).mean(1)

    loss: Any = Prepares()
    solver = Latent(linear(), steps=numpy.int64(3), lr=numpy.float32(0.1), plateau=None, loss=loss)  # type: ignore[arg-type]
    plain = Latent(linear(), steps=3, lr=float(numpy.float32(0.1)))
    y = torch.rand(2, 3, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(solver(y, lambda x: x).images, plain(y, lambda x: x).images)


OF_NUMPY = {bool: numpy.bool_, int: numpy.int64, float: numpy.float32}


def of_numpy(value: Any) -> Any:
    """A setting with numpy's numbers in the place of Python's."""
    if isinstance(value, Mapping):
        return {name: of_numpy(item) for name, item in value.items()}
    return OF_NUMPY[type(value)](value) if type(value) in OF_NUMPY else value


EVERY: dict[str, Callable[[], Any]] = {
    "latent": lambda: Latent(linear(), restarts=3, noise=0.25, plateau=7, clip=2.0, penalties={"gaussian": 0.5}),
    "multicode": lambda: Multicode(made("dcgan"), block={"side": 8}),
    "layered": lambda: Layered(made("dcgan"), 1, radius=3.0),
    "projector": lambda: Projector(made("stylegan2-skip"), plateau=3),
    "pulse": lambda: Pulse(made("stylegan2-skip"), noise=0.25),
    "langevin": lambda: Langevin(linear(), noise=0.5),
    "tuned": lambda: Tuned(linear(), sample_std=0.5, blocks=1, stop_at=0.25),
    "pivotal": lambda: Pivotal(linear(), stop_at=0.25),
}


@pytest.mark.parametrize("name", EVERY)
def test_every_number_may_be_numpys_and_is_kept_as_pythons(name: str) -> None:
    """Some have less than Python's: an integer of numpy's has no bit_length, and a float32 none that a tensor would be filled with."""
    solver = EVERY[name]()
    given = {field.name: getattr(solver, field.name) for field in fields(solver) if field.init}
    again = replace(solver, **{key: of_numpy(value) for key, value in given.items()})
    for key, value in given.items():
        kept = getattr(again, key)
        assert type(kept) is type(value), key
        if isinstance(value, Mapping):
            assert {name: type(item) for name, item in kept.items()} == {name: type(item) for name, item in value.items()}
        elif type(value) in OF_NUMPY:
            assert kept == pytest.approx(value), key


def test_numbers_of_numpy_change_no_answer() -> None:
    y, prior = pictures(2), linear()
    for solver, changes in (
        (Latent(prior, steps=3, restarts=2, candidates=4), {"restarts": numpy.int64(2)}),
        (Tuned(prior, steps=3, candidates=2, sample_std=0.5), {"sample_std": numpy.float32(0.5)}),
    ):
        again: Any = replace(solver, **changes)
        assert torch.equal(again(y, Identity()).images, solver(y, Identity()).images)


def test_a_setting_that_is_no_choice_is_told() -> None:
    for solver, wrong, message in (
        (Latent, {"decay": "fast"}, "^decay is 'fast'; it must be one of cosine, linear, cycle, none$"),
        (Latent, {"keep": None}, "^keep is None; it must be one of best, last$"),
        (Tuned, {"optimiser": []}, r"^optimiser is \[\]; it must be one of adam, sgd, momentum, rmsprop$"),
    ):
        with pytest.raises(ValueError, match=message):
            solver(linear(), **wrong)


def test_an_annotation_that_is_not_there_is_told() -> None:
    @dataclass(frozen=True)
    class Own(Latent):
        curve: OnlyTyped = 1  # type: ignore[name-defined] # noqa: F821

    with pytest.raises(ValueError, match=r"^Own: name 'OnlyTyped' is not defined, and settings are checked .* outside `if TYPE_CHECKING`$"):
        Own(linear())


def test_switches_may_be_numpys() -> None:
    assert Latent(linear(), steps=1, halving=numpy.bool_(False), restarts=3).halve_at == []  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Multicode(made("dcgan"), lr=0, mix_lr=0), "^lr and mix_lr are both 0, so nothing would move; raise one of them$"),
        (lambda: Staged([Latent(linear())], mean="false"), "^mean is 'false'; it must be True or False$"),  # type: ignore[arg-type]
        (lambda: Staged([Latent(linear()), linear()]), r"^a stage is LinearPrior\(3×8×8\); it must be a solver"),  # type: ignore[list-item]
        (lambda: Staged([lambda y, A: y]), "^a stage is .*; it must be a solver"),  # type: ignore[list-item]
        (lambda: ps.noise.Gaussian("a"), "^Gaussian: sigma must be a number of at least 0, got 'a'"),  # type: ignore[arg-type]
        (lambda: ps.noise.Poisson(None), "^Poisson: peak, .* got None"),  # type: ignore[arg-type]
        (lambda: ps.noise.SaltPepper("a"), "^SaltPepper: amount is .* got 'a'"),  # type: ignore[arg-type]
        (lambda: Huber("a"), "^delta is 'a'; it must be a number$"),  # type: ignore[arg-type]
        (lambda: ps.losses.DeadZone(None), "^width is None; it must be a number$"),  # type: ignore[arg-type]
        (lambda: ps.losses.Mixture(l2), r"^a mixture's parts are L2\(\); give pairs"),  # type: ignore[arg-type]
        (lambda: MultiResolution(levels=1.5), "^levels is 1.5; it must be a whole number$"),  # type: ignore[arg-type]
        (lambda: MultiResolution(levels=True), "^levels is True; it must be a whole number$"),
        (lambda: MultiResolution(coarsest="no"), "^coarsest is 'no'; it must be True or False$"),  # type: ignore[arg-type]
    ],
)
def test_what_makes_no_sense_is_one_line(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("kind", ["bfloat16", "half"])
def test_priors_that_are_too_coarse_are_refused(kind: str) -> None:
    prior: Prior = getattr(linear(), kind)()
    with pytest.raises(ValueError, match=r"^LinearPrior\(3×8×8\): is b?float16, too coarse to search in; keep its weights in float32"):
        Latent(prior)


def test_langevin_without_steps_asks_the_operator_for_no_gradient() -> None:
    y, solver = pictures(2), Langevin(linear(), noise=0.1, steps=0)
    assert not solver.descends
    found = solver(y, lambda x: x.detach())
    assert found.codes["z"].equal(Latent(linear(), steps=0, restarts=1)(y, Identity()).codes["z"])
    assert Pivotal(linear()).descends


BELOW_0, BELOW_1 = (-1, "it must be at least 0"), (0, "it must be at least 1")
NOT_ABOVE_0 = (0, "it must be above 0")
NO_SHARE, TOO_LARGE_A_SHARE = ((value, "it is a share, from 0 to 1$") for value in (-0.1, 1.1))
NO_RATE = (1.0, "it must be at least 0 and below 1")
STEPPING = {"steps": BELOW_0, "lr": BELOW_0, "noise": NOT_ABOVE_0, "plateau": NOT_ABOVE_0, "warmup": TOO_LARGE_A_SHARE}
LIMITS: dict[str, tuple[Callable[..., object], dict[str, tuple[float, str]]]] = {
    "latent": (
        lambda **wrong: Latent(linear(), **wrong),
        STEPPING
        | dict.fromkeys(("jitter", "in_domain", "total_variation"), BELOW_0)
        | {"restarts": BELOW_1, "candidates": BELOW_1, "bank": (1, "it must be at least 2"), "clip": NOT_ABOVE_0}
        | {"decay_share": NO_SHARE, "beta1": NO_RATE},
    ),
    "layered": (
        lambda **wrong: Layered(made("dcgan"), **({"block": 1} | wrong)),
        STEPPING
        | dict.fromkeys(("style_lr", "geocross", "total_variation", "moving_maps"), BELOW_0)
        | {"radius": NOT_ABOVE_0, "decay_share": NO_SHARE},
    ),
    "multicode": (
        lambda **wrong: Multicode(made("dcgan"), **wrong),
        STEPPING | {"mix_lr": BELOW_0, "total_variation": BELOW_0, "codes": BELOW_1, "candidates": BELOW_1},
    ),
    "pivotal": (
        lambda **wrong: Pivotal(made("dcgan"), **wrong),
        dict.fromkeys(("steps", "locality", "total_variation"), BELOW_0)
        | dict.fromkeys(("lr", "stop_at", "distance", "noise", "plateau"), NOT_ABOVE_0)
        | {"beta1": NO_RATE},
    ),
    "projector": (
        lambda **wrong: Projector(made("stylegan2-skip"), **wrong),
        STEPPING | {"jitter": BELOW_0, "whiteness": BELOW_0, "decay_share": NO_SHARE},
    ),
    "pulse": (
        lambda **wrong: Pulse(made("stylegan2-skip"), **wrong),
        STEPPING | {"geocross": BELOW_0, "moving_maps": BELOW_0, "decay_share": NO_SHARE},
    ),
    "tuned": (
        lambda **wrong: Tuned(made("dcgan"), **wrong),
        STEPPING
        | dict.fromkeys(("weights_lr", "block_ratio", "nll", "total_variation"), BELOW_0)
        | {"restarts": BELOW_1, "candidates": BELOW_1, "stop_at": NOT_ABOVE_0, "sample_std": NOT_ABOVE_0}
        | {"decay_share": NO_SHARE, "beta1": NO_RATE},
    ),
    "langevin": (
        lambda **wrong: Langevin(linear(), **({"noise": 1.0} | wrong)),
        dict.fromkeys(("steps", "lr", "temperature"), BELOW_0)
        | {"candidates": BELOW_1, "directions": BELOW_1, "noise": NOT_ABOVE_0, "flattest": TOO_LARGE_A_SHARE},
    ),
}


@pytest.mark.parametrize(("solver", "setting"), [(solver, setting) for solver, (_, limits) in LIMITS.items() for setting in limits])
def test_every_setting_has_its_limits(solver: str, setting: str) -> None:
    make, limits = LIMITS[solver]
    value, message = limits[setting]
    with pytest.raises(ValueError, match=f"^{setting} is {value}; .*{message}"):
        make(**{setting: value})


@pytest.mark.parametrize("setting", ["steps", "restarts", "candidates", "bank"])
def test_no_search_is_so_long_that_it_takes_days(setting: str) -> None:
    with pytest.raises(ValueError, match=f"^{setting} is 10000001; it must be at most 10000000, which would take days$"):
        Latent(linear(), **{setting: 10_000_001})  # type: ignore[arg-type]
    assert getattr(Latent(linear(), **{setting: 10_000_000}), setting) == 10_000_000  # type: ignore[arg-type]


def test_a_side_is_that_of_the_last_block_that_such_features_enter() -> None:
    """Two of PGGAN's have the side 8, one before and one after a convolution: mGANprior mixes behind both."""
    prior = made("pggan")
    solutions = [
        Multicode(prior, codes=2, steps=0, block=block)(torch.zeros(1, *prior.image_shape), Identity()) for block in (4, {"side": 8})
    ]
    assert prior.spaces["features@3"] == prior.spaces["features@4"]
    assert [name for name in solutions[1].codes if name.startswith("features@")] == ["features@4"]
    torch.testing.assert_close(solutions[1].codes, solutions[0].codes)


@pytest.mark.parametrize(("name", "middle"), [("dcgan", 2), ("pggan", 4), ("biggan", 2)])
def test_codes_are_mixed_in_the_middle_of_the_network(name: str, middle: int) -> None:
    prior = made(name)
    deep = features_of(prior.spaces)
    mixed = Multicode(prior, codes=2, steps=0)(torch.zeros(1, *prior.image_shape), Identity())
    assert features_of(mixed.codes) == [f"features@{middle}"] == [deep[len(deep) // 2]]
