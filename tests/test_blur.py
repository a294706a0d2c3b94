"""Blur against scipy, against itself by the other algorithm, and what its kernels look like."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from device_support import DEVICE, another_device
from hypothesis import given
from hypothesis import strategies as st
from laws_support import few
from PIL import Image
from scipy import ndimage
from torch import Tensor

from priorsolve.operators import blur, kernels
from priorsolve.operators.base import LinearOperator, Operator
from priorsolve.operators.blur import Blur, Padding, disk_blur, file_blur, gaussian_blur, motion_blur
from priorsolve.operators.krylov import least_squares
from priorsolve.operators.mask import Mask

PADDINGS: list[Padding] = ["reflect", "replicate", "circular", "zero"]
SCIPY_NAME = {"reflect": "mirror", "replicate": "nearest", "circular": "wrap", "zero": "constant"}


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("padding", PADDINGS)
@given(h=st.integers(1, 14), w=st.integers(1, 14), seed=st.integers(0, 99))
@few
def test_is_scipys_convolution(padding: Padding, h: int, w: int, seed: int) -> None:
    operator, x = Blur(random(h, w, seed=seed), padding), random(1, 2, 15, 17, seed=seed + 1)
    kernel = operator.kernel.numpy()
    expected = np.stack([[ndimage.convolve(c, kernel, mode=SCIPY_NAME[padding]) for c in image] for image in x.numpy()])
    assert np.abs(operator.A(x).numpy() - expected).max() < 1e-13


def test_gaussian_is_scipys() -> None:
    x = random(1, 1, 20, 20)
    expected = ndimage.gaussian_filter(x[0, 0].numpy(), 1.3, mode="mirror")
    assert np.abs(gaussian_blur(1.3).A(x)[0, 0].numpy() - expected).max() < 1e-13


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("size", [(3, 5), (11, 12), (31, 8)])
def test_fft_equals_direct(padding: Padding, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    operator, x, y = (Blur(random(*size), padding), *random(2, 2, 3, 40, 33, dtype=torch.float32))
    monkeypatch.setattr(blur, "FFT_FROM", 1)
    by_fft = operator.A(x), operator.A_adjoint(y)
    monkeypatch.setattr(blur, "FFT_FROM", 10**9)
    direct = operator.A(x), operator.A_adjoint(y)
    assert max(float((a - b).abs().max()) for a, b in zip(by_fft, direct, strict=True)) < 1e-5


def test_circular_dagger_undoes_the_blur() -> None:
    x = random(1, 3, 24, 31)
    operator = gaussian_blur(0.9, "circular")
    torch.testing.assert_close(operator.A_dagger(operator.A(x)), x, rtol=0, atol=1e-9)


def test_circular_dagger_is_the_shortest() -> None:
    """A box of the picture's width erases frequencies: what it erased stays out of A† y."""
    operator, x = Blur(torch.ones(1, 4), "circular"), random(1, 1, 4, 4)
    once = operator.A_dagger(operator.A(x))
    torch.testing.assert_close(once, x.mean(3, keepdim=True).expand_as(x))


def test_a_grey_picture_is_undone_as_among_others() -> None:
    operator, y = gaussian_blur(1.2, "circular"), random(3, 1, 32, 32, dtype=torch.float32)
    assert torch.equal(operator.A_dagger(y)[:1], operator.A_dagger(y[:1]))


def test_where_a_blur_reaches_nothing_known_nothing_is_measured() -> None:
    known = torch.ones(64, 64)
    known[8:56, 8:56] = 0
    where = (disk_blur(6) @ Mask(known)).support(torch.ones(1, 3, 64, 64))
    assert not where[..., 20:44, 20:44].any()
    assert where[..., 0, 0].all()


def test_an_image_is_undone_alike_beside_one_that_takes_fewer_steps() -> None:
    operator, x = gaussian_blur(2.0), random(2, 1, 24, 24, dtype=torch.float32)
    y = operator.A(x)
    y[0] = 0.5
    assert torch.equal(operator.A_dagger(y)[:1], operator.A_dagger(y[:1]))


