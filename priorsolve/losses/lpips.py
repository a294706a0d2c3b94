"""LPIPS: how different two pictures look to people, told from a classifier's features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from priorsolve.apart import apart
from priorsolve.losses.backbones import Net, backbone
from priorsolve.losses.base import Distance, Preparing
from priorsolve.losses.pictures import Resize, View, compared
from priorsolve.losses.weights import heads_of, weights_of
from priorsolve.showing import must_be_as_annotated
from priorsolve.types import Measurements, PerImage

_LAYERS = {"alex": ("relu1", "relu2", "relu3", "relu4", "relu5"), "vgg": ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")}
_LEAST = {"alex": 32, "vgg": 17}
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)


@dataclass(frozen=True)
class LPIPS(Preparing):
    """`Σₗ mean Σ_c w_lc (φ̂_lc(e) − φ̂_lc(y))²`: how different pictures look, by features φ̂ of unit length (Zhang et al. 2018, v0.1).

    For measurements that are pictures (1 or 3, h, w) of values in [0, 1]; grey ones are shown in three equal channels, pictures below
    64 pixels are enlarged, holes show the same on both sides. Weights are downloaded on first use (see docs/losses.md).

    Args:
        net: "alex" (quick, nearest to people's judgement) or "vgg" (smoother gradients; what most inversion papers use).
        resolutions: how many sizes are compared, each half the last, down to 17 pixels; their distances are added
            (Poirier-Ginter & Lalonde 2023).
        size: smaller side in pixels to which both are brought first, such as 256 (BRGM, StyleGAN2's projector).
        resize: how: `smooth` (areas to shrink, bilinear to grow), `shrink` (areas, and smaller pictures stay; the projector's), `area`
            (both ways; BRGM's) or `nearest`.
        fill: what holes show on both sides, from 0 to 1; left out, a random pattern, which looks like nothing.

    Raises:
        ValueError: an unknown net or way to resize, a size or a number of resolutions that is too small, or a fill beyond [0, 1]; when
            called, what is no picture.
        FetchError: the weights cannot be had.
    """

    net: Net = "alex"
    resolutions: int = 1
    size: int | None = None
    resize: Resize = "smooth"
    fill: float | None = None

    def __post_init__(self) -> None:
        must_be_as_annotated(self)
        self._view.check()

    def against(self, measured: Measurements, where: Tensor) -> Distance:
        lens = self._view.through(where)
        eye, heads = _network(self.net, measured.device, measured.dtype)

        def differences(found: list[Tensor], known: list[Tensor]) -> list[PerImage]:
            return [(head * (a - b).square()).sum(1).flatten(1).mean(1) for head, a, b in zip(heads, found, known, strict=True)]

        return compared(lens, eye, measured, differences)

    def fetch(self) -> None:
        """Have the weights on this machine. Raises FetchError."""
        weights_of(self.net)
        heads_of(self.net)

    @property
    def _view(self) -> View:
        return View("lpips", self.size, self.resolutions, _LEAST[self.net], self.resize, self.fill)


@lru_cache(maxsize=8)
@apart()
def _network(net: Net, device: torch.device, dtype: torch.dtype) -> tuple[Callable[[Tensor], list[Tensor]], list[Tensor]]:
    """What makes normalised features of pictures, and each layer's weights; one for each device and type in a process."""
    network, layers = backbone(net, device, dtype), _LAYERS[net]
    heads = [head.view(1, -1, 1, 1).to(device, dtype) for head in heads_of(net)]
    shift, scale = (torch.tensor(value, device=device, dtype=dtype).view(1, 3, 1, 1) for value in (_SHIFT, _SCALE))

    def features(pictures: Tensor) -> list[Tensor]:
        found: list[Tensor] = network((2 * pictures - 1 - shift) / scale, layers)
        # the norm of a vector of zeros has gradient zero here; a square root's would be infinite
        return [each / (torch.linalg.vector_norm(each, dim=1, keepdim=True) + 1e-10) for each in found]

    return features, heads
