"""Colours that fit: chroma for a sharp grey photo, and a patch that meets what lies around it."""

from __future__ import annotations

import torch
from kornia.color import lab_to_rgb, rgb_to_lab
from kornia.filters import guided_blur
from torch import Tensor

EDGE = 0.05
"""Differences of lightness, of 1, from which on an edge of the photo is an edge of its colours."""
GAIN = 1.25
"""Contrast is changed at most so many times where a patch is matched."""
SHIFT = 0.1
"""Brightness and colours are moved at most so far where a patch is matched, of 1."""


def with_chroma(grey: Tensor, coloured: Tensor, scale: float) -> Tensor:
    """The sharp grey photo, (1, H, W), in the colours of a blurred one, (3, H, W): its lightness L, the other's a and b (CIELAB).

    To a and b is added what a guided filter (He et al. 2010) makes of the sharp lightness and not of the blurred one: colours change
    where the photo has an edge, and are not smoothed a second time.

    Args:
        scale: pixels of the photo along one of those that `coloured` was enlarged from.
    """
    lightness = rgb_to_lab(grey[None].clamp(0, 1).expand(-1, 3, -1, -1))[:, :1]
    lab = rgb_to_lab(coloured[None].clamp(0, 1))
    blurred, chroma = lab[:, :1], lab[:, 1:]
    reach = min(2 * round(scale) + 1, 2 * ((min(grey.shape[-2:]) - 1) // 2) - 1)
    if scale > 1 and reach >= 3:
        step = max(1, round(scale / 4))
        sharp, soft = (guided_blur(guide / 100, chroma, reach, EDGE**2, subsample=step, separable=True) for guide in (lightness, blurred))
        chroma = chroma + sharp - soft
    return lab_to_rgb(torch.cat([lightness, chroma], 1), clip=False)[0]


def halo(scale: float) -> int:
    """How far beyond a strip `with_chroma` looks."""
    return 2 * round(scale) + 2 + round(scale / 2)


def matched(image: Tensor, around: Tensor, band: Tensor) -> Tensor:
    """The image, (C, H, W), with the mean and spread of `around` where `band`, (1, H, W), is above 0: channel by channel, bounded."""
    share = band / band.sum().clamp_min(1e-6)
    mean, wanted = ((each * share).sum((1, 2), keepdim=True) for each in (image, around))
    spread, of = (((each - at).square() * share).sum((1, 2), keepdim=True).sqrt() for each, at in ((image, mean), (around, wanted)))
    gain = (of / spread.clamp_min(1e-6)).clamp(1 / GAIN, GAIN)
    return (image - mean) * gain + mean + (wanted - mean).clamp(-SHIFT, SHIFT)
