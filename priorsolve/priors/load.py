"""A prior by name or by file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import torch

from priorsolve.apart import apart
from priorsolve.priors import (
    biggan,
    biggan_deep,
    conditional_dcgan,
    dcgan,
    decoders,
    mobilestylegan,
    pggan,
    rosinality,
    stylegan2,
    stylegan3,
    tensorflow,
)
from priorsolve.priors.base import Prior
from priorsolve.priors.checkpoint import Checkpoint, read_checkpoint
from priorsolve.priors.discriminators import refuse_discriminator
from priorsolve.priors.download import fetch
from priorsolve.priors.errors import CheckpointError, first_names, in_one_line, told
from priorsolve.priors.faces import load_faces
from priorsolve.priors.layout import PLAIN, SIDE_LIMIT
from priorsolve.priors.plugins import made, plugins
from priorsolve.priors.saved import remember, restored
from priorsolve.priors.zoo import ZOO
from priorsolve.showing import checked_path, shown
from priorsolve.types import OnProgress

Nonfinite = Literal["refuse", "zero"]


@dataclass(frozen=True)
class Format:
    """A layout of tensors: how it is told by their names, and the prior built of them."""

    family: str
    recognises: Callable[[Mapping[str, torch.Tensor]], bool]
    build: Callable[[Checkpoint], Prior]


@apart()
def load_prior(source: str | Path, *, on_progress: OnProgress | None = None, nonfinite: Nonfinite = "refuse") -> Prior:
    """The frozen prior called `source`, the zoo's or a plugin's, or in the checkpoint at that path; a name goes before a file of that name.

    A Path is a file's, and a name only where no such file is.

    Args:
        source: a name such as "digiface64", or a path; a file's format is told by its content.
        on_progress: called with bytes done and bytes in all while weights are downloaded.
        nonfinite: "zero" puts 0 where weights are NaN or infinite, for a damaged file that is wanted all the same.

    Raises:
        ValueError: neither a known name nor a path, a plugin that gives no prior, or no such `nonfinite`.
        CheckpointError: the file is not a generator known here.
        FetchError: the weights of a named prior could not be had.
    """
    _must_be_a_choice(nonfinite)
    if not isinstance(source, str | os.PathLike):
        raise ValueError(f"source is {shown(source)}; give a name of the zoo or a file's path, as text or as a Path")
    if isinstance(source, os.PathLike) and str(source) in ZOO and not Path(source).exists():
        source = str(source)
    if isinstance(source, str) and source not in ZOO and (plugin := plugins().get(source)):
        return made(plugin)
    if isinstance(source, str) and (source in ZOO or not _looks_like_path(source)):
        path = fetch(source, on_progress=on_progress)  # an unknown name raises, with the nearest one
        if path.is_dir():
            return load_faces(source, path)
    else:
        path = checked_path(source, "load_prior: source")
    return load_file(path, nonfinite)[0]


def load_file(path: Path, nonfinite: Nonfinite = "refuse") -> tuple[Prior, str]:
    """The frozen prior in a file or folder, and the name of the layout its tensors had there. Raises CheckpointError, as `load_prior`."""
    checkpoint = read_checkpoint(path)
    try:
        return build(checkpoint, nonfinite), format_of(checkpoint).family
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {in_one_line(error)}") from None


def build(checkpoint: Checkpoint, nonfinite: Nonfinite = "refuse") -> Prior:
    """The prior of a checkpoint that was read. Raises CheckpointError, as `load_prior`."""
    _must_be_a_choice(nonfinite)
    found = format_of(checkpoint)
    for key, tensor in checkpoint.state.items():
        if tensor.dtype not in PLAIN:
            raise CheckpointError(f"{key} holds {tensor.dtype}, a type that no generator known here has; save the weights as float32")
    if nonfinite == "zero":
        # as float32, in which they are used: float64 holds numbers beyond it
        finite = {key: t.where(t.float().isfinite(), 0) if t.is_floating_point() else t for key, t in checkpoint.state.items()}
        checkpoint = replace(checkpoint, state=finite)
    if checkpoint.family is not None:
        prior = restored(checkpoint, found.build)
    else:
        prior = remember(found.build(checkpoint), found.family, checkpoint)
    side = max(prior.image_shape[1:])  # nothing of that size has been made so far
    if side > SIDE_LIMIT:
        raise CheckpointError(f"draws pictures of a side of {told(side)}, more than {SIDE_LIMIT}; it is damaged or made to fill the memory")
    return prior


def format_of(checkpoint: Checkpoint) -> Format:
    """The layout that a checkpoint's family, or its tensors' names, show. Raises CheckpointError for others."""
    if checkpoint.family is None:
        refuse_discriminator(checkpoint.state)
    for known in FORMATS:
        if checkpoint.family == known.family or (checkpoint.family is None and known.recognises(checkpoint.state)):
            return known
    families = ", ".join(known.family for known in FORMATS)
    raise CheckpointError(f"no known generator layout matches; its first tensors are {first_names(checkpoint.state)}; known are {families}")


def _looks_like_path(source: str) -> bool:
    if Path(source).suffix != "" or any(mark in source for mark in ("/", os.sep, "~")):
        return True
    with contextlib.suppress(OSError):  # a name too long for a file
        return Path(source).exists()
    return False


def _must_be_a_choice(nonfinite: object) -> None:
    if nonfinite not in get_args(Nonfinite):
        raise ValueError(f"nonfinite is {shown(nonfinite)}; it must be one of {', '.join(get_args(Nonfinite))}")


FORMATS = (
    Format("ConditionalDCGAN", conditional_dcgan.recognises, lambda c: conditional_dcgan.ConditionalDCGAN.from_state(c.state)),
    Format("DCGAN", dcgan.recognises, lambda c: dcgan.DCGAN.from_state(c.state)),
    Format("StyleGAN2", stylegan2.recognises, lambda c: stylegan2.StyleGAN2.from_state(c.state, c.settings)),
    Format("StyleGAN3", stylegan3.recognises, lambda c: stylegan3.StyleGAN3.from_state(c.state, c.settings)),
    Format("MobileStyleGAN", mobilestylegan.recognises, lambda c: mobilestylegan.MobileStyleGAN.from_state(c.state)),
    Format("StyleGAN2 (rosinality)", rosinality.recognises, lambda c: stylegan2.StyleGAN2.from_state(rosinality.renamed(c.state))),
    Format(
        "StyleGAN2 (TensorFlow)",
        tensorflow.recognises,
        lambda c: stylegan2.StyleGAN2.from_state(tensorflow.renamed(c.state), c.settings),
    ),
    Format("PGGAN", pggan.recognises, lambda c: pggan.PGGAN.from_state(c.state)),
    Format("BigGAN", biggan.recognises, lambda c: biggan.BigGAN.from_state(c.state)),
    Format("BigGANDeep", biggan_deep.recognises, lambda c: biggan_deep.BigGANDeep.from_state(c.state, c.settings or None)),
    Format("Decoder", decoders.recognises, lambda c: decoders.Decoder.from_state(c.state)),
)
"""Every layout that a file may have, asked in this order; the last is told by so little that it comes last."""
