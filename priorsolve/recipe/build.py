"""From a recipe's words to the things that run: prior, operators, noise, solver."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch

from priorsolve.framing import DetectorError, load_detector
from priorsolve.operators.base import LinearOperator, Operator, compose, shape_text
from priorsolve.operators.holes import Holes
from priorsolve.operators.mask import Masking, join_masks
from priorsolve.operators.noise import Chain, Noise
from priorsolve.operators.sensing import Sensing
from priorsolve.photos.pictures import PhotoError
from priorsolve.priors import ZOO, Prior, load_prior
from priorsolve.recipe.components import RecipeError, build
from priorsolve.recipe.framings import FrameKind
from priorsolve.recipe.recipe import OPERATORS, Recipe
from priorsolve.recipe.registry import component
from priorsolve.recipe.templates import is_per_photo, rendered
from priorsolve.solvers import Latent, Layered, Layerwise, Mirrored, Solves, Staged
from priorsolve.types import Images, Measurements, Progress, Shape

DTYPES = {"auto": torch.float32, "float32": torch.float32, "float64": torch.float64, "bfloat16": torch.float32}
"""The dtype of codes, measurements and losses for each `--dtype`; with bfloat16 only the network computes in it."""


def device_called(name: str) -> torch.device:
    """`auto` is a GPU where there is one, else the CPU. Raises ValueError for a device that is unknown or not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"device {name!r} is unknown; use auto, cpu, cuda or cuda:1") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {name!r}: this machine has no usable CUDA GPU; use device cpu (--device cpu)")
    try:
        torch.zeros(1, device=device).item()  # not to be had from `meta`, which has no numbers
    except Exception as error:  # noqa: BLE001 (each back end has errors of its own)
        why = str(error).splitlines()[0].partition(". ")[0]
        raise ValueError(f"device {name!r} cannot be used: {why}; use auto, cpu or cuda") from None
    return device


def dtype_of(name: str, prior: Prior) -> str:
    """The name of a dtype, `auto` made definite: what the network computes in while codes are searched.

    That is bfloat16 where the processor is quicker in it and it was measured to pay with such a prior, else float32: by what the machine
    can and the prior is, so that it is the same every time.
    """
    if name != "auto":
        return name
    return "bfloat16" if prior.halves and has_quick_bfloat16(next(prior.parameters()).device) else "float32"


def has_quick_bfloat16(device: torch.device) -> bool:
    """Whether the device is a CPU whose products are quicker in bfloat16. GPUs were not measured.

    AVX512_BF16 makes them so on AMD's. Intel's have half as many units for its instruction as for float32's, and products take longer;
    there only AMX is quicker.
    """
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # not in every torch
    intel = str(capabilities.get("cpu_name", "")).startswith("Intel")
    return device.type == "cpu" and bool(capabilities.get("amx_bf16" if intel else "avx512_bf16"))


def build_prior(recipe: Recipe, device: torch.device, dtype: torch.dtype, on_progress: Progress | None = None) -> Prior:
    """The recipe's prior. Raises ValueError for an unknown name, CheckpointError or FetchError."""
    return load_prior(recipe.prior, on_progress=on_progress).to(device, dtype)


def image_shape_of(recipe: Recipe) -> Shape:
    """The prior's picture shape, without its weights where the zoo knows it."""
    return ZOO[recipe.prior].image_shape if recipe.prior in ZOO else tuple(load_prior(recipe.prior).image_shape)


def build_noise(recipe: Recipe) -> Noise | None:
    """What `degrade` adds to measurements; None where the recipe names no noise."""
    noises = [build("noises", name, given, f"noise[{index}]") for index, spec in enumerate(recipe.noise) for name, given in spec.items()]
    return Chain(noises) if noises else None


def build_solver(recipe: Recipe, prior: Prior) -> Solves:
    """The recipe's solver, or its stages in order. Raises RecipeError for a value that a solver refuses."""
    stages: list[Solves] = []
    for index, spec in enumerate(recipe.solver):
        for name, given in spec.items():
            stages.append(build("solvers", name, given, f"solver[{index}]", prior=prior, seed=recipe.seed))
    solver = stages[0] if len(stages) == 1 else Staged(stages, mean="stages" in recipe.output.mean)
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
                stage.loss(blank, blank, torch.ones_like(blank))
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
    """What makes measurements, and what solvers use: the same but where the recipe names a surrogate. Raises RecipeError."""
    true = Operators(recipe, image_shape, device, dtype, clean=clean)
    solving = Operators(recipe, image_shape, device, dtype, "surrogate", clean=clean) if recipe.surrogate else true
    if solving.out_shape != true.out_shape:
        raise RecipeError(f"surrogate: makes measurements of shape {solving.out_shape}, and the operator {true.out_shape}")
    if recipe.output.consistency:
        solving.check_consistent()
    if recipe.frame.kind != "center":
        check_frames(recipe.frame.kind, image_shape, true.out_shape)
    check_noise(recipe, true)
    return true, solving


