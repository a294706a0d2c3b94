"""The convolutional layers of AlexNet and VGG16, as classifiers of ImageNet were trained: networks whose features losses compare."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Literal, final

import torch
from torch import Tensor, nn

from priorsolve.alike import in_pairs
from priorsolve.apart import apart
from priorsolve.losses.weights import weights_of
from priorsolve.onednn import ALONE

Net = Literal["alex", "vgg"]
"""Known networks."""

_VGG = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
LAYERS: dict[Net, tuple[str, ...]] = {
    "alex": ("relu1", "relu2", "relu3", "relu4", "relu5"),
    "vgg": tuple(f"relu{block}_{number}" for block, (_, count) in enumerate(_VGG, 1) for number in range(1, count + 1)),
}
"""The names of each network's ReLUs, in order."""


@final
class Backbone(nn.Module):
    """Pictures (B, 3, H, W), normalised as its maker wants, to what chosen layers make of them after their ReLU. Frozen, in eval mode.

    Args:
        net: "alex" (layers relu1 to relu5) or "vgg" (relu1_1, relu1_2, relu2_1, … relu5_3).
        state: torchvision's tensors of this network, `features.0.weight` and so on; the classifier is left out.

    Raises:
        KeyError, RuntimeError: `state` lacks a tensor, or one has another shape.
    """

    def __init__(self, net: Net, state: dict[str, Tensor]) -> None:
        super().__init__()
        with torch.device("meta"):  # no random numbers are drawn for weights that are replaced
            self.features = _alex() if net == "alex" else _vgg()
        rectified = [index for index, layer in enumerate(self.features) if isinstance(layer, nn.ReLU)]
        self._places = dict(zip(LAYERS[net], rectified, strict=True))
        self.load_state_dict({name: state[name] for name in self.state_dict()}, assign=True)
        self.requires_grad_(False).eval()

    def forward(self, pictures: Tensor, layers: Sequence[str]) -> list[Tensor]:
        """(B, C, h, w) of each of the layers, in the network's order; nothing after the last is computed."""
        found: list[Tensor] = []
        x = pictures
        for index in range(max(self._places[layer] for layer in layers) + 1):
            x = _alike(self.features[index], x)
            found += [x] if any(self._places[layer] == index for layer in layers) else []
        return found


def _alike(layer: nn.Module, x: Tensor) -> Tensor:
    """The layer, rounding one picture as it would in a batch.

    torch convolves a single small picture on the CPU by another routine than several, and the last digits differ (1e-6 of a gradient,
    which hundreds of steps make visible); a second copy of it costs next to nothing at that size.
    """
    made: Tensor = in_pairs(layer, x) if x.numel() <= ALONE else layer(x)
    return made


@lru_cache(maxsize=8)
@apart()  # whoever asks first, others will want gradients through it
def backbone(net: Net, device: torch.device, dtype: torch.dtype) -> Backbone:
    """The pretrained network, one for each device and type in a process. Raises FetchError where its weights cannot be had."""
    return Backbone(net, weights_of(net)).to(device, dtype)


def _alex() -> nn.Sequential:
    """Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014; indices as torchvision's."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)]
    layers += [nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)]
    for before, after in pairwise((192, 384, 256, 256)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers)


def _vgg() -> nn.Sequential:
    """Simonyan & Zisserman, "Very Deep Convolutional Networks", 2015, configuration D; indices as torchvision's."""
    layers: list[nn.Module] = []
    before = 3
    for block, (after, count) in enumerate(_VGG, 1):
        layers += [nn.MaxPool2d(2, 2)] if block > 1 else []
        for _ in range(count):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
            before = after
    return nn.Sequential(*layers)
