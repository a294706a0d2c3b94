"""Every example runs, and says how well it did."""

from __future__ import annotations

import importlib
import importlib.util
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from priorsolve.priors import Prior

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
NEEDS = {"deepinv_pipeline": "deepinv"}
"""What an example needs beside priorsolve."""


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_it_runs(path: Path, digiface64: Prior, capsys: pytest.CaptureFixture[str]) -> None:
    needed = NEEDS.get(path.stem)
    if needed and importlib.util.find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed")
    main: Any = runpy.run_path(str(path))["main"]
    main(2)
    assert "residual" in capsys.readouterr().out


def test_a_script_takes_its_steps_from_the_command_line() -> None:
    ran = subprocess.run(
        [sys.executable, "examples/own_prior.py", "3"], cwd=ROOT, env={**os.environ, "PYTHONPATH": "."}, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert "residual" in ran.stdout


def test_a_warm_start_saves_passes(digiface64: Prior, capsys: pytest.CaptureFixture[str]) -> None:
    main: Any = runpy.run_path(str(ROOT / "examples" / "video_warm_start.py"))["main"]
    main.__globals__["FRAMES"] = 3
    main(100)
    *frames, last = capsys.readouterr().out.splitlines()
    assert len(frames) == 3
    assert int(last.rpartition(" ")[2].rstrip("%")) > 40, last


def test_without_deepinv_its_module_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in {"deepinv", *(name for name in sys.modules if name.startswith("deepinv."))}:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "priorsolve.interop.deepinv", raising=False)
    with pytest.raises(ModuleNotFoundError, match=r'needs deepinv, which is not installed; run: pip install "deepinv>='):
        importlib.import_module("priorsolve.interop.deepinv")
