"""Every task of the quality tables is one that `priorsolve benchmark` takes."""

from __future__ import annotations

import re
import runpy
from argparse import Namespace
from pathlib import Path

import pytest

from priorsolve.comparison.variants import read_variants

ROOT = Path(__file__).parents[1]
with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(str(ROOT / "benchmarks"))  # as a script sees its neighbours
    quality = Namespace(**runpy.run_path(str(ROOT / "benchmarks" / "quality.py")))
NAMES = (*quality.TASKS, *quality.BESIDE, *quality.SMALL, *quality.LARGE)


@pytest.mark.parametrize("name", NAMES)
def test_its_recipes_are_read(name: str) -> None:
    _, photos, options = quality.told(name)
    variants = read_variants(quality.recipes_of(name), [options[1]] if options[0] == "--set" else [])
    assert photos > 0
    for variant in variants:
        alone = name in quality.SMALL or name in quality.BESIDE or variant.name.endswith("-latent-z")
        assert not (alone and "mirror" in variant.recipe.output.mean)
    assert all(variant.recipe.operator == variants[0].recipe.operator for variant in variants)


def test_commands_in_the_docs_are_variants() -> None:
    commands = re.findall(r"priorsolve benchmark ((?:[^\n]*\\\n)*[^\n]*)", (ROOT / "docs" / "performance.md").read_text(encoding="utf-8"))
    texts = [text for command in commands for text in re.findall(r'"([^"]+=[^"]+\?[^"]+)"', command)]
    assert len(texts) >= 2
    for text in texts:
        assert read_variants([text])
