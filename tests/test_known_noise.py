"""The noise level that a record judges by is that of what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import run_support as run
import torch
from torch import Tensor

from priorsolve.framing import Frame, cut
from priorsolve.operators.noise import Chain, Gaussian, Noise, Poisson, SaltPepper
from priorsolve.run.diagnosis import known_noise
from priorsolve.run.restoration import Options, restore
from priorsolve.sampling import Several, solve_several

RECIPE = run.quick(operator="gray", noise=[])


def true_and_told(noise: Noise, x: Tensor, *, written: bool) -> tuple[float, float]:
    """What the true picture leaves of a measurement, which may have gone through a file of 8 bits, and what is known of it."""
    y = noise(x, rng=torch.Generator().manual_seed(0))
    y = (y.clamp(0, 1) * 255).round() / 255 if written else y
    (told,) = known_noise(RECIPE, noise, y, torch.ones(1))
    assert told is not None
    return float((y - x).square().mean().sqrt()), told


@pytest.mark.parametrize(("value", "level"), [(0.0, 0.2 / 2**0.5), (0.5, 0.2), (1.0, 0.2 / 2**0.5)])
def test_what_a_file_cuts_off_at_black_and_white_is_no_noise_any_more(value: float, level: float) -> None:
    """Of white half of the noise is cut off, and the true picture was told to fit better than the noise."""
    left, told = true_and_told(Gaussian(0.2), torch.full((1, 3, 128, 128), value), written=True)
    assert [left, told] == pytest.approx([level] * 2, rel=0.02)


@pytest.mark.parametrize("noise", [Gaussian(0.1), Gaussian(0.2), Poisson(10), Poisson(30), Chain([Poisson(30), Gaussian(0.1)])], ids=repr)
def test_a_picture_in_a_file_is_known_to_a_twentieth(noise: Noise) -> None:
    """Of every value as much: the level was up to a fifth too high."""
    x = torch.linspace(0, 1, 128**2).view(1, 1, 128, 128).expand(1, 3, 128, 128)
    left, told = true_and_told(noise, x, written=True)
    assert told == pytest.approx(left, rel=0.05)
    left, told = true_and_told(noise, x, written=False)
    assert told == pytest.approx(left, rel=0.02), "what goes beyond black and white was not cut off"


def test_nothing_is_taken_off_for_salt_and_pepper_nor_where_nothing_else_is_left() -> None:
    x = torch.linspace(0, 1, 128**2).view(1, 1, 128, 128)
    left, told = true_and_told(SaltPepper(0.1), x, written=True)
    assert told == pytest.approx(left, rel=0.02)
    black = torch.zeros(1, 3, 8, 8)
    assert known_noise(RECIPE, Gaussian(0.2), black, torch.ones(1)) == [pytest.approx(0.2)]


def test_holes_are_not_black() -> None:
    x, hole = torch.full((1, 3, 128, 128), 0.5), torch.ones(128, 128)
    hole[:, :64] = 0
    y = Gaussian(0.05)(x, rng=torch.Generator().manual_seed(0)) * hole
    assert known_noise(RECIPE, Gaussian(0.05), y, hole[None, None]) == [pytest.approx(0.05)]


@pytest.mark.usefixtures("digiface64")
@pytest.mark.parametrize("operator", ["identity", {"mask": {"boxes": [[0.25, 0.25, 0.75, 0.75]]}}])
def test_a_frame_keeps_a_part_of_the_noise_of_its_photo(operator: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of noise of 0.1 at 256² a quarter to a fifth is left at 64²; 0.1 was told, and drawn once more for `samples`."""
    drawn: list[Noise] = []

    def several(*given: Any, noise: Noise, **settings: Any) -> Several:
        drawn.append(noise)
        return solve_several(*given, noise=noise, **settings)

    monkeypatch.setattr("priorsolve.run.answers.solve_several", several)
    (tmp_path / "in").mkdir()
    for name, side in (("large", 256), ("small", 64)):
        run.picture(0, side, side).save(tmp_path / "in" / f"{name}.png")
    photo = 0.1 * torch.randn(3, 256, 256, generator=torch.Generator().manual_seed(7))
    left = {"large.png": float(cut(photo, Frame.of_box(0, 0, 256, 256), (64, 64)).std()), "small.png": 0.1}
    assert left["large.png"] < 0.03
    recipe = run.quick(operator=operator, noise={"gaussian": {"sigma": 0.1}}, frame="aligned", samples=2, output={"consistency": False})
    records = list(restore(recipe, tmp_path / "in", tmp_path / "out", Options(degrade=True)))
    (noise,) = drawn
    zeros, each = torch.zeros(2, 3, 64, 64), [torch.Generator().manual_seed(seed) for seed in (1, 2)]
    stds = noise(zeros, rng=each).flatten(1).std(1).tolist()
    for record, again in zip(records, stds, strict=True):
        expected = left[record.name]
        assert again == pytest.approx(expected, rel=0.05)
        times = float(record.diagnosis[0].split(", ")[1].split(" times")[0])
        assert (record.residual or 0) / times == pytest.approx(expected, rel=0.1)


@pytest.mark.usefixtures("digiface64")
def test_the_noise_in_a_frame_is_known_whatever_the_solver_was_told(tmp_path: Path) -> None:
    """A solver that stopped at the photo's noise was told to fit to the noise, four times as far from the picture as that is."""
    run.picture(0, 256, 256).save(tmp_path / "a.png")
    solver = {"latent": {"steps": 2, "restarts": 1, "candidates": 2, "noise": 0.9}}
    told = {}
    for frame in ("aligned", "tiles"):
        recipe = run.quick(operator="identity", noise={"gaussian": {"sigma": 0.1}}, frame=frame, solver=solver, output={})
        (record,) = restore(recipe, tmp_path / "a.png", tmp_path / frame, Options(degrade=True))
        told[frame] = record.diagnosis[0]
    assert told["aligned"].startswith("fits worse than the noise")
    assert "noise 0.9" in told["tiles"], "which are not resized"
