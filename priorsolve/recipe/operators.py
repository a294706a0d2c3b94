"""A recipe's operators, for pictures of one shape: the parts that all photos share, and the masks that each has of its own."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch

from priorsolve.operators.base import LinearOperator, Operator, compose, shape_text
from priorsolve.operators.holes import Holes
from priorsolve.operators.mask import Masking, join_masks
from priorsolve.operators.sensing import Sensing
from priorsolve.photos.pictures import PhotoError
from priorsolve.recipe.components import RecipeError, build
from priorsolve.recipe.recipe import Recipe
from priorsolve.recipe.registry import component
from priorsolve.recipe.templates import is_per_photo, rendered
from priorsolve.types import Shape


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
        self._key, self.device, self.dtype = key, device, dtype
        self._framed = recipe.in_frames
        self._shapes: list[Shape] = []
        self._fixed: list[Operator | None] = []
        shape = image_shape
        suits = Holes.suits if clean else Holes.has_size
        for index, spec in enumerate(self._specs):
            (name,) = spec
            masks = is_mask(name)
            self._shapes.append(shape)
            if masks and len(shape) != 3:
                given = shape_text(shape)
                raise RecipeError(f"{key}[{index}]: {name}: expected images of shape (B, C, H, W), got {given}; list it earlier")
            if is_per_photo(spec) and not masks:
                raise RecipeError(f"{key}[{index}].{name}: only a mask can differ from photo to photo; leave {{stem}} and {{seed}} out")
            # each photo's own mask, or holes in a whole photo, of which each frame shows another part
            part = None if masks and (self._framed or is_per_photo(spec)) else self._build(index, "", 0)
            if isinstance(part, Holes) and (part.of_photo or part.soft or not suits(part, *shape[1:])):
                part = None  # found in each photo, or drawn over one and cropped and resized with it
            if part is not None:
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
        return compose([part for part in self._fixed if part is not None]).to(self.device, self.dtype)

    @property
    def largest(self) -> float:
        """How large the numbers are at most that they make of pictures in [0, 1]: of a white one, and of one of noise."""
        pictures = torch.stack([torch.ones(self.image_shape), torch.rand(self.image_shape, generator=torch.Generator().manual_seed(0))])
        with torch.no_grad():
            return float(self.shared.A(pictures.to(self.device, self.dtype)).abs().max())

    @property
    def sensing(self) -> Sensing | None:
        """The first part that makes random numbers of pictures, if there is one."""
        return next((part for part in self._fixed if isinstance(part, Sensing)), None)

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
            masks = [part for parts in photos if isinstance(part := parts[index], Masking)]
            joined.append(join_masks(masks, self._shapes[index]) if fixed is None else fixed)
        return compose(joined).to(self.device, self.dtype)

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


def is_mask(name: str) -> bool:
    """Whether the operator of this name, built in or a plugin's, is a mask."""
    factory = component("operators", name)
    return inspect.isclass(factory) and issubclass(factory, Masking)
