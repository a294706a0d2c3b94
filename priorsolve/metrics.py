"""How good a restored image is: one number per image, each knowing its name, direction and range."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from priorsolve.showing import shown
from priorsolve.types import Images, PerImage


def _nothing() -> None:
    """It needs no files."""


@dataclass(frozen=True)
class Metric:
    """A measure of images (B, C, H, W), called as `metric(images, reference)`; gives (B,) float32 on the images' device.

    Both are clamped to [0, 1] first, since that is what is written. `range` is (lowest, highest). Raises ValueError for a reference of
    another shape, or clearly of another range.
    """

    name: str
    higher_is_better: bool
    range: tuple[float, float]
    function: Callable[[Images, Images], PerImage]
    fetch: Callable[[], None] = _nothing
    """Have the files that it needs on this machine, before a run and not after it. Raises FetchError."""

    def __call__(self, images: Images, reference: Images) -> PerImage:
        _must_compare(self.name, images, reference)
        with torch.no_grad():
            scores = self.function(images.clamp(0, 1), reference.clamp(0, 1).to(images.device))
        return scores.to(images.device, torch.float32)


def _must_compare(name: str, images: Images, reference: Images) -> None:
    """Raises ValueError where these are not pictures of one shape, or the reference is clearly not in [0, 1]: clamped, it would flatter."""
    for given in (images, reference):
        if not isinstance(given, Tensor) or not given.is_floating_point():
            told = given.dtype if isinstance(given, Tensor) else shown(given)
            raise ValueError(f"{name} takes images as float tensors (B, C, H, W) in [0, 1], not {told}")
    if images.ndim != 4:
        raise ValueError(f"{name} takes images (B, C, H, W), not {tuple(images.shape)}")
    if reference.shape != images.shape:
        raise ValueError(f"{name}: images are {tuple(images.shape)}, the reference is {tuple(reference.shape)}")
    if bool((reference > 2).any()):
        raise ValueError(f"{name}: the reference has values up to {reference.amax():.3g}; pictures are in [0, 1], so divide both by 255")
    if bool((reference < -0.5).any()):
        raise ValueError(f"{name}: the reference has values down to {reference.amin():.3g}; pictures are in [0, 1]: give (x + 1) / 2")


def _psnr(images: Images, reference: Images) -> PerImage:
    difference = images.cpu().double() - reference.cpu().double()  # not every device has float64
    return -10 * difference.square().flatten(1).mean(1).log10()


psnr = Metric("psnr", higher_is_better=True, range=(0.0, math.inf), function=_psnr)
"""Peak signal-to-noise ratio in dB: -10 log₁₀ of the mean squared difference, infinite for equal images."""


def _ssim(images: Images, reference: Images) -> PerImage:
    from skimage.metrics import structural_similarity  # slow to import, and needed by nothing else here

    compare: Callable[..., float] = structural_similarity
    height, width = images.shape[-2:]
    if min(height, width) < 11:
        raise ValueError(f"ssim looks through an 11×11 window, and the images are {height}×{width}")
    scores = [
        compare(
            one.cpu().double().numpy(),
            other.cpu().double().numpy(),
            channel_axis=0,
            data_range=1.0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for one, other in zip(images, reference, strict=True)
    ]
    return torch.tensor(scores, dtype=torch.float64)


ssim = Metric("ssim", higher_is_better=True, range=(-1.0, 1.0), function=_ssim)
"""Structural similarity as in Wang et al. (2004): Gaussian window of σ = 1.5 (11×11), averaged over pixels and channels.

Raises ValueError for images below 11×11, the window's size.
"""


def _lpips(images: Images, reference: Images) -> PerImage:
    from priorsolve.losses.lpips import LPIPS  # needs weights, which few runs ask for

    return LPIPS("alex")(images.float(), reference.float(), torch.ones_like(images, dtype=torch.float32))


def _fetch_lpips() -> None:
    from priorsolve.losses.lpips import LPIPS

    LPIPS("alex").fetch()


lpips = Metric("lpips", higher_is_better=False, range=(0.0, math.inf), function=_lpips, fetch=_fetch_lpips)
"""How different two pictures look to people: LPIPS v0.1 of AlexNet's features (Zhang et al. 2018), 0 for equal images.

Pictures below 64 pixels are enlarged to 64. Raises ValueError for pictures of other than 1 or 3 channels, FetchError without weights.
"""

METRICS: dict[str, Metric] = {metric.name: metric for metric in (psnr, ssim, lpips)}
"""The metrics by name."""
