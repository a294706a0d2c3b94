"""What the tests of the report share: an output folder made by hand, and a browser without a network."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from priorsolve.run.records import Record, write_record

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog, Page

HOSTILE = ['<script>alert("x")</script>.png', "</script><img src=x onerror=alert(1)>.png", "a'b\"c&d;{{script}}.png", "bytes-\udcff.png"]
"""Names that a file may well have; on the disk their slashes are folders."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def draw(path: Path, seed: int, side: int = 32) -> None:
    """A smooth picture, another one for each seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC).save(path, "PNG", compress_level=1)


def done(out: Path, name: str, number: int, **changes: Any) -> Record:
    """The record of a restored photo, with its pictures drawn; PSNR rises with the number and misfit falls."""
    places = {"image": f"images/{name}", "measurement": f"measurements/{name}", "original": f"originals/{name}"}
    for offset, place in enumerate(places.values()):
        draw(out / place, 3 * number + offset)
    facts: dict[str, Any] = {
        "seed": number,
        "misfit": 1 / (number + 2),
        "residual": (number % 3) / 10,
        "steps": 100,
        "stopped": ("no progress for a while", "ran all of its steps; more may still help")[number % 2],
        "metrics": {"psnr": 20.0 + number, "ssim": 0.5},
        "diagnosis": ("fits to the noise (residual 0.05, noise 0.05)",),
        "notes": ("resized from 64×64 to 32×32",),
        "seconds": 2.0,
        "versions": {"priorsolve": "0.1.0"},
        "history": (1.0, 0.5, 0.25),
    }
    return Record(name, "done", "f00d", **{**facts, **places, **changes})


def folder(out: Path, count: int = 6) -> Path:
    """An output folder with `count` restored photos and a failed one."""
    for number in range(count):
        write_record(out, done(out, f"sub/{number:02}.png", number))
    write_record(out, Record("broken.png", "failed", "f00d", reason="an empty file (0 bytes)"))
    (out / "recipe.yaml").write_text("task: fill <holes>\nprior: digiface64\nseed: 3\n", encoding="utf-8")
    return out


def chromium() -> str:
    """The path of an installed browser; the test is skipped where there is none."""
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -e '.[test]'")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is installed")
    return found


@contextmanager
def browsing() -> Iterator[Browser]:
    """A headless Chromium."""
    path = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, headless=True, args=list(FLAGS))
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, path: Path, **settings: Any) -> Iterator[Page]:
    """The page, shown; fails where it wrote to the console, broke, or asked for anything but itself."""
    context = browser.new_context(**settings)
    page = context.new_page()
    heard: list[str] = []
    asked: list[str] = []

    def dismiss(dialog: Dialog) -> None:
        heard.append(dialog.message)
        dialog.dismiss()

    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("dialog", dismiss)
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    yield page
    context.close()
    assert heard == []
    assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
