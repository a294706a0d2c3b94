"""Recipe names and what they build. Plugins add their own under the entry-point groups `priorsolve.operators`, `.noises`,
`.solvers` and `.losses`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Literal

Kind = Literal["operators", "noises", "solvers", "losses"]
SINGULAR: Mapping[Kind, str] = {"operators": "operator", "noises": "noise", "solvers": "solver", "losses": "loss"}
"""What one of a kind is called."""

BUILTIN: Mapping[Kind, Mapping[str, str]] = {
    "operators": {
        "mask": "priorsolve.operators.holes:Holes",
        "lines": "priorsolve.operators.lines:Lines",
        "downsample": "priorsolve.operators.downsample:Downsample",
        "gray": "priorsolve.operators.gray:Gray",
        "gaussian_blur": "priorsolve.operators.blur:gaussian_blur",
        "motion_blur": "priorsolve.operators.blur:motion_blur",
        "disk_blur": "priorsolve.operators.blur:disk_blur",
        "file_blur": "priorsolve.operators.blur:file_blur",
        "gaussian_sensing": "priorsolve.operators.sensing:GaussianSensing",
        "fast_sensing": "priorsolve.operators.sensing:FastSensing",
        "jpeg": "priorsolve.operators.jpeg:JPEG",
        "pillow_resize": "priorsolve.operators.pillow:PillowResize",
        "pillow_jpeg": "priorsolve.operators.pillow:PillowJPEG",
        "photons": "priorsolve.operators.photons:FixedPhotons",
        "quantize": "priorsolve.operators.quantize:Quantize",
        "clip": "priorsolve.operators.clip:Clip",
        "identity": "priorsolve.operators.base:Identity",
    },
    "noises": {
        "gaussian": "priorsolve.operators.noise:Gaussian",
        "poisson": "priorsolve.operators.noise:Poisson",
        "salt_pepper": "priorsolve.operators.noise:SaltPepper",
        "photons": "priorsolve.operators.noise:Photons",
    },
    "solvers": {
        "latent": "priorsolve.solvers.latent:Latent",
        "multicode": "priorsolve.solvers.multicode:Multicode",
        "layered": "priorsolve.solvers.layered:Layered",
        "projector": "priorsolve.solvers.projector:Projector",
        "pulse": "priorsolve.solvers.pulse:Pulse",
        "langevin": "priorsolve.solvers.langevin:Langevin",
        "layerwise": "priorsolve.solvers.layerwise:Layerwise",
        "tuned": "priorsolve.solvers.tuned:Tuned",
        "pivotal": "priorsolve.solvers.pivotal:Pivotal",
    },
    "losses": {
        "l2": "priorsolve.losses.pixel:L2",
        "l1": "priorsolve.losses.pixel:L1",
        "huber": "priorsolve.losses.pixel:Huber",
        "dead_zone": "priorsolve.losses.pixel:DeadZone",
        "multi_resolution": "priorsolve.losses.pyramid:MultiResolution",
        "laplacian_pyramid": "priorsolve.losses.pyramid:LaplacianPyramid",
        "lpips": "priorsolve.losses.lpips:LPIPS",
        "vgg_features": "priorsolve.losses.features:VGGFeatures",
        "discriminator_features": "priorsolve.losses.features:discriminator_features",
    },
}


def names(kind: Kind) -> list[str]:
    """Every recipe name of this kind, built in or from a plugin."""
    return [*BUILTIN[kind], *(point.name for point in entry_points(group=f"priorsolve.{kind}") if point.name not in BUILTIN[kind])]


def component(kind: Kind, name: str) -> Callable[..., Any]:
    """What a recipe name builds with. Raises ValueError, with the nearest name, where there is none."""
    if name in BUILTIN[kind]:
        module, _, attribute = BUILTIN[kind][name].partition(":")
        factory: Callable[..., Any] = getattr(import_module(module), attribute)
        return factory
    for point in entry_points(group=f"priorsolve.{kind}", name=name):
        try:
            factory = point.load()
        except Exception as error:  # a plugin's module may raise anything
            raise ValueError(f"the {SINGULAR[kind]} {name!r} comes from a plugin that does not load ({point.value}): {error}") from error
        return factory
    raise ValueError(f"no {SINGULAR[kind]} is called {name!r}; {did_you_mean(name, names(kind))}")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean 'x'?`, or the list of what is known."""
    known = list(known)
    near = difflib.get_close_matches(word, known, 1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known) or 'none'}"
