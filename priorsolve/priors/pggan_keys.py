"""The names that PGGAN's tensors go by: one network, written down in four ways."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from priorsolve.priors.layout import numbered


@dataclass(frozen=True)
class Dialect:
    """How one repository names the layers. Layers count from 0 here, blocks (one per resolution) too."""

    layer: str
    """Before a layer's number."""
    first: int
    """The number of the first layer."""
    weight_end: str
    fused_end: str
    """Of the weight where upsampling is fused into the layer; the same but in mganprior's files."""
    bias_end: str
    output: str
    """Of the RGB layer; {block} and {side} are filled in."""
    clamps: bool
    """The network itself clips its picture to [−1, 1]."""

    def weight(self, k: int) -> str:
        """The key of layer k's weight (out, in, kernel, kernel)."""
        return f"{self.layer}{k + self.first}{self.weight_end}"

    def bias(self, k: int) -> str:
        """The key of layer k's bias (out,)."""
        return f"{self.layer}{k + self.first}{self.bias_end}"

    def fused(self, k: int) -> str:
        """The key of layer k's weight where upsampling is fused into it."""
        return f"{self.layer}{k + self.first}{self.fused_end}"

    def rgb(self, block: int) -> tuple[str, str]:
        """The keys of weight and bias of the RGB layer after `block`."""
        stem = self.output.format(block=block, side=4 << block)
        return stem + self.weight_end, stem + self.bias_end

    def layers(self, state: Mapping[str, Tensor]) -> int:
        """How many layers the highest number means; two per resolution."""
        count = max(numbered(state, self.layer), default=self.first - 1) - self.first + 1
        return count + count % 2


DIALECTS = (
    Dialect("layer", 1, ".conv.weight", ".conv.weight", ".wscale.b", "output_{side}x{side}", clamps=True),  # ganseeing
    Dialect("features.", 0, ".conv.weight", ".conv.weight", ".wscale.b", "output", clamps=True),  # ganseeing, older
    Dialect("layer", 0, ".conv.weight", ".weight", ".wscale.bias", "output{block}", clamps=False),  # mganprior
    Dialect("layer", 0, ".weight", ".weight", ".bias", "output{block}", clamps=False),  # genforce
)


def dialect_of(state: Mapping[str, Tensor]) -> Dialect | None:
    """The dialect whose first layer, a 4×4 kernel and a bias, is in `state`; None where no PGGAN is."""
    for dialect in DIALECTS:
        weight = state.get(dialect.weight(0))
        if weight is not None and weight.ndim == 4 and tuple(weight.shape[2:]) == (4, 4) and dialect.bias(0) in state:
            return dialect
    return None
