"""Optimisers against torch's own and against their formulas, and learning rates against the published ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, get_args

import pytest
import torch
from prior_support import made
from torch import Tensor

from priorsolve.solvers import Projector
from priorsolve.solvers.optimisers import LBFGS, Adam, Descent, NormalisedDescent, Optimiser, OptimiserName, RMSProp, make_optimiser
from priorsolve.solvers.schedule import Schedule
from priorsolve.solvers.variables import Variables

ROWS = 3


def start(rows: int = ROWS) -> Variables:
    rng = torch.Generator().manual_seed(0)
    return {"a": torch.randn(rows, 4, generator=rng).double(), "b": torch.randn(rows, 2, 3, generator=rng).double()}


def curvatures(rows: int = ROWS) -> Variables:
    """A quadratic of its own for each row, ill-conditioned."""
    return {name: 10 ** torch.linspace(-2, 1, value.numel()).double().view_as(value) for name, value in start(rows).items()}


def slopes(variables: Variables, bends: Variables) -> Variables:
    return {name: bends[name] * (value - 0.3) for name, value in variables.items()}


def moved(optimiser: Optimiser, steps: int, lr: float, scale: float = 1.0, rows: Sequence[int] | None = None) -> Variables:
    """Where `steps` steps lead, on all rows or on these alone."""
    chosen = list(range(ROWS)) if rows is None else list(rows)
    x, bends = ({name: value[chosen] for name, value in given.items()} for given in (start(), curvatures()))
    units = {name: torch.tensor(scale).double() for name in x}
    for step in range(steps):
        x = optimiser.move(x, slopes(x, bends), step, lr, units)
    return x


TORCH: dict[str, tuple[Callable[[], Optimiser], Callable[..., torch.optim.Optimizer], dict[str, Any]]] = {
    "adam": (Adam, torch.optim.Adam, {"eps": 1e-12}),
    "adam-beta1": (lambda: Adam(0.5), torch.optim.Adam, {"eps": 1e-12, "betas": (0.5, 0.999)}),
    "sgd": (Descent, torch.optim.SGD, {}),
    "momentum": (lambda: Descent(0.9), torch.optim.SGD, {"momentum": 0.9}),
    "rmsprop": (RMSProp, torch.optim.RMSprop, {"eps": 1e-8, "alpha": 0.99}),
}


@pytest.mark.parametrize("name", TORCH)
def test_equals_torch(name: str) -> None:
    ours, theirs, settings = TORCH[name]
    leaves = {key: value.clone().requires_grad_() for key, value in start().items()}
    reference = theirs(list(leaves.values()), lr=0.05, **settings)
    for _ in range(30):
        for key, gradient in slopes({key: leaf.detach() for key, leaf in leaves.items()}, curvatures()).items():
            leaves[key].grad = gradient
        reference.step()
    for key, value in moved(ours(), 30, 0.05).items():
        torch.testing.assert_close(value, leaves[key].detach(), rtol=1e-10, atol=1e-12)


def test_normalised_descent_is_its_formula() -> None:
    x, bends = start(), curvatures()
    gradients = slopes(x, bends)
    gradients["a"][1] = 0  # stays
    found = NormalisedDescent().move(x, gradients, 0, 0.1, {"a": torch.tensor(2.0), "b": torch.tensor(1.0)})
    for row in range(ROWS):
        step = torch.zeros(4).double() if row == 1 else gradients["a"][row] / gradients["a"][row].norm()
        torch.testing.assert_close(found["a"][row], x["a"][row] - 0.1 * 2 * math.sqrt(4) * step)
        for k in range(2):  # every vector by itself
            step = gradients["b"][row, k] / gradients["b"][row, k].norm()
            torch.testing.assert_close(found["b"][row, k], x["b"][row, k] - 0.1 * math.sqrt(3) * step)


def torch_lbfgs(row: int, steps: int, curve: Callable[[Tensor], Tensor]) -> list[Tensor]:
    """The places of torch's own L-BFGS from the row's start, one iteration a step."""
    leaf = torch.cat([value[row].flatten() for value in start().values()]).requires_grad_()
    reference = torch.optim.LBFGS([leaf], lr=1, max_iter=1, history_size=10, tolerance_grad=0, tolerance_change=0)

    def closure() -> Tensor:
        value = curve(leaf)
        (leaf.grad,) = torch.autograd.grad(value, leaf)
        return value

    places = []
    for _ in range(steps):
        reference.step(closure)  # type: ignore[no-untyped-call]
        places.append(leaf.detach().clone())
    return places


def test_lbfgs_equals_torch() -> None:
    """Until s·y is below 1e-10, where theirs no longer looks; ours asks for 1e-10 of y·y, whatever the loss is measured in."""
    bend = torch.cat([value[0].flatten() for value in curvatures().values()])
    expected = torch_lbfgs(0, 14, lambda x: (bend * (x - 0.3).square()).sum() / 2)
    for steps in (1, 2, 5, 14):
        found = moved(LBFGS(), steps, 1.0, rows=[0])
        torch.testing.assert_close(torch.cat([value.flatten() for value in found.values()]), expected[steps - 1], rtol=1e-6, atol=1e-6)


def test_lbfgs_equals_torch_where_the_curve_bends_down() -> None:
    """A pair of negative curvature tells nothing: the scale is that of the last pair that did.

    Until the memory is full: in ours such a pair takes its place, since rows share the list.
    """

    def curve(x: Tensor) -> Tensor:
        return (x.square() / (1 + x.square())).sum() + 0.02 * x.square().sum()

    expected = torch_lbfgs(0, 11, curve)
    optimiser = LBFGS()
    x = {"x": torch.cat([value[0].flatten() for value in start().values()])[None]}
    skipped = 0
    for step in range(11):
        leaf = x["x"].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(curve(leaf), leaf)
        x = optimiser.move(x, {"x": gradient}, step, 1.0, {"x": torch.tensor(1.0)})
        skipped += sum(float(r) == 0 for _, _, r in optimiser.pairs[-1:])
        torch.testing.assert_close(x["x"][0], expected[step], rtol=1e-6, atol=1e-6)
    assert skipped, "the case should have a pair without positive curvature"


def test_lbfgs_reaches_the_minimum_of_an_ill_conditioned_quadratic() -> None:
    for value in moved(LBFGS(), 40, 1.0).values():
        assert float((value - 0.3).abs().max()) < 1e-6
    for value in moved(Descent(), 40, 0.1).values():
        assert float((value - 0.3).abs().max()) > 0.1  # 1000 : 1 is too much for plain descent


@pytest.mark.parametrize("name", get_args(OptimiserName))
def test_rows_never_meet(name: OptimiserName) -> None:
    together = moved(make_optimiser(name), 8, 0.1)
    for row in range(ROWS):
        alone = moved(make_optimiser(name), 8, 0.1, rows=[row])
        for key in together:
            torch.testing.assert_close(together[key][row], alone[key][0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", get_args(OptimiserName))
def test_rows_that_leave_change_nothing_for_the_others(name: OptimiserName) -> None:
    whole, optimiser = moved(make_optimiser(name), 8, 0.1), make_optimiser(name)
    units = {key: torch.tensor(1.0).double() for key in start()}
    x, bends = start(), curvatures()
    for step in range(8):
        if step == 4:
            kept = torch.tensor([2, 0])
            optimiser.keep(kept)
            x, bends = ({key: value[kept] for key, value in given.items()} for given in (x, bends))
        x = optimiser.move(x, slopes(x, bends), step, 0.1, units)
    for key in whole:
        torch.testing.assert_close(x[key], whole[key][[2, 0]], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", get_args(OptimiserName))
def test_held_variables_stay_and_nothing_given_is_changed(name: OptimiserName) -> None:
    x, optimiser = start(), make_optimiser(name)
    before = {key: value.clone() for key, value in x.items()}
    for step in range(2):
        found = optimiser.move(x, {"a": slopes(x, curvatures())["a"]}, step, 0.1, {"a": torch.tensor(1.0)})
        assert found["b"] is x["b"]
        assert not torch.equal(found["a"], x["a"])
    assert all(torch.equal(x[key], before[key]) for key in x)


@pytest.mark.parametrize(("name", "power"), [("adam", 1), ("sgd", 1), ("rmsprop", 1), ("normalised", 1), ("lbfgs", 2)])
def test_the_rate_is_in_units_of_the_scale(name: OptimiserName, power: int) -> None:
    """For the one, the step grows with the unit; L-BFGS works in it, which the first step of a flat quadratic shows squared."""
    gradient = {"a": torch.full((1, 4), 1e-3).double()}
    steps = [
        make_optimiser(name).move({"a": torch.zeros(1, 4).double()}, gradient, 0, 0.1, {"a": torch.tensor(scale)})["a"]
        for scale in (1.0, 3.0)
    ]
    torch.testing.assert_close(steps[1], steps[0] * 3**power)


# -- learning rates over time ----------------------------------------------------------------------------------------------------------


def test_the_projectors_ramps() -> None:
    """As published but for the warm-up, which begins above 0: (step + 1)/(0.05·N + 1) in place of t/0.05."""
    schedule, n = Schedule(0.1, 0.05, "cosine", 0.25), 1000
    for step in range(n + 1):
        t = step / n
        expected = 0.1 * (0.5 - 0.5 * math.cos(math.pi * min(1, (1 - t) / 0.25)))
        if t < 0.05:
            expected = 0.1 * (step + 1) / 51
        assert schedule.at(step, n) == pytest.approx(expected, abs=1e-12), step


def test_the_cycle_is_pulses() -> None:
    schedule, n = Schedule(0.4, 0.0, "cycle"), 100

    def published(x: int) -> float:  # "linear1cycledrop"
        if x < 0.9 * n:
            return (9 * (1 - abs(x / (0.9 * n) - 1 / 2) * 2) + 1) / 10
        return 0.1 + (x - 0.9 * n) / (0.1 * n) * (0.1 / 100 - 0.1)

    for step in range(n):
        assert schedule.at(step, n) == pytest.approx(0.4 * published(step)), step
    assert [schedule.at(step, n) / 0.4 for step in (0, 45, 90, 100)] == pytest.approx([0.1, 1, 0.1, 0.001])


@pytest.mark.parametrize(("decay", "half"), [("cosine", 0.5), ("linear", 0.5), ("none", 1.0)])
def test_warm_up_and_decay(decay: Any, half: float) -> None:
    late = Schedule(2.0, 0.1, decay, 0.5)
    assert [late.at(step, 100) for step in (0, 4, 9)] == pytest.approx([2 / 11, 2 * 5 / 11, 2 * 10 / 11])
    assert [late.at(step, 100) for step in (10, 30, 50)] == pytest.approx([2, 2, 2])
    assert late.at(75, 100) == pytest.approx(2 * half)
    assert late.at(100, 100) == pytest.approx(2 * (decay == "none"))
    whole = Schedule(2.0, 0.1, decay)
    assert whole.at(55, 100) == pytest.approx(2 * half)
    assert whole.at(10, 100) == pytest.approx(2)
    for schedule in (late, whole, Schedule(2.0, 1.0, decay)):
        rates = [schedule.at(step, 7) for step in range(8)]
        assert all(math.isfinite(rate) and rate >= 0 for rate in rates)
        assert schedule.at(0, 0) >= 0


def test_the_projectors_own_ramps_are_its_settings() -> None:
    """The rates of 100 steps by appendix D's formula, with shares that are nobody's default."""
    solver = Projector(made("stylegan2-skip"), lr=0.2, warmup=0.1, decay_share=0.5)
    rates = [solver.schedule.at(step, 100) for step in range(100)]
    rising = [0.2 * (step + 1) / 11 for step in range(10)]
    falling = [0.2 * (0.5 - 0.5 * math.cos(math.pi * min(1, (100 - step) / 50))) for step in range(10, 100)]
    assert rates == pytest.approx(rising + falling)
