"""What decides a photo's answer, as one short text: a photo that was restored under another one is not done."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from priorsolve.photos.names import Photo
from priorsolve.recipe.recipe import OPERATORS, Output, Recipe
from priorsolve.recipe.templates import is_per_photo, photo_seed, stem


@dataclass(frozen=True)
class Fingerprint:
    """Tells a photo's present fingerprint: the recipe's, with those options that change the answer."""

    recipe: Recipe
    degrade: bool
    dtype: str

    def __call__(self, photo: Photo) -> str:
        if not self._per_photo:
            return self.of_all
        return self._marked(self.recipe.fingerprint(stem(photo.name), photo_seed(self.recipe.seed, photo.name)))

    def is_known(self, photo: Photo) -> bool:
        """Whether all that decides it can be read."""
        return self.recipe.is_readable(stem(photo.name), photo_seed(self.recipe.seed, photo.name))

    @cached_property
    def _per_photo(self) -> bool:
        return any(is_per_photo(spec) for key in OPERATORS for spec in getattr(self.recipe, key))

    @cached_property
    def of_all(self) -> str:
        """The same for all photos."""
        return self._marked(self.recipe.fingerprint())

    def _marked(self, fingerprint: str) -> str:
        of_type = "" if self.dtype == "auto" else f"-{self.dtype}"
        return fingerprint + ("-degraded" if self.degrade else "") + of_type


def posed(recipe: Recipe) -> Recipe:
    """The recipe without what does not decide the measurements that are made by it."""
    return recipe.model_copy(update={"surrogate": [], "solver": [], "prior": "", "output": Output(), "samples": 1})
