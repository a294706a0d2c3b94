"""Straight strokes, few photons, and their stand-in: the damage that robust restoration is judged on."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
import torch
from laws_support import check_everywhere

from priorsolve.operators.lines import Lines
from priorsolve.operators.mask import join_masks
from priorsolve.operators.noise import Chain, Photons
from priorsolve.operators.photons import FixedPhotons


@pytest.mark.parametrize(
    "operator", [Lines(1), Lines(9, seed=3), Lines(17, width=0.02), FixedPhotons(24, 0.16), FixedPhotons(6, seed=2)], ids=repr
)
def test_the_laws(operator: Lines | FixedPhotons) -> None:
    check_everywhere(operator, (3, 12, 17))
    check_everywhere(operator, (1, 9, 9))


def test_strokes_grow_with_their_number_and_look_alike_at_any_size() -> None:
    lost = [1 - float(Lines(count, seed=5).A(torch.ones(1, 1, 64, 64)).mean()) for count in (1, 5, 9, 13, 17)]
    assert lost == sorted(lost)
    assert 0.005 < lost[0] < 0.12
    assert 0.25 < lost[-1] < 0.9
    small, large = (Lines(5, seed=5).A(torch.ones(1, 1, side, side)) for side in (32, 128))
    assert float((torch.nn.functional.avg_pool2d(large, 4) - small).abs().mean()) < 0.02
    assert not torch.equal(Lines(5, seed=6).A(torch.ones(1, 1, 32, 32)), small)


def test_the_ends_lie_in_the_outer_thirds() -> None:
    """A short stroke stays in its corner region, so that the middle of the picture is only ever crossed."""
    for seed in range(20):
        known = Lines(1, width=0.02, seed=seed).A(torch.ones(1, 1, 60, 60))[0, 0]
        middle = known[20:40, 20:40]
        assert float((1 - middle).sum()) < 60, seed


def test_a_stroke_is_what_lies_near_the_line_between_its_ends() -> None:
    rng, side = Random(4), (20 * 60) ** 0.5
    a, b = (torch.tensor([rng.choice((0, 2 / 3)) + rng.random() / 3 for _ in range(2)]) for _ in range(2))
    line = (a + torch.linspace(0, 1, 200)[:, None] * (b - a)) * torch.tensor([60, 20])
    pixels = torch.cartesian_prod(torch.arange(20) + 0.5, torch.arange(60) + 0.5).flip(1)
    off = torch.cdist(pixels, line).amin(1).view(20, 60) - 0.1 * side / 2
    known = Lines(1, width=0.1, seed=4).A(torch.ones(1, 1, 20, 60))[0, 0]
    assert bool((known[off < -0.8] == 0).all())
    assert bool((known[off > 0.8] == 1).all())


def test_a_mask_for_each_photo() -> None:
    joined = join_masks([Lines(3, seed=1), Lines(3, seed=2)], (3, 16, 16))
    x = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(joined.A(x), torch.cat([Lines(3, seed=seed).A(x[i : i + 1]) for i, seed in enumerate((1, 2))]))


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_photons_are_counted_and_dead_pixels_are_dark_in_every_channel() -> None:
    y = torch.full((1, 3, 300, 300), 0.3)
    noisy = Photons(50, 0.2)(y, rng=rng())
    dead = (noisy == 0).all(1)
    assert abs(float(dead.float().mean()) - 0.2) < 0.01
    alive = noisy.permute(0, 2, 3, 1)[~dead]
    assert abs(float(alive.mean()) - 0.3) < 0.002
    assert abs(float(alive.var()) - 0.3 / 50) < 0.0003
    assert torch.equal((alive * 50).round() / 50, alive)
    bright = Photons(6)(torch.ones_like(y), rng=rng())
    assert float(bright.max()) == 1
    assert Chain([Photons(6)]).rms(y) is None


def test_photons_depend_on_their_seed_and_leave_holes_empty() -> None:
    y, where = torch.rand(3, 3, 16, 16, generator=rng(9)), (torch.arange(16) % 3 > 0).float()
    noise = Photons(20, 0.1)
    own = [rng(1), rng(2), rng(3)]
    together = noise(y, rng=own, where=where)
    assert torch.equal(together[1:2], noise(y[1:2], rng=[rng(2)], where=where))
    assert torch.equal(torch.where(where > 0, 0, together), torch.where(where > 0, 0, y))
    assert not torch.equal(together, noise(y, rng=[rng(4), rng(2), rng(3)], where=where))
    assert noise(y.double(), rng=[rng(1), rng(2), rng(3)]).dtype == torch.float64


def test_the_stand_in_is_as_noisy_and_can_be_looked_through() -> None:
    x = torch.full((1, 3, 300, 300), 0.3)
    drawn, true = FixedPhotons(50, 0.2).A(x), Photons(50, 0.2)(x, rng=rng())
    assert abs(float(drawn.mean() + 0.8 * 0.5 / 50 - true.mean())) < 0.003  # the published stand-in takes half a photon away
    assert abs(float(drawn.std() - true.std())) < 0.01
    assert torch.equal(drawn, FixedPhotons(50, 0.2).A(x))
    assert not torch.equal(drawn, FixedPhotons(50, 0.2, seed=1).A(x))
    assert abs(float((drawn == 0).all(1).double().mean()) - 0.2) < 0.01  # dead in every channel
    outside = torch.full((1, 1, 8, 8), 1.3, requires_grad=True)
    (gradient,) = torch.autograd.grad(FixedPhotons(50).A(outside).sum(), outside)
    assert (gradient > 0).all()


def test_the_stand_in_is_its_formula() -> None:
    def slope(t: torch.Tensor) -> torch.Tensor:
        """Of sigmoid(2t − 1)."""
        return 2 * torch.sigmoid(2 * t - 1) * torch.sigmoid(1 - 2 * t)

    white = torch.ones(1, 1, 8, 8)
    assert torch.equal(FixedPhotons(50).A(1.3 * white), FixedPhotons(50).A(white))
    x = torch.tensor([0.2, 0.7, 1.3], dtype=torch.float64).view(1, 1, 1, 3).requires_grad_()
    y = FixedPhotons(1e12).A(x)  # of next to no noise
    torch.testing.assert_close(y, x.clamp(0, 1), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.autograd.grad(y.sum(), x)[0], slope(x) * slope(x.clamp(0, 1)), atol=1e-5, rtol=0)


def test_photons_beyond_what_half_precision_counts() -> None:
    x = torch.full((1, 3, 4, 4), 0.9)
    torch.testing.assert_close(FixedPhotons(1e6).A(x.half()).float(), FixedPhotons(1e6).A(x.half().float()), rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Lines(0), "^Lines: count is how many strokes there are, a whole number from 1 to 1000, got 0$"),
        (lambda: Lines(10**9), "^Lines: count is how many strokes there are, a whole number from 1 to 1000, got 1000000000$"),
        (lambda: Lines(1, width=1.0), "^Lines: width is a fraction of the picture's side, between 0 and 1, got 1.0$"),
        (lambda: Photons(0), "^Photons: peak, the photons at value 1, must be above 0, got 0; give a number such as 100$"),
        (
            lambda: FixedPhotons(5, 1.0),
            "^FixedPhotons: dead is the share of pixels lost, at least 0 and below 1, got 1.0; give a number such as",
        ),
        (lambda: Lines(1).A(torch.zeros(1, 4)), "^Lines.*expected images of shape"),
        (lambda: FixedPhotons(1).A(torch.zeros(1, 4)), "^FixedPhotons.*expected images of shape"),
    ],
)
def test_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_the_gradient_of_few_photons_is_finite_in_the_dark() -> None:
    dark = torch.zeros(1, 3, 8, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(FixedPhotons(50).A(dark).sum(), dark)
    assert bool(gradient.isfinite().all())
