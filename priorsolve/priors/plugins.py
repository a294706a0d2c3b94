"""Priors of other packages: what is named under the entry-point group `PLUGINS` gives one when it is called with nothing."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points

from priorsolve.priors.base import Prior
from priorsolve.priors.zoo import PLUGINS, ZOO
from priorsolve.showing import shown


def plugins() -> Mapping[str, EntryPoint]:
    """By name, but for names of the zoo."""
    return {point.name: point for point in entry_points(group=PLUGINS) if point.name not in ZOO}


def is_named(prior: str) -> bool:
    """Whether it is a name, of the zoo or a plugin's, before it is a file's."""
    return prior in ZOO or prior in plugins()


def made(point: EntryPoint) -> Prior:
    """The plugin's prior, frozen. Raises ValueError."""
    told = f"the prior {point.name!r} comes from a plugin that"
    try:
        prior = point.load()()
    except Exception as error:  # a plugin may raise anything
        raise ValueError(f"{told} does not load ({point.value}): {error}") from error
    if not isinstance(prior, Prior):
        raise ValueError(f"{told} gives {shown(prior)} ({point.value}); name a class, or a function, that gives a priorsolve.priors.Prior")
    return prior.requires_grad_(False)
