"""torch's stream format, from before its zip files: magic number, version, system, content, storage keys, then raw numbers."""

from __future__ import annotations

import io
import struct
from mmap import mmap
from typing import Any, BinaryIO

from priorsolve.priors.errors import BIG_ENDIAN, CheckpointError
from priorsolve.priors.inert import Bytes, Storage
from priorsolve.priors.unpickle import nowhere, unpickle

MAGIC = 0x1950A86A20F9469CFC6C
"""The number that opens every such stream."""


def read_stream(stream: BinaryIO, raw: mmap | memoryview) -> Any:
    """What a stream of the bytes `raw` holds, `stream` standing after the magic number; storages are cut out when asked for.

    Raises:
        CheckpointError: it is damaged, asks for code, or declares more than it holds.
    """
    size, total = len(raw), 0
    promised: dict[str, int] = {}
    places: dict[str, tuple[int, int]] = {}

    def find(key: str, declared: int) -> Bytes:
        nonlocal total
        total += declared
        promised[key] = declared
        if total > size:
            raise CheckpointError(
                f"declares {declared} bytes for storage {key[:40]!r} in a file of {size}; it is damaged or made to fill the memory"
            )
        return lambda: raw[slice(*places[key])]

    unpickle(stream, nowhere)
    system = unpickle(stream, nowhere)
    if isinstance(system, dict) and system.get("little_endian") is False:
        raise CheckpointError(BIG_ENDIAN)
    content = unpickle(stream, find)
    keys = unpickle(stream, nowhere)
    names = [str(key) for key in keys if isinstance(key, (str, int))] if isinstance(keys, list) else ["?"]
    if set(names) != set(promised):
        raise CheckpointError("is damaged: its list of storages is not the one its tensors use; download or copy it again")
    for key in names:
        count = stream.read(8)
        start, stop = stream.tell(), stream.tell() + promised[key]
        if len(count) < 8 or stop > size:
            raise CheckpointError("is incomplete or damaged (it ends inside its numbers); download or copy it again")
        items = struct.unpack("<q", count)[0]
        if promised[key] not in (items, items * 2, items * 4, items * 8):
            raise CheckpointError(f"is damaged: storage {key[:40]!r} has {items} numbers in {promised[key]} bytes; download it again")
        places[key] = start, stop
        stream.seek(stop)
    return content


def packed(raw: object) -> Storage:
    """The storage that NVIDIA's pickles hold as the bytes of such a stream of its own; nothing in it may hold another."""
    if not isinstance(raw, bytes):
        raise CheckpointError("is damaged: a storage without its bytes; download or copy it again")
    stream = io.BytesIO(raw)
    if unpickle(stream, nowhere) != MAGIC:
        raise CheckpointError("has a storage in no known format; load and save it with the program that made it")
    content = read_stream(stream, memoryview(raw))
    if not isinstance(content, Storage):
        raise CheckpointError("is damaged: a storage that holds something else; download or copy it again")
    return content
