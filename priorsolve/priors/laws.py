"""The laws that every prior keeps, as a public tool: `check_prior_laws(MyPrior())` is a contributor's whole test.

Each law returns how far it is from true, in one space, relative to the sizes compared: 0 is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from priorsolve.apart import exactly_graded
from priorsolve.operators.laws import TOLERANCE, norm, relative
from priorsolve.priors.base import Prior, exactly
from priorsolve.priors.layers import must_be_differentiable
from priorsolve.priors.spaces import is_features
from priorsolve.showing import is_whole, shown

Law: TypeAlias = Callable[[Prior, str, int, int], float]

_DARK, _BRIGHT, _FEW = -0.25, 2.0, 0.1
_STEP, _DIRECTIONS = 3e-4, 3
"""Of codes of size 1: short, to meet few kinks, and long enough to be seen in float32. Where one direction meets a kink, others miss it."""
_ROUNDED = 8
"""How many of a type's smallest steps a picture may be off."""


def chance(prior: Prior, space: str, batch: int, seed: int) -> float:
    """The same `rng` draws the same codes, another one draws others, and a batch is not one code again and again; 0 or 1."""
    codes, same, other = (prior.sample(batch, torch.Generator().manual_seed(each), space) for each in (seed, seed, seed + 1))
    return float(not torch.equal(codes, same) or torch.equal(codes, other) or torch.equal(codes, codes[:1].expand_as(codes)))


@torch.no_grad()
def independence(prior: Prior, space: str, batch: int, seed: int) -> float:
    """A code's picture, and its code in `space`, do not depend on the neighbours in the batch."""
    first = prior.first_space
    begun, codes = _codes(prior, first, batch, seed), _codes(prior, space, batch, seed)
    mapped = [prior.map(begun[i : i + 1], source=first, target=space) for i in range(batch)]
    drawn = [_decode(prior, codes[i : i + 1], space, i) for i in range(batch)]
    return max(relative(codes, torch.cat(mapped)), relative(_decode(prior, codes, space), torch.cat(drawn)))


@torch.no_grad()
def agreement(prior: Prior, space: str, batch: int, seed: int) -> float:
    """A code draws the same picture as what it is mapped to; z alone, where there are classes, draws another."""
    first = prior.first_space
    if space == "z" and prior.n_classes:
        return 0.0
    begun, codes = _codes(prior, first, batch, seed), _codes(prior, space, batch, seed)
    later = prior.resumed(begun, first) if is_features(space) else prior
    return relative(_decode(prior, begun, first), _decode(later, codes, space))


@torch.no_grad()
def constancy(prior: Prior, space: str, batch: int, seed: int) -> float:
    """The same codes draw the same pictures again."""
    codes = _codes(prior, space, batch, seed)
    return relative(_decode(prior, codes, space), _decode(prior, codes, space))


@torch.no_grad()
def unchanged(prior: Prior, space: str, batch: int, seed: int) -> float:
    """Codes are left as they were given; 0 or 1."""
    codes = _codes(prior, space, batch, seed).clone()
    given = codes.clone()
    _decode(prior, codes, space)
    return float(not torch.equal(given, codes))


def vjp(prior: Prior, space: str, batch: int, seed: int) -> float:
    """A gradient reaches every code, finite and not all zero; 0 or 1."""
    codes = _codes(prior, space, batch, seed).detach().clone().requires_grad_()
    try:
        images = _decode(prior, codes, space)
    except ValueError:  # it drew them for the laws before this one, where no gradient was asked for
        return 1.0
    weights = torch.randn(images.shape, generator=torch.Generator().manual_seed(seed), device="cpu").to(images)
    (gradient,) = torch.autograd.grad(images, codes, weights)
    return float(not (gradient.isfinite().all() and (norm(gradient) > 0).all()))


def slope(prior: Prior, space: str, batch: int, seed: int) -> float:
    """The gradient foretells what a small step changes in the picture, along one of a few random directions."""
    best = 1.0
    for k in range(1, _DIRECTIONS + 1):
        best = min(best, _foretold(prior, space, batch, seed, k))
        if best <= _BOUNDS["slope"]:
            break
    return best


def _foretold(prior: Prior, space: str, batch: int, seed: int, k: int) -> float:
    """How far the change Δ along direction `k` is from Jd, the gradient's: ⟨JᵀΔ, d⟩ is |Δ|² but for what is rounded."""
    codes = _codes(prior, space, batch, seed).detach()
    direction = torch.randn(codes.shape, generator=torch.Generator().manual_seed(seed + k), device="cpu").to(codes)
    direction *= _STEP * codes.square().mean().sqrt()
    with torch.no_grad():
        change = (_decode(prior, codes + direction, space) - _decode(prior, codes - direction, space)) / 2
    leaf = codes.clone().requires_grad_()
    with exactly():
        images = _decode(prior, leaf, space)
        (gradient,) = torch.autograd.grad(images, leaf, change)
    size = norm(change).clamp_min(torch.finfo(codes.dtype).tiny)
    seen = (gradient * direction).flatten(1).sum(1) / size
    rounded = _ROUNDED * torch.finfo(codes.dtype).eps * norm(images.detach())
    return float((((seen - size).abs() - rounded).clamp_min(0) / torch.maximum(seen.abs(), size)).max())


