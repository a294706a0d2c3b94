"""The recipe of a folder's last run, as it lies in it: somebody may have edited it, or it may be gone, and the photos are still there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from priorsolve.recipe.yamlfile import parse
from priorsolve.run.places import RECIPE


def text_of(out: Path) -> str:
    """The recipe's text; empty where there is none."""
    try:
        return (out / RECIPE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def fields_of(text: str) -> Mapping[str, Any]:
    """What stands in it; nothing where it is no recipe."""
    try:
        read = parse(text)
    except yaml.YAMLError:
        return {}
    return read if isinstance(read, Mapping) else {}


def wants_sheet(out: Path) -> bool:
    """Whether the run was to leave a contact sheet, as it is unless the recipe says no."""
    output = fields_of(text_of(out)).get("output")
    return not isinstance(output, Mapping) or output.get("sheet") is not False
