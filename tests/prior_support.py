"""Small random priors of every family, for what all of them must do alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping

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

from priorsolve.priors import DCGAN, PGGAN, BigGAN, BigGANDeep, ConditionalDCGAN, LinearPrior, MobileStyleGAN, Prior, StyleGAN2, StyleGAN3


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
