"""What the tests of runs share: photos that differ, a recipe of a few steps, and what a run left on the disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from PIL import Image

from priorsolve.recipe.components import RecipeError
from priorsolve.recipe.recipe import Recipe

QUICK = """\
operator:
  - mask: {boxes: [[0.25, 0.25, 0.75, 0.75]]}
prior: digiface64
solver:
  - latent: {steps: 2, restarts: 1, candidates: 2}
output:
  consistency: true
"""


def quick(**changes: Any) -> Recipe:
    """The recipe of a few steps, with these keys in place of its own."""
    solver = {"latent": {"steps": 2, "restarts": 1, "candidates": 2}}
    mask = {"mask": {"boxes": [[0.25, 0.25, 0.75, 0.75]]}}
    return Recipe.parse({"operator": mask, "prior": "digiface64", "solver": solver, "output": {"consistency": True}, **changes})


def picture(index: int, height: int = 64, width: int = 64) -> Image.Image:
    """A smooth picture, another one for each index."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    waves = [np.sin(3 * x + index), np.cos(2 * y - index), np.sin(x + y + 2 * index)]
    return Image.fromarray(((np.stack(waves, -1) * 0.4 + 0.5) * 255).astype(np.uint8))


def photos(folder: Path, count: int) -> Path:
    """`folder` with `count` photos in it: 00.png, 01.png …"""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        picture(index).save(folder / f"{index:02}.png")
    return folder


def recipe_file(folder: Path, text: str = QUICK) -> str:
    """The path of a recipe file that holds `text`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def files(out: Path) -> dict[str, bytes]:
    """Every file below `out`, hidden ones too, but for what holds times: records and the report."""
    paths = [path for path in out.rglob("*") if path.is_file() and path.suffix not in (".json", ".parquet", ".html")]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in paths}


def records(out: Path) -> dict[str, dict[str, Any]]:
    """Every record without its time, by the photo's name."""
    read = [json.loads(path.read_text()) for path in (out / "records").rglob("*.json")]
    return {each["name"]: {key: value for key, value in each.items() if key != "seconds"} for each in read}


def pixels(path: Path) -> Any:
    """The numbers of a picture, which may be subtracted."""
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


def broken(*_: object, **__: object) -> NoReturn:
    """What stands in a run's place that fails."""
    raise RecipeError("no finite picture was found")


def command(*arguments: str) -> subprocess.Popen[str]:
    """The command line in a process, and a process group, of its own."""
    here = Path(__file__).resolve().parent.parent
    return subprocess.Popen(
        [sys.executable, "-m", "priorsolve", *arguments],
        cwd=here,
        env={**os.environ, "PYTHONPATH": str(here)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=_heard,
    )


def _heard() -> None:
    """A shell starts its background jobs deaf to Ctrl-C, and they pass it on; a person's shell does not."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def wait_for(true: Callable[[], object], seconds: float = 100, pause: float = 0.01) -> None:
    """Ask every `pause` seconds. Raise AssertionError unless it becomes true."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(pause)
