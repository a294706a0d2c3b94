"""From a recipe's words to the things that run: prior, operators, noise, solver."""

from __future__ import annotations

from dataclasses import replace

import torch

from priorsolve.framing import DetectorError, load_detector
from priorsolve.losses import prepared
from priorsolve.operators.noise import Chain, Noise
from priorsolve.priors import ZOO, Prior, load_prior
from priorsolve.recipe.components import RecipeError, build
from priorsolve.recipe.framings import FrameKind
from priorsolve.recipe.operators import Operators
from priorsolve.recipe.recipe import OPERATORS, Recipe
from priorsolve.solvers import Latent, Layered, Layerwise, Mirrored, Solves, Staged
from priorsolve.types import Images, Measurements, Shape


def image_shape_of(recipe: Recipe) -> Shape:
    """The prior's picture shape, without its weights where the zoo knows it."""
    return ZOO[recipe.prior].image_shape if recipe.prior in ZOO else tuple(load_prior(recipe.prior).image_shape)


def build_noise(recipe: Recipe) -> Noise | None:
    """What `degrade` adds to measurements; None where the recipe names no noise."""
    noises = [build("noises", *component) for component in recipe.components("noise")]
    return Chain(noises) if noises else None


def build_solver(recipe: Recipe, prior: Prior) -> Solves:
    """The recipe's solver, or its stages in order. Raises RecipeError for a value that a solver refuses."""
    stages: list[Solves] = [build("solvers", *component, prior=prior, seed=recipe.seed) for component in recipe.components("solver")]
    try:
        solver = stages[0] if len(stages) == 1 else Staged(stages, mean="stages" in recipe.output.mean)
    except ValueError as error:  # a stage that cannot be a later one
        raise RecipeError(f"solver: {error}") from error
    return Mirrored(solver, recipe.output.own_detail) if "mirror" in recipe.output.mean else solver


def rehearse(solver: Solves, solving: Operators) -> None:
    """Raise RecipeError where a stage cannot begin, cannot go on from the one before or look through the operators, or where its loss does
    not suit what is measured, before any photo is.

    Found without photos, and with one blank measurement. A `layered` stage is only told where to go on: how far features spread takes a
    large prior seconds.
    """
    solver = solver.solver if isinstance(solver, Mirrored) else solver
    stages = solver.stages if isinstance(solver, Staged) else [solver]
    like, start = next(solver.prior.parameters()), None
    blank = like.new_zeros(1, *solving.out_shape)

    def flat(x: Images) -> Measurements:
        return x.sum() * x.new_zeros(len(x), *solving.out_shape)

    for place, stage in enumerate(stages):
        if isinstance(stage, Latent) and stage.learns_from:  # codes of the same space, without pictures drawn to learn from
            stage = replace(stage, begin_at="sampled", in_domain=0.0)
        try:
            with torch.no_grad():
                prepared(stage.loss, blank, torch.ones_like(blank))(blank)
                if isinstance(stage, Layered) and start is not None:
                    start = replace(start, codes=stage.resumed(solver.prior, start.codes))
                    continue
            # others look at what the operator makes, and one of a user's own need not measure an empty batch
            start = stage(blank[:0], solving.shared if isinstance(stage, Layerwise) else flat, start=start)
        except ValueError as error:
            raise RecipeError(f"solver[{place}]: {error}") from error


def build_operators(
    recipe: Recipe, image_shape: Shape, device: torch.device, dtype: torch.dtype, *, clean: bool = False
) -> tuple[Operators, Operators]:
    """What makes measurements, and what solvers use: the same but where the recipe names a surrogate. `clean` as for `Operators`.

    Raises RecipeError.
    """
    true = Operators(recipe, image_shape, device, dtype, clean=clean)
    solving = Operators(recipe, image_shape, device, dtype, "surrogate", clean=clean) if recipe.surrogate else true
    if solving.out_shape != true.out_shape:
        raise RecipeError(f"surrogate: makes measurements of shape {solving.out_shape}, and the operator {true.out_shape}")
    if recipe.output.consistency:
        solving.check_consistent()
    if recipe.in_frames:
        check_frames(recipe.frame.kind, image_shape, true.out_shape)
    check_noise(recipe, true)
    if clean:
        true.check_clean()
    return true, solving


OF_LIGHT = ("poisson", "photons", "salt_pepper")
"""Noises of what is at least 0, and of pictures at most 1."""


def check_noise(recipe: Recipe, operators: Operators) -> None:
    """Raise RecipeError for noise of light on what is none, and for noise, added or known, above all that is measured of pictures.

    Pictures are in [0, 1], and such a level is meant in grey levels of 255.
    """
    for name, _, where in recipe.components("noise"):
        if name in OF_LIGHT and operators.sensing is not None:
            raise RecipeError(f"{where}.{name}: is for light, and {operators.sensing} makes numbers of either sign; use gaussian")
    for key, argument in (("noise", "sigma"), ("solver", "noise")):
        for name, given, where in recipe.components(key):
            level = given.get(argument)
            if isinstance(level, int | float) and level > 1 and level > (most := operators.largest):
                told = f"{level:g} is more than all that is measured of a picture, at most {most:.3g}"
                way_out = f"pictures are in [0, 1], so divide grey levels by 255: {level / 255:.3g}"
                raise RecipeError(f"{where}.{name}.{argument}: {told}; {way_out}")


def check_frames(kind: FrameKind, image_shape: Shape, out_shape: Shape) -> None:
    """Raise RecipeError where a photo's frames cannot be what the operators measure."""
    if len(out_shape) != 3 or out_shape[0] not in (1, 3) or out_shape[1] * image_shape[2] != out_shape[2] * image_shape[1]:
        raise RecipeError(f"frame: {kind} is for operators that measure pictures, and these measure {tuple(out_shape)}; use center")


def check_faces(kind: FrameKind, image_shape: Shape) -> None:
    """Raise RecipeError where frames are faces, and none can be found, or drawn. A photo that is degraded needs none."""
    if kind != "faces":
        return
    if image_shape[1] != image_shape[2]:
        raise RecipeError(f"frame: faces are square, and the prior draws {image_shape[2]}×{image_shape[1]}; use tiles")
    try:
        load_detector()
    except DetectorError as error:
        raise RecipeError(f"frame: {error}") from error


def refuse_marks(recipe: Recipe) -> None:
    """Raise RecipeError where holes are to be found in photos that are clean, as those are that are degraded first."""
    for key in OPERATORS:
        for name, given, where in recipe.components(key):
            if marks := [mark for mark in ("alpha", "colour", "scratches") if given.get(mark)] if name == "mask" else []:
                reason = f"{marks[0]} finds holes in photos that have them, and photos that are degraded first are clean"
                raise RecipeError(f"{where}.{name}: {reason}; describe the hole by file, boxes or strokes, or restore photos as they are")
