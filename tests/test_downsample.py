"""Downsampling is Pillow's, and its pseudo-inverse is exact."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from laws_support import few
from PIL import Image
from PIL.Image import Resampling

from priorsolve.operators.downsample import Downsample
from priorsolve.operators.resample import Kernel, shrink

FILTERS = {
    "area": Resampling.BOX,
    "nearest": Resampling.NEAREST,
    "bilinear": Resampling.BILINEAR,
    "bicubic": Resampling.BICUBIC,
    "lanczos": Resampling.LANCZOS,
}
kernels = pytest.mark.parametrize("kernel", list(FILTERS))


@kernels
@given(factor=st.integers(1, 8), height=st.integers(1, 9), width=st.integers(1, 9), seed=st.integers(0, 1000))
@few
def test_agrees_with_pillow_on_floats(kernel: Kernel, factor: int, height: int, width: int, seed: int) -> None:
    photo = np.random.default_rng(seed).random((height * factor, width * factor), dtype=np.float32)
    theirs = torch.from_numpy(np.array(Image.fromarray(photo).resize((width, height), FILTERS[kernel])))
    ours = Downsample(factor, kernel).A(torch.from_numpy(photo)[None, None])[0, 0]
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


@kernels
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_agrees_with_pillow_on_bytes_within_rounding(kernel: Kernel, factor: int) -> None:
    """Pillow rounds to whole levels after each of its two passes; the levels keep clear of 0 and 255, where it would clip as well."""
    photo = np.random.default_rng(0).integers(64, 192, (12 * factor, 16 * factor, 3), dtype=np.uint8)
    theirs = torch.from_numpy(np.array(Image.fromarray(photo).resize((16, 12), FILTERS[kernel]))).permute(2, 0, 1)
    ours = Downsample(factor, kernel).A(torch.from_numpy(photo).permute(2, 0, 1)[None].double())[0]
    assert (ours - theirs).abs().max() < 1.25


@kernels
def test_flat_stays_flat(kernel: Kernel) -> None:
    flat = torch.full((1, 3, 12, 18), 0.7, dtype=torch.float64)
    torch.testing.assert_close(Downsample(3, kernel).A(flat), torch.full((1, 3, 4, 6), 0.7, dtype=torch.float64))


def test_area_is_the_mean_of_each_block() -> None:
    x = torch.rand(2, 3, 12, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(Downsample(4, "area").A(x), torch.nn.functional.avg_pool2d(x, 4))


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
    with pytest.raises(
        ValueError, match=r"^Downsample: there is no kernel 'cubic'; choose one of area, nearest, bilinear, bicubic, lanczos$"
    ):
        Downsample(2, "cubic")  # type: ignore[arg-type]
    expected = r"^Downsample\(factor=4, kernel=bicubic\): expected images of shape .* divisible by 4, got \(B, 3, 30, 32\)$"
    with pytest.raises(ValueError, match=expected):
        Downsample(4).A(torch.zeros(1, 3, 30, 32))
