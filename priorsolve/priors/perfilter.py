"""Convolutions in which every picture, and every output filter, has weights of its own: what the space w++ needs.

In w++ a layer has one style w for each of its output filters, not one for all (Poirier-Ginter & Lalonde, "Robust Unsupervised StyleGAN
Image Restoration", CVPR 2023, §3.2): filter o's style scales weight[o, i] for every input i, and o is demodulated by itself.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def convolved(x: Tensor, weight: Tensor, style: Tensor, *, up: bool = False) -> Tensor:
    """x (B, I, H, W) through W[o, i] · style[b, o, i]: (B, O, H, W), or with `up` (B, O, 2H − 1 + k − 1, …), not cropped.

    Args:
        weight: (O, I, k, k), k odd.
        style: (B or 1, O, I).
        up: a transposed convolution of stride 2.
    """
    if weight.shape[2:] == (1, 1) and not up:
        return ((weight[:, :, 0, 0] * style) @ x.flatten(2)).reshape(len(x), len(weight), *x.shape[2:])
    weights = weight * style[:, :, :, None, None]
    groups, outputs = weights.shape[:2]
    if groups > 1:
        # one convolution whose groups are the pictures
        x = x.reshape(1, -1, *x.shape[2:])
    if up:
        y = F.conv_transpose2d(x, weights.transpose(1, 2).flatten(0, 1), stride=2, groups=groups)
    else:
        y = F.conv2d(x, weights.flatten(0, 1), padding=weight.shape[2] // 2, groups=groups)
    return y.reshape(-1, outputs, *y.shape[2:])
