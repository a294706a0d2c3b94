"""Pictures that a prior drew once, to learn from: small, and kept, since drawing them is what costs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor
from torch.nn import functional as F

from priorsolve.apart import exactly_ungraded
from priorsolve.priors.base import Prior
from priorsolve.priors.cache import cache_folder, keep
from priorsolve.priors.kept import kept_of, run_form
from priorsolve.types import Codes, Images, OnProgress, Shape

SIDE = 64
"""Pictures are kept with their longer side at most this: what a photo's overall look tells is in there."""

_SEED = 20170703
_CHUNK = 16
_LIKE = 0.01
"""How far pictures drawn anew may be from those of a file, on average: more than bfloat16 rounds, less than another prior draws."""


@final
@dataclass(frozen=True)
class Bank:
    """Samples of a prior: `codes` (N, ...) in its first space, and their `pictures` (N, C, h, w) in float16, made small."""

    codes: Codes
    pictures: Tensor
    image_shape: Shape

    def images(self, start: int, stop: int) -> Images:
        """Some of the pictures at the prior's own size, in [0, 1], not clamped, of the codes' type."""
        small = self.pictures[start:stop].to(self.codes)
        return small if small.shape[2:] == self.image_shape[1:] else F.interpolate(small, self.image_shape[1:], mode="bilinear")

    def __len__(self) -> int:
        return len(self.codes)


def bank_of(prior: Prior, count: int, on_progress: OnProgress | None = None) -> Bank:
    """`count` samples of the prior, always the same; drawn once, then from memory, or from `banks/` beside the weights in the cache.

    A bank belongs to the weights, whatever file they came from. `on_progress` hears how many of all are drawn. Warns where the cache
    cannot be written: the next process draws anew.
    """
    return kept_of(prior, (Bank, count), lambda: _bank(prior, count, on_progress))


def _bank(prior: Prior, count: int, on_progress: OnProgress | None) -> Bank:
    with exactly_ungraded(next(prior.parameters()).device.type):
        codes = prior.sample(count, torch.Generator().manual_seed(_SEED))
        pictures = _stored(prior, codes, on_progress).to(codes.device)
    return Bank(codes, pictures, tuple(prior.image_shape))


def _stored(prior: Prior, codes: Codes, on_progress: OnProgress | None) -> Tensor:
    path = cache_folder() / "banks" / f"{_digest(prior)}-{len(codes)}.safetensors"
    folded = run_form(prior)
    pictures = _read(path)
    # the digest knows a prior's numbers, and not what it does with them
    if pictures is not None and len(pictures) == len(codes) and _alike(pictures[:2], _small(folded, codes[:2])):
        return pictures
    parts = []
    for part in torch.split(codes, _CHUNK):
        parts.append(_small(folded, part))
        if on_progress is not None:
            on_progress(min(len(parts) * _CHUNK, len(codes)), len(codes))
    pictures = torch.cat(parts).cpu().contiguous()  # style priors may lay channels last
    keep(path, save({"pictures": pictures}), f"every run draws {len(codes)} pictures of its own")
    return pictures


def _small(prior: Prior, codes: Codes) -> Tensor:
    """The codes' pictures as they are kept."""
    height, width = prior.image_shape[1:]
    share = min(1.0, SIDE / max(height, width))
    size = (max(1, round(height * share)), max(1, round(width * share)))
    return F.interpolate(prior.decode(codes), size, mode="area").half()


def _alike(kept: Tensor, drawn: Tensor) -> bool:
    """Whether these are the same pictures but for rounding."""
    return kept.shape == drawn.shape and float((kept.float() - drawn.cpu().float()).abs().mean()) <= _LIKE


def _read(path: Path) -> Tensor | None:
    """The pictures in a file, or None where there is none, or a damaged one, which is then written anew."""
    try:
        return load(path.read_bytes())["pictures"]
    except (OSError, SafetensorError, KeyError):
        return None


def _digest(prior: Prior) -> str:
    """What the pictures depend on: every number of the prior, and what is done with them here."""
    digest = hashlib.sha256(f"{prior!r} {SIDE} {_SEED}".encode())
    for name, tensor in sorted(prior.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:32]
