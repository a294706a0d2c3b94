"""A discriminator given as a prior is told as one, whatever its family, and no generator is taken for one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from states_support import biggan_discriminator_state, biggan_state, conditional_dcgan_state, pggan_state
from style_support import style2_state
from torch import Tensor, nn

from priorsolve.priors import CheckpointError, load_prior
from priorsolve.priors.discriminators import refuse_discriminator


def dcgan(channels: int, width: int) -> dict[str, Tensor]:
    """Of pytorch/examples: convolutions, BatchNorm on all but the first and the last."""
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1, bias=False), nn.LeakyReLU()]
    layers += [nn.Conv2d(width, 8, 4, 2, 1, bias=False), nn.BatchNorm2d(8), nn.LeakyReLU(), nn.Conv2d(8, 1, 4, bias=False), nn.Sigmoid()]
    return {f"main.{key}": value for key, value in nn.Sequential(*layers).state_dict().items()}


def zeros(**shapes: tuple[int, ...]) -> dict[str, Tensor]:
    return {name.replace("__", "."): torch.zeros(shape) for name, shape in shapes.items()}


CASES: dict[str, tuple[dict[str, Tensor], str, str]] = {
    "dcgan": (dcgan(3, 4), "DCGAN", "netG….pth beside netD….pth"),
    "dcgan-grey-as-wide-as-a-conditional-one": (dcgan(1, 128), "DCGAN", "netG….pth beside netD….pth"),
    "nvidia": (zeros(b8__fromrgb__weight=(4, 3, 1, 1), b4__fc__weight=(4, 64), b4__out__weight=(1, 4)), "StyleGAN2", "G_ema"),
    "rosinality": (
        zeros(convs__0__0__weight=(4, 3, 1, 1), final_conv__0__weight=(4, 5, 3, 3), final_linear__0__weight=(4, 64)),
        "StyleGAN2 (rosinality)",
        "g_ema",
    ),
    "pggan": (zeros(lod=(), input0__weight=(4, 3, 1, 1), layer0__weight=(4, 4, 3, 3)), "PGGAN", "generator_smooth"),
    "biggan": (biggan_discriminator_state(), "BigGAN", "G_ema….pth beside D….pth"),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("wrap", [None, "d"])
def test_a_discriminator_is_told_as_one(case: str, wrap: str | None, tmp_path: Path) -> None:
    state, family, generator = CASES[case]
    torch.save(state if wrap is None else {wrap: state}, tmp_path / "D.pth")
    with pytest.raises(CheckpointError) as told:
        load_prior(tmp_path / "D.pth")
    assert f"looks like the discriminator of a {family}, " in str(told.value)
    assert f"; give the generator, usually {generator}" in str(told.value)


def test_no_generator_is_taken_for_one() -> None:
    for state in (style2_state(), biggan_state(), pggan_state(), conditional_dcgan_state()):
        refuse_discriminator(state)
