"""What solvers make of a prior is made once, for as long as that stays as it is."""

from __future__ import annotations

import copy
import gc
import io
import pickle
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from device_support import DEVICE, another_device
from prior_support import CHAINS, STYLED, made
from torch import Tensor, nn

from priorsolve.operators.base import Identity
from priorsolve.penalties import mahalanobis
from priorsolve.priors import DCGAN, LinearPrior, Prior
from priorsolve.priors.kept import run_form, spread_of
from priorsolve.solvers import Latent, Layered, Multicode, Solution, Tuned


def searched(prior: Prior) -> Solution:
    return Latent(prior, steps=2, candidates=2)(torch.rand(1, *prior.image_shape, generator=torch.Generator().manual_seed(0)), Identity())


def norm(prior: Prior) -> nn.BatchNorm2d:
    return next(module for module in prior.modules() if isinstance(module, nn.BatchNorm2d))


def weight(prior: Prior) -> nn.Parameter:
    return next(prior.parameters())


def _in_place(prior: Prior) -> None:
    with torch.no_grad():
        weight(prior).mul_(2)


def _behind_autograd(prior: Prior) -> None:
    weight(prior).data.mul_(2)


def _one_number_behind_autograd(prior: Prior) -> None:
    weight(prior).data.view(-1)[-1] += 0.5


def _turned_behind_autograd(prior: Prior) -> None:
    weight(prior).data.copy_(weight(prior).data.flip(0))


def _mirrored_by_numpy(prior: Prior) -> None:
    numbers = weight(prior).detach().numpy()
    numbers[:] = numbers[..., ::-1].copy()


def _two_numbers_by_numpy(prior: Prior) -> None:
    numbers = weight(prior).detach().numpy().reshape(-1)
    numbers[[0, 2]] = numbers[[2, 0]]


def _others(prior: Prior) -> None:
    weight(prior).data = weight(prior).data * 2


def _replaced(prior: Prior) -> None:
    layer = next(module for module in prior.modules() if isinstance(module, nn.ConvTranspose2d))
    layer.weight = nn.Parameter(layer.weight.detach() * 2, requires_grad=False)


def _loaded(prior: Prior) -> None:
    prior.load_state_dict({name: value * 2 for name, value in prior.state_dict().items()})


def _trained(prior: Prior) -> None:
    prior.requires_grad_()
    optimiser = torch.optim.SGD(prior.parameters(), lr=0.1)
    prior.decode(prior.sample(2, torch.Generator().manual_seed(0))).square().sum().backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    prior.requires_grad_(False)


def _to_half_and_back(prior: Prior) -> None:
    prior.half().float()


def _to_double(prior: Prior) -> None:
    prior.double()


def _buffer(prior: Prior) -> None:
    norm(prior).get_buffer("running_var").mul_(3)


def _setting(prior: Prior) -> None:
    norm(prior).eps = 0.5


def _module(prior: Prior) -> None:
    prior.blocks[-1][-1] = nn.Sigmoid()  # type: ignore[operator]


def _hooked(prior: Prior) -> None:
    prior.blocks[1].register_forward_hook(lambda module, given, made: made * 0.5)


