"""A DCGAN that is told the class of its picture: one number per class beside z, and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

from torch import Tensor, nn

from priorsolve.apart import apart
from priorsolve.priors.conditional import ClassConditional
from priorsolve.priors.dcgan import chain, folded_blocks
from priorsolve.priors.errors import CheckpointError
from priorsolve.priors.layout import numbered

_Z = 100
"""How many numbers of z nearly every DCGAN has; what the first layer takes beyond them is the class."""


def recognises(state: Mapping[str, Tensor]) -> bool:
    """Whether the tensors are the conditional DCGAN's of omniart: a Dropout at main.3, and more than the usual 100 numbers enter."""
    first, second = state.get("main.0.weight"), state.get("main.4.weight")
    kernels = all(weight is not None and weight.ndim == 4 and tuple(weight.shape[2:]) == (4, 4) for weight in (first, second))
    return kernels and first is not None and first.shape[0] > _Z and "main.3.weight" not in state


@final
class ConditionalDCGAN(ClassConditional):
    """z (nz,) and a weight for each class → 4×4 features → twice the side per block → picture. z is N(0, I).

    A class is a one-hot row; codes of `z+c` may hold any weights. Codes of `features@k` are features alone: no later block knows
    the class. A `Dropout` layer in the numbering, which does nothing in eval mode, is passed over.
    """

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], *, n_classes: int | None = None) -> ConditionalDCGAN:
        """The generator whose tensors are `main.0.weight`, `main.1.weight`, … in float32.

        Args:
            n_classes: how many of the first layer's inputs are classes, which no file states; left out, what exceeds 100.

        Raises:
            CheckpointError: a tensor is missing, unknown, of the wrong shape, not finite, or a negative variance; the line names it.
        """
        kernels = [key for key, value in state.items() if value.ndim == 4]
        blocks, spaces, image_shape = chain(state, numbered(kernels, "main.", ".weight"))
        (inputs,) = spaces.pop("z")
        if n_classes is None:
            n_classes = inputs - _Z
        if not 0 < n_classes < inputs:
            raise CheckpointError(f"main.0.weight takes {inputs} numbers, of z and classes together; give n_classes, 1 to {inputs - 1}")
        return cls(blocks, {"z+c": (inputs,), "z": (inputs - n_classes,), **spaces}, image_shape, n_classes)

    @apart()
    def folded(self) -> ConditionalDCGAN:
        return self._like(folded_blocks(self._blocks))

    @apart()
    def crowded(self) -> ConditionalDCGAN:
        return self._like(folded_blocks(self._blocks, crowded=True))

    def _like(self, blocks: Sequence[nn.Module]) -> ConditionalDCGAN:
        return type(self)(blocks, self._spaces, self._image_shape, self._n_classes).computing(self.computes)

    def _embed(self, weights: Tensor) -> Tensor:
        return weights
