"""The pages that say what a result's words mean, what is put back, and which names are public, say it of all of them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from inspect import isclass
from pathlib import Path
from types import ModuleType

import pytest

import priorsolve as ps
from priorsolve import metrics
from priorsolve.operators import noise
from priorsolve.recipe.recipe import Recipe

ROOT = Path(__file__).resolve().parent.parent
READING = (ROOT / "docs" / "reading.md").read_text(encoding="utf-8")
API = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")


def fixed(node: ast.expr) -> Iterator[str]:
    """The parts of a text that are always there, in order: what stands between the values that are put in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        for part in node.values:
            yield from fixed(part)


def checks(node: ast.AST) -> bool:
    """Whether it is a call such as `must_be_solver(solver, "find_limits: solver")`, whose text begins an error."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.startswith("must_be_")


def texts(node: ast.AST) -> Iterator[tuple[str, ...]]:
    """Every sentence in the code below `node` but docstrings and errors; a text without a space is a name."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Raise) or (isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)) or checks(child):
            continue
        if isinstance(child, ast.JoinedStr | ast.Constant):
            parts = tuple(fixed(child))
            if " " in "".join(parts).strip():
                yield parts
        else:
            yield from texts(child)


def sentences() -> list[tuple[str, ...]]:
    """What records say of a fit, of a code, of a stand-in, and of the end of a search."""
    found: list[tuple[str, ...]] = []
    for file in ("diagnosis.py", "run/diagnosis.py", "typicality.py"):
        found += texts(ast.parse((ROOT / "priorsolve" / file).read_text(encoding="utf-8")))
    return [*found, *((stop.value,) for stop in ps.solvers.Stop)]


@pytest.mark.parametrize("parts", sentences(), ids=lambda parts: "…".join(parts)[:60])
def test_the_page_explains_every_sentence(parts: tuple[str, ...]) -> None:
    assert re.search("[^`\n]*".join(map(re.escape, parts)), READING)


def test_sentences_are_found_in_the_code() -> None:
    found = {"…".join(parts) for parts in sentences()}
    assert {"fits to the noise (…, …)", "typical: only the direction of … counts", "no progress for a while"} <= found
    assert len(found) >= 18


@pytest.mark.parametrize("name", [path.stem for path in sorted((ROOT / "recipes").glob("*.yaml"))])
def test_the_recipes_page_says_what_is_put_back(name: str) -> None:
    rows = re.findall(r"^\| ((?:`[\w-]+`(?:, )?)+) \| (true|false) \| ([\d.]+) \|", (ROOT / "docs" / "recipes.md").read_text("utf-8"), re.M)
    (row,) = ((kept, float(damping)) for names, kept, damping in rows if f"`{name}`" in names)
    output = Recipe.load(name).output
    assert row == (str(output.consistency).lower(), output.damping)


def public(module: ModuleType) -> list[str]:
    """The names that users may import: `__all__`, or of a module without one what it defines."""
    if module is metrics:
        own = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
        return ["METRICS", *(name for name in own if not name.startswith("_"))]
    return list(module.__all__)


@pytest.mark.parametrize(
    "module", [ps, ps.operators, ps.noise, ps.priors, ps.solvers, ps.losses, metrics], ids=lambda module: module.__name__
)
def test_the_api_page_lists_every_public_name(module: ModuleType) -> None:
    (section,) = re.findall(rf"^## `{re.escape(module.__name__)}`\n(.*?)(?=^## |\Z)", API, flags=re.MULTILINE | re.DOTALL)
    rows = "".join(line.split("|")[1] for line in section.splitlines() if line.startswith("| `"))
    listed = re.findall(r"`(\w+)`", rows)
    assert sorted(listed) == sorted(public(module))


def test_every_noise_has_a_short_name() -> None:
    kinds = [name for name, value in vars(noise).items() if isclass(value) and issubclass(value, noise.Noise)]
    assert {name: getattr(noise, name) for name in kinds} == {name: getattr(ps.noise, name) for name in ps.noise.__all__}


def test_the_api_page_tells_a_solutions_fields() -> None:
    (section,) = re.findall(r"^## A solution\n(.*?)(?=^## )", API, flags=re.MULTILINE | re.DOTALL)
    assert re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE) == [field.name for field in fields(ps.solvers.Solution)]
