"""Discriminators, which lie beside the generators that were trained with them: told by their tensors' names, never built as priors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from priorsolve.priors import biggan_discriminator
from priorsolve.priors.errors import CheckpointError


@dataclass(frozen=True)
class _Known:
    """A family's discriminator: how it is told by its tensors' names, and where its generator usually is."""

    family: str
    recognises: Callable[[Mapping[str, Tensor]], bool]
    generator: str


def refuse_discriminator(state: Mapping[str, Tensor]) -> None:
    """Raise CheckpointError where the tensors are a discriminator's; it says where the generator usually is."""
    for known in _KNOWN:
        if known.recognises(state):
            raise CheckpointError(
                f"looks like the discriminator of a {known.family}, which judges pictures and draws none; "
                f"give the generator, usually {known.generator}"
            )


def _is_dcgan(state: Mapping[str, Tensor]) -> bool:
    """Whether a picture's colours enter the first convolution, and no BatchNorm follows it: the next is main.2, not main.3."""
    first, second = state.get("main.0.weight"), state.get("main.2.weight")
    if first is None or second is None or "main.1.weight" in state:
        return False
    return first.ndim == second.ndim == 4 and first.shape[1] in (1, 3) and first.shape[0] == second.shape[1]


def _is_pggan(state: Mapping[str, Tensor]) -> bool:
    """Whether a layer makes features of a picture's colours, by genforce's names."""
    colours = state.get("input0.weight")
    return colours is not None and colours.ndim == 4 and tuple(colours.shape[1:]) in ((1, 1, 1), (3, 1, 1)) and "layer0.weight" in state


_KNOWN = (
    _Known("DCGAN", _is_dcgan, "netG….pth beside netD….pth, or netG in the same file"),
    _Known("StyleGAN2", lambda state: {"b4.fc.weight", "b4.out.weight"} <= state.keys(), "G_ema in the pickle that held this one"),
    _Known(
        "StyleGAN2 (rosinality)",
        lambda state: {"final_conv.0.weight", "final_linear.0.weight", "convs.0.0.weight"} <= state.keys(),
        "g_ema in the training file that held this one",
    ),
    _Known("PGGAN", _is_pggan, "generator_smooth in the file that held this one"),
    _Known("BigGAN", biggan_discriminator.recognises, "G_ema….pth beside D….pth"),
)
