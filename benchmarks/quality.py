"""How well the recipes restore real faces, beside latent optimization in z and classical methods: the tables of docs/quality.md.

    python benchmarks/quality.py PHOTOS OUT [LIMIT [TASK...]]

Every task is one `priorsolve benchmark` into a folder of its own below OUT, so that it can be stopped and gone on with; photos are clean
and face the camera as in FFHQ. LIMIT is how many photos of the folder, by name. Prints Markdown.
"""

from __future__ import annotations

import sys
from pathlib import Path

from machine import describe

from priorsolve.cli import main as priorsolve

Z = "solver=[{latent: {space: z, steps: 100, restarts: 1}}]"
HOLE = "operator=[{mask: {boxes: [[0.3125, 0.3125, 0.6875, 0.6875]]}}]"
TASKS = {
    "hole48": ("a hole of 48×48", [f"hole48=inpaint?{HOLE}", f"hole48-latent-z=inpaint?{HOLE}&{Z}"]),
    "inpaint": ("scribbles", ["inpaint"]),
    "upscale": ("8× larger", ["upscale", f"upscale-latent-z=upscale?{Z}"]),
    "up16": ("16× larger", ["up16=upscale?operator.0.downsample.factor=16"]),
    "colorize": ("colours", ["colorize", f"colorize-latent-z=colorize?{Z}"]),
    "deblur": ("a Gaussian blur of σ = 2 with noise of 0.02", ["deblur"]),
    "old-photo": ("grey, soft and scratched", ["old-photo"]),
    "sense": ("compressed sensing, 5 %", ["sense"]),
}
"""Name -> what it is, and the recipes that are compared."""


def main(photos: str, out: Path, limit: str = "1000", *tasks: str) -> int:
    """Run the tasks, all by default, and print their tables."""
    print(f"{describe()}; network in bfloat16 while searching\n")
    failed = 0
    for name in tasks or TASKS:
        title, recipes = TASKS[name]
        options = ["--photos", photos, "--out", str(out / name), "--limit", limit, "--dtype", "bfloat16", "--batch-size", "4"]
        failed += priorsolve(["benchmark", *recipes, *options, "--quiet"]) != 0
        print(f"## {title}\n\n{(out / name / 'table.md').read_text(encoding='utf-8')}")
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:]))
