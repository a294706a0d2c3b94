"""Metrics against closed forms and scikit-image."""

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from priorsolve.losses.lpips import LPIPS
from priorsolve.metrics import METRICS, Metric, lpips, psnr, ssim
from priorsolve.priors import DownloadError


def pair(shape: tuple[int, ...] = (3, 3, 24, 20)) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    reference = torch.rand(shape, generator=rng)
    return (reference + 0.1 * torch.randn(shape, generator=rng)).clamp(0, 1), reference


def test_psnr_of_a_constant_difference() -> None:
    reference = torch.full((2, 3, 12, 12), 0.5)
    images = torch.stack([reference[0] + 0.1, reference[1]])
    values = METRICS["psnr"](images, reference)
    assert values[0].item() == pytest.approx(20.0, abs=1e-4)
    assert values[1].item() == math.inf


def test_both_agree_with_scikit_image() -> None:
    images, reference = pair()
    for number, (one, other) in enumerate(zip(images.double().numpy(), reference.double().numpy(), strict=True)):
        expected = structural_similarity(  # type: ignore[no-untyped-call]
            one, other, channel_axis=0, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        assert METRICS["ssim"](images, reference)[number].item() == pytest.approx(expected, abs=1e-6)
        expected = peak_signal_noise_ratio(other, one, data_range=1)  # type: ignore[no-untyped-call]
        assert METRICS["psnr"](images, reference)[number].item() == pytest.approx(expected, abs=1e-4)


def test_ssim_of_constants_is_the_luminance_term() -> None:
    a, b, c = 0.25, 0.75, 0.01**2
    value = METRICS["ssim"](torch.full((1, 1, 16, 16), a), torch.full((1, 1, 16, 16), b)).item()
    assert value == pytest.approx((2 * a * b + c) / (a * a + b * b + c), abs=1e-6)


def test_a_metric_by_its_own_name_is_the_one_of_recipes() -> None:
    """So that what a script measures can be compared with a benchmark: values beyond [0, 1] are clamped in both."""
    assert {"psnr": psnr, "ssim": ssim, "lpips": lpips} == METRICS
    images, reference = pair()
    assert torch.equal(psnr(3 * images - 1, reference), psnr((3 * images - 1).clamp(0, 1), reference))


@pytest.mark.parametrize("name", METRICS)
def test_a_reference_of_another_range_is_told(name: str) -> None:
    """Clamped, both pictures would be nearly white, or black, and so nearly equal."""
    images, reference = pair()
    with pytest.raises(ValueError, match=rf"^{name}: the reference has values up to 255; .* so divide both by 255$"):
        METRICS[name](255 * images, 255 * reference)
    with pytest.raises(ValueError, match=rf"^{name}: the reference has values down to -1; .* give \(x \+ 1\) / 2$"):
        METRICS[name](2 * images - 1, 2 * reference - 1)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_laws_of_a_metric(metric: Metric) -> None:
    try:
        metric.fetch()
    except DownloadError as error:
        pytest.skip(f"no real weights: {error}")
    images, reference = pair()
    values = metric(images, reference)
    assert values.shape == (3,)
    assert values.dtype == torch.float32
    assert torch.allclose(values, torch.cat([metric(images[i : i + 1], reference[i : i + 1]) for i in range(3)]))
    assert torch.allclose(values, metric(reference, images), atol=1e-5)
    best = metric(reference, reference)
    assert ((best > values) == metric.higher_is_better).all()
    assert ((values >= metric.range[0]) & (values <= metric.range[1])).all()
    assert (best == metric.range[1]).all() if metric.higher_is_better else (best == metric.range[0]).all()
    assert torch.equal(metric(images * 3 - 1, reference), metric((images * 3 - 1).clamp(0, 1), reference))


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_what_a_metric_refuses(metric: Metric) -> None:
    images, reference = pair()
    with pytest.raises(ValueError, match=r"\(3, 3, 24, 20\)"):
        metric(images, reference[:, :1])
    with pytest.raises(ValueError, match="B, C, H, W"):
        metric(images[0], reference[0])
    levels: Any = [(255 * images).round().to(torch.uint8), (255 * reference).round().to(torch.uint8)]
    for given in (levels, [images, levels[1]], [levels[0], reference]):
        with pytest.raises(ValueError, match=rf"^{metric.name} takes images as float tensors .* not torch\.uint8$"):
            metric(*given)
    with pytest.raises(ValueError, match=rf"^{metric.name} takes images as float tensors .* not an? "):
        metric(images, reference.numpy())  # type: ignore[arg-type]


def test_what_a_metric_needs_is_fetched_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a run of hours, not after it."""
    fetched: list[str] = []
    monkeypatch.setattr(LPIPS, "fetch", lambda loss: fetched.append(loss.net))
    for metric in METRICS.values():
        metric.fetch()
    assert fetched == ["alex"]


def test_ssim_names_its_window() -> None:
    with pytest.raises(ValueError, match="11×11"):
        METRICS["ssim"](torch.zeros(1, 3, 10, 40), torch.zeros(1, 3, 10, 40))
    assert np.isfinite(METRICS["ssim"](*pair((1, 3, 11, 11))).numpy()).all()


def test_naming_the_metrics_loads_nothing() -> None:
    code = (
        "import sys, priorsolve.metrics; print([n for n in ('lpips', 'torchvision', 'skimage', 'priorsolve.losses') if n in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("metric", [psnr, ssim], ids=lambda metric: metric.name)
def test_pictures_that_are_being_trained_are_measured_too(metric: Metric) -> None:
    reference = torch.rand(1, 3, 24, 20, generator=torch.Generator().manual_seed(0))
    images = (0.9 * reference).requires_grad_()
    assert not metric(images, reference).requires_grad
    assert torch.equal(metric(images, reference), metric(images.detach(), reference))


@pytest.mark.parametrize("metric", [psnr, ssim], ids=lambda metric: metric.name)
def test_a_reference_a_little_beyond_its_range_is_clamped_too(metric: Metric) -> None:
    reference = 1.4 * torch.rand(1, 3, 24, 20, generator=torch.Generator().manual_seed(0)) - 0.2
    images = 0.9 * reference.clamp(0, 1)
    assert torch.equal(metric(images, reference), metric(images, reference.clamp(0, 1)))
