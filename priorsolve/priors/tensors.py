"""A state dict while it is being read: every tensor asked for by name and shape, nothing odd let through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

from torch import Tensor

from priorsolve.priors.errors import CheckpointError
from priorsolve.priors.layout import is_finite, plain, refuse_negative, refuse_nonfinite, refuse_other_types, shape_of
from priorsolve.types import Shape


@final
class Tensors:
    """The tensors of a `network` (a noun for the error lines, such as "PGGAN generator").

    What is taken is a float32 copy. `finish` refuses a tensor that nobody asked for, because a layer left out draws other pictures.
    """

    def __init__(self, state: Mapping[str, Tensor], network: str) -> None:
        self._state = state
        self._network = network
        self._asked: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._state

    def shape(self, key: str, ndim: int) -> Shape:
        """The shape of the tensor `key`. Raises CheckpointError if it is missing, empty, or has not `ndim` axes."""
        return shape_of(self._state, key, ndim, network=f"a {self._network}")

    def take(self, key: str, shape: Sequence[int | None]) -> Tensor:
        """The tensor `key`, in float32. None in `shape` stands for any size.

        Raises:
            CheckpointError: missing, of another shape, not of floating point, or not finite; the line names it.
        """
        found = self.shape(key, len(shape))
        if any(size not in (None, there) for size, there in zip(shape, found, strict=True)):
            expected = ", ".join("any" if size is None else str(size) for size in shape)
            raise CheckpointError(f"{key} has shape {found}, expected ({expected}) from the layers around it; use the file as it was saved")
        refuse_other_types(self._state, [key])
        self._asked.add(key)
        value = plain(self._state[key])
        if not is_finite(value):
            refuse_nonfinite(self._state, self._state)  # told with all others
        return value

    def take_variance(self, key: str, shape: Sequence[int | None]) -> Tensor:
        """As `take`, and no value is negative."""
        value = self.take(key, shape)
        refuse_negative(self._state, [key])
        return value

    def pass_over(self, *keys: str) -> None:
        """Let these be there or not: training's own, or parts of the network that draw nothing."""
        self._asked.update(keys)

    def finish(self) -> None:
        """Raise CheckpointError, naming it, for a tensor that was neither taken nor passed over."""
        for key in self._state:
            if key not in self._asked:
                raise CheckpointError(f"{key} has no place in this {self._network}; save the generator's state_dict alone")
