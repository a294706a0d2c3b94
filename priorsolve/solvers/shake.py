"""Codes that are shaken while they are drawn, less and less, so that the search settles where pictures change little."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import Tensor

from priorsolve.counter_rng import normal_like
from priorsolve.solvers.task import At, Task
from priorsolve.solvers.variables import Variables
from priorsolve.types import Codes, Images


@final
@dataclass(frozen=True, eq=False)
class Shake:
    """`c ← c + jitter · fade · σ · ξ`; the fade goes from 1 to 0 at three quarters of the steps (Karras et al. 2020, appendix D)."""

    jitter: float
    spread: Tensor
    """σ, which broadcasts against the codes."""

    def on(self, at: At) -> bool:
        """Whether anything is shaken there."""
        return self.jitter > 0 and _fade(at) > 0

    def __call__(self, codes: Codes, at: At) -> Codes:
        """The codes (rows, ...) as they are drawn."""
        return codes + self.jitter * _fade(at) * self.spread * normal_like(codes, at.seeds, at.step) if self.on(at) else codes


@dataclass(kw_only=True)
class ShakenTask(Task):
    """A search whose code in `space` is shaken while it is drawn."""

    space: str
    shake: Shake

    def draw(self, variables: Variables, at: At) -> Images:
        return super().draw({**variables, self.space: self.shake(variables[self.space], at)}, at)

    def shaken(self, at: At) -> bool:
        return self.shake.on(at)


def _fade(at: At) -> float:
    return max(0.0, 1 - at.step / at.steps / 0.75) ** 2 if at.step < at.steps else 0.0
