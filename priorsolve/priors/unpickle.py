"""An unpickler that builds data and nothing else: exact allowed names, each with an inert stand-in of ours."""

from __future__ import annotations

import pickle
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO, final

import numpy as np
import torch

from priorsolve.priors.errors import FAILURES, CheckpointError, told
from priorsolve.priors.inert import Array, Bytes, Dtype, Fixed, Inert, Record, Storage, View
from priorsolve.priors.scan import KEY_LIMIT, UNLIKE_KEYS, globals_of

Find = Callable[[str, int], Bytes]
"""How to read a storage, of its key and the bytes the pickle declares. Raises CheckpointError where the file holds fewer."""


def unpickle(stream: BinaryIO, find: Find, packed: Callable[[object], Storage] | None = None) -> Any:
    """What the next pickle of `stream` holds: plain values, and the records of `inert` for everything else.

    The opcodes are looked through first, so no memory is taken that the file does not pay for, and no name is met half-way.

    Args:
        stream: at the pickle's first byte; left after its last.
        find: where the file keeps its storages.
        packed: opens the bytes of a storage pickled in place, where that may be.

    Raises:
        CheckpointError: the pickle is damaged, asks for any other name, or declares more than the file holds.
    """
    start = stream.tell()
    names = globals_of(stream)
    refuse_names(names)
    stream.seek(start)
    try:
        return _Unpickler(stream, find, packed).load()
    except CheckpointError:
        raise
    except FAILURES as error:
        raise CheckpointError(f"is damaged: its pickle does not read ({type(error).__name__}); download or copy it again") from None


def nowhere(key: str, declared: int) -> Bytes:
    """`Find` for a pickle that may refer to no storage."""
    raise CheckpointError("is damaged: it refers to a storage outside it; download or copy it again")


@final
class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: BinaryIO, find: Find, packed: Callable[[object], Storage] | None) -> None:
        start = stream.tell()
        stream.seek(0, 2)
        left = [_COPIES * (stream.tell() - start)]
        stream.seek(start)
        super().__init__(stream, encoding="latin1")
        self._find, self._packed = find, packed
        self._storages: dict[str, Storage] = {}
        keys = [KEY_LIMIT]
        copying = {**_COPYING, **{key: _keyed(make, keys) for key, make in _HASHING.items()}}
        self._copying = {key: _Maker(_paid(make, left)) for key, make in copying.items()}
        if packed is not None:
            self._copying[_PACKED] = _Maker(_paid(packed, left))

    def find_class(self, module: str, name: str) -> Any:
        key = f"{module}.{name}"
        refuse_names([key])
        if key == _PACKED and self._packed is None:
            raise CheckpointError(f"asks for {_PACKED} inside a storage, which no writer does; ask its maker for another copy")
        return self._copying.get(key) or _ALLOWED[key]

    def persistent_load(self, pid: Any) -> Storage:
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage" or not isinstance(pid[1], _Kind):
            raise CheckpointError("is damaged: it refers to something that is no storage; download or copy it again")
        _, kind, key, _, items = pid[:5]
        if type(items) is not int or items < 0 or not isinstance(key, (str, int)) or pid[5:] not in ((), (None,)):
            raise CheckpointError("is damaged: it refers to a storage in no known way; download or copy it again")
        # torch refers to a storage anew for each tensor over it; all of them must share its numbers
        known = self._storages.get(str(key))
        if known is None:
            known = self._storages[str(key)] = Storage(kind.dtype, items, self._find(str(key), items * kind.dtype.itemsize))
        elif (known.dtype, known.items) != (kind.dtype, items):
            raise CheckpointError(f"is damaged: storage {told(key)} is of two types or lengths; download or copy it again")
        return known


def _paid(make: Callable[..., object], left: list[int]) -> Callable[..., object]:
    """`make`, which goes through its first argument from end to end: the file pays for that, not for doing it again and again.

    `left[0]` is what it has left. Apart from the unpickler, which would hold itself and all storages until the next collection else.
    """

    def paid(*arguments: Any) -> object:
        left[0] -= len(arguments[0]) if arguments else 0
        if left[0] < 0:
            raise CheckpointError("goes through the same numbers again and again; it is damaged or made to hang its reader")
        return make(*arguments)

    return paid


def _keyed(make: Callable[..., object], left: list[int]) -> Callable[..., object]:
    """`make`, which hashes what its first argument holds: `left[0]` things at most that are no text, see `scan`."""

    def keyed(*arguments: Any) -> object:
        # a list is a key and its value
        keys = (item[0] if isinstance(item, list) and item else item for item in arguments[0]) if arguments else ()
        left[0] -= sum(not isinstance(key, str) for key in keys)
        if left[0] < 0:
            raise CheckpointError(UNLIKE_KEYS)
        return make(*arguments)

    return keyed


@final
class _Kind(Fixed):
    """Stands for a storage class, or for a torch dtype."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype


@final
class _Maker(Fixed):
    """Stands for a function; a plain function's defaults could be changed by the file, for every file after it."""

    def __init__(self, make: Callable[..., object]) -> None:
        self._make = make

    def __call__(self, *arguments: object) -> object:
        return self._make(*arguments)


def _view(storage: object, offset: Any = 0, shape: Any = (), stride: Any = (), *_: object) -> View:
    if not isinstance(storage, Storage) or not isinstance(shape, tuple) or not isinstance(stride, tuple):
        raise CheckpointError("is damaged: a tensor without its numbers; download or copy it again")
    return View(storage, offset, shape, stride)


def _parameter(view: object, *_: object) -> View:
    if not isinstance(view, View):
        raise CheckpointError("is damaged: a parameter without its tensor; download or copy it again")
    return view


