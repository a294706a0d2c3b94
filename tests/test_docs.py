"""The documentation is true: its Python runs, its links lead somewhere, its recipe is one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from priorsolve.recipe.recipe import Recipe
from priorsolve.recipe.registry import BUILTIN

ROOT = Path(__file__).resolve().parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    missing = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert not missing


@pytest.mark.usefixtures("digiface64", "ffhq128")
@pytest.mark.parametrize("name", ["docs/operators.md", "docs/library.md", "docs/solvers.md", "README.md"])
def test_python_blocks_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = blocks(ROOT / name, "python")
    assert found
    for block in found:
        scope: dict[str, Any] = {}
        exec(compile(block, name, "exec"), scope)


def test_the_recipe_page_shows_a_recipe() -> None:
    (shown,) = blocks(ROOT / "docs" / "recipes.md", "yaml")
    recipe = Recipe.parse(yaml.safe_load(shown))
    assert recipe.output.consistency


@pytest.mark.parametrize("number", range(len(blocks(ROOT / "docs" / "solvers.md", "yaml"))))
def test_the_solvers_page_shows_recipes(number: int) -> None:
    Recipe.parse(yaml.safe_load(blocks(ROOT / "docs" / "solvers.md", "yaml")[number]))


def test_every_solver_has_a_section() -> None:
    page = (ROOT / "docs" / "solvers.md").read_text(encoding="utf-8")
    missing = [name for name in BUILTIN["solvers"] if f"## `{name}`" not in page or f"](#{name})" not in page]
    assert not missing
