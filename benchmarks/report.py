"""How long a report of many photos takes to write, how large it is, and how soon a browser shows it.

    python benchmarks/report.py [--photos 5000] [--side 128]

Photos are synthetic: a smooth picture with fine noise, as large when encoded as a real face. Needs Chromium and the `test` extra.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from priorsolve.report import write_report
from priorsolve.run.records import Record, write_record

KINDS = ("images", "measurements", "originals")


def main() -> None:
    """Print one line for each of what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=5000)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        fill(out, given.photos, given.side)
        (out / "recipe.yaml").write_text("output: {sheet: false}")
        start, worked = time.perf_counter(), time.process_time()
        write_report(out)
        print(f"write {time.perf_counter() - start:.1f} s, {time.process_time() - worked:.1f} s of processor time")
        page = out / "report.html"
        print(f"size  {page.stat().st_size / 1e6:.1f} MB")
        path = shutil.which("chromium") or shutil.which("google-chrome")
        if path is None:
            sys.exit("no chromium on the path")
        with sync_playwright() as play:
            browser = play.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
            times = [opening(browser, page) for _ in range(given.repeats)]
            browser.close()
        for name, column in zip(("first paint", "photos shown", "filtered and sorted"), zip(*times, strict=True), strict=True):
            print(f"{name:<19} {statistics.median(column):.2f} s, at most {max(column):.2f} s")


def fill(out: Path, photos: int, side: int) -> None:
    """Records of `photos` photos. Pictures are of 60 kinds: what a browser does with them does not depend on which."""
    rng = np.random.default_rng(0)
    kept = []
    for _ in range(60):
        coarse = Image.fromarray(rng.integers(0, 255, (9, 9, 3), dtype=np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
        noisy = np.asarray(coarse) + rng.normal(0, 4, (side, side, 3))
        kept.append(Image.fromarray(noisy.clip(0, 255).astype(np.uint8)))
    for number in range(photos):
        name = f"{number // 1000}/{number:06}.png"
        for offset, kind in enumerate(KINDS):
            path = out / kind / name
            path.parent.mkdir(parents=True, exist_ok=True)
            kept[(number + offset) % 60].save(path, compress_level=1)
        metrics = {"psnr": float(rng.normal(25, 3)), "ssim": float(rng.uniform(0.6, 1)), "lpips": float(rng.uniform(0, 0.3))}
        history = tuple(float(misfit) for misfit in np.geomspace(1, 0.05, 50).round(4))
        places = dict(zip(("image", "measurement", "original"), (f"{kind}/{name}" for kind in KINDS), strict=True))
        write_record(out, Record(name, "done", "f" * 16, misfit=0.05, metrics=metrics, history=history, **places))  # type: ignore[arg-type]


def opening(browser: Browser, path: Path) -> tuple[float, float, float]:
    """Seconds from the navigation to the first paint, to slider and gallery being there, and from a filter typed to what it finds."""
    page = browser.new_page()
    page.goto(path.as_uri())
    page.evaluate("Promise.all([...document.images].map((image) => image.decode()))")
    shown = page.evaluate("performance.now()")
    painted = page.evaluate("performance.getEntriesByType('paint')[0].startTime")
    typed = page.evaluate(
        """async () => {
            const start = performance.now();
            document.getElementById('query').value = '77';
            document.getElementById('sort').value = '["psnr",-1]';
            document.getElementById('query').dispatchEvent(new Event('input', { bubbles: true }));
            await new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)));
            return performance.now() - start;
        }"""
    )
    page.close()
    return painted / 1000, shown / 1000, typed / 1000


if __name__ == "__main__":
    main()
