"""What `priorsolve check` looks at: a recipe and the laws of its operator, or a checkpoint."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import torch

from priorsolve.files import digest_of
from priorsolve.operators.base import Operator
from priorsolve.operators.laws import TOLERANCE, laws
from priorsolve.priors import ZOO, Prior, cached_path, fetch, load_prior
from priorsolve.priors.checkpoint import FOLDER
from priorsolve.priors.load import load_file
from priorsolve.priors.plugins import is_named, plugins
from priorsolve.recipe.build import build_noise, build_operators, build_solver, check_faces, image_shape_of, rehearse
from priorsolve.recipe.recipe import Recipe
from priorsolve.recipe.sources import builtin_recipes
from priorsolve.recipe.templates import photo_seed
from priorsolve.types import Shape

_RECIPES = (".yaml", ".yml")


def is_checkpoint(path: Path) -> bool:
    """Whether `check` should read the path as a generator: its weights' file or folder, or, where no file is called so, a prior's name."""
    if path.is_file() or (path / FOLDER[0]).is_file():
        return path.suffix.lower() not in _RECIPES
    return _is_named(path) or path.suffix.lower() not in ("", *_RECIPES)


def check_recipe(recipe: Recipe) -> tuple[dict[str, Any], bool]:
    """What the recipe does, and whether what its solvers see through keeps the laws: the operator, or the surrogate in its place.

    Nothing is downloaded where the zoo knows the prior's size.
    """
    shape = image_shape_of(recipe)
    operators, solving = build_operators(recipe, shape, torch.device("cpu"), torch.float32)
    check_faces(recipe.frame.kind, shape)
    noise = build_noise(recipe)
    facts: dict[str, Any] = {"recipe": recipe.dump().rstrip()} | ({"exchanged": recipe.exchanged} if recipe.exchanged else {})
    if recipe.prior not in ZOO or cached_path(recipe.prior).exists():
        solver = build_solver(recipe, load_prior(recipe.prior))
        rehearse(solver, solving)
        facts["solver"] = f"fits the prior, {solver.steps} steps"
        descends = solver.descends
    else:
        descends = True  # as good as all do
        facts["solver"] = f"not checked before the prior is here: priorsolve fetch {recipe.prior}"
    if descends:
        solving.check_followed()
    if operators.vary or solving.vary:
        facts |= {"operator": "one for each photo; the laws are checked where masks are read", "fingerprint": "one for each photo"}
        return facts, True
    true, operator = (each.join([each.of("", photo_seed(recipe.seed, ""))]) for each in (operators, solving))
    facts |= {"operator": repr(true)} | ({"surrogate": repr(operator)} if recipe.surrogate else {})
    facts |= {"shapes": f"{shape} -> {operators.out_shape}", "noise": repr(noise) if noise else "none"}
    passed = True
    for name, law in _laws(operator, shape).items():
        facts[f"law: {name}"], holds = _judged(law, operator, shape)
        passed &= holds
    facts["fingerprint"] = recipe.fingerprint()
    return facts, passed


def check_prior(path: Path) -> tuple[dict[str, Any], bool]:
    """What a checkpoint or a prior with a name is, and whether it draws finite pictures. Where it draws none, `draws` says why.

    A prior of the zoo whose weights are not here is told from the list alone: nothing is downloaded. Raises as `load_prior`.
    """
    if _is_named(path):
        return _check_named(str(path))
    prior, layout = load_file(path)
    facts, finite = _facts(prior, layout)
    for key, part in {f"sha256 of {name}": path / name for name in FOLDER}.items() if path.is_dir() else [("sha256", path)]:
        facts[key] = digest_of(part)
    return facts, finite


def _check_named(name: str) -> tuple[dict[str, Any], bool]:
    if name not in ZOO:
        facts, finite = _facts(load_prior(name), "made by the plugin")
        return {"prior": name, "origin": f"from a plugin ({plugins()[name].value})"} | facts, finite
    entry = ZOO[name]
    origin = {"prior": name, "origin": entry.provenance, "licence": entry.licence, "note": entry.note, "package": entry.requirement}
    digests = {f"sha256 of {file.path}": file.sha256 for file in entry.files}
    place = cached_path(name)
    if not all((place / Path(file.path).name if entry.more else place).is_file() for file in entry.files):
        drawn = f"not checked before the weights are here: priorsolve fetch {name}"
        return origin | {"resolution": _resolution(entry.image_shape)} | digests | {"draws": drawn}, True
    prior, layout = (load_prior(name), "OpenVINO graph") if place.is_dir() else load_file(fetch(name))
    facts, finite = _facts(prior, layout)
    return origin | facts | digests, finite


def _facts(prior: Prior, layout: str) -> tuple[dict[str, Any], bool]:
    drawn, finite = _drawn(prior)
    spaces: dict[str, Shape] = dict(prior.spaces)
    classes = prior.n_classes
    return {
        "family": type(prior).__name__,
        "format": layout,
        "resolution": _resolution(prior.image_shape),
        **({"classes": str(classes)} if classes else {}),
        "spaces": ", ".join(f"{name} {tuple(shape)}" for name, shape in spaces.items()),
        "parameters": f"{sum(parameter.numel() for parameter in prior.parameters()):,}",
        "draws": drawn,
    }, finite


def _drawn(prior: Prior) -> tuple[str, bool]:
    """What becomes of two codes, and whether it is two finite pictures."""
    try:
        images = prior.decode(prior.sample(2, torch.Generator().manual_seed(0)))
    except (RuntimeError, MemoryError) as error:  # a file may fit together and still ask for more memory than there is
        return f"nothing ({(str(error).strip().splitlines() or [type(error).__name__])[0][:200]})", False
    finite = bool(images.isfinite().all())
    return "finite pictures" if finite else "NaN or infinite values", finite


def _resolution(shape: Shape) -> str:
    channels, height, width = shape
    return f"{height}×{width}, {'grey' if channels == 1 else 'RGB' if channels == 3 else f'{channels} channels'}"


def _is_named(path: Path) -> bool:
    """Whether the word is a prior's name, of the zoo or a plugin's, and neither a file here nor a recipe."""
    return is_named(str(path)) and str(path) not in builtin_recipes() and not path.is_file()


def _laws(operator: Operator, shape: Shape) -> dict[str, Any]:
    """Those that apply; one that lets no gradient through, and need not, keeps no law of gradients."""
    return {name: law for name, law in laws(operator).items() if name != "vjp" or operator.follows(shape)}


def _judged(law: Any, operator: Operator, shape: Shape) -> tuple[str, bool]:
    """What is said of a law, and whether it holds. Where float32 is off by too much float64 tells whether that is rounding, of which
    conjugate gradients leave most where a kernel erases much: a wrong formula is as wrong there."""
    error = law(operator, shape, batch=2)
    off = f"off by {error:.1e}"
    if error > TOLERANCE[torch.float32]:
        error = law(deepcopy(operator).double(), shape, batch=2, dtype=torch.float64)
        off += f", in float64 by {error:.1e}"
    holds = error <= TOLERANCE[torch.float32]
    return f"{'holds' if holds else 'BROKEN'} ({off})", holds
