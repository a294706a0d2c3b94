"""A recipe: what happened to the pictures, which prior knows them, and how the code is found. YAML in, checked to the last key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo

from priorsolve.files import is_file
from priorsolve.metrics import METRICS
from priorsolve.priors import ZOO
from priorsolve.priors.checkpoint import FOLDER
from priorsolve.priors.plugins import is_named
from priorsolve.recipe import yamlfile
from priorsolve.recipe.blame import Misplaced, blamed, misplaced
from priorsolve.recipe.components import RecipeError, arguments, check
from priorsolve.recipe.contents import content, files_in, fingerprint_of, with_files
from priorsolve.recipe.elsewhere import Elsewhere, overridden
from priorsolve.recipe.framings import Framings, Plain
from priorsolve.recipe.overrides import KIND_OF, absolute, anchored
from priorsolve.recipe.registry import did_you_mean
from priorsolve.recipe.sources import GIVEN, find_recipe
from priorsolve.recipe.templates import STEM, is_per_photo, is_template, rendered, unknown_template


def _as_list(given: Any) -> Any:
    return given if isinstance(given, list) else [] if given is None else [given]


def _as_spec(given: Any, info: ValidationInfo) -> Any:
    if isinstance(given, str):
        return {given: {}}
    if isinstance(given, dict) and len(given) == 1:
        return {name: {} if value is None else value for name, value in given.items()}
    example = {"noise": "gaussian: {sigma: 0.02}", "solver": "latent: {steps: 50}"}.get(str(info.field_name), "gray: {weights: rec601}")
    several = "; begin each component with a dash" if isinstance(given, dict) and given else ""
    raise ValueError(f"should be one name with its arguments, such as `{example}`{several}")


Spec = Annotated[dict[str, dict[str, Any]], BeforeValidator(_as_spec)]
"""One component: its recipe name and its arguments."""
Specs = Annotated[list[Spec], BeforeValidator(_as_list)]

OPERATORS = ("operator", "surrogate")
"""The keys that hold operators, in which `{stem}` and `{seed}` may stand."""


class Output(BaseModel):
    """What is written."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)

    format: Literal["same", "png"] = "same"
    """`same` as the photo's where that can be written, else PNG."""
    consistency: bool = False
    """Put back what was measured: x + A†(y − A x)."""
    damping: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """With consistency: put back x + e, with the e of least ‖A e − (y − A x)‖² + damping · ‖e‖², which changes less where A says little.

    For noise, and for operators that are only about right: the square of the measurement's errors over the picture's, 0.03 to 0.1.
    """
    sheet: bool = True
    """Write the contact sheet."""
    album: bool = False
    """Bring all photos that are given colours to the chroma that they have in common, at the end of the run."""
    codes: bool = False
    """Keep each photo's codes and tuned weights, with the pictures that the prior drew of them, as a solution that Python reads."""
    limit: bool = False
    """Each record says whether the prior or the solver is what limits the fit; takes one more solve, or as many where masks differ."""
    mean: Annotated[list[Literal["samples", "stages", "mirror"]], BeforeValidator(_as_list)] = []
    """The answer is the mean of all `samples`, not the first; of what all `stages` of the solver drew, not the last; of what is drawn for
    the photo and for its `mirror` image.

    Nearer, where they err by themselves, and softer. Of a single stage it is what that drew.
    """
    own_detail: Annotated[float, Field(ge=0, le=128)] = 0.0
    """With the mean of `mirror`: detail finer than a blur of this σ (pixels) is the photo's own answer's, so that it stays sharp."""


