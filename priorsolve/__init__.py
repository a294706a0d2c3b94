"""Restore photos with a pretrained GAN as the prior: find the code whose picture explains the measurement, y ≈ A(G(z)).

import priorsolve as ps

prior = ps.load_prior("digiface64")
A = ps.operators.Downsample(4)
solution = ps.solvers.Latent(prior, steps=300)(y, A)          # y: (B, 3, 16, 16) in [0, 1]
solution.images                                               # (B, 3, 64, 64)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from priorsolve import losses, metrics, noise, operators, priors, solvers
    from priorsolve.consistency import put_back
    from priorsolve.diagnosis import diagnose, find_limits
    from priorsolve.photos.images import read_image
    from priorsolve.photos.writing import write_image
    from priorsolve.priors import load_prior
    from priorsolve.recipe import Recipe
    from priorsolve.run.restoration import Options, restore
    from priorsolve.sampling import Samples, Several, solve_several

__version__ = "0.1.0"

__all__ = [
    "Options",
    "Recipe",
    "Samples",
    "Several",
    "diagnose",
    "find_limits",
    "load_prior",
    "losses",
    "metrics",
    "noise",
    "operators",
    "priors",
    "put_back",
    "read_image",
    "restore",
    "solve_several",
    "solvers",
    "write_image",
]

_HOMES = {
    "Options": "priorsolve.run.restoration:Options",
    "Recipe": "priorsolve.recipe:Recipe",
    "Samples": "priorsolve.sampling:Samples",
    "Several": "priorsolve.sampling:Several",
    "diagnose": "priorsolve.diagnosis:diagnose",
    "find_limits": "priorsolve.diagnosis:find_limits",
    "load_prior": "priorsolve.priors:load_prior",
    "losses": "priorsolve.losses",
    "metrics": "priorsolve.metrics",
    "noise": "priorsolve.noise",
    "operators": "priorsolve.operators",
    "priors": "priorsolve.priors",
    "put_back": "priorsolve.consistency:put_back",
    "read_image": "priorsolve.photos.images:read_image",
    "restore": "priorsolve.run.restoration:restore",
    "solve_several": "priorsolve.sampling:solve_several",
    "solvers": "priorsolve.solvers",
    "write_image": "priorsolve.photos.writing:write_image",
}


def __getattr__(name: str) -> Any:
    """Import on first use: torch takes seconds, and `import priorsolve` should not."""
    if name not in _HOMES:
        raise AttributeError(f"module 'priorsolve' has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    home = import_module(module)
    value = getattr(home, attribute) if attribute else home
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
