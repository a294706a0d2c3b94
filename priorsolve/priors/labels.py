"""A class as callers name it, an index or a weight for each, and as part of a code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from priorsolve.showing import shown
from priorsolve.types import Codes

if TYPE_CHECKING:
    from priorsolve.priors.base import Prior


def must_be_label(label: object, n: int, who: object) -> None:
    """Raises ValueError unless it is None, or a tensor of class indices (B,) or of weights (B, n), n not 0."""
    if label is None:
        return
    if not n:
        raise ValueError(f"{who}: has no classes; leave label out")
    if not isinstance(label, Tensor):
        raise ValueError(f"{who}: label is {shown(label)}; give class indices as a tensor (B,), such as torch.tensor([0]), or weights")
    if label.ndim == 1 and label.dtype == torch.bool:
        raise ValueError(f"{who}: label is of torch.bool; give class indices (B,) as whole numbers, 0 … {n - 1}, or weights (B, {n})")
    indices = label.ndim == 1 and not label.is_floating_point() and not label.is_complex()
    if not indices and (label.ndim != 2 or label.shape[1] != n or label.is_complex()):
        kind = f" and {label.dtype}" if label.ndim == 1 or label.is_complex() else ""
        raise ValueError(f"{who}: a label of shape {tuple(label.shape)}{kind}, expected class indices (B,) or weights (B, {n})")


def class_weights(label: Tensor, n: int, who: object) -> Tensor:
    """(B, n) weights of class indices (B,), or the weights that were given. Raises ValueError for anything else."""
    must_be_label(label, n, who)
    if label.ndim == 1:
        wrong = label[(label < 0) | (label >= n)]
        if len(wrong):
            raise ValueError(f"{who}: no class {int(wrong[0])}; classes are 0 … {n - 1}")
        return one_hot(label.long(), n)
    if not bool(label.isfinite().all()):
        raise ValueError(f"{who}: label has weights that are NaN or infinite; give finite ones, (B, {n})")
    return label


def with_class(prior: Prior, codes: Codes, space: str, label: Tensor | None) -> Codes:
    """`codes` as they stand, or with their class behind where they are of z and there are classes. `label` is as `must_be_label` has it.

    Raises ValueError where the class is missing, told twice, or not there for each code.
    """
    if space != "z" or not prior.n_classes:
        if label is not None:
            raise ValueError(f"{prior}: codes in {space!r} carry their class; leave label out, or use the space 'z'")
        return codes
    if label is None:
        raise ValueError(
            f"{prior}: codes in 'z' need a label, class indices (B,) or weights (B, {prior.n_classes}); "
            "or use 'z+c', where the class is part of the code"
        )
    if len(label) != len(codes):
        raise ValueError(f"{prior}: {len(codes)} codes but a label of shape {tuple(label.shape)}; give each code its class")
    return torch.cat([codes, prior.embed(label).to(codes)], 1)
