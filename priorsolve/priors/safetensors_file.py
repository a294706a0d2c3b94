"""Safetensors files: made so that the same content has the same bytes, and read with nothing in them ever run."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor


def to_safetensors(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """The bytes of the file with the tensors, which are contiguous and share no memory, and the metadata, sorted.

    The package itself writes the metadata in an order of chance. Sorted it is as long, so it goes where it was: the tensors are not copied.
    """
    file = io.BytesIO(save(dict(tensors), dict(metadata)))
    length = int.from_bytes(file.read(8), "little")
    head = json.loads(file.read(length))
    head["__metadata__"] = dict(sorted(metadata.items()))
    file.seek(8)
    file.write(json.dumps(head, ensure_ascii=False, separators=(",", ":")).encode().ljust(length))
    return file.getvalue()


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors, on the CPU and in the file's own memory, and the metadata. Raises OSError or SafetensorError."""
    with safe_open(path, framework="pt", device="cpu") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118 (no mapping)
