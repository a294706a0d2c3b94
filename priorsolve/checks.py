"""What `priorsolve check` looks at: a recipe and the laws of its operator, or a checkpoint."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch

from priorsolve.build import Operators, build_noise, build_solver, image_shape_of
from priorsolve.measuring import photo_seed
from priorsolve.operators.base import Operator
from priorsolve.operators.laws import TOLERANCE, laws
from priorsolve.priors import ZOO, cached_path, load_prior
from priorsolve.recipe import Recipe, is_per_photo
from priorsolve.types import Shape


def is_checkpoint(path: Path) -> bool:
    """Whether `check` should read the path as a generator's weights."""
    return path.suffix.lower() not in (".yaml", ".yml") and (path.is_file() or path.suffix != "")


def check_recipe(recipe: Recipe) -> tuple[dict[str, Any], bool]:
    """What the recipe does, and whether its operator keeps the laws. Nothing is downloaded where the zoo knows the prior's size."""
    shape = image_shape_of(recipe)
    operators = Operators(recipe, shape, torch.device("cpu"), torch.float32)
    noise = build_noise(recipe)
    facts: dict[str, Any] = {"recipe": recipe.dump().rstrip()}
    if recipe.prior not in ZOO or cached_path(recipe.prior).is_file():
        facts["solver"] = f"fits the prior, {build_solver(recipe, load_prior(recipe.prior)).steps} steps"
    else:
        facts["solver"] = f"not checked before the prior is here: priorsolve fetch {recipe.prior}"
    if any(map(is_per_photo, recipe.operator)):
        facts |= {"operator": "one for each photo; the laws are checked where masks are read", "fingerprint": "one for each photo"}
        return facts, True
    operator = operators.join([operators.of("", photo_seed(recipe.seed, ""))])
    facts |= {"operator": repr(operator), "shapes": f"{shape} -> {operators.out_shape}", "noise": repr(noise) if noise else "none"}
    errors = {name: law(operator, shape, batch=2) for name, law in _laws(operator).items()}
    facts |= {
        f"law: {name}": f"{'holds' if ok else 'BROKEN'} (off by {error:.1e})" for name, error in errors.items() for ok in [_ok(error)]
    }
    facts["fingerprint"] = recipe.fingerprint()
    return facts, all(map(_ok, errors.values()))


def check_prior(path: Path) -> tuple[dict[str, Any], bool]:
    """What the checkpoint is, and whether it draws finite pictures."""
    prior = load_prior(path)
    images = prior.decode(prior.sample(2, torch.Generator().manual_seed(0)))
    finite = bool(images.isfinite().all())
    spaces: dict[str, Shape] = dict(prior.spaces)
    with path.open("rb") as stream:
        digest = hashlib.sha256(stream.read()).hexdigest()
    return {
        "family": type(prior).__name__,
        "pictures": "×".join(map(str, prior.image_shape)),
        "spaces": ", ".join(f"{name} {tuple(shape)}" for name, shape in spaces.items()),
        "parameters": f"{sum(parameter.numel() for parameter in prior.parameters()):,}",
        "sha256": digest,
        "draws": "finite pictures" if finite else "NaN or infinite values",
    }, finite


def _laws(operator: Operator) -> dict[str, Any]:
    return dict(laws(operator))


def _ok(error: float) -> bool:
    return error <= TOLERANCE[torch.float32]
