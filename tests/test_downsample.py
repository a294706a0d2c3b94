"""Downsampling is Pillow's, or a published program's, and its pseudo-inverse is exact."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from laws_support import few
from PIL import Image
from PIL.Image import Resampling
from torch.nn import functional as F

from priorsolve.operators.downsample import Downsample
from priorsolve.operators.resample import Kernel, shrink

FILTERS = {
    "area": Resampling.BOX,
    "nearest": Resampling.NEAREST,
    "bilinear": Resampling.BILINEAR,
    "bicubic": Resampling.BICUBIC,
    "lanczos": Resampling.LANCZOS,
}
pillows = pytest.mark.parametrize("kernel", list(FILTERS))
kernels = pytest.mark.parametrize("kernel", get_args(Kernel))


@pillows
@given(factor=st.integers(1, 8), height=st.integers(1, 9), width=st.integers(1, 9), seed=st.integers(0, 1000))
@few
def test_agrees_with_pillow_on_floats(kernel: Kernel, factor: int, height: int, width: int, seed: int) -> None:
    photo = np.random.default_rng(seed).random((height * factor, width * factor), dtype=np.float32)
    theirs = torch.from_numpy(np.array(Image.fromarray(photo).resize((width, height), FILTERS[kernel])))
    ours = Downsample(factor, kernel).A(torch.from_numpy(photo)[None, None])[0, 0]
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


@pillows
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_agrees_with_pillow_on_bytes_within_rounding(kernel: Kernel, factor: int) -> None:
    """Pillow rounds to whole levels after each of its two passes; the levels keep clear of 0 and 255, where it would clip as well."""
    photo = np.random.default_rng(0).integers(64, 192, (12 * factor, 16 * factor, 3), dtype=np.uint8)
    theirs = torch.from_numpy(np.array(Image.fromarray(photo).resize((16, 12), FILTERS[kernel]))).permute(2, 0, 1)
    ours = Downsample(factor, kernel).A(torch.from_numpy(photo).permute(2, 0, 1)[None].double())[0]
    assert (ours - theirs).abs().max() < 1.25


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@given(factor=st.integers(1, 17), height=st.integers(1, 6), width=st.integers(1, 6), seed=st.integers(0, 1000))
@few
def test_the_aliased_kernels_are_torchs_without_antialiasing(mode: str, factor: int, height: int, width: int, seed: int) -> None:
    """As mGANprior's and BRGM's programs shrink pictures."""
    x = torch.rand(1, 2, height * factor, width * factor, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    theirs = F.interpolate(x, size=(height, width), mode=mode, align_corners=False)
    torch.testing.assert_close(Downsample(factor, f"aliased_{mode}").A(x), theirs)  # type: ignore[arg-type]


@pytest.mark.parametrize("factor", [2, 4])
def test_two_lobes_are_deep_image_priors(factor: int) -> None:
    """Its `Downsampler(kernel_type="lanczos2", phase=0.5, preserve_size=True)`, DGP's stand-in: 4·factor taps, a replicated edge."""
    t = [abs(i - 2 * factor - 0.5) / factor for i in range(1, 4 * factor + 1)]
    taps = torch.tensor([2 * math.sin(math.pi * d) * math.sin(math.pi * d / 2) / (math.pi * d) ** 2 for d in t], dtype=torch.float64)
    weight = torch.outer(taps, taps) / taps.sum() ** 2
    x = torch.rand(2, 1, 6 * factor, 8 * factor, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    padded = F.pad(x, [3 * factor // 2] * 4, mode="replicate")
    torch.testing.assert_close(Downsample(factor, "lanczos2").A(x), F.conv2d(padded, weight[None, None], stride=factor))


@kernels
def test_flat_stays_flat(kernel: Kernel) -> None:
    flat = torch.full((1, 3, 12, 18), 0.7, dtype=torch.float64)
    torch.testing.assert_close(Downsample(3, kernel).A(flat), torch.full((1, 3, 4, 6), 0.7, dtype=torch.float64))


def test_area_is_the_mean_of_each_block() -> None:
    x = torch.rand(2, 3, 12, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(Downsample(4, "area").A(x), F.avg_pool2d(x, 4))


@kernels
def test_the_pseudo_inverse_explains_any_small_picture(kernel: Kernel) -> None:
    y = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    A = Downsample(4, kernel)
    torch.testing.assert_close(A.A(A.A_dagger(y)), y, rtol=0, atol=1e-5)


def test_matrices_met_first_in_inference_mode_serve_training_too() -> None:
    A, x = Downsample(2, "bicubic"), torch.ones(1, 1, 34, 34, requires_grad=True)
    shrink.cache_clear()
    with torch.inference_mode():
        A.A_dagger(A.A(x))
    A.A_dagger(A.A(x)).sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None


def test_errors_name_the_value_and_the_way_out() -> None:
    with pytest.raises(ValueError, match=r"^Downsample: factor must be a whole number of at least 1, got 0$"):
        Downsample(0)
    with pytest.raises(ValueError, match=r"^Downsample: factor must be a whole number of at least 1, got 2.5$"):
        Downsample(2.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^Downsample: there is no kernel 'cubic'; choose one of area, nearest, bilinear, .*_bicubic$"):
        Downsample(2, "cubic")  # type: ignore[arg-type]
    expected = r"^Downsample\(factor=4, kernel=bicubic\): expected images of shape .* divisible by 4, got \(B, 3, 30, 32\)$"
    with pytest.raises(ValueError, match=expected):
        Downsample(4).A(torch.zeros(1, 3, 30, 32))
