"""A recipe: what happened to the pictures, which prior knows them, and how the code is found. YAML in, checked to the last key."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from priorsolve.files import sha256_of
from priorsolve.metrics import METRICS
from priorsolve.priors import ZOO
from priorsolve.recipe import yamlfile
from priorsolve.recipe.components import RecipeError, arguments, check, explain, first_of, known_arguments
from priorsolve.recipe.elsewhere import Elsewhere, overridden
from priorsolve.recipe.framings import Framings, Plain
from priorsolve.recipe.hints import in_braces
from priorsolve.recipe.overrides import KINDS, absolute, anchored, placed
from priorsolve.recipe.registry import did_you_mean


def _as_list(given: Any) -> Any:
    return given if isinstance(given, list) else [] if given is None else [given]


def _as_spec(given: Any) -> Any:
    if isinstance(given, str):
        return {given: {}}
    if isinstance(given, dict) and len(given) == 1:
        return {name: {} if value is None else value for name, value in given.items()}
    raise ValueError("should be one name with its arguments, such as `gray: {weights: rec601}`; begin each component with a dash")


Spec = Annotated[dict[str, dict[str, Any]], BeforeValidator(_as_spec)]
"""One component: its recipe name and its arguments."""
Specs = Annotated[list[Spec], BeforeValidator(_as_list)]

OPERATORS = ("operator", "surrogate")
"""The keys that hold operators, in which `{stem}` and `{seed}` may stand."""


_GIVEN = "give a built-in name (`priorsolve list recipes` shows them all) or the path of a .yaml file"


_TEMPLATE = "'{stem}' is a photo's name without its suffix, so that file: 'masks/{stem}.png' takes its mask from a folder of masks"


class Output(BaseModel):
    """What is written."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

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
    limit: bool = False
    """Each record says whether the prior or the solver is what limits the fit; takes one more solve, or as many where masks differ."""
    mean: Literal["samples", "stages"] | None = None
    """The answer is the mean of all `samples`, not the first, or of what all stages of the solver drew, not the last.

    Nearer, where they err by themselves, and softer. Of a single stage it is what that drew.
    """


