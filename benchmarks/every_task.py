"""The sample photos as the recipes of every task measure and restore them: the picture of docs/quality.md.

    python benchmarks/every_task.py FOLDER [PICTURE]

Every task is one `priorsolve restore` of the sample photos, as clean ones, into a folder of its own below FOLDER, so that it can be stopped
and gone on with. PICTURE is docs/tasks.png when left out. Prints the figures as a Markdown table.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from machine import describe
from PIL import Image
from quality import TASKS

from priorsolve.cli import main as priorsolve
from priorsolve.sheet import Row, write_sheet

SHOWN = {
    "inpaint": "scribbles",
    "hole48": "a hole",
    "upscale": "8x larger",
    "up16": "16x larger",
    "colorize": "colours",
    "deblur": "blur, noise",
    "old-photo": "grey, scratched",
    "sense": "5 % of numbers",
}
"""Task of `quality.TASKS` -> what its column is called."""


def restored(task: str, out: Path) -> dict[str, Mapping[str, Any]]:
    """The records of a task's run, by photo."""
    recipe, _, changes = TASKS[task][1].partition("?")
    settings = [word for change in changes.split("&") if change for word in ("--set", change)]
    if priorsolve(["restore", recipe, *settings, "--dtype", "bfloat16", "--out", str(out), "--quiet"]):
        raise SystemExit(f"{task} could not be restored; see the message above")
    return {
        path.name.removesuffix(".json"): json.loads(path.read_text(encoding="utf-8")) for path in sorted((out / "records").glob("*.json"))
    }


def rows_of(name: str, runs: Mapping[str, Mapping[str, Any]], out: Path) -> list[Row]:
    """A photo's two lines; measurements that are no pictures leave their places empty."""
    measured: dict[str, Image.Image] = {"photo": Image.open(out / "hole48" / runs["hole48"]["original"])}
    answers, words = dict(measured), dict[str, str]()
    for task, column in SHOWN.items():
        path = out / task / (runs[task]["measurement"] or "")
        if path.suffix == ".png":
            measured[column] = Image.open(path)
        answers[column] = Image.open(out / task / runs[task]["image"])
        words[column] = f"{runs[task]['metrics']['psnr']:.1f} dB"
    person = Path(name).stem.replace("-", " ")
    return [Row(f"{person}, measured", measured), Row(f"{person}, restored", answers, under=words)]


def main(out: Path, picture: Path = Path(__file__).parents[1] / "docs" / "tasks.png") -> None:
    """Restore, draw, and print."""
    runs = {task: restored(task, out / task) for task in SHOWN}
    photos = list(runs["hole48"])
    write_sheet(out / "tasks.png", [row for name in photos for row in rows_of(name, {task: runs[task][name] for task in SHOWN}, out)])
    sheet = Image.open(
        out / "tasks.png"
    )  # at three quarters and in 256 colours a fifth of the bytes, of which a repository keeps each version
    sheet.resize((sheet.width * 3 // 4, sheet.height * 3 // 4), Image.Resampling.LANCZOS).quantize(256).save(picture, optimize=True)
    print(f"{describe()}; ffhq128 in bfloat16 while searching\n\n| task | {' | '.join(photos)} |\n|---|{'---|' * len(photos)}")
    for task, column in SHOWN.items():
        print(f"| {column} | {' | '.join(str(runs[task][name]['metrics']['psnr']) + ' dB' for name in photos)} |")


if __name__ == "__main__":
    main(*(Path(given) for given in sys.argv[1:3]))
