"""Colours that fit: chroma for a sharp grey photo, those of a head alone, and a patch that meets what lies around it."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from priorsolve.framing.pasting import Box
from priorsolve.photos.lab import from_lab, to_lab

EDGE = 0.05
"""Differences of lightness, of 1, from which on an edge of the photo is an edge of its colours."""
GAIN = 1.25
"""Contrast is changed at most so many times where a patch is matched."""
SHIFT = 0.1
"""Brightness and colours are moved at most so far where a patch is matched, of 1."""
FACE = (0.0, 0.12, 0.56, 0.74)
"""The face in FFHQ's frame, whose half side is 1: an ellipse's centre (u, v) and half axes, from ear to ear, from hair to chin."""
WARM = (45.0, 45.0, 25.0)
"""Hues of skin and hair, in degrees of CIELAB: red (0) to yellow (90) as middle and reach, and over how many they end on either side."""


def with_chroma(grey: Tensor, coloured: Tensor, scale: float) -> Tensor:
    """The sharp grey photo, (1, H, W), in the colours of a blurred one, (3, H, W): its lightness L, the other's a and b (CIELAB).

    To a and b is added what a guided filter (He et al. 2010) makes of the sharp lightness and not of the blurred one: colours change
    where the photo has an edge, and are not smoothed a second time.

    Args:
        scale: pixels of the photo along one of those that `coloured` was enlarged from.
    """
    lightness = to_lab(grey.clamp(0, 1).expand(3, -1, -1))[:1]
    lab = to_lab(coloured.clamp(0, 1))
    chroma = lab[1:]
    reach = min(2 * round(scale) + 1, 2 * ((min(grey.shape[-2:]) - 1) // 2) - 1)
    if scale > 1 and reach >= 3:
        from kornia.filters import guided_blur  # slow to import

        (height, width), step = grey.shape[-2:], _step(scale)
        cells = pad(torch.cat([lightness, lab])[None], (0, -width % step, 0, -height % step), mode="replicate")
        guides = cells[:, :1] / 100, cells[:, 1:2] / 100
        sharp, soft = (guided_blur(guide, cells[:, 2:], reach, EDGE**2, subsample=step)[0, :, :height, :width] for guide in guides)
        chroma = chroma + sharp - soft
    return from_lab(torch.cat([lightness, chroma]))


def of_head(image: Tensor) -> Tensor:
    """A picture in FFHQ's frame, (3, h, w), with no colours beside the face but those that skin and hair have.

    For a photo that stays grey around the frame: there a prior's guess at leaves or a blue wall would be a stain.
    """
    lab = to_lab(image.clamp(0, 1))
    chroma = lab[1:]
    hue = torch.atan2(chroma[1:], chroma[:1]) * (180 / math.pi)
    middle, reach, fall = WARM
    away = ((hue - middle + 180).remainder(360) - 180).abs() - reach
    height, width = image.shape[-2:]
    u, v = ((torch.arange(side).to(image) + 0.5) * (2 / side) - 1 for side in (width, height))
    x, y, across, down = FACE
    radius = (((u - x) / across).square()[None] + ((v - y) / down).square()[:, None]).sqrt()
    kept = torch.maximum(_falling(away / fall), _falling((radius - 1) / 0.25))
    return from_lab(torch.cat([lab[:1], chroma * kept]))


def _falling(t: Tensor) -> Tensor:
    """1 up to 0, 0 from 1 on, smooth between."""
    t = 1 - t.clamp(0, 1)
    return t * t * (3 - 2 * t)


def seen_for(box: Box, scale: float, height: int, width: int) -> Box:
    """What `with_chroma` must be given of a photo (height, width) for the box to be coloured as in the whole: all that it looks at.

    Its filter looks at one pixel of several, and in a strip has to look at the same ones.
    """
    wide, step = box.grown(2 * round(scale) + 2 + round(scale / 2), height, width), _step(scale)
    return wide._replace(left=wide.left // step * step, top=wide.top // step * step)


def _step(scale: float) -> int:
    return max(1, round(scale / 4))


def matched(image: Tensor, around: Tensor, band: Tensor) -> Tensor:
    """The image, (C, H, W), with the mean and spread of `around` where `band`, (1, H, W), is above 0: channel by channel, bounded."""
    share = band / band.sum().clamp_min(1e-6)
    mean, wanted = ((each * share).sum((1, 2), keepdim=True) for each in (image, around))
    spread, of = (((each - at).square() * share).sum((1, 2), keepdim=True).sqrt() for each, at in ((image, mean), (around, wanted)))
    gain = (of / spread.clamp_min(1e-6)).clamp(1 / GAIN, GAIN)
    return (image - mean) * gain + mean + (wanted - mean).clamp(-SHIFT, SHIFT)