CHANGES = [
    *(_in_place, _behind_autograd, _one_number_behind_autograd, _others, _replaced, _loaded),
    *(_turned_behind_autograd, _mirrored_by_numpy, _two_numbers_by_numpy),
    *(_trained, _to_half_and_back, _to_double, _buffer, _setting, _module, _hooked),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_prior_that_changed_is_folded_anew(change: Callable[[Prior], None]) -> None:
    prior = made("dcgan")
    before = run_form(prior), run_form(prior, crowded=True)
    searched(prior)
    change(prior)
    for form, old in zip((run_form(prior), run_form(prior, crowded=True)), before, strict=True):
        codes = prior.sample(2, torch.Generator().manual_seed(0))
        torch.testing.assert_close(form.decode(codes), prior.decode(codes), atol=1e-5, rtol=1e-4)
        assert form is not old
    found = searched(prior)
    torch.testing.assert_close(found.images, prior.decode(found.codes["z"]), atol=1e-5, rtol=1e-4)
    assert torch.equal(found.images, searched(copy.deepcopy(prior)).images)


@pytest.mark.parametrize("name", [*STYLED, *CHAINS])
def test_again_is_the_same_to_the_last_bit(name: str) -> None:
    prior = made(name)
    first, again = searched(prior), searched(prior)
    for other in (again, searched(made(name))):
        assert torch.equal(first.images, other.images)
    assert run_form(prior) is run_form(prior)


def test_it_is_made_once_for_all_solvers_and_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    folds: list[DCGAN] = []
    real = DCGAN.folded

    def noted(self: DCGAN) -> DCGAN:
        folds.append(self)
        return real(self)

    monkeypatch.setattr(DCGAN, "folded", noted)
    prior = made("dcgan")
    y = prior.decode(prior.sample(1, torch.Generator().manual_seed(0)))
    solvers = [Latent(prior, steps=2), Layered(prior, 1, steps=2), Multicode(prior, codes=2, steps=2), Tuned(prior, steps=1, candidates=2)]
    with ThreadPoolExecutor(4) as pool:
        together = [solution.images for solution in pool.map(lambda solver: solver(y, Identity()), solvers)]
    alone = [solver(y, Identity()).images for solver in solvers]
    assert folds == [prior]
    assert all(torch.equal(*pair) for pair in zip(together, alone, strict=True))


def test_a_prior_is_looked_at_in_one_reading_from_its_device() -> None:
    with another_device() as device:
        prior = made("mobilestylegan").to(DEVICE)
        form = run_form(prior)
        device.traffic.clear()
        assert run_form(prior) is form
        assert device.traffic == {"reads": 1}


@pytest.mark.parametrize("name", ["dcgan", "biggan", "stylegan2-skip", "mobilestylegan"])
def test_it_lives_as_long_as_the_prior(name: str) -> None:
    prior = made(name)
    searched(prior)
    gone = weakref.ref(prior), weakref.ref(run_form(prior))
    assert all(each() is not None for each in gone)
    gc.collect()
    gc.disable()
    try:
        del prior
        assert [each() for each in gone] == [None, None]
    finally:
        gc.enable()


def test_one_that_is_its_own_folded_form_is_let_go_too() -> None:
    prior = LinearPrior.random(3, (1, 4, 4))
    searched(prior)
    gone = weakref.ref(prior)
    del prior
    assert gone() is None


def test_no_copy_and_no_file_has_it() -> None:
    prior = made("dcgan")
    blank = len(pickle.dumps(prior))
    searched(prior)
    assert len(pickle.dumps(prior)) == blank
    saved = io.BytesIO()
    torch.save(prior, saved)
    names = vars(prior).keys() - vars(copy.copy(prior)).keys()
    assert names == {"_made"}
    for other in (copy.copy(prior), copy.deepcopy(prior), pickle.loads(pickle.dumps(prior)), prior.computing(None)):
        assert not names & vars(other).keys()
        assert run_form(other) is not run_form(prior)
        assert torch.equal(searched(other).images, searched(prior).images)


def test_it_computes_in_what_the_prior_computes_in() -> None:
    prior = made("dcgan")
    assert run_form(prior).computes is None
    prior.computes = torch.bfloat16
    assert run_form(prior).computes == torch.bfloat16


def test_numbers_made_in_inference_mode_and_sparse_ones() -> None:
    with torch.inference_mode():
        prior = LinearPrior.random(3, (1, 4, 4))
    assert run_form(prior) is run_form(prior)
    prior.register_buffer("beside", torch.eye(3).to_sparse())
    assert run_form(prior) is not run_form(prior), "these are not looked into, so nothing is kept"


@pytest.mark.parametrize("name", ["dcgan", "stylegan2-skip", "biggan"])
def test_the_spread_is_of_all_codes_drawn_few_at_a_time(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    prior, rows = made(name), list[int]()
    spaces = [space for space in prior.spaces if space != "w++"]  # which is w+ repeated
    expected = {space: prior.sample(64, torch.Generator().manual_seed(0), space).double().std() for space in spaces}
    real = Prior.map

    def noted(self: Prior, codes: Tensor, **options: str) -> Tensor:
        rows.extend([len(codes)] * options["target"].startswith("features@"))
        return real(self, codes, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Prior, "map", noted)
    for space, value in expected.items():
        found = prior.spread(space)
        assert (found.shape, found.dtype) == ((), torch.float32)
        torch.testing.assert_close(found.double(), value, rtol=1e-6, atol=0)
    assert max(rows) == 8


@pytest.mark.parametrize("n", [0, 1, 2.5, None])
def test_a_spread_is_that_of_two_codes_at_least(n: int) -> None:
    with pytest.raises(ValueError, match=rf"cannot tell the spread of {n} codes; give a whole number from 2 on$"):
        made("linear").spread(n=n)


def test_the_spread_far_from_zero_is_no_difference_of_large_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    prior, real = made("dcgan"), Prior.map
    monkeypatch.setattr(Prior, "map", lambda *given, target, **options: real(*given, target=target, **options) + 1e3 * (target != "z"))
    expected = prior.sample(64, torch.Generator().manual_seed(0), "features@1").double().std()
    torch.testing.assert_close(prior.spread("features@1").double(), expected, rtol=1e-6, atol=0)


def test_rounds_ask_for_the_spread_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []
    real = Prior.spread

    def noted(self: Prior, space: str | None = None, n: int = 64) -> Tensor:
        asked.append(space)
        return real(self, space, n)

    monkeypatch.setattr(Prior, "spread", noted)
    prior = made("dcgan")
    y = prior.decode(prior.sample(1, torch.Generator().manual_seed(0)))
    for _ in range(2):
        Layered(prior, 1, steps=1)(y, Identity())
        Latent(prior, steps=1)(y, Identity())
    assert asked == ["features@1", "z"]
    _in_place(prior)
    Layered(prior, 1, steps=1)(y, Identity())
    assert asked == ["features@1", "z", "features@1"]
    assert float(spread_of(prior, "z")) == float(spread_of(run_form(prior), "z"))


def test_what_a_prior_itself_is_asked_for_is_worked_out_each_time() -> None:
    """It may change, and then nobody would see; of its form, which changes with it, once."""
    prior = made("dcgan")
    before = float(spread_of(prior, "features@1"))
    norm(prior).weight.data.mul_(2)
    assert float(spread_of(prior, "features@1")) == float(prior.spread("features@1")) != before
    assert copy.copy(prior).__dict__.keys() == made("dcgan").__dict__.keys()


def test_rounds_measure_the_styles_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, str | None]] = []
    real = Prior.sample

    def noted(self: Prior, n: int, rng: torch.Generator, space: str | None = None) -> Tensor:
        asked.append((n, space))
        return real(self, n, rng, space)

    prior = made("mobilestylegan")
    y = prior.decode(prior.sample(1, torch.Generator().manual_seed(0)))
    start = Latent(prior, space="w", steps=1, begin_at="centre")(y, Identity())
    monkeypatch.setattr(Prior, "sample", noted)
    for _ in range(2):
        Layered(prior, 1, steps=1)(y, Identity(), start=start)
        Latent(prior, space="w", steps=1, begin_at="centre", penalties={"mahalanobis": 0.1})(y, Identity())
    many = [(n, space) for n, space in asked if n > 64]
    assert many == [(4096, "w"), (1024, "w")]
    ones = torch.ones(1, *prior.spaces["w"])
    before = mahalanobis(run_form(prior), "w")(ones)
    _in_place(prior)
    assert not torch.equal(mahalanobis(run_form(prior), "w")(ones), before)
    assert torch.equal(mahalanobis(prior, "w")(ones), mahalanobis(run_form(prior), "w")(ones))


def test_numbers_may_begin_anywhere_in_their_memory() -> None:
    """Such as all of a network's in one row: 8 bytes at a time are read from places that 8 divides."""
    prior = made("dcgan")
    row = torch.zeros(1 + sum(parameter.numel() for parameter in prior.parameters()))
    first = 1
    for parameter in prior.parameters():
        parameter.data = row[first : first + parameter.numel()].view_as(parameter).copy_(parameter.data)
        first += parameter.numel()
    form = run_form(prior)
    row *= 2
    codes = prior.sample(2, torch.Generator().manual_seed(0))
    torch.testing.assert_close(run_form(prior).decode(codes), prior.decode(codes), atol=1e-5, rtol=1e-4)
    assert run_form(prior) is not form
