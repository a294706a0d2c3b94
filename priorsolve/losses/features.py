"""Losses on the plain features of a network: VGG16, or a GAN's own discriminator."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, final

import torch
from torch import Tensor, nn

from priorsolve.apart import apart
from priorsolve.losses.backbones import LAYERS, backbone
from priorsolve.losses.base import Distance, Preparing
from priorsolve.losses.pictures import Resize, View, compared
from priorsolve.losses.weights import weights_of
from priorsolve.priors.biggan_discriminator import BigGANDiscriminator
from priorsolve.priors.checkpoint import read_state
from priorsolve.priors.errors import CheckpointError
from priorsolve.showing import checked_path, must_be_as_annotated, shown
from priorsolve.types import Images, Measurements, PerImage

_MEAN, _SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class VGGFeatures(Preparing):
    """`Σₗ mean |φ_l(e) − φ_l(y)|^p` with the features φ of VGG16's layers l after their ReLU.

    Pictures as `LPIPS` wants them, normalised as ImageNet's. `layers: [relu3_3], size: 256, resize: nearest` is mGANprior's (Gu, Shen &
    Zhou 2020), `layers: [relu1_1, relu1_2, relu3_2, relu4_2], power: 2, size: 256` Image2StyleGAN's (Abdal, Qin & Wonka 2019).

    Args:
        layers: relu1_1, relu1_2, relu2_1, relu2_2, relu3_1, … relu5_3.
        power: p, 1 or 2.
        size: smaller side in pixels to which both are brought first.
        resize, fill: how, and what holes show, as in `LPIPS`.

    Raises:
        ValueError: `layers` is no list, has an unknown layer or none, or a value is outside these; when called, what is no picture.
        FetchError: the weights cannot be had.
    """

    layers: Sequence[str] = ("relu3_3",)
    power: Literal[1, 2] = 1
    size: int | None = None
    resize: Resize = "smooth"
    fill: float | None = None

    def __post_init__(self) -> None:
        must_be_as_annotated(self)
        if isinstance(self.layers, str) or not isinstance(self.layers, Iterable):
            raise ValueError(f"layers is {shown(self.layers)}; give a list of names, such as ['relu3_3']")
        object.__setattr__(self, "layers", tuple(self.layers))  # hashable, whatever was given
        for layer in self.layers:
            if layer not in LAYERS["vgg"]:
                raise ValueError(f"layers has {layer!r}; VGG16's are {', '.join(LAYERS['vgg'])}")
        if not self.layers:
            raise ValueError("layers is empty; name at least one, such as relu3_3")
        self._view.check()

    def against(self, measured: Measurements, where: Tensor) -> Distance:
        network = backbone("vgg", measured.device, measured.dtype)
        mean, spread = (measured.new_tensor(value).view(1, 3, 1, 1) for value in (_MEAN, _SPREAD))

        def features(pictures: Images) -> list[Tensor]:
            found: list[Tensor] = network((pictures - mean) / spread, self.layers)
            return found

        return compared(self._view.through(where), features, measured, _differences(self.power))

    def fetch(self) -> None:
        """Have the weights on this machine. Raises FetchError."""
        weights_of("vgg")

    @property
    def _view(self) -> View:
        return View("vgg_features", self.size, least=17, resize=self.resize, fill=self.fill)


class Discriminator(Protocol):
    """A network that tells what it makes of images in [0, 1] (B, 3, H, W), layer by layer, each (B, ...); a torch module."""

    def features(self, images: Images) -> list[Tensor]: ...


@final
@dataclass(frozen=True, eq=False)
class DiscriminatorFeatures(Preparing):
    """`Σₗ mean |φ_l(e) − φ_l(y)|` over the last features φ of the prior's own discriminator (DGP, Pan et al. 2020).

    Pictures as `LPIPS` wants them; their smaller side is brought to `size`, the side the discriminator was trained at.

    Args:
        discriminator: a module with `features`, such as `BigGANDiscriminator`. A copy of it serves, as it is when the loss is first used.
        last: how many of its features, counted from the end.
        size: pixels of the smaller side.
        fill: what holes show, as in `LPIPS`.

    Raises:
        ValueError: the discriminator has no `features`, `last` or `size` is too small, or `fill` beyond [0, 1]; when called, what is no
            picture, or features that are fewer or no list of tensors.
    """

    discriminator: Discriminator
    last: int = 8
    size: int = 128
    fill: float | None = None
    _moved: dict[tuple[torch.device, torch.dtype], Discriminator] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        must_be_as_annotated(self)
        if isinstance(self.discriminator, type) or not callable(getattr(self.discriminator, "features", None)):
            raise ValueError(
                f"discriminator is {shown(self.discriminator)}; give a module whose `features(images)` lists what it makes of them, "
                "such as BigGANDiscriminator.from_state(read_state('D.pth'))"
            )
        if self.last < 1:
            raise ValueError(f"last is {self.last}; it must be at least 1")
        self._view.check()

    def against(self, measured: Measurements, where: Tensor) -> Distance:
        network = self._on(measured.device, measured.dtype)

        def features(pictures: Images) -> list[Tensor]:
            every = network.features(pictures)
            _must_be_listed(every, len(pictures))
            if len(every) < self.last:
                raise ValueError(f"last is {self.last}, and the discriminator has {len(every)} features")
            return every[-self.last :]

        return compared(self._view.through(where), features, measured, _differences(1))

    @property
    def _view(self) -> View:
        return View("discriminator_features", self.size, least=8, fill=self.fill)

    @apart()
    def _on(self, device: torch.device, dtype: torch.dtype) -> Discriminator:
        """The discriminator there, frozen; the one that was given stays as it is."""
        if (device, dtype) not in self._moved:
            copied = copy.deepcopy(self.discriminator)
            if isinstance(copied, nn.Module):
                copied = copied.to(device, dtype).eval().requires_grad_(False)
            self._moved[device, dtype] = copied
        return self._moved[device, dtype]


def discriminator_features(file: str, last: int = 8, fill: float | None = None) -> DiscriminatorFeatures:
    """`Σₗ mean |φ_l(e) − φ_l(y)|` over the last features of BigGAN's discriminator, from ajbrock's file (DGP, Pan et al. 2020).

    Args:
        file: path of the discriminator's checkpoint.
        last: how many of its features, counted from the end; at 128 pixels there are eight, at 256 nine.
        fill: what holes show, as in `LPIPS`.

    Raises:
        CheckpointError: the file is missing or no such discriminator.
        ValueError: `file` is no path, `last` is below 1 or above their number, or `fill` beyond [0, 1].
    """
    if not checked_path(file, "discriminator_features: file").exists():
        raise CheckpointError(
            f"{file}: the discriminator's file is not there; put it there (docs/formats.md says where published ones are), "
            "or compare other features, as vgg_features does"
        )
    network = BigGANDiscriminator.from_state(read_state(file))
    with torch.no_grad():
        found = network.features(torch.zeros(1, 3, 256, 256))
    if last > len(found):
        raise ValueError(f"last is {last}, and the discriminator has {len(found)} features")
    coarsest = found[-2].shape[-1]
    return DiscriminatorFeatures(network, last, size=4 * 256 // coarsest, fill=fill)  # BigGAN's last block works on 4×4


def _must_be_listed(features: object, count: int) -> None:
    """Raise ValueError unless these are tensors (B, ...) for `count` images, in a list."""
    if not isinstance(features, list | tuple):
        raise ValueError(f"the discriminator's features are a {type(features).__name__}; they must be a list of tensors (B, ...)")
    for each in features:
        if not isinstance(each, Tensor) or each.shape[:1] != (count,):
            given = f"of shape {tuple(each.shape)}" if isinstance(each, Tensor) else f"a {type(each).__name__}"
            raise ValueError(f"one of the discriminator's features of {count} images is {given}; it must be a tensor ({count}, ...)")


def _differences(power: int) -> Callable[[list[Tensor], list[Tensor]], list[PerImage]]:
    # with an axis more, since a feature may be one number
    return lambda found, known: [(a - b).abs().pow(power).unsqueeze(1).flatten(1).mean(1) for a, b in zip(found, known, strict=True)]
