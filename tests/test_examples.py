"""Every example runs."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from priorsolve.priors import Prior

EXAMPLES = sorted((Path(__file__).resolve().parent.parent / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_it_runs(path: Path, digiface64: Prior, capsys: pytest.CaptureFixture[str]) -> None:
    main: Any = runpy.run_path(str(path))["main"]
    main(2)
    assert "residual" in capsys.readouterr().out
