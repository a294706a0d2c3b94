"""What a setting is that is left out: the tables of the documentation say what the code does."""

from __future__ import annotations

import inspect
import re
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
import yaml

import priorsolve as ps
from priorsolve.operators import Holes
from priorsolve.recipe.components import build, check
from priorsolve.recipe.registry import BUILTIN

DOCS = Path(__file__).resolve().parent.parent / "docs"
NOT_GIVEN = ("the prior's first", "the middle", "all", "`loss`", "none")
SOLVERS = {name: getattr(ps.solvers, name.capitalize()) for name in sorted(BUILTIN["solvers"])}


def rows(page: str, header: str) -> list[tuple[str, str]]:
    """Each name in the first column of the page's tables of that header, and what the second column says of it."""
    found: list[tuple[str, str]] = []
    for table in re.findall(rf"^\| {header} \| default \| meaning \|\n\|---\|---\|---\|\n((?:\|.*\n)+)", page, flags=re.MULTILINE):
        for names, said in re.findall(r"^\| ([^|]*?) \| ([^|]*?) ?\|", table, flags=re.MULTILINE):
            each, values = re.findall(r"`(\w+)`", names), said.split(", ")
            found += zip(each, values * len(each) if len(values) == 1 else values, strict=True)
    return found


def is_told(said: str, value: object) -> bool:
    """Whether the words say the value."""
    if said in ("true", "false"):
        return value is (said == "true")
    if said == "l2":
        return value == ps.losses.l2
    if value is None or value is MISSING or isinstance(value, str):
        return said == "required" if value is MISSING else said in NOT_GIVEN if value is None else said.strip("`") == value
    return float(said.replace(" ", "")) == value


@pytest.mark.parametrize("name", SOLVERS)
def test_a_solvers_section_tells_its_defaults(name: str) -> None:
    (section,) = re.findall(rf"^## `{name}`\n(.*?)(?=^## )", (DOCS / "solvers.md").read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    own, latent = ({field.name: field.default for field in fields(solver)} for solver in (SOLVERS[name], SOLVERS["latent"]))
    told = rows(section, "argument")
    assert len(told) >= 3
    wrong = [(each, said) for each, said in told if not (is_told(said, own[each]) if said else own[each] == latent[each])]
    assert not wrong, "or, where nothing is said, it is another than latent's"


def test_the_page_of_operators_tells_the_defaults_of_masks() -> None:
    defaults = {name: parameter.default for name, parameter in inspect.signature(Holes).parameters.items()}
    told = rows((DOCS / "operators.md").read_text("utf-8"), "setting")
    assert {name for name, _ in told} == set(defaults)
    assert [(name, said) for name, said in told if not is_told(said, defaults[name])] == []


@pytest.mark.parametrize("name", sorted(set(BUILTIN["losses"]) - {"discriminator_features"}))
def test_the_page_of_losses_tells_their_defaults(name: str) -> None:
    """With all that is told it is the loss that nothing was told of."""
    (said,) = re.findall(
        rf"^\| `{name}` \|(?:\\\||[^|])*\| (?:`([^|]*?)` )?\|", (DOCS / "losses.md").read_text("utf-8"), flags=re.MULTILINE
    )
    given: dict[str, Any] = yaml.safe_load("{" + said + "}")
    nothing: dict[str, Any] = {}
    settings = [check("losses", name, each, "") for each in (given, nothing)]
    assert [each.pop("weight") for each in settings] == [1, 1]
    told, plain = (build("losses", name, each, "") for each in settings)
    assert told == plain
    assert set(given) == set(inspect.signature(type(plain)).parameters)
