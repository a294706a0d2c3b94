"""What the tests of priors share: small random ones of every family and one of a user's own, and what comes out of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from states_support import (
    BIGGAN_DEEP_CONFIG,
    biggan_deep_state,
    biggan_state,
    conditional_dcgan_state,
    dcgan_state,
    mobilestylegan_state,
    pggan_state,
    stylegan3_settings,
    stylegan3_state,
)
from style_support import style2_state
from torch import Tensor, nn

from priorsolve.priors import DCGAN, PGGAN, BigGAN, BigGANDeep, ConditionalDCGAN, LinearPrior, MobileStyleGAN, Prior, StyleGAN2, StyleGAN3
from priorsolve.types import Codes, Images, Shape


def stylegan2(architecture: str = "skip", classes: int = 0) -> StyleGAN2:
    return StyleGAN2.from_state(style2_state(architecture, classes))


def partly_noisy() -> StyleGAN2:
    """One convolution adds no noise."""
    left_out = ("synthesis.b8.conv0.noise_const", "synthesis.b8.conv0.noise_strength")
    return StyleGAN2.from_state({key: value for key, value in style2_state().items() if key not in left_out})


def mobile(outputs: int = 12) -> MobileStyleGAN:
    return MobileStyleGAN.from_state(mobilestylegan_state(outputs=outputs))


def stylegan3() -> StyleGAN3:
    return StyleGAN3.from_state(stylegan3_state(), stylegan3_settings())


Makers = Mapping[str, Callable[[], Prior]]

NOISY: Makers = {
    "stylegan2-skip": stylegan2,
    "stylegan2-resnet": lambda: stylegan2("resnet"),
    "stylegan2-orig": lambda: stylegan2("orig"),
    "stylegan2-classes": lambda: stylegan2(classes=4),
    "stylegan2-partly": partly_noisy,
    "mobilestylegan": mobile,
    "mobilestylegan-rgb": lambda: mobile(3),
}
STYLED: Makers = {**NOISY, "stylegan3": stylegan3}
CHAINS: Makers = {
    "dcgan": lambda: DCGAN.from_state(dcgan_state()),
    "conditional-dcgan": lambda: ConditionalDCGAN.from_state(conditional_dcgan_state()),
    "biggan": lambda: BigGAN.from_state(biggan_state()),
    "biggan-deep": lambda: BigGANDeep.from_state(biggan_deep_state(), BIGGAN_DEEP_CONFIG),
    "pggan": lambda: PGGAN.from_state(pggan_state()),
    "linear": lambda: LinearPrior.random(3, (3, 4, 4)),
}
CLASSES = {"stylegan2-classes": 4, "conditional-dcgan": 3, "biggan": 5, "biggan-deep": 3}


def made(name: str) -> Prior:
    """The prior of that name, the same every time."""
    return {**STYLED, **CHAINS}[name]()


def sampled(prior: Prior, n: int = 2, space: str | None = None, seed: int = 5) -> Codes:
    """Codes of a space, by itself of the prior's first; the same every time."""
    return prior.sample(n, torch.Generator().manual_seed(seed), space)


class Own(Prior):
    """A sigmoid behind a matrix, without blocks; `change` does something to the pictures."""

    def __init__(self, change: Callable[[Tensor], Any] = lambda x: x, parameter: bool = True) -> None:
        super().__init__()
        self.change, weight = change, 0.2 * torch.randn(6, 192, generator=torch.Generator().manual_seed(0))
        self.weight = nn.Parameter(weight, requires_grad=False) if parameter else weight

    @property
    def image_shape(self) -> Shape:
        return (3, 8, 8)

    @property
    def spaces(self) -> Mapping[str, Shape]:
        return {"z": (6,)}

    @property
    def blocks(self) -> Sequence[nn.Module]:
        return []

    def _sample(self, n: int, rng: torch.Generator) -> Codes:
        return torch.randn(n, 6, generator=rng)

    def _decode(self, codes: Codes, space: str, label: Tensor | None, noise: str | Tensor) -> Images:
        drawn: Images = self.change(torch.sigmoid(codes @ self.weight).view(-1, *self.image_shape))
        return drawn

    def _map(self, codes: Codes, source: str, target: str, label: Tensor | None, truncation: float, noise: str | Tensor) -> Codes:
        raise ValueError("no map")


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def traced(decode: Callable[[Tensor], Tensor], codes: Tensor) -> tuple[Tensor, Tensor]:
    """What `decode` makes of the codes, and the gradient of a weighted sum of it."""
    leaf = codes.clone().requires_grad_()
    made = decode(leaf)
    (slope,) = torch.autograd.grad((made * drawn(*made.shape, seed=3)).sum(), leaf)
    return made.detach(), slope
