"""Tensors out of a checkpoint file, by its content and never by its name; nothing in the file is ever run."""

from __future__ import annotations

import io
import mmap
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from priorsolve.priors.errors import FAILURES, CheckpointError
from priorsolve.priors.scan import globals_of
from priorsolve.priors.survey import refuse_name, survey

_MAGIC = 0x1950A86A20F9469CFC6C
"""The number that opens every file torch.save wrote before its zip format."""

_PICKLE_LIMIT = 64 << 20
_WRAPPERS = (
    *("g_ema", "G_ema", "ema", "generator_smooth", "netG_state_dict", "netG", "generator_state_dict", "generator", "G"),
    *("state_dict", "model_state_dict", "model", "g"),
)
_PREFIXES = ("module.", "_orig_mod.")
_AGAIN = "download it again, from the address of the file itself"


def read_state(path: str | Path) -> dict[str, Tensor]:
    """The generator's tensors, on the CPU, by name: a torch file (either format) or safetensors.

    A dict around the state dict is opened (`g_ema`, `netG_state_dict`, `state_dict`, …: averaged weights first), and the prefix that
    parallel training leaves (`module.`) is removed. Sizes are compared with the file's before anything is allocated.

    Raises:
        CheckpointError: the file cannot be read, is something else, is damaged, or asks for code; one line with file and way out.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error}); check the path") from None
    try:
        _refuse_pages(head, size)
        if head.startswith(b"PK"):
            loaded = _read_zip(path, size)
        elif len(head) > 8 and head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] < size:
            loaded = _read_safetensors(path)
        else:
            loaded = _read_stream(path, size)
        return _stripped(_unwrapped(loaded))
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {' '.join(str(error).split())}") from None  # one line, whatever the names inside


def _refuse_pages(head: bytes, size: int) -> None:
    """Raise for what a failed download leaves behind."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if size == 0:
        raise CheckpointError("is empty (0 bytes); download or copy it again")
    if text.startswith(b"version https://git-lfs"):
        raise CheckpointError("is a Git LFS pointer, not the file itself; fetch it with 'git lfs pull'")
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        raise CheckpointError(f"is an HTML page, so the download failed; {_AGAIN}")
    if text.startswith((b"<?xml", b"<error")):
        raise CheckpointError(f"is an XML error page, so the download failed; {_AGAIN}")
    if head[257:262] == b"ustar" or head.startswith((b"\x1f\x8b", b"7z\xbc\xaf", b"BZh", b"\xfd7zXZ")):
        raise CheckpointError("is a packed archive, not a checkpoint; unpack it and give the checkpoint inside")
    if head.startswith(b"\x89HDF\r\n"):
        raise CheckpointError("is an HDF5 file, a format not read; save its weights as safetensors")


def _read_safetensors(path: Path) -> Any:
    try:
        return load_file(path, device="cpu")
    except (SafetensorError, *FAILURES) as error:
        raise CheckpointError(f"is a damaged safetensors file ({_line(error)}); download or copy it again") from None


def _read_zip(path: Path, size: int) -> Any:
    try:
        with zipfile.ZipFile(path) as archive:
            records = {info.filename: info for info in archive.infolist()}
            data = _checked_records(archive, records, size)
            root = data.removesuffix("data.pkl")
            # zipfile's own copy of the bytes, checksum included, is what is surveyed
            stream = archive.read(data)
            damaged = archive.testzip()
    except CheckpointError:
        raise
    except (zipfile.BadZipFile, *FAILURES):
        raise CheckpointError("is incomplete or damaged (its zip directory does not read); download or copy it again") from None
    if damaged is not None:
        raise CheckpointError(f"is damaged (the checksum of {damaged} does not match); download or copy it again")
    names = globals_of(io.BytesIO(stream))
    if any(name.startswith("torch.nn.modules.") for name in names):
        refuse_name(names)

    def held(key: str, _: int) -> int:
        record = records.get(f"{root}data/{key}")
        return record.file_size if record else 0

    survey(io.BytesIO(stream), held)
    return _load(path)


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
    return pickles[0]


def _read_stream(path: Path, size: int) -> Any:
    """A file of torch.save before its zip format: magic number, version, system, tensors, storage keys, then raw numbers."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        # an mmap reads no further than the file, however much a pickle asks for
        stream: Any = view
        names = globals_of(stream)
        view.seek(0)
        if names or survey(stream, _nowhere) != _MAGIC:
            refuse_name(names)
        promised: dict[str, int] = {}

        def held(key: str, declared: int) -> int:
            promised[key] = max(declared, promised.get(key, 0))
            return declared if sum(promised.values()) <= size else 0

        for _ in range(2):
            _surveyed(stream, _nowhere)
        _surveyed(stream, held)
    return _load(path)


def _surveyed(stream: Any, held: Any) -> Any:
    start = stream.tell()
    names = globals_of(stream)
    if any(name.startswith("torch.nn.modules.") for name in names):
        refuse_name(names)
    stream.seek(start)
    return survey(stream, held)


def _nowhere(key: str, declared: int) -> int:
    return 0


def _load(path: Path) -> Any:
    """torch's own restricted reader, the second gate: the survey has seen the sizes, this one allows no name but its own."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FAILURES as error:
        raise CheckpointError(f"is incomplete or damaged ({_line(error)}); download or copy it again") from None


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]


def _unwrapped(loaded: Any) -> dict[str, Tensor]:
    """The state dict inside `loaded`, at most four dicts deep."""
    for _ in range(4):
        if not isinstance(loaded, Mapping):
            raise CheckpointError(f"holds a {type(loaded).__name__}, not a dict of tensors; save the generator's state_dict")
        known = [loaded[key] for key in _WRAPPERS if isinstance(loaded.get(key), Mapping)]
        tensors = {str(key): value.detach() for key, value in loaded.items() if isinstance(value, Tensor)}
        inside = [value for value in loaded.values() if isinstance(value, Mapping)]
        if known:
            loaded = known[0]
        elif tensors:
            return tensors
        elif len(inside) == 1:
            loaded = inside[0]
        else:
            break
    keys = ", ".join(str(key)[:40] for key in list(loaded)[:5])
    raise CheckpointError(f"holds no state dict under a known name; its keys are {keys or '(none)'}; save the generator's state_dict alone")


def _stripped(state: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in _PREFIXES:
        while state and all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state
