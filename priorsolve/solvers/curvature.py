"""How strongly a function depends on each direction of a code, found by gradients alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from priorsolve.alike import aligned
from priorsolve.counter_rng import normal

_NOTHING_NEW = 1e-4
"""A product of which no more than this share is outside the directions so far is rounding."""
_LAST = 3
"""The steps that stand for those which were not taken."""


class Curvatures(NamedTuple):
    """Of JᵀJ for each row, in k directions of a code's n numbers."""

    values: Tensor
    """(B, k) eigenvalues, rising."""
    directions: Tensor
    """(B, n, k) theirs: orthonormal columns."""
    off: Tensor
    """(B, k) by how much each is none yet: the length of JᵀJ·direction − eigenvalue·direction."""
    across: Tensor
    """(B,) about how large eigenvalues may be across all of these directions; 0 if k is n."""


def curvatures(function: Callable[[Tensor], Tensor], codes: Tensor, count: int) -> Curvatures:
    """Eigenvalues of JᵀJ for each row, J being the derivative of `function` there, and their directions: Lanczos' iteration.

    With as many steps as a code has numbers these are all; with fewer the largest come out closely, the rest roughly, from below.

    Args:
        function: (B, ...) → (B, ...), each row by itself.
        codes: (B, ...), n numbers each.
        count: steps, each a gradient and a gradient of one.

    k is the smaller of `count` and n. The eigenvalues found do not bound those across, which may lie anywhere between them. But in the
    steps' own directions JᵀJ is tridiagonal; what is left of it is taken to go on like the last steps, and Gershgorin's circles bound it.

    Raises:
        RuntimeError: a gradient has none itself.
    """
    product = _gram(function, codes)
    n = codes.shape[1:].numel()
    k = min(count, n)
    rng = torch.Generator().manual_seed(0)
    spare = normal(rng, k, n).to(codes)  # the same for every row
    directions = codes.new_zeros(len(codes), n, k)
    products = torch.zeros_like(directions)
    vector = spare[0].expand(len(codes), n)
    for i in range(k):
        new, length = _outside(vector, directions), vector.norm(dim=1, keepdim=True)
        other = _outside(spare[i].expand_as(vector), directions)  # for a row whose products lead nowhere else
        new = torch.where(new.norm(dim=1, keepdim=True) > _NOTHING_NEW * length, new, other)
        directions[:, :, i] = new / new.norm(dim=1, keepdim=True)
        vector = product(directions[:, :, i])
        products[:, :, i] = vector
    small = by_row(directions.mT, products)
    small = (small + small.mT) / 2
    beside = torch.cat([small.diagonal(1, 1, 2).abs(), _outside(vector, directions).norm(dim=1, keepdim=True)], 1)
    rows = small.diagonal(0, 1, 2) + beside + torch.cat([beside.new_zeros(len(beside), 1), beside[:, :-1]], 1)
    across = rows[:, -_LAST:].amax(1) if k < n else codes.new_zeros(len(codes))
    # eigh refuses all rows for one that is not finite; that row's search ends, since `products` tell of it in what is returned
    values, mixtures = torch.linalg.eigh(small.where(small.isfinite(), 0))
    where = by_row(directions, mixtures)
    off = (by_row(products, mixtures) - where * values[:, None]).norm(dim=1)
    return Curvatures(values.clamp_min(0), where, off, across)


def by_row(matrices: Tensor, others: Tensor) -> Tensor:
    """(B, n, k) times (B, k, m) or (B, k), each row by itself: a batch of one, and one that lies elsewhere, are rounded otherwise."""
    made = [matrix @ other for matrix, other in zip(aligned(matrices), aligned(others), strict=True)]
    return torch.stack(made) if made else others.new_zeros(0, *matrices.shape[1:2], *others.shape[2:])


def _gram(function: Callable[[Tensor], Tensor], codes: Tensor) -> Callable[[Tensor], Tensor]:
    """(B, n) → JᵀJ times it. J·vector is the derivative of Jᵀ·probe by the probe."""
    with torch.enable_grad():
        leaf = codes.detach().requires_grad_()
        made = function(leaf)
        probe = torch.zeros_like(made, requires_grad=True)
        (pulled,) = torch.autograd.grad(made, leaf, probe, create_graph=True)  # Jᵀ·probe, linear in the probe

    def product(vector: Tensor) -> Tensor:
        (pushed,) = torch.autograd.grad(pulled, probe, vector.view_as(leaf), retain_graph=True)
        (back,) = torch.autograd.grad(made, leaf, pushed, retain_graph=True)
        return back.flatten(1)

    return product


def _outside(vector: Tensor, directions: Tensor) -> Tensor:
    """What of (B, n) is orthogonal to the columns of (B, n, k); twice, since once leaves rounding."""
    for _ in range(2):
        vector = vector - by_row(directions, by_row(directions.mT, vector))
    return vector