def test_an_image_is_undone_alike_beside_one_whose_mask_makes_the_rows_uneven() -> None:
    """The rows were balanced for all of a batch or for none: the photo without a hole came out as another, by up to 0.85."""
    masks, x = (random(3, 1, 12, 12, dtype=torch.float32) > 0.5).float(), random(3, 1, 12, 12, seed=1, dtype=torch.float32)
    masks[1:] = 1
    masks[1, :, 4:9, 4:9] = 0
    whole = gaussian_blur(1.0, "circular") @ Mask(masks)
    y = (whole.A(x) * 255).round() / 255  # not quite what any picture makes

    def undone(operator: Operator, y: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        assert isinstance(operator, LinearOperator)
        y = y.clone().requires_grad_()
        found = least_squares(operator.A, operator.A_adjoint, y, steps=60)
        return found.detach(), torch.autograd.grad((found * v).sum(), y)[0]

    together = undone(whole, y, x)
    for i in range(3):
        alone = undone(whole.select(torch.tensor([i])), y[i : i + 1], x[i : i + 1])
        assert torch.equal(together[0][i], alone[0][0])
        assert torch.equal(together[1][i], alone[1][0])


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:FutureWarning")  # torch's own, at the first tangent
def test_a_tangent_is_undone_as_a_measurement() -> None:
    operator = Mask(torch.ones(6, 6)) @ gaussian_blur(0.5)
    assert isinstance(operator, LinearOperator)
    y, along = random(2, 1, 3, 6, 6)
    found = torch.func.jvp(operator.A_dagger, (y,), (along,))
    torch.testing.assert_close(found[:2], (operator.A_dagger(y), operator.A_dagger(along)))


def test_even_grey_stays_grey() -> None:
    grey = torch.full((1, 3, 12, 12), 0.25)
    for padding in PADDINGS[:3]:
        torch.testing.assert_close(disk_blur(4, padding).A(grey), grey)


def test_half_precision_and_inference_mode() -> None:
    with torch.inference_mode():
        operator = gaussian_blur(4.0)
    x = random(1, 3, 40, 40).requires_grad_(True)
    operator.A(x).sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    for kind in (torch.bfloat16, torch.float16):
        half = operator.A(x.detach().to(kind)), operator.A_adjoint(x.detach().to(kind))
        assert {y.dtype for y in half} == {kind}
        torch.testing.assert_close(half[0].double(), operator.A(x.detach()), rtol=0, atol=0.02)
        torch.testing.assert_close(half[1].double(), operator.A_adjoint(x.detach()), rtol=0.02, atol=0.02)


def test_a_wide_kernel_in_half_precision_is_left_to_the_fft(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's own convolution of 17×17 in groups, in float16, did not come to an end on a CPU for pictures of 64×64."""
    monkeypatch.setattr(torch.nn.functional, "conv2d", lambda *args, **kwargs: pytest.fail("it may never end"))
    x = torch.full((1, 3, 64, 64), 0.5).half()
    for made in (gaussian_blur(2).A(x), gaussian_blur(2, "circular").A_adjoint(x)):
        torch.testing.assert_close(made, x, rtol=0, atol=2e-3)


@given(size=st.floats(0.1, 12), angle=st.floats(-400, 400))
@few
def test_kernels_are_odd_normalised_and_centred(size: float, angle: float) -> None:
    for kernel in (kernels.gaussian_kernel(size / 4), kernels.disk_kernel(size), kernels.motion_kernel(size, angle)):
        (h, w) = kernel.shape
        assert h % 2 == 1
        assert w % 2 == 1
        assert float(kernel.min()) >= 0
        assert float(kernel.sum()) == pytest.approx(1)
        torch.testing.assert_close(kernel, kernel.flip(0, 1), rtol=0, atol=1e-12)


def test_the_widest_kernel_is_made() -> None:
    assert kernels.gaussian_kernel(128).shape == (1025, 1025)
    with pytest.raises(ValueError, match="must be at most 128 pixels"):
        kernels.gaussian_kernel(128.1)


def test_disk_area() -> None:
    """The inner pixels weigh one pixel in π r²; the spread is that of a disk, r²/4 (plus 1/12 for the pixel)."""
    kernel, r = kernels.disk_kernel(3.3), 3.3
    assert float(kernel[3, 3]) == pytest.approx(1 / (np.pi * r**2), rel=1e-4)
    assert spread(kernel)[0] == pytest.approx(r**2 / 4 + 1 / 12, rel=0.02)
    assert kernels.disk_kernel(0.4).tolist() == [[1.0]]


def test_motion_goes_anticlockwise() -> None:
    """At 45° the line runs from the bottom left to the top right; at 0° it is a row, at 90° a column."""
    kernel = kernels.motion_kernel(7, 45)
    assert float(kernel[0, -1]) > 5e-3 > 1e-6 > float(kernel[0, 0])
    assert kernels.motion_kernel(7, 0).shape == (1, 9)
    assert kernels.motion_kernel(7, 90).shape == (9, 1)
    down, right = spread(kernels.motion_kernel(20, 30))
    assert right / down == pytest.approx(3, rel=0.05)


def test_kernel_files(tmp_path: Path) -> None:
    kernel = random(5, 4)
    np.save(tmp_path / "k.npy", kernel.numpy())
    (tmp_path / "upper.NPY").write_bytes((tmp_path / "k.npy").read_bytes())
    for name in ("k.npy", "upper.NPY"):
        torch.testing.assert_close(file_blur(str(tmp_path / name)).kernel, kernel / kernel.sum())
    grey = (255 * kernel.numpy()).astype(np.uint8)
    listed = Image.fromarray(255 - grey)  # level v under the number 255 − v
    listed.putpalette([255 - v for v in range(256) for _ in "rgb"])
    of_mode = {mode: Image.fromarray(grey).convert(mode) for mode in ("L", "RGB", "RGBA", "LA")} | {"P": listed}
    for mode, image in of_mode.items():
        assert image.mode == mode
        image.save(tmp_path / f"{mode}.png")
        torch.testing.assert_close(file_blur(str(tmp_path / f"{mode}.png")).kernel, torch.from_numpy(grey / grey.sum()))
    colours = np.stack([grey, grey.T[:, ::-1].reshape(5, 4), 0 * grey], 2)
    Image.fromarray(colours).save(tmp_path / "colours.png")
    torch.testing.assert_close(file_blur(str(tmp_path / "colours.png")).kernel, torch.from_numpy(colours.mean(2) / colours.mean(2).sum()))


def test_files_that_hold_no_kernel(tmp_path: Path) -> None:
    huge = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 10000000), }".ljust(117) + b"\n"
    (tmp_path / "huge.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(huge).to_bytes(2, "little") + huge)
    (tmp_path / "empty.npy").touch()
    np.save(tmp_path / "complex.npy", np.ones((3, 3), complex))
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    for file in tmp_path.iterdir():
        with pytest.raises(ValueError, match=r"^file_blur: cannot read a kernel from '.*; give an image or"):
            file_blur(str(file))
    for name in ("k" * 5000, "k\0"):
        with pytest.raises(ValueError, match=r"^file_blur: no kernel file 'k"):
            file_blur(name)


def test_a_blur_is_moved_to_a_device_without_float64_and_stays_exact() -> None:
    kernel, x = kernels.gaussian_kernel(1.0), random(1, 3, 12, 12)
    with another_device():
        there = gaussian_blur(1.0).to(DEVICE)
        torch.testing.assert_close(there.A(x.float().to(DEVICE)).cpu(), gaussian_blur(1.0).A(x.float()))
    assert torch.equal(gaussian_blur(1.0).float().A(x), Blur(kernel).A(x))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: gaussian_blur(0), "sigma must be above 0 pixels, got 0"),
        (lambda: disk_blur(float("nan")), "radius must be above 0 pixels, got nan"),
        (lambda: motion_blur(-1), "length must be above 0 pixels, got -1"),
        (lambda: gaussian_blur(1e9), "sigma must be at most 128 pixels, got 1e[+]09: no kernel is wider than 1025 pixels"),
        (lambda: disk_blur(1e9), "radius must be at most 512 pixels, got 1e[+]09"),
        (lambda: motion_blur(float("inf")), "length must be at most 1024 pixels, got inf"),
        (lambda: motion_blur(3, float("inf")), "angle must be a number of degrees"),
        (lambda: Blur(torch.ones(3)), r"kernel must be of shape \(h, w\), got \(3,\)"),
        (lambda: Blur(torch.tensor([[1.0, -1.0]])), "positive sum"),
        (lambda: Blur(torch.tensor([[1.0, float("nan")]])), "must be finite"),
        (lambda: gaussian_blur(1, "mirror"), "padding must be one of reflect, replicate, circular, zero, got 'mirror'"),  # type: ignore[arg-type]
        (lambda: gaussian_blur(3).A(torch.ones(1, 3, 12, 40)), r"expected images of shape \(B, C, ≥13, ≥13\), or padding='replicate'"),
        (lambda: gaussian_blur(3, "circular").A(torch.ones(1, 3, 11, 40)), "≥12, ≥12"),
        (lambda: gaussian_blur(3).out_shape((12, 40)), r"expected images of shape \(B, C, H, W\), got \(B, 12, 40\)"),
        (lambda: file_blur("nowhere/kernel.png"), "no kernel file 'nowhere/kernel.png'; give the path"),
        (lambda: file_blur(__file__), "cannot read a kernel from"),
    ],
)
def test_errors_name_the_thing_and_the_value(make: Callable[..., Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_kernels_as_large_as_the_picture() -> None:
    x = random(1, 3, 12, 12)
    for padding in PADDINGS:
        operator = Blur(torch.ones(23, 23), padding)
        expected = [ndimage.convolve(c, operator.kernel.numpy(), mode=SCIPY_NAME[padding]) for c in x[0].numpy()]
        assert np.abs(operator.A(x)[0].numpy() - np.stack(expected)).max() < 1e-13
    tiny, wide = random(1, 3, 4, 4), gaussian_blur(9, "replicate")
    expected = [ndimage.convolve(c, wide.kernel.numpy(), mode="nearest") for c in tiny[0].numpy()]
    assert np.abs(wide.A(tiny)[0].numpy() - np.stack(expected)).max() < 1e-13


def spread(kernel: Tensor) -> tuple[float, float]:
    """The variance down and to the right."""
    (h, w) = kernel.shape
    down, right = torch.arange(h) - h // 2, torch.arange(w) - w // 2
    return float((kernel.sum(1) * down**2).sum()), float((kernel.sum(0) * right**2).sum())