def check_noise(recipe: Recipe, operators: Operators) -> None:
    """Raise RecipeError for noise, added or known, above all that is measured of pictures in [0, 1]: it is meant in grey levels of 255."""
    noises = [
        (f"noise[{index}].{name}.sigma", given.get("sigma")) for index, spec in enumerate(recipe.noise) for name, given in spec.items()
    ]
    known = [
        (f"solver[{index}].{name}.noise", given.get("noise")) for index, spec in enumerate(recipe.solver) for name, given in spec.items()
    ]
    for place, level in noises + known:
        if isinstance(level, int | float) and level > 1 and level > (most := operators.largest):
            told = f"{level:g} is more than all that is measured of a picture, at most {most:.3g}"
            raise RecipeError(f"{place}: {told}; pictures are in [0, 1], so divide grey levels by 255: {level / 255:.3g}")


def check_frames(kind: FrameKind, image_shape: Shape, out_shape: Shape) -> None:
    """Raise RecipeError where a photo's frames cannot be what the operators measure, or no faces can be found."""
    if len(out_shape) != 3 or out_shape[0] not in (1, 3) or out_shape[1] * image_shape[2] != out_shape[2] * image_shape[1]:
        raise RecipeError(f"frame: {kind} is for operators that measure pictures, and these measure {tuple(out_shape)}; use center")
    if kind == "faces":
        if image_shape[1] != image_shape[2]:
            raise RecipeError(f"frame: faces are square, and the prior draws {image_shape[2]}×{image_shape[1]}; use tiles")
        try:
            load_detector()
        except DetectorError as error:
            raise RecipeError(f"frame: {error}") from error


def refuse_marks(recipe: Recipe) -> None:
    """Raise RecipeError where holes are to be found in photos that are clean, as those are that are degraded first."""
    for key in OPERATORS:
        for index, spec in enumerate(getattr(recipe, key)):
            ((name, given),) = spec.items()
            if marks := [mark for mark in ("alpha", "colour", "scratches") if given.get(mark)] if name == "mask" else []:
                reason = f"{marks[0]} finds holes in photos that have them, and photos that are degraded first are clean"
                raise RecipeError(
                    f"{key}[{index}].{name}: {reason}; describe the hole by file, boxes or strokes, or restore photos as they are"
                )


