"""Tensors out of a checkpoint file, by its content and never by its name; nothing in the file is ever run."""

from __future__ import annotations

import json
import mmap
import os
import stat
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, final

from safetensors import SafetensorError
from torch import Tensor

from priorsolve.files import is_file
from priorsolve.priors.errors import FAILURES, CheckpointError, in_one_line
from priorsolve.priors.legacy import MAGIC, packed, read_stream
from priorsolve.priors.safetensors_file import read_safetensors
from priorsolve.priors.torchzip import read_zip
from priorsolve.priors.unpickle import nowhere, unpickle
from priorsolve.priors.unwrap import Settings, generator_of
from priorsolve.showing import checked_path

_FILE_LIMIT = 16 << 30
_SETTINGS_LIMIT = 1 << 20
_OPENVINO = "which is read by a name of the zoo only; take the prior ffhq1024, or one cut from it"
_AGAIN = "download it again, from the address of the file itself"
FOLDER = ("config.json", "pytorch_model.bin")
"""Settings and weights, in a folder as Hugging Face lays it out."""
FAMILY, SETTINGS = "priorsolve.family", "priorsolve.settings"
"""Where a safetensors file of ours says what network it holds, and how it is set."""


@final
@dataclass(frozen=True)
class Checkpoint:
    """A generator's tensors on the CPU by name, what the file says of its configuration, and its family where the file is ours."""

    state: dict[str, Tensor]
    settings: Settings = field(default_factory=dict)
    family: str | None = None


def read_state(path: str | Path) -> dict[str, Tensor]:
    """The generator's tensors, on the CPU, by name; see `read_checkpoint`."""
    return read_checkpoint(path).state


def read_checkpoint(path: str | Path) -> Checkpoint:
    """The generator in a torch file (either format), an NVIDIA pickle, a safetensors file, or a folder as Hugging Face lays it out.

    A dict around the state dict is opened (`g_ema`, `netG_state_dict`, `state_dict`, …: averaged weights first), and the prefix that
    parallel training leaves (`module.`) is removed. Sizes are compared with the file's before anything is allocated, and only the
    generator's own numbers are read.

    Raises:
        ValueError: that is no path.
        CheckpointError: the file cannot be read, is something else, is damaged, or asks for code; one line with file and way out.
    """
    path = checked_path(path, "read_checkpoint: path")
    about, head = _looked_at(path)
    if stat.S_ISDIR(about.st_mode):
        return _read_folder(path)
    if not stat.S_ISREG(about.st_mode):
        raise CheckpointError(f"{path}: cannot be read (it is a pipe or a device, no file); copy what it gives into a file")
    try:
        return _read_file(path, head, about.st_size)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {in_one_line(error)}") from None
    except FAILURES as error:  # what a pickle may hold has no end; what is foreseen is told better
        raise CheckpointError(f"{path}: is damaged ({_line(error)}); download or copy it again") from None


def _looked_at(path: Path) -> tuple[os.stat_result, bytes]:
    """What the system says of it, and the first bytes where it is a file: a pipe would be waited for without end."""
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            return about, b""
        with path.open("rb") as file:
            return about, file.read(512)
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error.strerror}); check the path (docs/formats.md says where published files are), "
            "or take another prior, as --set prior=ffhq128 does for a recipe"
        ) from None
    except OSError as error:
        raise CheckpointError(f"{_short(path)}: cannot be read ({error.strerror or error}); check the path") from None
    except ValueError as error:
        raise CheckpointError(f"{path!r}: cannot be read ({error}); check the path") from None


def _read_file(path: Path, head: bytes, size: int) -> Checkpoint:
    """By what it begins with. Errors do not name the file."""
    _refuse_pages(head, size)

    def select(content: Any) -> Checkpoint:
        return Checkpoint(*generator_of(content, size))

    if head.startswith(b"PK"):
        return read_zip(path, size, select)
    if len(head) > 8 and head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] < size:
        return _read_safetensors(path, size)
    return _read_pickles(path, select)


