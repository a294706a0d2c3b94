"""One solve's search: what moves, and how that draws pictures, costs and stays in place. The loop asks; algorithms answer."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from priorsolve.priors.base import Prior
from priorsolve.solvers.drawing import picture
from priorsolve.solvers.variables import Variables
from priorsolve.types import Images, PerImage


@dataclass(frozen=True)
class At:
    """Where the loop is. `seeds` (rows,) is each row's own, so that what is drawn for it never depends on its neighbours."""

    step: int
    steps: int
    seeds: Tensor


@dataclass(kw_only=True)
class Task:
    """The variables of B images × R restarts (rows are image-major) and what they mean.

    Args:
        prior: what draws.
        variables: first values by name, (rows, ...); the loop takes them, and leaves none here.
        spread: a variable's spread under the prior, the unit of its learning rate: a number, or a tensor that broadcasts against it.
        restarts: R.
        held: names of variables that stay as they are; they follow their rows.
    """

    prior: Prior
    variables: Variables
    spread: Variables
    restarts: int = 1
    held: frozenset[str] = field(default=frozenset())

    def draw(self, variables: Variables, at: At) -> Images:
        """The rows' pictures: those of their codes, where nothing shakes them."""
        return picture(self.prior, self.codes(variables))

    def answer(self, variables: Variables, at: At) -> Images:
        """The pictures that the solution keeps."""
        return self.draw(variables, at)

    def shaken(self, at: At) -> bool:
        """Whether the pictures drawn now are not the variables' own: what is held then is the last state, not the best."""
        return False

    def penalty(self, variables: Variables, at: At) -> PerImage:
        """What the rows cost beside their misfit."""
        value = next(iter(variables.values()))
        return value.new_zeros(len(value))

    def objective(self, misfit: PerImage, variables: Variables, at: At) -> PerImage:
        """What is made small."""
        return misfit + self.penalty(variables, at)

    def project(self, variables: Variables, at: At) -> Variables:
        """The rows back where they must stay, after a move."""
        return variables

    def codes(self, variables: Variables) -> Variables:
        """What of the final variables the solution keeps."""
        return variables
