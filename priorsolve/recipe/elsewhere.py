"""What a recipe sets otherwise when it is run with another prior than the one that it is written for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from priorsolve.recipe.components import RecipeError
from priorsolve.recipe.overrides import override, put

WRITTEN_FOR = "written for the prior"
"""How the note begins that says so."""


class Elsewhere(BaseModel):
    """Settings for every prior but the recipe's own, such as a loss that does not need its discriminator."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)

    own: str
    """The own prior: the name of its file without its folder, or its name in the zoo."""
    note: str
    """What stands in for what, in words; `check`, records and the run's last lines say it."""
    settings: dict[str, Any]
    """Values by their places, written as for `--set`: `solver.0.loss: l2`."""
    applied: bool = False
    """Whether the recipe has these values already, as the `recipe.yaml` of a run with another prior does."""

    @property
    def told(self) -> str:
        """What is done, in one sentence."""
        return f"{WRITTEN_FOR} {self.own} and run with another: {self.note} ({', '.join(self.settings)})"


def overridden(given: dict[Any, Any], overrides: Sequence[str]) -> dict[Any, Any]:
    """The recipe's data with the overrides applied; where the prior is not its own, `elsewhere` first.

    Then `elsewhere` is `applied`, so that what comes out is settled. Raises RecipeError.
    """
    changed = override(given, overrides)
    prior = changed.get("prior")
    try:
        elsewhere = Elsewhere.model_validate(changed.get("elsewhere"))
    except ValidationError:
        return changed  # there is none, or the recipe's model says what is wrong with it
    if elsewhere.applied or not isinstance(prior, str) or elsewhere.own in (prior, Path(prior).name):
        return changed
    settled = dict(given)
    for key, value in elsewhere.settings.items():
        put(settled, key, value, f"elsewhere.settings.{key}")
    try:
        changed = override(settled, overrides)
    except RecipeError as error:
        raise RecipeError(f"{error} (`elsewhere` was applied before, since the prior is not {elsewhere.own})") from None
    return {**changed, "elsewhere": elsewhere.model_dump() | {"applied": True}}
