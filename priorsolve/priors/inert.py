"""What a checkpoint's pickle becomes in memory: records without behaviour, and tensors that are read only when asked for."""

from __future__ import annotations

import math
from abc import ABC
from collections.abc import Callable
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from priorsolve.priors.errors import CheckpointError, told

Bytes = Callable[[], Any]
"""Gives the raw little-endian bytes of a storage, as anything that has the buffer interface."""


_AXES = 64


class Fixed(ABC):  # noqa: B024 - there is nothing to fill in; it is only never made itself
    """An object that a pickle can neither fill nor change after it was made."""

    def __setstate__(self, state: object) -> None:
        raise CheckpointError("is damaged: it would change an object after it was made; download or copy it again")


@final
class Storage(Fixed):
    """`items` numbers of `dtype`; `read` fetches their bytes when the first tensor over them is asked for."""

    def __init__(self, dtype: torch.dtype, items: int, read: Bytes) -> None:
        self.dtype, self.items = dtype, items
        self._read: Bytes | None = read
        self._tensor: Tensor | None = None

    def tensor(self) -> Tensor:
        """(items,), made once however many tensors look at it."""
        if self._tensor is None:
            assert self._read is not None
            flat = torch.empty(self.items, dtype=self.dtype, device="cpu")
            raw = np.frombuffer(self._read(), dtype=np.uint8)
            if raw.nbytes != flat.nbytes:
                raise CheckpointError(f"holds {raw.nbytes} bytes where a tensor needs {flat.nbytes}; download or copy it again")
            if self.items:
                flat.view(torch.uint8).numpy()[:] = raw
            # bytes that only this held are no longer needed
            self._tensor, self._read = flat, None
        return self._tensor


@final
class View(Fixed):
    """A tensor as torch pickles one: a shape and strides over a storage, checked to lie inside it and to repeat nothing."""

    def __init__(self, storage: Storage, offset: int, shape: tuple[int, ...], stride: tuple[int, ...]) -> None:
        numbers = (offset, *shape, *stride)
        if len(shape) != len(stride) or not _are_sizes(numbers):
            raise CheckpointError(f"is damaged: a tensor has shape {told(shape)} and stride {told(stride)}; download or copy it again")
        count = math.prod(shape)
        reach = offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True)) + 1 if count else 0
        if max(count, reach) > storage.items:
            raise CheckpointError(
                f"has a tensor of shape {told(shape)} over a storage of {storage.items} numbers; it is damaged or made to fill memory"
            )
        self._storage, self._offset, self._shape, self._stride = storage, offset, tuple(shape), tuple(stride)
        self.nbytes, self.ndim = count * storage.dtype.itemsize, len(shape)

    def tensor(self) -> Tensor:
        """The numbers, over memory shared with the other views of the storage."""
        return self._storage.tensor().as_strided(self._shape, self._stride, self._offset)


@final
class Dtype:
    """A numpy dtype by its code, such as "<f4"; plain numbers only."""

    _PLAIN = ("b1", "i1", "i2", "i4", "i8", "u1", "f2", "f4", "f8")

    def __init__(self, code: object, *_: object) -> None:
        if not isinstance(code, str) or code.lstrip("<|=") not in self._PLAIN:
            raise CheckpointError(f"has a numpy array of {told(code)}, not of plain numbers; save the weights as safetensors")
        self.numpy: np.dtype[Any] = np.dtype(code.lstrip("<|="))

    def __setstate__(self, state: object) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if order not in ("<", "|", "="):
            raise CheckpointError(f"has a numpy array of byte order {told(order)}; write the file again on a little-endian machine")


@final
class Array:
    """A numpy array; its numbers come with the pickle's BUILD step."""

    def __init__(self) -> None:
        self._array: Any = None
        self.nbytes = self.ndim = 0

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[2], Dtype) or not isinstance(state[1], tuple):
            raise CheckpointError("is damaged: a numpy array has no numbers; download or copy it again")
        _, shape, dtype, fortran, raw = state
        if not _are_sizes(shape) or not isinstance(raw, bytes):
            raise CheckpointError("is damaged: a numpy array has an impossible shape; download or copy it again")
        if math.prod(shape) * dtype.numpy.itemsize != len(raw):
            raise CheckpointError(f"has a numpy array of shape {told(shape)} over {len(raw)} bytes; download or copy it again")
        self._array = np.frombuffer(raw, dtype.numpy).reshape(shape, order="F" if fortran else "C")
        self.nbytes, self.ndim = len(raw), len(shape)

    def tensor(self) -> Tensor:
        """A copy of the numbers."""
        if self._array is None:
            raise CheckpointError("is damaged: a numpy array has no numbers; download or copy it again")
        return torch.from_numpy(np.ascontiguousarray(self._array).reshape(self._array.shape).copy())

    def numbers(self) -> Any:
        """The numbers as Python writes them: nested lists, or one number."""
        return None if self._array is None or self._array.size > 1024 else self._array.tolist()


def _are_sizes(numbers: tuple[object, ...]) -> bool:
    """Whether these are whole numbers as a computer holds them; longer ones, or thousands, would take for ever to multiply."""
    return len(numbers) <= 2 * _AXES + 1 and all(type(n) is int and 0 <= n < 1 << 62 for n in numbers)


@final
class Record(Fixed):
    """An object of NVIDIA's `persistence` module: the name of its class and its attributes; its source text is left unread."""

    def __init__(self, kind: str, state: dict[str, Any]) -> None:
        self.kind, self.state = kind, state


@final
class Inert:
    """Stands for a value that plays no part, such as the arguments a training script was started with."""

    state: object = None

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, state: object) -> None:
        self.state = state
