"""Small random StyleGAN2 tensors, and their picture worked out the long way."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

Z, W = 6, 5
WIDTHS = {4: 4, 8: 3, 16: 2}


def style2_state(architecture: str = "skip", classes: int = 0, seed: int = 0) -> dict[str, Tensor]:
    """The tensors of a 16×16 generator under NVIDIA's names."""
    rng = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=rng)

    state = {"mapping.w_avg": draw(W), "mapping.fc0.weight": draw(7, Z + 3 * bool(classes)) * 100, "mapping.fc0.bias": draw(7)}
    state |= {"mapping.fc1.weight": draw(W, 7) * 100, "mapping.fc1.bias": draw(W)}
    if classes:
        state |= {"mapping.embed.weight": draw(3, classes), "mapping.embed.bias": draw(3)}
    inputs = WIDTHS[4]
    state["synthesis.b4.const"] = draw(inputs, 4, 4)
    for side, outputs in WIDTHS.items():
        b = f"synthesis.b{side}"
        for name, width in [("conv0", inputs), ("conv1", outputs)][side == 4 :]:
            state |= {f"{b}.{name}.weight": draw(outputs, width, 3, 3), f"{b}.{name}.bias": draw(outputs)}
            state |= {f"{b}.{name}.affine.weight": draw(width, W), f"{b}.{name}.affine.bias": draw(width) + 1}
            state |= {f"{b}.{name}.noise_const": draw(side, side), f"{b}.{name}.noise_strength": draw()}
        if architecture == "skip" or side == 16:
            state |= {f"{b}.torgb.weight": draw(3, outputs, 1, 1), f"{b}.torgb.bias": draw(3)}
            state |= {f"{b}.torgb.affine.weight": draw(outputs, W), f"{b}.torgb.affine.bias": draw(outputs) + 1}
        if architecture == "resnet" and side > 4:
            state[f"{b}.skip.weight"] = draw(outputs, inputs, 1, 1)
        inputs = outputs
    return state


def grown(x: Tensor, before: int, after: int) -> Tensor:
    """Zeros between and around the pixels, then the filter [1, 3, 3, 1] ⊗ [1, 3, 3, 1] / 16."""
    b, c, h, w = x.shape
    y = x.new_zeros(b, c, 2 * h, 2 * w)
    y[:, :, ::2, ::2] = x
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    kernel = taps.outer(taps) / 16
    return F.conv2d(F.pad(y, (before, after, before, after)).reshape(b * c, 1, 2 * h + before + after, -1), kernel[None, None]).reshape(
        b, c, 2 * h, 2 * w
    )


def style2_picture(state: dict[str, Tensor], wplus: Tensor, architecture: str, clamp: float | None) -> Tensor:
    """The raw picture (1, 3, 16, 16) of one w+ (L, W), weights scaled image by image as the paper writes them; or of one w++ (L, F, W)."""

    def affine(name: str, w: Tensor) -> Tensor:
        outputs = len(state[f"{name}.weight"])
        rows = w[:outputs] if w.ndim == 2 else w.expand(outputs, -1)
        return rows @ state[f"{name}.affine.weight"].T / math.sqrt(W) + state[f"{name}.affine.bias"]

    def layer(name: str, x: Tensor, w: Tensor, up: bool, gain: float) -> Tensor:
        weight = state[f"{name}.weight"] * affine(name, w)[:, :, None, None]
        weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if up:
            # a convolution over the pixels spread out; the filter after it
            spread = x.new_zeros(1, x.shape[1], 2 * x.shape[2] - 1, 2 * x.shape[3] - 1)
            spread[:, :, ::2, ::2] = x
            taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
            y = F.conv2d(F.pad(spread, (2, 2, 2, 2)), weight.flip(2, 3))
            kernel = (taps.outer(taps) / 16).expand(len(weight), 1, 4, 4)
            y = F.conv2d(F.pad(y, (1, 1, 1, 1)), kernel, groups=len(weight))
        else:
            y = F.conv2d(x, weight, padding=1)
        y = y + state[f"{name}.noise_const"] * state[f"{name}.noise_strength"] + state[f"{name}.bias"][:, None, None]
        y = torch.where(y > 0, y, 0.2 * y) * math.sqrt(2) * gain
        return y if clamp is None else y.clamp(-clamp * gain, clamp * gain)

    x, image, slot = state["synthesis.b4.const"][None], None, 0
    for side in WIDTHS:
        b = f"synthesis.b{side}"
        if side == 4:
            x, slot = layer(f"{b}.conv1", x, wplus[0], False, 1), 1
        else:
            y = layer(f"{b}.conv0", x, wplus[slot], True, 1)
            if architecture == "resnet":
                way = F.conv2d(grown(x, 2, 1), state[f"{b}.skip.weight"] / math.sqrt(x.shape[1])) * math.sqrt(0.5)
                x = way + layer(f"{b}.conv1", y, wplus[slot + 1], False, math.sqrt(0.5))
            else:
                x = layer(f"{b}.conv1", y, wplus[slot + 1], False, 1)
            slot += 2
        if f"{b}.torgb.weight" in state:
            style = affine(f"{b}.torgb", wplus[slot]) / math.sqrt(x.shape[1])
            share = F.conv2d(x, state[f"{b}.torgb.weight"] * style[:, :, None, None], state[f"{b}.torgb.bias"])
            share = share if clamp is None else share.clamp(-clamp, clamp)
            image = share if image is None else grown(image, 2, 1) + share
    assert image is not None
    return image
