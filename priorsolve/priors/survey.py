"""What a pickle would load, found out without loading it: names, sizes and views, before torch reads one weight."""

from __future__ import annotations

import math
import pickle
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, NoReturn, final

from priorsolve.priors.errors import FAILURES, CheckpointError

Size = Callable[[str, int], int]
"""Bytes that the file holds for a storage, of its key and the bytes the pickle declares."""

_ITEM_BYTES = {
    **{"UntypedStorage": 1, "ByteStorage": 1, "CharStorage": 1, "BoolStorage": 1, "HalfStorage": 2, "BFloat16Storage": 2},
    **{"ShortStorage": 2, "IntStorage": 4, "FloatStorage": 4, "LongStorage": 8, "DoubleStorage": 8},
}


def survey(stream: BinaryIO, size: Size) -> Any:
    """Walk the next pickle of `stream`: only the names of plain tensors and containers, only views that fit their storage.

    Returns what was pickled, with None for every tensor.

    Raises:
        CheckpointError: the pickle names anything else, or declares more than `size` says the file holds.
    """
    try:
        return _Survey(stream, size).load()
    except CheckpointError:
        raise
    except FAILURES as error:
        raise CheckpointError(f"is damaged: its pickle does not read ({type(error).__name__}); download or copy it again") from None


@final
class _Survey(pickle.Unpickler):
    """The unpickler of `survey`: storages become their size in items, tensors None."""

    def __init__(self, stream: BinaryIO, size: Size) -> None:
        super().__init__(stream, encoding="latin1")
        self._size = size

    def find_class(self, module: str, name: str) -> Any:
        key = f"{module}.{name}"
        if key not in ALLOWED:
            refuse_name([key])
        return ALLOWED[key]

    def persistent_load(self, pid: Any) -> int:
        tag, kind, key, _, items = pid[:5]
        if tag != "storage" or not isinstance(kind, _Storage) or not isinstance(items, int) or items < 0:
            raise CheckpointError("is damaged: it refers to something that is no storage; download or copy it again")
        declared, held = items * kind.item_bytes, self._size(str(key), items * kind.item_bytes)
        if declared > held:
            raise CheckpointError(
                f"declares {declared} bytes for storage {key!r} and holds {held}; it is damaged or made to fill the memory"
            )
        return items


@final
class _Storage:
    """Stands for a storage class; knows the bytes of one item and builds nothing."""

    def __init__(self, item_bytes: int) -> None:
        self.item_bytes = item_bytes


@final
class _Inert:
    """Stands for a value that plays no part."""


def _view(items: int, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *_: object) -> None:
    """Raise unless a tensor's view lies inside its storage and repeats nothing."""
    if len(shape) != len(stride) or min((offset, *shape, *stride), default=0) < 0:
        raise CheckpointError(f"is damaged: a tensor has shape {shape} and stride {stride}; download or copy it again")
    count = math.prod(shape)
    reach = offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True)) + 1 if count else 0
    if max(count, reach) > items:
        raise CheckpointError(
            f"has a tensor of shape {tuple(shape)} over a storage of {items} numbers; it is damaged or made to fill the memory"
        )


def _nothing(*_: object) -> None:
    return None


def _inert(*_: object) -> _Inert:
    return _Inert()


ALLOWED: Mapping[str, Any] = {
    "collections.OrderedDict": OrderedDict,
    "collections.Counter": Counter,
    "builtins.set": set,
    "__builtin__.set": set,
    "torch.Size": tuple,
    "torch.device": _inert,
    "torch._utils._rebuild_tensor": _view,
    "torch._utils._rebuild_tensor_v2": _view,
    "torch._utils._rebuild_parameter": _nothing,
    "torch._utils._rebuild_parameter_with_state": _nothing,
    **{f"torch.{name}": _Storage(item_bytes) for name, item_bytes in _ITEM_BYTES.items()},
    "torch.storage.UntypedStorage": _Storage(1),
    **{
        f"torch.{name}": _Inert()
        for name in ("float16", "bfloat16", "float32", "float64", "uint8", "int8", "int16", "int32", "int64", "bool")
    },
}
"""Exact names, never prefixes: a name with dots can reach any module from an innocent one."""

NVIDIA = "torch_utils.persistence._reconstruct_persistent_obj"
_NVIDIA = {
    *(NVIDIA, "dnnlib.util.EasyDict", "torch.storage._load_from_bytes", "numpy.dtype", "numpy.ndarray", "_codecs.encode"),
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
}


def refuse_name(names: list[str]) -> NoReturn:
    """Raise for a pickle that asks for `names`: a line that names the first one that is not data."""
    foreign = [name for name in names if name not in ALLOWED and name not in (_NVIDIA if NVIDIA in names else ())]
    if any(name.startswith("torch.nn.modules.") for name in foreign):
        raise CheckpointError(
            f"holds a whole pickled module ({foreign[0]}), not a state dict; where it was made, run torch.save(model.state_dict(), ...)"
        )
    if foreign:
        raise CheckpointError(
            f"asks for {foreign[0]}, which is code, not data, and was not run; ask its maker for torch.save(model.state_dict(), ...)"
        )
    if NVIDIA in names:
        raise CheckpointError("is an NVIDIA StyleGAN pickle, a format not read yet; convert its G_ema to a state dict where it was made")
    raise CheckpointError(
        "is an ordinary pickle, not a file of torch.save or safetensors; save the generator's state_dict with one of these"
    )
