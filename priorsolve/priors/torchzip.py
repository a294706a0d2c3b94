"""torch's zip format: one pickle, and one stored record for each storage."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from priorsolve.priors.errors import BIG_ENDIAN, FAILURES, CheckpointError
from priorsolve.priors.inert import Bytes
from priorsolve.priors.unpickle import unpickle

_PICKLE_LIMIT = 64 << 20
T = TypeVar("T")


def read_zip(path: Path, size: int, select: Callable[[Any], T]) -> T:
    """What `select` makes of the content, the file still open for the storages it asks for.

    Raises:
        CheckpointError: it is damaged, compressed, asks for code, or declares more than it holds.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            records = {info.filename: info for info in archive.infolist()}
            data = _checked_records(archive, records, size)
            root = data.removesuffix("data.pkl")

            def find(key: str, declared: int) -> Bytes:
                record = records.get(f"{root}data/{key}")
                held = record.file_size if record else 0
                if declared > held or record is None:
                    raise CheckpointError(
                        f"declares {declared} bytes for storage {key[:40]!r} and holds {held}; it is damaged or made to fill the memory"
                    )
                return lambda: memoryview(archive.read(record))[:declared]

            # read by zipfile, which checks the checksum
            content = unpickle(io.BytesIO(archive.read(data)), find)
            damaged = archive.testzip()
            if damaged is not None:
                raise CheckpointError(f"is damaged (the checksum of {damaged} does not match); download or copy it again")
            return select(content)
    except CheckpointError:
        raise
    except (zipfile.BadZipFile, *FAILURES):
        raise CheckpointError("is incomplete or damaged (its zip directory does not read); download or copy it again") from None


def _checked_records(archive: zipfile.ZipFile, records: Mapping[str, zipfile.ZipInfo], size: int) -> str:
    """The name of the pickle among `records`, once all are stored as torch stores them."""
    if any(name.endswith("/constants.pkl") or "/code/" in name for name in records):
        raise CheckpointError("is a TorchScript archive, which holds code; where it was made, save model.state_dict() instead")
    pickles = [name for name in records if name == "data.pkl" or name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise CheckpointError(
            "is a zip archive without one data.pkl, so not a file of torch.save; unpack it and give the checkpoint inside"
        )
    if len(records) != len(archive.infolist()):
        raise CheckpointError("has two records of one name, which torch.save never writes; ask its maker for another copy")
    for name, record in records.items():
        if record.compress_type != zipfile.ZIP_STORED:
            raise CheckpointError(f"has a compressed record {name} ({record.file_size} bytes unpacked); torch.save compresses nothing")
    total = sum(record.file_size for record in records.values())
    if total > size or records[pickles[0]].file_size > _PICKLE_LIMIT:
        raise CheckpointError(f"declares {total} bytes in a file of {size}; it is damaged or made to fill the memory")
    order = records.get(pickles[0].removesuffix("data.pkl") + "byteorder")
    if order is not None and archive.read(order) == b"big":
        raise CheckpointError(BIG_ENDIAN)
    return pickles[0]