_LAWS: dict[str, tuple[Law, str]] = {
    "chance": (chance, "draw each code anew, with the rng given and nothing else"),
    "unchanged": (unchanged, "work on a copy, not in place"),
    "constancy": (constancy, "draw no chance in _decode, and call eval() where there are layers that do"),
    "independence": (independence, "a picture is its own code's alone: take no mean, maximum or other statistic over the batch"),
    "agreement": (agreement, "let _map give the code from which _decode goes on to the same picture"),
    "vjp": (vjp, "draw with differentiable torch functions whose gradient is finite, and not zero everywhere"),
    "slope": (slope, "draw with functions whose gradient is that of what they draw: detach nothing on the way, and scale none"),
}
_BOUNDS = {"agreement": 1e-4, "slope": 3e-2}
"""Where more may be off than what float64 rounds: maps with measured constants, and steps that are not infinitely small."""


def check_prior_laws(prior: Prior, *, batch: int = 2, seed: int = 0) -> None:
    """Assert every law in every space that sampling reaches but `noise`, and that pictures are of [0, 1] and not of another range.

    Raises:
        AssertionError: names the prior, the law, the space, the error, the tolerance (relative: 1e-4 in float32, 1e-9 in float64; of maps
            1e-4, of gradients 3e-2) and the way out; or the range of the pictures, where more than a tenth of their values are below
            −0.25 or above 2.
        ValueError: that is no prior, is in training mode, has no parameter, was made in inference mode, or its image_shape is not
            (C, H, W); `batch` is no whole number above 1; laws are for other types; or as `sample` and `decode` raise it, such as for
            pictures of another shape than image_shape.
    """
    if not isinstance(prior, Prior):
        raise ValueError(f"check_prior_laws: expected a Prior, got {shown(prior)}; subclass priorsolve.priors.Prior")
    if not is_whole(batch) or batch < 2:
        raise ValueError(f"check_prior_laws: batch is {shown(batch)}; give a whole number above 1, so that there are neighbours")
    shape = prior.image_shape
    if not isinstance(shape, Sequence) or len(shape) != 3 or not all(map(is_whole, shape)):
        raise ValueError(f"{type(prior).__name__}: image_shape is {shown(shape)}; give (C, H, W), such as (3, 64, 64)")
    must_be_differentiable(prior)
    with exactly_graded(next(prior.parameters()).device.type):
        _check(prior, batch, seed)


def _check(prior: Prior, batch: int, seed: int) -> None:
    codes = prior.sample(batch, torch.Generator().manual_seed(seed))
    exact = TOLERANCE.get(codes.dtype)
    if exact is None:
        raise ValueError(f"check_prior_laws: {prior} is of {codes.dtype}; laws are kept in {' and '.join(map(str, TOLERANCE))}")
    with torch.no_grad():
        images = prior.decode(codes)
    if not bool(images.isfinite().all()):
        raise AssertionError(f"{prior}: decode gives NaN or infinite values")
    for space in _reached(prior, codes):
        for name, (law, way) in _LAWS.items():
            error, allowed = law(prior, space, batch, seed), _BOUNDS.get(name, exact)
            if not error <= allowed:
                raise AssertionError(
                    f"{prior}: {name} in {space!r} is off by {error:.2e} (relative) on {batch} codes; allowed {allowed:.0e}: {way}"
                )
    if float(((images < _DARK) | (images > _BRIGHT)).double().mean()) > _FEW:
        raise AssertionError(
            f"{prior}: decode gives values from {float(images.min()):.3g} to {float(images.max()):.3g}; pictures are in [0, 1]: "
            "where a network draws in [-1, 1], return (x + 1) / 2"
        )


def _reached(prior: Prior, codes: Tensor) -> Iterator[str]:
    """The spaces to which the codes of the first have a map. Noise maps may well have no strength, so no gradient either."""
    for space in prior.spaces:
        if space == "noise":
            continue
        if space != prior.first_space:
            try:
                prior.map(codes, source=prior.first_space, target=space)
            except ValueError:
                continue
        yield space


def _codes(prior: Prior, space: str, batch: int, seed: int) -> Tensor:
    return prior.sample(batch, torch.Generator().manual_seed(seed), space)


def _decode(prior: Prior, codes: Tensor, space: str, start: int = 0) -> Tensor:
    """The pictures, each of its own class where codes of z have none: of the classes from `start` on."""
    label = None
    if space == "z" and prior.n_classes and prior.first_space != "z":
        label = torch.arange(start, start + len(codes), device=codes.device) % prior.n_classes
    return prior.decode(codes, space, label=label)
