"""The domain of a prior: codes that can be read off the pictures that they draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch.nn import functional as F

from priorsolve.priors.bank import bank_of
from priorsolve.priors.base import Prior
from priorsolve.priors.kept import kept_of
from priorsolve.solvers.regression import Ridge
from priorsolve.types import Codes, Images, PerImage, Shape


@final
@dataclass(frozen=True)
class LinearEncoder:
    """E: the code that a picture tells of, by ridge regression on pictures of the prior, made as small as those are kept.

    Where the published method has a deep network trained on photos, this is linear and knows the prior's own pictures: it reads off
    what shows in their overall look, such as pose and light, and in w+ the same style for every layer.
    """

    ridge: Ridge
    size: tuple[int, int]
    shape: Shape

    @staticmethod
    def learnt(prior: Prior, space: str, count: int) -> LinearEncoder:
        """From `count` pictures of the prior and their codes in `space`; once for a prior, for as long as that stays as it is."""
        return kept_of(prior, (LinearEncoder, space, count), lambda: _learnt(prior, space, count))

    def __call__(self, images: Images) -> Codes:
        """The codes (B, *shape) of pictures (B, C, H, W)."""
        small = images if tuple(images.shape[2:]) == self.size else F.interpolate(images, self.size, mode="area")
        rows = torch.split(small.flatten(1), 1)  # one by one: a batch's product rounds otherwise, which many steps make visible
        return torch.cat([self.ridge(row) for row in rows]).view(-1, *self.shape)

    def distance(self, codes: Codes, images: Images) -> PerImage:
        """`mean (c − E(x))²`: with x = G(c), the term that keeps a code in the domain.

        Source: Zhu, Shen, Zhao & Zhou, "In-Domain GAN Inversion for Real Image Editing", ECCV 2020, eq. 3, with another E.
        """
        return (codes - self(images)).square().flatten(1).mean(1)


@torch.inference_mode(False)
@torch.no_grad()
def _learnt(prior: Prior, space: str, count: int) -> LinearEncoder:
    bank = bank_of(prior, count)
    codes = prior.map(bank.codes, source=prior.first_space, target=space)
    height, width = bank.pictures.shape[2:]
    return LinearEncoder(Ridge.fit(bank.pictures.to(codes).flatten(1), codes.flatten(1)), (height, width), tuple(codes.shape[1:]))