class Recipe(BaseModel):
    """One restoration task. Lists are applied in order; a single component needs no list.

    `operator` is the damage, first damage first; `noise` is added to measurements that are made (`degrade`), never while solving;
    several solvers run one after another, each from the solution of the last. `prior` is a zoo name or a checkpoint's path.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    task: str = ""
    operator: Specs
    surrogate: Specs = []
    """What solvers use in the operator's place: a differentiable stand-in for one without a gradient, such as a real JPEG file."""
    noise: Specs = []
    prior: str
    frame: Framings = Framings(center=Plain())
    """Which part of a photo the prior draws: its centre, all of it (`aligned`), every face in it, or tiles over it."""
    solver: Specs
    metrics: list[str] = ["psnr", "ssim"]
    output: Output = Output()
    seed: int = 0
    samples: Annotated[int, Field(ge=1)] = 1
    """How many solutions of each photo to compare, for the map of what is uncertain; the first is the answer, or by `output.mean` all."""
    elsewhere: Elsewhere | None = None
    """What is set otherwise when the prior is not the one that the recipe is written for; gone once that was done."""
    exchanged: str = ""
    """What `elsewhere` did, in one sentence: filled in when it was done."""

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
        except (OSError, UnicodeDecodeError) as error:
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
            raise RecipeError(f"{name}: a recipe is a mapping of keys such as operator, prior and solver, not {type(given).__name__}")
        try:
            if folder is not None:
                given = _with_prior_file(anchored(given, folder), folder)
            return cls._made(given, overrides)
        except _Misplaced as error:
            if told := cls._blamed(given, overrides, error):
                raise RecipeError(told) from None
            raise RecipeError(_located(str(error.reason), name, error.place, lines or {})) from None
        except RecipeError as error:
            raise RecipeError(str(error) if str(error).startswith("--set ") else f"{name}: {error}") from None

    @classmethod
    def _made(cls, given: dict[Any, Any], overrides: Sequence[str]) -> Recipe:
        """From data whose paths are absolute. Raises _Misplaced, or RecipeError where an override cannot be applied."""
        given = _with_prior_file(overridden(given, overrides), Path())
        try:
            recipe = cls(**{str(key): value for key, value in given.items()})
        except ValidationError as error:
            first = first_of(error)
            loc = tuple(part for part in first["loc"] if isinstance(part, str | int))
            told = explain(error, "", cls).lstrip(".")
            if first["type"] == "dict_type" and len(loc) == 3 and (key := str(loc[0])) in KINDS:
                place = f"{key}[{loc[1]}].{loc[2]}"
                told = f"{place}: {in_braces(known_arguments(KINDS[key], str(loc[2])), first['input'])}, got {first['input']!r}"
            raise _Misplaced(RecipeError(told), loc) from None
        return recipe._checked()

    @classmethod
    def _blamed(cls, given: dict[Any, Any], overrides: Sequence[str], error: _Misplaced) -> str:
        """The message where an override made the mistake, as it was typed; empty where the file did."""
        for text, places in reversed(placed(given, overrides)[1]):
            within = any(error.place[: len(place)] == place for place in places)
            if within or cls._mended(given, [each for each in overrides if each != text], error):
                return _as_typed(text, str(error.reason), exact=error.place in places)
        return ""

    @classmethod
    def _mended(cls, given: dict[Any, Any], overrides: Sequence[str], error: _Misplaced) -> bool:
        """Whether with these overrides nothing is wrong, or something else at the same place."""
        try:
            cls._made(given, overrides)
        except _Misplaced as other:
            return other.place == error.place and str(other.reason) != str(error.reason)
        except RecipeError:
            return False
        return True

    @property
    def heading(self) -> str:
        """What it is for: its task, or what its operators do to the photos."""
        return self.task or " then ".join(name for spec in self.operator for name in spec)

    def fingerprint(self, stem: str = "", seed: int = 0) -> str:
        """What decides a photo's answer, as 16 hex digits: the recipe with the content, not the name, of the files it uses.

        Masks that are named after the photo count with the photo's own file.
        """
        parts = self.model_dump(include={"operator", "noise", "solver", "seed"}) | self.output.model_dump(include={"format", "consistency"})
        for key in OPERATORS:
            if specs := getattr(self, key):
                parts[key] = _with_content([rendered(spec, stem, seed) for spec in specs])
        parts["solver"] = _with_content(self.solver)
        if self.samples != 1:
            parts["samples"] = self.samples
        for name in ("album", "damping", "limit", "mean"):
            if chosen := getattr(self.output, name):
                parts[name] = chosen
        if self.frame.kind != "center":
            parts["frame"] = self.frame.model_dump()
        parts["prior"] = [self.prior, ZOO[self.prior].sha256] if self.prior in ZOO else _content(self.prior)
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    def is_readable(self, stem: str = "", seed: int = 0) -> bool:
        """Whether all files can be read whose content `fingerprint` tells; of one that cannot it tells the name."""
        specs = [rendered(spec, stem, seed) for key in OPERATORS for spec in getattr(self, key)]
        used = [*_files([*specs, *self.solver]), *([] if self.prior in ZOO else [self.prior])]
        return all(_content(file) != file for file in used)

    def dump(self) -> str:
        """The resolved recipe as YAML: overrides applied, defaults written out, but for those that mean nothing (null)."""
        given = {key: value for key, value in self.model_dump().items() if value or key not in ("elsewhere", "exchanged")}
        for key, kind in KINDS.items():
            for spec in given[key]:
                for name, settings in spec.items():
                    fields = arguments(kind, name).model_fields
                    spec[name] = {k: v for k, v in settings.items() if v is not None or fields[k].default is not None}
        return yamlfile.dump(given)

    def _checked(self) -> Recipe:
        """With every component checked and its defaults filled in."""
        filled: dict[str, Any] = {}
        for key, kind in KINDS.items():
            filled[key] = []
            for index, spec in enumerate(getattr(self, key)):
                ((name, given),) = spec.items()
                where = f"{key}[{index}]"
                for argument, value in given.items() if key in OPERATORS else ():
                    if unknown := _unknown_template(value):
                        told = f"{where}.{name}.{argument}: nothing stands for '{unknown}'; {_TEMPLATE}"
                        raise _Misplaced(RecipeError(told), (key, index, name, argument))
                varying = key in OPERATORS and is_per_photo(spec)
                try:
                    complete = check(kind, name, rendered(spec, "stem", 0)[name] if varying else given, where)
                except RecipeError as error:
                    deeper = str(error).removeprefix(f"{where}.{name}.").split(":")[0].split("[")[0]
                    raise _Misplaced(error, (key, index, name, *([deeper] if deeper in given else []))) from None
                filled[key].append({name: {**complete, **{k: v for k, v in given.items() if varying and _templated(v)}}})
        if not self.operator:
            empty = "operator: the list is empty; `operator: identity` is for pictures that only noise has harmed"
            raise _Misplaced(RecipeError(empty), ("operator",))
        if not self.solver:
            raise _Misplaced(RecipeError("solver: the list is empty; name at least one, such as `latent: {steps: 300}`"), ("solver",))
        if self.output.mean == "samples" and self.samples == 1:
            alone = f"output.mean: samples is {self.samples}, which has no mean; set samples to 4 or so, or leave mean out"
            raise _Misplaced(RecipeError(alone), ("output", "mean"))
        for index, metric in enumerate(self.metrics):
            if metric not in METRICS:
                unknown = f"metrics: no metric is called {metric!r}; {did_you_mean(metric, METRICS)}"
                raise _Misplaced(RecipeError(unknown), ("metrics", index))
        return self.model_copy(update=filled)


