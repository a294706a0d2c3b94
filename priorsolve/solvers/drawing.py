"""From named codes to pictures and from one space to the next: what every solver's variables have in common."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from priorsolve.priors.base import Noise, Prior, singly
from priorsolve.priors.spaces import carries_no_style, depth, features_of, is_features
from priorsolve.solvers.variables import Variables, is_weight
from priorsolve.types import Codes, Images

_BEHIND = ("w++", "s")
"""Spaces of styles with more numbers than w+ has."""


def picture(prior: Prior, codes: Mapping[str, Tensor]) -> Images:
    """The pictures of codes by space: one code, with `noise` maps beside it, or features with the style for the later blocks."""
    deep, style = _deepest(codes), style_of(prior, codes)
    maps = maps_of(codes)
    with torch.autocast(next(prior.parameters()).device.type, enabled=False):  # a caller's; `computing` says in what a network computes
        if deep is not None:
            source = prior if style is None else prior.resumed(codes[style], style)
            return source.decode(codes[deep], deep, **maps)
        if style is None:
            return prior.decode(codes["noise"], "noise")
        return prior.decode(codes[style], style, **maps)


def carried(prior: Prior, codes: Mapping[str, Tensor], space: str, who: str) -> Variables:
    """The codes with which a solver goes on in `space`: the code there, and beside features or noise maps what draws the rest.

    Features are made with the noise maps of `codes`, so that the picture stays what it was.

    Raises:
        ValueError: no map leads there, or to noise maps that nothing behind the features adds; the line begins with `who`, the solver.
    """
    if any(is_weight(name) for name in codes):
        raise ValueError(
            "the start has tuned weights, which only `tuned` and `pivotal` go on with; put other solvers before them, "
            "or start at its code alone: start_at(prior, solution.codes[space], space)"
        )
    codes = {name: value for name, value in codes.items() if name in prior.spaces}
    deep = _deepest(codes)
    if space == "noise" and deep is not None:
        _must_add_maps(prior, deep, who)
    if space in codes:
        return dict(codes)
    style, maps = style_of(prior, codes), maps_of(codes)
    own: Noise = maps.get("noise", "const")
    if space == "noise" and style is not None:
        return {"noise": prior.noise_maps().repeat(len(codes[style]), 1), **codes}
    if deep is not None:
        if depth(space) <= depth(deep):
            must_be_without_features(codes, space, who)
        source = prior if style is None else prior.resumed(codes[style], style)
        rest = {} if style is None else {style: codes[style]}
        return {space: source.map(codes[deep], source=deep, target=space, noise=own), **rest, **maps}
    if style is None:
        raise ValueError(f"{who}: the start has {', '.join(codes) or 'no codes of this prior'}, from which there is no way to {space!r}")
    with singly():  # a matrix rounds several rows otherwise than one
        try:
            mapped = prior.map(codes[style], source=style, target=space, noise=own)
        except ValueError as error:
            raise ValueError(f"{who}: cannot go on in {space!r} from the start's {style!r}: {error}") from error
    keeps_style = is_features(space) and needs_style(prior)
    return {space: mapped, **({style: codes[style]} if keeps_style else {}), **maps}


def must_be_without_features(codes: Mapping[str, Tensor], space: str, who: str, way: str = "") -> None:
    """Raises ValueError for a start with features, which a solver that moves a code of `space` alone would forget."""
    deep = _deepest(codes)
    if deep is not None:
        other = "start only what found them from it, or start at the code alone: start_at(prior, solution.codes[space], space)"
        way = way or f"put {who} before what found them, {other}"
        raise ValueError(f"{who}: the start has {deep}, and codes of {space!r} would begin without them; {way}")


def _must_add_maps(prior: Prior, deep: str, who: str) -> None:
    """Raises ValueError for features behind which no layer adds a noise map. Found by trying."""
    with torch.enable_grad():
        images = prior.decode(prior.centre(deep), deep, noise=prior.noise_maps().clone().requires_grad_())
    if not images.requires_grad:
        raise ValueError(f"{who}: the start has {deep}, behind which no noise map is added, so nothing would move; put {who} before them")


def must_lead_to_wplus(prior: Prior, codes: Mapping[str, Tensor], who: str) -> None:
    """Raises ValueError for a start whose style is behind w+ already."""
    style = style_of(prior, codes)
    if style in _BEHIND:
        raise ValueError(f"{who}: the start has a code of {style!r}, from which no map leads to 'w+'; put {who} after a solver in w or w+")


def needs_style(prior: Prior) -> bool:
    """Whether later blocks take more than the features: the styles of w+."""
    return "w+" in prior.spaces


def style_of(prior: Prior, codes: Mapping[str, Tensor]) -> str | None:
    """The space of the code that is neither features nor noise maps."""
    return next((name for name in codes if name in prior.spaces and not carries_no_style(name)), None)


def maps_of(codes: Mapping[str, Tensor]) -> Variables:
    """The noise maps among the codes, where they are."""
    return {name: value for name, value in codes.items() if name == "noise"}


def maps_from(codes: Mapping[str, Tensor], prior: Prior, rows: int) -> Tensor:
    """(rows, noise_size) the noise maps among the codes; where there are none, the prior's own."""
    return codes.get("noise", prior.noise_maps().expand(rows, -1))


def split_maps(maps: Tensor, moving: int) -> Variables:
    """Noise maps (rows, N) as `maps`, the first numbers, which move, and `rest`, the others; none of no numbers."""
    parts = {"maps": maps[:, :moving], "rest": maps[:, moving:]}
    return {name: part for name, part in parts.items() if part.shape[1]}


def joined_maps(variables: Mapping[str, Tensor]) -> Variables:
    """As `noise` what `split_maps` parted, where there are any."""
    parts = [variables[name] for name in ("maps", "rest") if name in variables]
    return {"noise": torch.cat(parts, 1)} if parts else {}


def repeated(codes: Codes, rows: int) -> Codes:
    """(1, ...) as (rows, ...)."""
    return codes.expand(rows, *codes.shape[1:]).clone()


def _deepest(codes: Mapping[str, Tensor]) -> str | None:
    return max(features_of(codes), key=depth, default=None)