def _size(items: Any = ()) -> tuple[int, ...]:
    # numbers only: tuples of tuples, made this way, could take for ever to hash
    return tuple(item for item in items if type(item) is int)


def _scalar(dtype: object, raw: object = None) -> Any:
    if not isinstance(dtype, Dtype) or not isinstance(raw, bytes) or len(raw) != dtype.numpy.itemsize:
        raise CheckpointError("is damaged: a numpy number without its bytes; download or copy it again")
    return np.frombuffer(raw, dtype.numpy)[0].item()


def _encoded(text: object, encoding: object = "latin1") -> bytes:
    """Bytes, as pickles before protocol 3 write them."""
    if not isinstance(text, str) or encoding != "latin1":
        raise CheckpointError("is damaged: bytes in no known encoding; download or copy it again")
    return text.encode("latin1")


def _record(meta: object, *_: object) -> Record:
    if not isinstance(meta, dict) or not isinstance(meta.get("state"), dict):
        raise CheckpointError("is damaged: an object of NVIDIA's networks without its state; download or copy it again")
    kind = meta.get("class_name")
    return Record(kind[:80] if isinstance(kind, str) else "", meta["state"])


class _Ordered(OrderedDict[Any, Any]):
    """Without attributes: torch keeps versions there, and a file could put its own in the place of `get` or `items`."""

    def __setstate__(self, state: object) -> None:
        pass


class _Easy(dict[str, Any]):
    """Made empty, then filled. Without attributes, as above; and where a pickle names the class itself, its state is refused."""

    def __init__(self) -> None:
        super().__init__()

    def __setstate__(self, state: object) -> None:
        pass


def _array(*_: object) -> Array:
    return Array()


def _array5(raw: object = None, dtype: object = None, shape: object = None, order: object = "C", *_: object) -> Array:
    """An array as protocol 5 writes it, all at once."""
    array = Array()
    array.__setstate__((1, shape, dtype, order == "F", bytes(raw) if isinstance(raw, bytearray) else raw))
    return array


_COPIES = 2
"""How often the bytes of a file may be gone through while they are made into objects; those that writers write need it twice at most."""
_HASHING: Mapping[str, Callable[..., object]] = {
    "collections.OrderedDict": _Ordered,
    "collections.Counter": _Ordered,
    "builtins.set": set,
    "__builtin__.set": set,
}
_COPYING: Mapping[str, Callable[..., object]] = {
    **_HASHING,
    "torch.Size": _size,
    "_codecs.encode": _encoded,
    **{f"numpy.{core}.numeric._frombuffer": _array5 for core in ("core", "_core")},
}
"""What takes a copy of what it is given."""
_PACKED = "torch.storage._load_from_bytes"
_DTYPES = {
    **{"Byte": torch.uint8, "Char": torch.int8, "Bool": torch.bool, "Half": torch.float16, "BFloat16": torch.bfloat16},
    **{"Short": torch.int16, "Int": torch.int32, "Float": torch.float32, "Long": torch.int64, "Double": torch.float64},
}
_ALLOWED: Mapping[str, Any] = {
    **dict.fromkeys(_COPYING),
    "argparse.Namespace": Inert,
    "torch.device": Inert,
    **{f"pathlib.{local}{kind}Path": Inert for local in ("", "_local.") for kind in ("Posix", "Windows", "PurePosix", "PureWindows")},
    "torch._utils._rebuild_tensor": _Maker(_view),
    "torch._utils._rebuild_tensor_v2": _Maker(_view),
    "torch._utils._rebuild_parameter": _Maker(_parameter),
    "torch._utils._rebuild_parameter_with_state": _Maker(_parameter),
    **{f"torch.{name}Storage": _Kind(dtype) for name, dtype in _DTYPES.items()},
    "torch.storage.UntypedStorage": _Kind(torch.uint8),
    **{f"torch.{str(dtype).removeprefix('torch.')}": _Kind(dtype) for dtype in _DTYPES.values()},
    "torch_utils.persistence._reconstruct_persistent_obj": _Maker(_record),
    "dnnlib.util.EasyDict": _Easy,
    "dnnlib.tflib.network.Network": Inert,
    _PACKED: None,
    "numpy.dtype": Dtype,
    "numpy.ndarray": Inert,
    **{f"numpy.{core}.multiarray.scalar": _Maker(_scalar) for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray._reconstruct": _Maker(_array) for core in ("core", "_core")},
}
"""Exact names, never prefixes: a name with dots can reach any module from an innocent one."""


_TYPED = re.compile(r"torch\._utils\._rebuild_\w+|torch\.\w+Storage|torch\.serialization\._get_layout|torch\.per_\w+_affine")
"""What torch.save asks for where tensors are of types that are not read."""


def refuse_names(names: Sequence[str]) -> None:
    """Raise for a pickle that asks for more than data: a line that names the first such thing."""
    foreign = [name for name in names if name not in _ALLOWED]
    for name in foreign:
        if name.startswith("torch.nn.modules."):
            raise CheckpointError(
                f"holds a whole pickled module ({name}), not a state dict; where it was made, run torch.save(model.state_dict(), ...)"
            )
    code = [name for name in foreign if not _is_of_types(name)]
    if code:
        raise CheckpointError(
            f"asks for {code[0][:200]}, which is code, not data, and was not run; ask its maker for torch.save(model.state_dict(), ...)"
        )
    if foreign:
        raise CheckpointError(
            f"asks for {foreign[0][:200]}, so it holds weights of a type (float8, complex, sparse, …) that no generator known here has; "
            "save them as float32"
        )


def _is_of_types(name: str) -> bool:
    """Whether it is a type of numbers, or stands beside one, as torch.save writes tensors that are not read here."""
    return _TYPED.fullmatch(name) is not None or isinstance(vars(torch).get(name.removeprefix("torch.")), torch.dtype)