def _read_folder(path: Path) -> Checkpoint:
    if is_file(path / FOLDER[0]):
        settings = _read_settings(path / FOLDER[0])
        return replace(read_checkpoint(path / FOLDER[1]), settings=settings)
    if any(path.glob("*.xml")):
        raise CheckpointError(f"{path}: is a folder with an OpenVINO graph, {_OPENVINO}")
    raise CheckpointError(f"{path}: cannot be read (it is a folder without {FOLDER[0]}); give the checkpoint file in it")


def _read_settings(path: Path) -> Settings:
    try:
        with path.open("rb") as file:
            settings = json.loads(file.read(_SETTINGS_LIMIT))
    except (RecursionError, *FAILURES) as error:
        raise CheckpointError(f"{path}: does not read as JSON ({_line(error)}); download or copy it again") from None
    if not isinstance(settings, dict):
        raise CheckpointError(f"{path}: holds a {type(settings).__name__}, not a JSON object; download or copy it again")
    return settings


def _refuse_pages(head: bytes, size: int) -> None:
    """Raise for what a failed download leaves behind."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if size == 0:
        raise CheckpointError("is empty (0 bytes); download or copy it again")
    if size > _FILE_LIMIT:
        raise CheckpointError(f"is of {size >> 30} GiB, larger than any generator known here; save the generator's state_dict alone")
    if text.startswith(b"version https://git-lfs"):
        raise CheckpointError("is a Git LFS pointer, not the file itself; fetch it with 'git lfs pull'")
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        raise CheckpointError(f"is an HTML page, so the download failed; {_AGAIN}")
    if text.startswith((b"<?xml", b"<net ")) and b"<net " in text:
        raise CheckpointError(f"is an OpenVINO graph, {_OPENVINO}")
    if text.startswith((b"<?xml", b"<error")):
        raise CheckpointError(f"is an XML error page, so the download failed; {_AGAIN}")
    if head[257:262] == b"ustar" or head.startswith((b"\x1f\x8b", b"7z\xbc\xaf", b"BZh", b"\xfd7zXZ")):
        raise CheckpointError("is a packed archive, not a checkpoint; unpack it and give the checkpoint inside")
    if head.startswith(b"\x89HDF\r\n"):
        raise CheckpointError("is an HDF5 file, a format not read; save its weights as safetensors")


def _read_safetensors(path: Path, size: int) -> Checkpoint:
    try:
        stored, metadata = read_safetensors(path)
        # copies: the file may change later, and sums over numbers that start elsewhere in a cache line round otherwise
        tensors = {name: tensor.clone() for name, tensor in stored.items()}
        settings = json.loads(metadata.get(SETTINGS, "{}"))
    except (SafetensorError, RecursionError, *FAILURES) as error:
        raise CheckpointError(f"is a damaged safetensors file ({_line(error)}); download or copy it again") from None
    if FAMILY in metadata:
        if not isinstance(settings, dict):
            raise CheckpointError(f"is a damaged safetensors file (its {SETTINGS} is no JSON object); convert the original again")
        return Checkpoint(tensors, settings, metadata[FAMILY])
    return Checkpoint(*generator_of(tensors, size))


def _read_pickles(path: Path, select: Callable[[Any], Checkpoint]) -> Checkpoint:
    """A file of one pickle, as NVIDIA's are, or of torch's stream format, which opens with a pickled number."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        # an mmap reads no further than the file, however much a pickle asks for
        stream: Any = view
        content = unpickle(stream, nowhere, packed)
        if isinstance(content, int) and content == MAGIC:
            return select(read_stream(stream, view))
    if not isinstance(content, (Mapping, tuple)):
        raise CheckpointError(
            "is an ordinary pickle, not a checkpoint known here; save the generator's state_dict with torch.save or safetensors"
        )
    # the pickle held copies of all numbers: with the mmap closed, the file itself takes no memory beside them
    return select(content)


def _short(path: Path) -> str:
    text = str(path)
    return text if len(text) < 1000 else f"{text[:100]}…"


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
