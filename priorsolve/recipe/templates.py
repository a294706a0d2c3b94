"""What stands for something of each photo: `{stem}` for its name, `{seed}` for its seed."""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePosixPath
from typing import Any

from priorsolve.files import is_file
from priorsolve.photos.names import KNOWN

STEM = "'{stem}' is a photo's name without its suffix, so that file: 'masks/{stem}.png' takes its mask from a folder of masks"
"""What there is to say where something else stands in braces."""


def photo_seed(seed: int, name: str) -> int:
    """A photo's own seed, from the recipe's and the photo's plain name: the same in any batch, shard or order."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{_plain_name(name)}".encode("utf-8", "surrogatepass")).digest()[:6], "big")


def stem(name: str) -> str:
    """A photo's name without folder and suffix."""
    return PurePosixPath(_plain_name(name)).name


def rendered(spec: dict[str, dict[str, Any]], stem: str, seed: int) -> dict[str, dict[str, Any]]:
    """The component for one photo: `{stem}` in a text is the photo's name without suffix, `"{seed}"` alone is its seed."""
    return {
        name: {
            key: (seed if value == "{seed}" else value.replace("{stem}", stem)) if isinstance(value, str) else value
            for key, value in given.items()
        }
        for name, given in spec.items()
    }


def is_per_photo(spec: dict[str, dict[str, Any]]) -> bool:
    """Whether the component differs from photo to photo."""
    return any(is_template(value) for given in spec.values() for value in given.values())


def is_template(value: Any) -> bool:
    """Whether the argument differs from photo to photo."""
    return isinstance(value, str) and ("{stem}" in value or value == "{seed}")


def unknown_template(value: Any) -> str:
    """A word in braces that nothing is put in the place of, unless a file is really called so; empty where there is none."""
    if not isinstance(value, str) or value == "{seed}" or is_file(value):
        return ""
    return next((word for word in re.findall(r"\{\w*\}", value) if word != "{stem}"), "")


def _plain_name(name: str) -> str:
    """The name without the suffixes of pictures and arrays: `sub/a` for the photo `sub/a.jpg` and for its measurement `sub/a.jpg.png`."""
    while (suffix := PurePosixPath(name).suffix).lower() in KNOWN:
        name = name[: -len(suffix)]
    return name
