"""The `frame` key of recipes: which part of a photo the prior is to draw."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, Field, model_serializer, model_validator

from priorsolve.recipe.registry import did_you_mean

FrameKind: TypeAlias = Literal["center", "aligned", "faces", "tiles"]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)


class Plain(_Settings):
    """Nothing to set."""


class Faces(_Settings):
    """Every face, in the frame of FFHQ."""

    missing: Literal["fail", "copy"] = "fail"
    """What becomes of a photo without a face: it fails, or is copied unchanged."""
    largest: bool = False
    """Only the largest face."""
    beside: Literal["keep", "fill"] = "keep"
    """What becomes of holes beside the faces: they stay as they are, or are filled with the smoothest surface through what is around."""


class Tiles(_Settings):
    """Overlapping tiles of the prior's size, over the whole photo."""

    overlap: Annotated[float, Field(ge=0, lt=0.5)] = 0.25
    """The least share of a tile that its neighbour covers too."""


class Framings(_Settings):
    """One of them, by its name; settings may be left out."""

    center: Plain | None = None
    aligned: Plain | None = None
    faces: Faces | None = None
    tiles: Tiles | None = None

    @model_validator(mode="before")
    @classmethod
    def _named(cls, given: Any) -> Any:
        given = {given: {}} if isinstance(given, str) else given
        if not isinstance(given, dict) or len(given) != 1:
            raise ValueError(
                "should be center, aligned, faces or tiles, or one of them with its settings, such as `faces: {missing: copy}`"
            )
        ((name, settings),) = given.items()
        if name not in cls.model_fields:
            raise ValueError(f"no frame is called {name!r}; {did_you_mean(str(name), cls.model_fields)}")
        return {name: {} if settings is None else settings}

    @model_serializer
    def _written(self) -> Any:
        settings = self.settings.model_dump()
        return {self.kind: settings} if settings else self.kind

    @property
    def kind(self) -> FrameKind:
        """Its name."""
        return next(kind for kind in get_args(FrameKind) if getattr(self, kind) is not None)

    @property
    def settings(self) -> Plain | Faces | Tiles:
        """Its settings."""
        settings: Plain | Faces | Tiles = getattr(self, self.kind)
        return settings
