"""The differentiable JPEG against Pillow's."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut
from torch import Tensor

from priorsolve.operators.downsample import Downsample
from priorsolve.operators.gray import Gray
from priorsolve.operators.jpeg import JPEG
from priorsolve.operators.quantize import Quantize

PORTRAIT = astronaut()[:131, 150:321]  # type: ignore[no-untyped-call]  # no multiple of 16


def to_tensor(image: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(image)).movedim(-1, 0)[None] / 255


def through_pillow(image: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.array(Image.open(file))


def psnr(a: Tensor, b: Tensor) -> float:
    return float(-10 * (a - b).square().mean().log10())


@pytest.mark.parametrize(("quality", "least"), [(10, 37), (30, 40), (50, 42), (75, 42), (95, 44)])
def test_close_to_a_real_jpeg(quality: int, least: float) -> None:
    """In dB: measured 38.6, 42.0, 43.2, 43.4 and 45.9. And the loss itself is the real one to 1 dB."""
    x, real = to_tensor(PORTRAIT), to_tensor(through_pillow(PORTRAIT, quality))
    y = JPEG(quality).A(x)
    assert psnr(y, real) > least
    assert psnr(y, x) == pytest.approx(psnr(real, x), abs=1)


def test_grey_is_the_luma_of_grey() -> None:
    grey = to_tensor(PORTRAIT).mean(1, keepdim=True)
    y = JPEG(50).A(grey)
    assert y.shape == grey.shape
    real = through_pillow((255 * grey[0, 0]).round().to(torch.uint8).numpy(), 50)
    assert psnr(y[0, 0], torch.from_numpy(real) / 255) > 40


def test_every_size_and_type() -> None:
    x = to_tensor(PORTRAIT)
    for h, w in ((1, 1), (16, 16), (17, 31), (131, 8)):
        assert JPEG(30).A(x[..., :h, :w]).shape == (1, 3, h, w)
    assert JPEG(30).A(x.double()).dtype == torch.float64


def test_better_quality_loses_less() -> None:
    x = to_tensor(PORTRAIT)
    losses = [psnr(JPEG(quality).A(x), x) for quality in (1, 10, 50, 90, 100)]
    assert losses == sorted(losses)


def test_knows_what_it_measures() -> None:
    inside = torch.zeros(1, 3, 16, 16)
    inside[..., :8] = 1
    assert JPEG().support(inside).equal(inside)


@pytest.mark.parametrize("quality", [0, 101])
def test_quality_is_checked(quality: int) -> None:
    with pytest.raises(ValueError, match=f"JPEG: quality must be from 1 to 100, got {quality}"):
        JPEG(quality)


def test_channels_are_checked() -> None:
    with pytest.raises(ValueError, match=r"JPEG\(quality=50\): expected images of shape \(B, 3, H, W\) or \(B, 1, H, W\), got"):
        JPEG().out_shape((4, 16, 16))


def test_whatever_has_it_for_a_part_jumps() -> None:
    """So that priors are drawn row by row through it, wherever it stands."""
    assert all(operator.jumps for operator in (JPEG(10), JPEG(10) @ Gray(), Gray() @ JPEG(10), Quantize(8) @ Gray()))
    assert not (Downsample(2) @ Gray()).jumps