class Recipe(BaseModel):
    """One restoration task. Lists are applied in order; a single component needs no list."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)

    task: str = ""
    """What it is for, in free words."""
    operator: Specs
    """The damage, first damage first."""
    surrogate: Specs = []
    """What solvers use in the operator's place: a differentiable stand-in for one without a gradient, such as a real JPEG file."""
    noise: Specs = []
    """Added to measurements that are made (`degrade`), drawn anew for each of `samples`, and what the diagnosis takes photos to have."""
    prior: str
    """A name, of the zoo or a plugin's, or a checkpoint's path."""
    frame: Framings = Framings(center=Plain())
    """Which part of a photo the prior draws: its centre, all of it (`aligned`), every face in it, or tiles over it."""
    solver: Specs
    """One after another, each from the solution of the last."""
    metrics: Annotated[list[str], BeforeValidator(_as_list)] = ["psnr", "ssim"]
    """Figures of each result where its original is known (`degrade`)."""
    output: Output = Output()
    """What is written, and whether what was measured is put back."""
    seed: Annotated[int, Field(ge=0, lt=2**64)] = 0
    """Of it and the photo's name each photo's own is made."""
    samples: Annotated[int, Field(ge=1, le=10_000)] = 1
    """How many solutions of each photo to compare, for the map of what is uncertain; the first is the answer, or by `output.mean` all."""
    elsewhere: Elsewhere | None = None
    """What is set otherwise when the prior is not the one that the recipe is written for."""

    @classmethod
    def load(cls, source: str | Path, overrides: Sequence[str] = ()) -> Recipe:
        """A recipe file by its path, or a built-in one by its name. `overrides` are `key=value`, such as `solver.steps=50`.

        Relative paths in the file are beside the file, relative paths in overrides start in the working folder.

        Raises:
            RecipeError: one line with the file, the line, the key, and the way out.
        """
        path = find_recipe(source)
        try:
            given, lines = yamlfile.read(path.read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise RecipeError(f"{path}: not valid YAML: {yamlfile.problem(error)}") from None
        except UnicodeDecodeError:
            raise RecipeError(f"{path}: no recipe, which would be text in UTF-8; {GIVEN}") from None
        except OSError as error:
            raise RecipeError(f"{path}: cannot be read: {error}") from None
        return cls.parse(given, overrides, name=str(path), folder=path.parent, lines=lines)

    @classmethod
    def parse(
        cls,
        given: Any,
        overrides: Sequence[str] = (),
        *,
        name: str = "recipe",
        folder: Path | None = None,
        lines: dict[yamlfile.Place, int] | None = None,
    ) -> Recipe:
        """A recipe from plain data; the rest as in `load`. Relative paths are beside `folder`."""
        if not isinstance(given, dict):
            found = "and this is empty" if given is None else f"not {type(given).__name__}"
            raise RecipeError(f"{name}: a recipe is a mapping of keys such as operator, prior and solver, {found}")
        try:
            if folder is not None:
                given = _with_prior_file(anchored(given, folder), folder)
            return cls._made(given, overrides)
        except Misplaced as error:
            raise blamed(error, given, overrides, cls._made, name, lines or {}) from None
        except RecipeError as error:
            raise RecipeError(str(error) if str(error).startswith("--set ") else f"{name}: {error}") from None

    @classmethod
    def _made(cls, given: dict[Any, Any], overrides: Sequence[str]) -> Recipe:
        """From data whose paths are absolute. Raises Misplaced, or RecipeError where an override cannot be applied."""
        given = _with_prior_file(overridden(given, overrides), Path())
        try:
            recipe = cls(**{str(key): value for key, value in given.items()})
        except ValidationError as error:
            raise misplaced(error, cls) from None
        return recipe._checked()

    @property
    def heading(self) -> str:
        """What it is for: its task, or what its operators do to the photos."""
        return self.task or " then ".join(name for name, _, _ in self.components("operator"))

    @property
    def in_frames(self) -> bool:
        """Whether the prior draws frames within a photo, which are laid back into it, and not its centre alone."""
        return self.frame.kind != "center"

    @property
    def exchanged(self) -> str:
        """What `elsewhere` did, in one sentence; empty where it did nothing."""
        return self.elsewhere.told if self.elsewhere and self.elsewhere.applied else ""

    def components(self, key: str) -> Iterator[tuple[str, dict[str, Any], str]]:
        """The components under `key`: of each its name, its arguments, and its place, such as `solver[0]`."""
        for index, spec in enumerate(getattr(self, key)):
            for name, given in spec.items():
                yield name, given, f"{key}[{index}]"

    def fingerprint(self, stem: str = "", seed: int = 0) -> str:
        """What decides a photo's answer, as 16 hex digits: the recipe with the content, not the name, of the files it uses.

        Masks that are named after the photo count with the photo's own file.
        """
        parts = self.model_dump(include={"noise", "seed"}) | self.output.model_dump(include={"format", "consistency"})
        for key in OPERATORS:
            if specs := getattr(self, key):
                parts[key] = with_files([rendered(spec, stem, seed) for spec in specs], content)
        parts["solver"] = with_files(self.solver, content)
        if self.samples != 1:
            parts["samples"] = self.samples
        for name in ("album", "codes", "damping", "limit", "mean", "own_detail"):
            if chosen := getattr(self.output, name):
                parts[name] = sorted(set(chosen)) if name == "mean" else chosen
        if self.in_frames:
            parts["frame"] = self.frame.model_dump()
        parts["prior"] = [self.prior, ZOO[self.prior].sha256] if self.prior in ZOO else content(self.prior)
        return fingerprint_of(parts)

    def is_readable(self, stem: str = "", seed: int = 0) -> bool:
        """Whether all files can be read whose content `fingerprint` tells; of one that cannot it tells the name."""
        specs = [rendered(spec, stem, seed) for key in OPERATORS for spec in getattr(self, key)]
        used = [*files_in([*specs, *self.solver]), *([] if is_named(self.prior) else [self.prior])]
        return all(content(file) != file for file in used)

    def dump(self) -> str:
        """The resolved recipe as YAML: overrides applied, defaults written out, but for those that mean nothing (null)."""
        given = {key: value for key, value in self.model_dump().items() if value or key != "elsewhere"}
        for key, kind in KIND_OF.items():
            for spec in given[key]:
                for name, settings in spec.items():
                    fields = arguments(kind, name).model_fields
                    spec[name] = {k: v for k, v in settings.items() if v is not None or fields[k].default is not None}
        return yamlfile.dump(given)

    def _checked(self) -> Recipe:
        """With every component checked and its defaults filled in."""
        filled = {key: [_checked_component(key, index, spec) for index, spec in enumerate(getattr(self, key))] for key in KIND_OF}
        self._refuse_senseless()
        return self.model_copy(update=filled)

    def _refuse_senseless(self) -> None:
        """Raise Misplaced for what no component is to blame for: empty lists, a mean that there is not, metrics that are unknown."""
        if not self.operator:
            raise Misplaced("operator: the list is empty; `operator: identity` is for pictures that only noise has harmed", ("operator",))
        if not self.solver:
            raise Misplaced("solver: the list is empty; name at least one, such as `latent: {steps: 300}`", ("solver",))
        if "samples" in self.output.mean and self.samples == 1:
            alone = f"output.mean: samples is {self.samples}, which has no mean; set samples to 4 or so, or leave mean out"
            raise Misplaced(alone, ("output", "mean"))
        if (detail := self.output.own_detail) and "mirror" not in self.output.mean:
            own = f"output.own_detail: {detail:g} is for the mean with a mirror image; set output.mean to mirror, or own_detail to 0"
            raise Misplaced(own, ("output", "own_detail"))
        if "mirror" in self.output.mean and any("layerwise" in spec for spec in self.solver):
            seen = "output.mean: layerwise sees the photo as it is and not in a mirror; leave mirror out, or use the solver latent"
            raise Misplaced(seen, ("output", "mean"))
        for index, metric in enumerate(self.metrics):
            if metric not in METRICS:
                raise Misplaced(f"metrics: no metric is called {metric!r}; {did_you_mean(metric, METRICS)}", ("metrics", index))


def _checked_component(key: str, index: int, spec: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The component at its place in the list of `key`, its defaults filled in and what differs from photo to photo left as it is."""
    ((name, given),) = spec.items()
    where = f"{key}[{index}]"
    for argument, value in given.items() if key in OPERATORS else ():
        if unknown := unknown_template(value):
            told = f"{where}.{name}.{argument}: nothing stands for '{unknown}'; {STEM}"
            raise Misplaced(told, (key, index, name, argument))
    varying = key in OPERATORS and is_per_photo(spec)
    try:
        complete = check(KIND_OF[key], name, rendered(spec, "stem", 0)[name] if varying else given, where)
    except RecipeError as error:
        deeper = str(error).removeprefix(f"{where}.{name}.").split(":")[0].split("[")[0]
        raise Misplaced(str(error), (key, index, name, *([deeper] if deeper in given else []))) from None
    return {name: {**complete, **{k: v for k, v in given.items() if varying and is_template(v)}}}


def _with_prior_file(given: dict[Any, Any], folder: Path) -> dict[Any, Any]:
    """The data with the path of a prior that is a file or folder in `folder` made absolute. A name goes before a file."""
    prior = given.get("prior")
    if isinstance(prior, str) and not is_named(prior):
        path = absolute(prior, folder)
        if is_file(path) or is_file(Path(path, FOLDER[0])):
            return {**given, "prior": path}
    return given