def _as_typed(text: str, message: str, *, exact: bool) -> str:
    """The message about an override; where it is about just its value, what stands there is not said again."""
    key = text.partition("=")[0].strip()
    if exact:
        place, _, message = message.partition(": ")
        message = message.replace("such as {", f"such as {key}={{")
        last = key.rpartition(".")[2]
        if within := place.rpartition(f".{last}")[2] if f".{last}" in place else "":  # in a list or a mapping that was given
            message = f"{last}{within}: {message}"
        for word in ("True", "False", "None"):  # what YAML makes of off, no, on and nothing
            message = message.removesuffix(f", got {word}")
    return f"--set {text}: {message}"


class _Misplaced(Exception):
    def __init__(self, reason: RecipeError, place: yamlfile.Place) -> None:
        self.reason, self.place = reason, place


def builtin_recipes() -> dict[str, Path]:
    """The recipes that come with the package, by name; presets as `presets/name`."""
    folder = Path(str(files("priorsolve.recipes") / "."))
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.yaml"))}


def find_recipe(source: str | Path) -> Path:
    """The file of a recipe given by path or by the name of a built-in one. Raises RecipeError."""
    path = Path(source)
    if path.is_file():
        return path
    known = builtin_recipes()
    if str(source) in known:
        return known[str(source)]
    if path.is_dir():
        raise RecipeError(f"{path}: a folder, not a recipe; {_GIVEN}")
    raise RecipeError(f"{source}: no such recipe; {_near(path.stem.lower(), known)}{_GIVEN}")


def _near(word: str, known: Iterable[str]) -> str:
    """The names that are like the word, or have it in them, as a question; a preset goes by its own name, without its folder."""
    own = {name.rpartition("/")[2]: name for name in known}
    alike = difflib.get_close_matches(word, own, 3) or [each for each in own if word in each][:3]
    return f"did you mean {' or '.join(repr(own[each]) for each in alike)}? " if alike else ""


def rendered(spec: dict[str, dict[str, Any]], stem: str, seed: int) -> dict[str, dict[str, Any]]:
    """The component for one photo: `{stem}` in a text is the photo's name without suffix, `"{seed}"` alone is its seed."""
    return {
        name: {
            key: (seed if value == "{seed}" else value.replace("{stem}", stem)) if isinstance(value, str) else value
            for key, value in given.items()
        }
        for name, given in spec.items()
    }


def is_per_photo(spec: dict[str, dict[str, Any]]) -> bool:
    """Whether the component differs from photo to photo."""
    return any(_templated(value) for given in spec.values() for value in given.values())


def _templated(value: Any) -> bool:
    return isinstance(value, str) and ("{stem}" in value or value == "{seed}")


def _unknown_template(value: Any) -> str:
    """A word in braces that nothing is put in the place of, unless a file is really called so; empty where there is none."""
    if not isinstance(value, str) or value == "{seed}" or Path(value).is_file():
        return ""
    return next((word for word in re.findall(r"\{\w*\}", value) if word != "{stem}"), "")


def _with_prior_file(given: dict[Any, Any], folder: Path) -> dict[Any, Any]:
    """The data with the path of a prior that is a file of `folder` made absolute. A name of the zoo goes before a file."""
    prior = given.get("prior")
    if isinstance(prior, str) and prior not in ZOO and Path(absolute(prior, folder)).is_file():
        return {**given, "prior": absolute(prior, folder)}
    return given


def _with_content(given: Any) -> Any:
    """The data with the content of files, wherever they stand, in the place of their paths."""
    if isinstance(given, dict):
        return {key: _content(value) if key == "file" and isinstance(value, str) else _with_content(value) for key, value in given.items()}
    return [_with_content(item) for item in given] if isinstance(given, list) else given


def _files(given: Any) -> Iterator[str]:
    """The paths that `_with_content` replaces."""
    if isinstance(given, dict):
        for key, value in given.items():
            if key == "file" and isinstance(value, str):
                yield value
            else:
                yield from _files(value)
    elif isinstance(given, list):
        for item in given:
            yield from _files(item)


def _content(path: str) -> str:
    try:
        there = Path(path).stat()
        return _digest(path, there.st_size, there.st_mtime_ns)
    except OSError:
        return path


@lru_cache(maxsize=64)
def _digest(path: str, size: int, changed: int) -> str:
    """Of the file as it was then: a checkpoint is not read again for every photo."""
    with Path(path).open("rb") as stream:
        return sha256_of(stream)


def _located(message: str, name: str, place: yamlfile.Place, lines: dict[yamlfile.Place, int]) -> str:
    while place and place not in lines:
        place = place[:-1]
    line = f":{lines[place]}" if place in lines else ""
    return f"{name}{line}: {message}"
