"""The documentation is true: its Python runs, its links lead somewhere, its recipe is one."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

import priorsolve as ps
from priorsolve.cli import app
from priorsolve.data import samples
from priorsolve.recipe.recipe import Recipe
from priorsolve.recipe.registry import BUILTIN

ROOT = Path(__file__).resolve().parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
FOREIGN = {"--array", "--cpus-per-task", "--gres", "--requeue", "--signal"}
"""Options that the pages mention and that are not ours but sbatch's."""


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def prose(page: Path) -> str:
    """The page without its code, whose brackets are no links."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", "", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", prose(page))
    missing = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert not missing


def anchors(page: Path) -> set[str]:
    """What GitHub makes of the page's headings; of two alike the second gets `-1`."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        number = sum(1 for one in found if re.fullmatch(rf"{re.escape(slug)}(-\d+)?", one))
        found.add(f"{slug}-{number}" if number else slug)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_headings(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", prose(page))
    own = [(page.parent / file if file else page, anchor) for file, anchor in links if "://" not in file]
    missing = [(at.name, anchor) for at, anchor in own if at.suffix == ".md" and anchor not in anchors(at)]
    assert not missing


def options() -> set[str]:
    """Of all commands, and of the benchmarks."""
    command: Any = typer.main.get_command(app)
    ours = {opt for one in command.commands.values() for param in one.params for opt in (*param.opts, *param.secondary_opts)}
    scripts = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "benchmarks").glob("*.py"))
    return ours | {opt for param in command.params for opt in param.opts} | set(re.findall(r'"(--[a-z-]+)"', scripts)) | {"--help"}


def test_options_exist() -> None:
    known = options() | FOREIGN
    missing = {
        (page.name, option)
        for page in PAGES
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", page.read_text(encoding="utf-8"))
        if option not in known
    }
    assert not missing


@pytest.mark.usefixtures("digiface64", "ffhq128")
@pytest.mark.parametrize("name", ["docs/operators.md", "docs/library.md", "docs/solvers.md", "README.md"])
def test_python_blocks_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("priorsolve.data.samples", lambda: samples()[:1])  # one photo takes the same way as all
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


@pytest.mark.parametrize("name", sorted(BUILTIN["solvers"]))
def test_a_solvers_section_names_every_argument(name: str) -> None:
    page = (ROOT / "docs" / "solvers.md").read_text(encoding="utf-8")
    (section,) = re.findall(rf"^## `{name}`\n(.*?)(?=^## )", page, flags=re.MULTILINE | re.DOTALL)
    said = set(re.findall(r"`(\w+)`", section))
    arguments = [field.name for field in fields(getattr(ps.solvers, name.capitalize())) if field.init]
    assert [each for each in arguments if each not in ("prior", "seed") and each not in said] == []
