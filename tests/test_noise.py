"""Noise has the statistics it promises, depends on its seed alone, and leaves holes empty."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError

import pytest
import torch

from priorsolve.operators.noise import MOST_PHOTONS, Chain, Gaussian, Noise, Photons, Poisson, SaltPepper

NOISES = [Gaussian(0.1), Poisson(30), SaltPepper(0.3), Chain([Poisson(100), Gaussian(0.02), SaltPepper(0.01)])]
every = pytest.mark.parametrize("noise", NOISES, ids=repr)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ramp(batch: int = 3, side: int = 64) -> torch.Tensor:
    """Every value from 0.1 to 0.9, as often in each image."""
    return torch.linspace(0.1, 0.9, side * side).view(1, 1, side, side).expand(batch, 1, side, side)


@every
def test_same_seed_same_noise(noise: Noise) -> None:
    assert torch.equal(noise(ramp(), rng=rng(1)), noise(ramp(), rng=rng(1)))
    assert not torch.equal(noise(ramp(), rng=rng(1)), noise(ramp(), rng=rng(2)))


@every
def test_a_photo_s_noise_does_not_depend_on_its_neighbours(noise: Noise) -> None:
    together = noise(ramp(3), rng=[rng(5), rng(6), rng(7)])
    assert torch.equal(together[1:2], noise(ramp(1), rng=[rng(6)]))
    assert torch.equal(together.flip(0), noise(ramp(3), rng=[rng(7), rng(6), rng(5)]))


@every
def test_one_generator_is_used_up_image_after_image(noise: Noise) -> None:
    one = rng(3)
    assert torch.equal(noise(ramp(2), rng=rng(3)), torch.cat([noise(ramp(1), rng=one), noise(ramp(1), rng=one)]))


@every
def test_holes_stay_empty_and_the_noise_elsewhere_does_not_change(noise: Noise) -> None:
    where = (torch.arange(64) % 3 > 0).float().expand(1, 1, 64, 64)
    y = ramp() * where
    noisy = noise(y, rng=rng(), where=where)
    assert (noisy[(where == 0).expand_as(y)] == 0).all()
    assert not torch.equal(noisy, y)


@every
def test_shape_and_type_are_kept(noise: Noise) -> None:
    for dtype in (torch.float32, torch.float64):
        noisy = noise(ramp().to(dtype), rng=rng())
        assert noisy.dtype == dtype
        assert noisy.shape == ramp().shape
    assert noise(torch.zeros(0, 3), rng=rng()).shape == (0, 3)


@every
def test_what_is_no_number_in_a_hole_stays_and_makes_no_other_one_so(noise: Noise) -> None:
    where = (torch.arange(64) % 3 > 0).float().expand(3, 1, 64, 64)
    noisy = noise(torch.where(where > 0, ramp(), torch.nan), rng=rng(), where=where)
    assert torch.equal(noisy.isnan(), where == 0)


@every
def test_noise_is_the_same_in_every_type(noise: Noise) -> None:
    torch.testing.assert_close(noise(ramp().double(), rng=rng()).float(), noise(ramp(), rng=rng()), atol=1e-6, rtol=0)


MEASURED = [
    *(Gaussian(0.1), Poisson(30), SaltPepper(0.02), SaltPepper(0.7)),
    *(Chain([Poisson(100), Gaussian(0.05)]), Chain([Poisson(50), Gaussian(0.05), SaltPepper(0.1)])),
    *(Chain([SaltPepper(0.2), Gaussian(0.3)]), Chain([Gaussian(0.3), SaltPepper(0.2)])),
]


@pytest.mark.parametrize("noise", MEASURED, ids=repr)
def test_rms_is_what_is_measured(noise: Noise) -> None:
    where = torch.zeros(1, 1, 256, 256)
    where[..., 40:, :] = 1
    y = ramp(2, 256) * where
    y[1] *= 0.4
    noisy = noise(y, rng=rng(), where=where)
    off = (noisy - y).square().sum((1, 2, 3)) / where.sum()
    expected = noise.rms(noisy, where)
    assert expected is not None
    torch.testing.assert_close(off.sqrt(), expected, rtol=0.05, atol=0)


@pytest.mark.parametrize("noise", [Chain([Poisson(10), Gaussian(0.1)]), Chain([Poisson(50), Gaussian(0.02)])], ids=repr)
@pytest.mark.parametrize("value", [-0.5, 0.0, 0.02, 0.1])
def test_rms_of_a_camera_s_noise_in_the_dark(noise: Chain, value: float) -> None:
    """Black was told to have up to a fifth more than it has: half of the Gaussian noise was taken for light. No light is negative."""
    y = torch.full((1, 3, 256, 256), max(value, 0.0))
    noisy = noise(torch.full_like(y, value), rng=rng())
    expected = noise.rms(noisy)
    assert expected is not None
    assert float(expected) == pytest.approx(float((noisy - y).square().mean().sqrt()), rel=0.01)


def test_poisson_counts_photons_around_the_mean() -> None:
    y = torch.full((1, 200_000), 0.37)
    noisy = Poisson(20)(y, rng=rng())
    assert torch.equal((noisy * 20).round(), (noisy.double() * 20).float().round())
    assert abs(noisy.mean() - 0.37) < 0.002
    assert abs(noisy.var() - 0.37 / 20) < 0.0005
    assert (Poisson(20)(-y, rng=rng()) == 0).all()


def test_the_most_photons_are_still_counted() -> None:
    for noise in (Poisson(MOST_PHOTONS), Photons(MOST_PHOTONS)):
        torch.testing.assert_close(noise(ramp(), rng=rng()), ramp())


def test_salt_and_pepper_come_in_equal_parts() -> None:
    noisy = SaltPepper(0.2)(torch.full((1, 200_000), 0.5), rng=rng())
    for value, fraction in ((0.0, 0.1), (1.0, 0.1), (0.5, 0.8)):
        assert abs((noisy == value).double().mean() - fraction) < 0.005
    unknown: list[Noise] = [SaltPepper(1), Chain([Gaussian(0.1), SaltPepper(1)])]
    assert [noise.rms(noisy) for noise in unknown] == [None, None]


def test_of_any_value_salt_and_pepper_is_a_quarter_off_at_least() -> None:
    """So it is where other noise, told too strong, would explain more than all of what is off."""
    y = torch.full((1, 200_000), 0.5)
    told = Chain([Gaussian(0.5), SaltPepper(0.2)]).rms(SaltPepper(0.2)(y, rng=rng()))
    assert told is not None
    assert float(told) == pytest.approx((0.8 * 0.5**2 + 0.2 / 4) ** 0.5)


def test_no_noise_is_no_noise() -> None:
    for noise in (Gaussian(0), SaltPepper(0), Chain([])):
        assert torch.equal(noise(ramp(), rng=rng()), ramp())
    rms = Chain([]).rms(ramp())
    assert rms is not None
    assert torch.equal(rms, torch.zeros(3))


@every
def test_it_stays_as_it_was_made(noise: Noise) -> None:
    for name, value in vars(noise).items():
        with pytest.raises(FrozenInstanceError):
            setattr(noise, name, -1)
        assert vars(noise)[name] == value


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Gaussian(-1), "^Gaussian: sigma must be a number of at least 0, got -1"),
        (lambda: Gaussian(float("nan")), "^Gaussian: sigma must be a number of at least 0, got nan"),
        (lambda: Poisson(0), "^Poisson: peak, the photons at value 1, must be above 0, got 0; give a number such as 100$"),
        (lambda: Poisson(1e20), "^Poisson: with peak=1e\\+20 no noise is left; leave it out, or give at most 1e\\+15$"),
        (lambda: Photons(1e16, 0.1), "^Photons: with peak=1e\\+16 no noise is left; leave it out"),
        (lambda: SaltPepper(2), "^SaltPepper: amount is the fraction of values lost, 0 to 1, got 2; give a number such as 0.05"),
        (lambda: Gaussian(True), "^Gaussian: sigma must be a number of at least 0, got True; .*, so divide grey levels by 255$"),
        (lambda: Poisson(True), "^Poisson: peak, the photons at value 1, must be above 0, got True; give a number such as 100$"),
        (lambda: SaltPepper(True), "^SaltPepper: amount is the fraction of values lost, 0 to 1, got True; give a number such as 0.05"),
        (lambda: Photons(True), "^Photons: peak, the photons at value 1, must be above 0, got True; give a number such as 100$"),
        (lambda: Photons("x"), "^Photons: peak, the photons at value 1, must be above 0, got 'x'; give"),  # type: ignore[arg-type]
        (lambda: Photons(5, "x"), "^Photons: dead is the share of pixels lost, .* got 'x'; give"),  # type: ignore[arg-type]
        (lambda: Photons(5, False), "^Photons: dead is the share of pixels lost, at least 0 and below 1, got False; give"),
        (lambda: Gaussian(0.1)(ramp(3), rng=[rng()]), r"^Gaussian\(sigma=0.1\): expected one generator per image, 3, got 1$"),
        (lambda: Gaussian(0.1)(ramp(3), rng=0), r"^Gaussian\(sigma=0.1\): rng is 0; give torch.Generator"),  # type: ignore[arg-type]
        (lambda: Gaussian(0.1)(ramp(2), rng=[1, 2]), r"rng is \[1, 2\]; give torch.Generator"),  # type: ignore[list-item]
        (lambda: Gaussian(0.1)(ramp(3), rng=rng(), where="x"), r"^Gaussian\(sigma=0.1\): where is 'x'; give a tensor, 0 where"),  # type: ignore[arg-type]
        (lambda: Gaussian(0.1)((255 * ramp(3)).byte(), rng=rng()), r"as a float tensor, got torch.uint8; pictures are in \[0, 1\]$"),
        (lambda: Gaussian(0.1)(ramp(3).numpy(), rng=rng()), "as a float tensor, got an object of type ndarray"),  # type: ignore[arg-type]
    ],
)
def test_errors(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
