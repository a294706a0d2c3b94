"""A class as callers name it: an index, or a weight for each."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from priorsolve.showing import shown


def must_be_label(label: object, n: int, who: object) -> None:
    """Raises ValueError unless it is None, or a tensor of class indices (B,) or of weights (B, n); where n is 0, of anything in rows."""
    if label is None:
        return
    if not isinstance(label, Tensor):
        raise ValueError(f"{who}: label is {shown(label)}; give class indices as a tensor (B,), such as torch.tensor([0]), or weights")
    if not n:
        if not label.ndim:
            raise ValueError(f"{who}: has no classes; leave label out")
        return
    if label.ndim == 1 and label.dtype == torch.bool:
        raise ValueError(f"{who}: label is of torch.bool; give class indices (B,) as whole numbers, 0 … {n - 1}, or weights (B, {n})")
    indices = label.ndim == 1 and not label.is_floating_point() and not label.is_complex()
    if not indices and (label.ndim != 2 or label.shape[1] != n):
        kind = "" if label.ndim != 1 else f" and {label.dtype}"
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
