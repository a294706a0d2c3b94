"""`report.html`: one file with everything in it, that can be mailed and opens without a network."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from priorsolve.files import legible
from priorsolve.report.about import about, heading, licence, medians, mixed, stats
from priorsolve.report.groups import by_recipe
from priorsolve.report.pictures import Size, embedded, size_for
from priorsolve.report.recipe import text_of
from priorsolve.run.records import Record, plain

PICTURED = 10_000
"""Photos whose pictures are in the file; those beyond are listed, and link to their files."""


def page(out: Path, records: Sequence[Record]) -> bytes:
    """The report on these records as HTML; pictures are read below `out`. Equal records and pictures give equal bytes."""
    size = size_for(len(records))
    style, script = _part("page.css"), _part("page.js")
    recipe = text_of(out)
    parts = {
        "policy": f"default-src 'none'; img-src data:; style-src {_allowed(style)}; script-src {_allowed(script)}; "
        "base-uri 'none'; form-action 'none'",
        "style": style,
        "script": script,
        "title": escape(heading(recipe)),
        "prior": escape(licence(recipe)),
        "stats": stats(records),
        "mixed": mixed(records),
        "about": about(records, recipe),
        "photos": _json(_gallery(records)),
    }
    # split before anything is put in: a photo's name may hold such marks, too
    head, tail = (re.sub(r"\{\{(\w+)\}\}", lambda mark: parts[mark[1]], part) for part in _part("page.html").split("{{details}}"))
    with ThreadPoolExecutor() as pool:  # pictures are decoded one at a time, but made smaller and encoded on several cores
        blocks = pool.map(lambda index: _block(out, index, records[index], size), range(len(records)))
        return b"".join(part.encode() for part in [head, *blocks, tail])


def _gallery(records: Sequence[Record]) -> dict[str, Any]:
    """The photos, and the medians of each recipe's."""
    groups = list(by_recipe(records).values())
    of = {record.name: index for index, group in enumerate(groups) for record in group}
    return {"photos": [_entry(record, of[record.name]) for record in records], "medians": [medians(group) for group in groups]}


def _entry(record: Record, group: int) -> dict[str, Any]:
    """What the gallery filters and sorts by."""
    entry = {"name": record.name, "status": record.status, "stopped": record.stopped, "reason": record.reason, "group": group}
    return {**entry, "misfit": record.misfit, "residual": record.residual, "metrics": record.metrics}


def _block(out: Path, index: int, record: Record, size: Size) -> str:
    """What is shown of one photo, asleep in the page until it is looked at."""
    places = {"measurement": record.measurement, "restored": record.image, "original": record.original, "spread": record.spread}
    given = {kind: place for kind, place in places.items() if place}
    found = {kind: embedded(out, place, size) for kind, place in given.items()} if index < PICTURED else {}
    details = {
        "pictures": {kind: picture for kind, picture in found.items() if picture},
        "files": {kind: legible(place) for kind, place in given.items() if not found.get(kind)},
        "history": record.history,
        "diagnosis": record.diagnosis,
        "notes": record.notes,
        "facts": {
            "steps": record.steps or None,
            "seconds": record.seconds or None,
            "photo": record.input_size and "{1}×{0}".format(*record.input_size),
            "result": record.output_size and "{1}×{0}".format(*record.output_size),
            "seed": None if record.seed is None else str(record.seed),
            "recipe": record.fingerprint,
            "codes": record.codes,
            **record.versions,
        },
    }
    return f'<script type="application/json" id="photo-{index}">{_json(details)}</script>\n'


def _part(name: str) -> str:
    return (files("priorsolve.report") / name).read_text(encoding="utf-8")


def _allowed(code: str) -> str:
    """The one piece of code that the browser may run, by its checksum: whatever a photo's name says, it cannot become code."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'"


def _json(data: Any) -> str:
    """JSON that can stand inside an element: without `<`, so that nothing in it ends the element, and in ASCII."""
    return json.dumps(plain(data, legible), separators=(",", ":")).replace("<", "\\u003c")
