"""A device that is not the CPU, on any machine: torch's `meta`, with numbers behind it.

Its tensors refuse the CPU's beside them, as a GPU's do, and float64, as Apple's do; what a GPU would make the
host wait for is counted. What a GPU computes, and how quickly, it cannot tell.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing

DEVICE = torch.device("meta")
READS = {"_local_scalar_dense", "nonzero", "equal", "is_nonzero", "masked_select", "unique_dim", "_unique2"}
"""Functions whose answer the host waits for, or whose answer's size it must know."""
MOVES = {"copy_", "_to_copy"}
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_"}


class Distant(Tensor):
    """A tensor of the device; `here` are its numbers."""

    here: Tensor

    @staticmethod
    def __new__(cls, here: Tensor) -> Distant:
        if here.dtype == torch.float64:
            raise TypeError("the device has no float64")
        here = here.resolve_conj().resolve_neg()  # below dispatch nobody looks at these bits
        made: Distant = Tensor._make_wrapper_subclass(
            cls, here.shape, strides=here.stride(), storage_offset=here.storage_offset(), dtype=here.dtype, device=DEVICE
        )
        made.here = here
        return made

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"Distant({self.here})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        return _done(func, args, kwargs or {}, Counter())


class Device(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """What is computed while it is on; `traffic` counts `reads` and `uploads`."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.traffic: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None) -> Any:
        return _done(func, args, kwargs or {}, self.traffic)


class _Made(TorchFunctionMode):
    """Tensors of Python's numbers are made on the CPU first, which dispatch does not see."""

    def __torch_function__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is Tensor.new_tensor and isinstance(args[0], Distant):
            return torch.tensor(args[1], dtype=kwargs.get("dtype", args[0].dtype)).to(DEVICE)
        if func in (torch.tensor, torch.as_tensor) and kwargs.get("device") is not None:
            device = kwargs.pop("device")
            return func(*args, **kwargs).to(device)
        return func(*args, **kwargs)


@contextmanager
def another_device() -> Iterator[Device]:
    """While it lasts `DEVICE` computes, in threads begun meanwhile too."""
    device, run = Device(), threading.Thread.run

    def moded(self: threading.Thread) -> None:
        with device, _Made():
            run(self)

    autocast: Callable[..., Any] = torch.autocast

    def of_the_cpu(device_type: str, *args: Any, **kwargs: Any) -> Any:
        return autocast("cpu" if device_type == DEVICE.type else device_type, *args, **kwargs)

    with mock.patch.object(threading.Thread, "run", moded), mock.patch.object(torch, "autocast", of_the_cpu), device, _Made():
        yield device


def _done(func: Any, args: Sequence[Any], kwargs: dict[str, Any], traffic: Counter[str]) -> Any:
    name = func._schema.name.split("::")[1]
    tensors = list(_tensors((*args, *kwargs.values())))
    distant = any(isinstance(tensor, Distant) for tensor in tensors)
    target = None if kwargs.get("device") is None else torch.device(kwargs["device"])
    lands = distant if target is None else target == DEVICE
    if name == "copy_":
        lands = isinstance(args[0], Distant)
    if not distant and not lands:
        return func(*args, **kwargs)
    near = [tensor for tensor in tensors if not isinstance(tensor, Distant)]
    if distant and name not in MOVES:
        _refuse_mixed(func, name, near, traffic)
    if lands and isinstance(kwargs.get("generator"), torch.Generator):
        raise RuntimeError(f"{func}: the generator is the CPU's")
    if name in MOVES and (near or not lands):
        traffic["uploads" if lands else "reads"] += 1
    if name in READS or (name in INDEXING and any(tensor.dtype == torch.bool for tensor in tensors[1:])):
        traffic["reads"] += 1
    if target is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    made = func(*_each(_here, args), **{key: _each(_here, value) for key, value in kwargs.items()})
    if not lands:
        return made
    return return_and_correct_aliasing(func, args, kwargs, _each(Distant, made))  # type: ignore[no-untyped-call]


def _here(tensor: Tensor) -> Tensor:
    return tensor.here if isinstance(tensor, Distant) else tensor


def _tensors(values: Sequence[Any]) -> Iterator[Tensor]:
    """Also those of lists; torch's own trees would take most of the time."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def _each(change: Callable[[Tensor], Tensor], value: Any) -> Any:
    """A tensor changed, or all in a list; anything else as it is."""
    if isinstance(value, Tensor):
        return change(value)
    return type(value)(_each(change, inner) for inner in value) if isinstance(value, list | tuple) else value


def _refuse_mixed(func: Any, name: str, near: Sequence[Tensor], traffic: Counter[str]) -> None:
    """As CUDA does: indices are brought there, single numbers are read, all others are refused."""
    shaped = [tensor for tensor in near if tensor.ndim]
    if name in INDEXING:
        traffic["uploads"] += len(shaped)
    elif shaped:
        raise RuntimeError(f"{func}: a tensor of shape {tuple(shaped[0].shape)} is on the CPU, and others are not")