class Operators:
    """The recipe's operators for pictures of one shape. Parts that serve every photo are built once.

    Args:
        key: `operator`, or `surrogate` for those that solvers use in its place.
        clean: the photos are degraded first, at the prior's size, so that masks of its shape are the same for all of them.

    Raises:
        RecipeError: an operator refuses its arguments or the shape that reaches it; a part other than a mask differs from photo to photo.
    """

    def __init__(
        self,
        recipe: Recipe,
        image_shape: Shape,
        device: torch.device,
        dtype: torch.dtype,
        key: Literal["operator", "surrogate"] = "operator",
        *,
        clean: bool = False,
    ) -> None:
        self._specs: list[dict[str, dict[str, object]]] = getattr(recipe, key)
        self._key, self._device, self._dtype = key, device, dtype
        self._framed = recipe.frame.kind != "center"
        self._shapes: list[Shape] = []
        self._fixed: list[Operator | None] = []
        shape = image_shape
        for index, spec in enumerate(self._specs):
            self._shapes.append(shape)
            if self._is_mask(spec):
                self._must_be_picture(shape, index)
            if self._framed and self._is_mask(spec):
                self._fixed.append(None)  # its holes lie in the photo, another part of which each frame shows
            elif is_per_photo(spec):
                self._must_be_mask(spec, index)
                self._fixed.append(None)
            else:
                part = self._build(index, "", 0)
                suits = Holes.suits if clean else Holes.has_size
                if isinstance(part, Holes) and (part.of_photo or part.soft or not suits(part, *shape[1:])):
                    self._fixed.append(None)  # found in each photo, or drawn over one and cropped and resized with it
                    continue
                shape = self._reached(part, shape, index)
                self._fixed.append(part)
        self.image_shape, self.out_shape = image_shape, shape

    @property
    def vary(self) -> bool:
        """Whether they differ from photo to photo."""
        return None in self._fixed

    @property
    def shared(self) -> Operator:
        """The parts that serve every photo, as one: masks that differ from photo to photo are left out."""
        return compose([part for part in self._fixed if part is not None]).to(self._device, self._dtype)

    @property
    def largest(self) -> float:
        """How large the numbers are at most that they make of pictures in [0, 1]: of a white one, and of one of noise."""
        pictures = torch.stack([torch.ones(self.image_shape), torch.rand(self.image_shape, generator=torch.Generator().manual_seed(0))])
        with torch.no_grad():
            return float(self.shared.A(pictures.to(self._device, self._dtype)).abs().max())

    def check_consistent(self) -> None:
        """Raises RecipeError where what was measured cannot be put back."""
        bent = [part for part in self._fixed if part is not None and not isinstance(part, LinearOperator)]
        if bent:
            raise RecipeError(f"output.consistency: needs linear operators, and {bent[0]} is not; set output.consistency to false")

    def check_clean(self) -> None:
        """Raises RecipeError for a mask that is drawn over photos of its own shape: those that are degraded have the prior's by then."""
        for index, (fixed, spec) in enumerate(zip(self._fixed, self._specs, strict=True)):
            if fixed is None and not self._framed and not is_per_photo(spec):
                self._reached(self._build(index, "", 0), self._shapes[index], index)

    def check_followed(self) -> None:
        """Raises RecipeError where a solver that goes by gradients could not look through: masks pass them on, other parts are tried."""
        for index, (part, shape) in enumerate(zip(self._fixed, self._shapes, strict=True)):
            if part is None or part.follows(shape):
                continue
            ((name, _),) = self._specs[index].items()
            own = part.stand_in or "a stand-in written with differentiable torch functions"
            if self._key == "surrogate":
                way_out = f"name {own} there"
            elif len(self._specs) == 1:
                way_out = f"name what solvers use in its place, `surrogate: {own}`" if part.stand_in else f"name {own} under `surrogate`"
            else:
                way_out = f"list the operators under `surrogate` again, with {own} in its place"
            raise RecipeError(f"{self._key}[{index}].{name}: lets no gradient through, so no solver can follow it; {way_out}")

    def of(self, stem: str, seed: int, photo: Path | None = None) -> list[Operator]:
        """The parts for one photo, in order. With the `photo`'s file, masks are of its pixels.

        Raises RecipeError, such as for its mask that is missing, and PhotoError where no hole is found in it.
        """
        parts = []
        for index, fixed in enumerate(self._fixed):
            part = self._build(index, stem, seed) if fixed is None else fixed
            if fixed is None and photo is not None and isinstance(part, Holes):
                part = self._in_photo(part, photo, index)
            if not self._framed:
                self._reached(part, self._shapes[index], index)
            parts.append(part)
        return parts

    def join(self, photos: Sequence[list[Operator]]) -> Operator:
        """One operator for a batch, from its photos' parts."""
        joined: list[Operator] = []
        for index, fixed in enumerate(self._fixed):
            masks = [parts[index] for parts in photos if isinstance(parts[index], Masking)]
            joined.append(
                fixed if fixed is not None else join_masks([mask for mask in masks if isinstance(mask, Masking)], self._shapes[index])
            )
        return compose(joined).to(self._device, self._dtype)

    def _build(self, index: int, stem: str, seed: int) -> Operator:
        ((name, given),) = rendered(self._specs[index], stem, seed).items()
        part: Operator = build("operators", name, given, f"{self._key}[{index}]")
        if not isinstance(part, Sensing):
            return part
        try:
            return part.for_shape(self._shapes[index])
        except (ValueError, RuntimeError, MemoryError) as error:
            raise RecipeError(f"{self._key}[{index}].{name}: {error}") from error

    def _in_photo(self, part: Holes, photo: Path, index: int) -> Operator:
        try:
            _, height, width = self._shapes[index]
            same = self.out_shape[1:] == (height, width)  # else the photo is smaller than what the mask hides of
            return part.in_photo(photo, whole=self._framed, size=(height, width) if same else None)
        except PhotoError:
            raise
        except ValueError as error:
            raise RecipeError(f"{self._key}[{index}]: {error}") from None

    def _reached(self, part: Operator, shape: Shape, index: int) -> Shape:
        try:
            return part.out_shape(shape)
        except ValueError as error:
            raise RecipeError(f"{self._key}[{index}]: {error}") from None

    def _must_be_mask(self, spec: dict[str, dict[str, object]], index: int) -> None:
        if not self._is_mask(spec):
            (name,) = spec
            raise RecipeError(f"{self._key}[{index}].{name}: only a mask can differ from photo to photo; leave {{stem}} and {{seed}} out")

    def _must_be_picture(self, shape: Shape, index: int) -> None:
        if len(shape) != 3:
            (name,) = self._specs[index]
            given = shape_text(shape)
            raise RecipeError(f"{self._key}[{index}]: {name}: expected images of shape (B, C, H, W), got {given}; list it earlier")

    def _is_mask(self, spec: dict[str, dict[str, object]]) -> bool:
        (name,) = spec
        factory = component("operators", name)
        return inspect.isclass(factory) and issubclass(factory, Masking)
