"""A solution's pictures, drawn again from its codes."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from priorsolve.priors.base import Prior, exactly
from priorsolve.showing import shown
from priorsolve.solvers.checks import must_be_prior
from priorsolve.solvers.variables import forgotten
from priorsolve.solvers.weights import answered_picture
from priorsolve.types import Images


def picture(prior: Prior, codes: Mapping[str, Tensor]) -> Images:
    """The pictures (B, C, H, W) of a solution's codes, in [0, 1] but not clamped, each with the weights that were tuned for it, if any.

    Args:
        prior: the solver's.
        codes: (B, ...) by name: `solution.codes`, or with the prior that `load_delta` gives the codes beside it.

    Raises:
        ValueError: that is no prior, or none of them is a code of it.
    """
    must_be_prior(prior, "picture: prior")
    if not isinstance(codes, Mapping) or not any(name in prior.spaces for name in codes):
        given = ", ".join(map(str, codes)) if isinstance(codes, Mapping) else shown(codes)
        raise ValueError(f"picture: got {given or 'nothing'}, with no code of {prior}; give solution.codes of a solver with this prior")
    with exactly():  # as the solution's are, also where a gradient is taken
        return answered_picture(prior, forgotten(codes))
