"""Each way of breaking a law is told by the law's name."""

from __future__ import annotations

import pytest
import torch
from prior_support import Own

from priorsolve.operators import gaussian_blur
from priorsolve.operators.base import Identity, LinearOperator, Operator
from priorsolve.operators.gray import Gray
from priorsolve.operators.laws import autograd_adjoint, check_laws, laws, lifting, linearity, shapes, vjp
from priorsolve.operators.pillow import PillowJPEG
from priorsolve.priors import LinearPrior, check_prior_laws
from priorsolve.solvers import Latent
from priorsolve.types import Images, Measurements, Shape


class WrongAdjoint(Gray):
    def _A_adjoint(self, y: Measurements) -> Images:
        return super()._A_adjoint(y).flip(1)


class WrongDagger(Gray):
    def _A_dagger(self, y: Measurements) -> Images:
        return self._A_adjoint(y)


class Longer(Gray):
    """The same change in all colours explains y, too, but is longer."""

    def _A_dagger(self, y: Measurements) -> Images:
        return (y / sum(self.w)).expand(-1, 3, -1, -1)


class Twice(LinearOperator):
    """Measures each pixel twice, and of two measurements believes the first."""

    def out_shape(self, in_shape: Shape) -> Shape:
        return (2 * in_shape[0], *in_shape[1:])

    def in_shape(self, out_shape: Shape) -> Shape:
        return (out_shape[0] // 2, *out_shape[1:])

    def _A(self, x: Images) -> Measurements:
        return torch.cat([x, x], 1)

    def _A_adjoint(self, y: Measurements) -> Images:
        first, second = y.chunk(2, 1)
        return first + second

    def _A_dagger(self, y: Measurements) -> Images:
        return y.chunk(2, 1)[0]


class WithoutGradient(Gray):
    def _A_dagger(self, y: Measurements) -> Images:
        return super()._A_dagger(y.detach())


class NotLinear(Gray):
    def _A(self, x: Images) -> Measurements:
        return super()._A(x) + 1


class Leaky(Gray):
    def _A(self, x: Images) -> Measurements:
        return super()._A(x - x.mean(0))


class WrongHoles(Gray):
    def support(self, inside: Images) -> Measurements:
        return super().support(inside).index_fill(-1, torch.tensor([0]), 0.0)


class WrongLift(Gray):
    """As much in all colours as in grey, whatever these weigh."""

    def lift(self, y: Measurements) -> Images:
        return (y / 3).expand(-1, 3, -1, -1)


class Half(Identity):
    """Half of each number, by formulas that keep all laws but what is put back."""

    def _A(self, x: Images) -> Measurements:
        return x / 2

    def _A_adjoint(self, y: Measurements) -> Images:
        return y / 2

    def _A_dagger(self, y: Measurements) -> Images:
        return 2 * y

    def lift(self, y: Measurements) -> Images:
        return 1.5 * y


@pytest.mark.parametrize(
    ("operator", "law"),
    [
        (WrongAdjoint(), "dot test"),
        (WrongDagger(), "A A† A = A"),
        (Longer(), "A† A symmetric"),
        (Twice(), "A A† symmetric"),
        (WithoutGradient(), "gradient of A†"),
        (NotLinear(), "dot test"),
        (Leaky(), "independence"),
        (WrongHoles(), "support"),
        (WrongLift(), "A lift A = A"),
        (Half(), "A lift A = A"),
    ],
)
def test_a_broken_law_is_named(operator: LinearOperator, law: str) -> None:
    with pytest.raises(AssertionError, match=rf"^{type(operator).__name__}\(.*\): {law} is off by .* allowed 1e-04$"):
        check_laws(operator, (3, 8, 8))


class Fading(Gray):
    """What `Gray` says, with `share` of its gradient for the last image of a batch."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def _A(self, x: Images) -> Measurements:
        rest, last = x[:-1], x[-1:].detach()
        return super()._A(torch.cat([rest, last + self.share * (x[-1:] - last)]))


class Shifted(Gray):
    def _A_adjoint(self, y: Measurements) -> Images:
        return super()._A_adjoint(y) + 1


class Wide(Gray):
    def _A(self, x: Images) -> Measurements:
        return super()._A(x).double()


class Short(Gray):
    def out_shape(self, in_shape: Shape) -> Shape:
        return (1, in_shape[1] - 1, in_shape[2])


class OfColours(Gray):
    def support(self, inside: Images) -> Measurements:
        return inside


class Deep(Gray):
    def in_shape(self, out_shape: Shape) -> Shape:
        return (4, *out_shape[1:])


def test_how_far_what_is_put_back_is_off_is_a_closed_form() -> None:
    """`A lift A = ¾ A` for the half whose lift is 1½ y; `A†` is no lift of its own."""
    assert lifting(Half(), (3, 8, 8)) == pytest.approx(1 / 4)
    assert lifting(Gray(), (3, 8, 8)) < 1e-6
    assert "A lift A = A" in laws(Gray() @ gaussian_blur(1.0)), "where grey is measured lift is the grey change"
    assert "A lift A = A" not in laws(gaussian_blur(1.0))


def test_each_law_is_broken_by_itself() -> None:
    """In the order of `check_laws` another is told first of most of these."""
    for operator in (NotLinear(), Shifted()):
        assert linearity(operator, (3, 8, 8)) > 0.1
    assert autograd_adjoint(Fading(0.5), (3, 8, 8)) == pytest.approx(0.5), "the worst image counts"
    assert [vjp(Fading(share), (3, 8, 8)) for share in (0.0, 0.5, torch.nan)] == [1, 0, 1]
    assert [shapes(operator, (3, 8, 8)) for operator in (Wide(), Short(), OfColours(), Deep(), Gray())] == [1, 1, 1, 1, 0]


@pytest.mark.parametrize(
    ("operator", "made"),
    [
        (Wide(), r"\(2, 1, 8, 8\) torch.float64; its out_shape says \(1, 8, 8\), its support \(1, 8, 8\), its in_shape \(3, 8, 8\)"),
        (Short(), r"\(2, 1, 8, 8\) torch.float32; its out_shape says \(1, 7, 8\), its support \(1, 8, 8\), its in_shape \(3, 8, 8\)"),
        (OfColours(), r"\(2, 1, 8, 8\) torch.float32; its out_shape says \(1, 8, 8\), its support \(3, 8, 8\), its in_shape \(3, 8, 8\)"),
        (Deep(), r"\(2, 1, 8, 8\) torch.float32; its out_shape says \(1, 8, 8\), its support \(1, 8, 8\), its in_shape \(4, 8, 8\)"),
    ],
)
def test_what_is_made_is_told_where_it_is_not_what_was_promised(operator: LinearOperator, made: str) -> None:
    with pytest.raises(AssertionError, match=rf"\): shapes is off by 1.00e\+00 .* allowed 1e-04; it makes {made}$"):
        check_laws(operator, (3, 8, 8))


def test_laws_are_judged_whatever_modes_the_caller_has_set() -> None:
    """The library's own operators were told to have no gradient, or another type's shapes."""
    prior = Own()
    for mode in (torch.no_grad(), torch.inference_mode(), torch.autocast("cpu")):
        with mode:
            check_laws(Gray(), (3, 8, 8))
            check_laws(gaussian_blur(1.0, "circular"), (3, 8, 8))
            check_prior_laws(prior)


def test_an_operator_without_a_gradient_breaks_the_law_of_it() -> None:
    """It was an error of torch's."""
    with pytest.raises(AssertionError, match=r"PillowJPEG\(quality=50\): vjp is off by 1.00e\+00"):
        check_laws(PillowJPEG(50), (3, 16, 16))


class Masks(Operator):
    """A mask for each image, of which nothing is said."""

    def __init__(self, known: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("known", known)

    def out_shape(self, in_shape: Shape) -> Shape:
        return in_shape

    def _A(self, x: Images) -> Measurements:
        return x * self.get_buffer("known")


class Counted(Masks):
    """One that says how many, and gives none of them."""

    @property
    def batch(self) -> int | None:
        return len(self.get_buffer("known"))


class Changing(Masks):
    def _A(self, x: Images) -> Measurements:
        numbers = x.detach().numpy()  # through which torch does not see what is written
        numbers *= 0.5
        return x.clone()


@pytest.mark.parametrize("count", [2, 3])
def test_parameters_for_each_image_that_are_not_told_of_are_one_line(count: int) -> None:
    operator = Masks(torch.linspace(0.1, 1, count).view(-1, 1, 1, 1))
    with pytest.raises(AssertionError, match="; an operator with parameters for each image says for how many by `batch`, and takes some"):
        check_laws(operator, (3, 8, 8))
    with pytest.raises(ValueError, match="parameters for"):
        Latent(LinearPrior.random(4, (3, 8, 8)), steps=2)(torch.rand(count, 3, 8, 8), operator)


@pytest.mark.parametrize("outer", [None, Gray()])
def test_parameters_of_which_none_can_be_selected_are_told_as_such(outer: Gray | None) -> None:
    counted = Counted(torch.linspace(0.1, 1, 3).view(-1, 1, 1, 1))
    operator = outer @ counted if outer else counted
    told = r"^Counted\(\): has parameters for 3 images, and its class has no `select`; an operator with parameters for each image says"
    with pytest.raises(ValueError, match=told):
        check_laws(operator, (3, 8, 8))
    for solver in (Latent(LinearPrior.random(4, (3, 8, 8)), steps=2), Latent(LinearPrior.random(4, (3, 8, 8)), steps=2, restarts=2)):
        with pytest.raises(ValueError, match=told):
            solver(torch.rand(3, *operator.out_shape((3, 8, 8))), operator)


def test_an_operator_that_changes_what_it_is_given_is_told() -> None:
    with pytest.raises(AssertionError, match=r"^Changing\(\): unchanged is off by"):
        check_laws(Changing(torch.ones(1, 1, 1, 1)), (3, 8, 8))


def test_what_is_no_number_keeps_no_law() -> None:
    class NoNumber(Gray):
        def _A_dagger(self, y: Measurements) -> Images:
            return super()._A_dagger(y) * torch.nan

    with pytest.raises(AssertionError, match=r"A A† A = A is off by nan"):
        check_laws(NoNumber(), (3, 8, 8))


def test_in_float64_laws_are_kept_more_closely() -> None:
    class Nearly(Gray):
        def _A_dagger(self, y: Measurements) -> Images:
            return super()._A_dagger(y) * (1 + 1e-7)

    check_laws(Nearly(), (3, 8, 8))
    with pytest.raises(AssertionError, match=r"A A† A = A is off by 1\.00e-07 .*; allowed 1e-09"):
        check_laws(Nearly(), (3, 8, 8), dtype=torch.float64)
