"""How well the recipes restore real faces, beside other solvers, another prior and classical methods: the tables of docs/quality.md.

    python benchmarks/quality.py PHOTOS OUT [LIMIT [TASK...]]

Every task is one `priorsolve benchmark` or more into folders of its own below OUT, so that it can be stopped and gone on with; photos are
clean and face the camera as in FFHQ. LIMIT is how many photos of the folder, by name; tables that take many hours stop at fewer.
Prints Markdown.
"""

from __future__ import annotations

import sys
from pathlib import Path

from machine import describe

from priorsolve.cli import main as priorsolve

HOLE = "operator=[{mask: {boxes: [[0.3125, 0.3125, 0.6875, 0.6875]]}}]"
WORN = "operator=[gray, {downsample: {factor: 4}}, {mask: {strokes: medium}}]"
TASKS = {
    "hole48": ("A hole of 48×48 in the middle of the face", f"inpaint?{HOLE}", 32),
    "upscale": ("8× larger, from 16×16", "upscale?", 32),
    "colorize": ("Colours", "colorize?", 32),
    "inpaint": ("Scribbles", "inpaint?", 16),
    "up16": ("16× larger, from 8×8", "upscale?operator.0.downsample.factor=16", 16),
    "deblur": ("A Gaussian blur of σ = 2, noise of 0.02", "deblur?", 16),
    "old-photo": ("Grey, soft and scratched", "old-photo?", 16),
    "worn": ("Grey, 4× smaller and under strokes", f"old-photo?{WORN}&output.damping=0", 16),
    "sense2": ("Compressed sensing, 2 %: 983 random numbers of 49 152", "sense?operator.0.fast_sensing.ratio=0.02", 16),
    "sense": ("Compressed sensing, 5 %", "sense?", 16),
    "sense10": ("Compressed sensing, 10 %", "sense?operator.0.fast_sensing.ratio=0.1", 16),
}
"""Name -> what it is, the recipe with its changes, and on how many photos; the prior is ffhq128."""

FIRST = "{latent: {space: w, begin_at: regressed, steps: 6, lr: 0.12, loss: LOSS, penalties: {mahalanobis: WEIGHT}}}"
OTHERS = {
    "z": "{latent: {space: z, steps: 100, restarts: 1}}",
    "w+": FIRST
    + ", {latent: {space: w+, steps: 44, lr: 0.07, decay_share: 0.3, loss: LOSS, penalties: {mahalanobis: WEIGHT, layer_spread: WIDE}}}",
    "multicode": FIRST + ", {multicode: {space: w, codes: 5, block: 3, steps: 44, loss: LOSS, penalties: {mahalanobis: WEIGHT}}}",
    "tuned": FIRST + ", {tuned: {space: w, steps: 44, lr: 0.01, weights_lr: 3.0e-4, beta1: 0.9, loss: LOSS}}",
    "pivotal": FIRST + ", {pivotal: {steps: 44, loss: LOSS}}",
    "pulse": "{pulse: {steps: 100, geocross: 0.005, loss: LOSS}}",
}
"""The other kinds of solvers: one code by CSGM's loss of squares; from the recipe's first stage, or from samples, by the recipe's loss."""

MAIN = ("hole48", "upscale", "colorize")
"""The tasks in which z is beside the recipe on all photos."""

BESIDE = {f"{name}-others": 8 if name in MAIN else 4 for name in TASKS}
"""Their tables, the recipe's own row in each, and on how many photos."""


def other(task: str, solver: str) -> str:
    """That solver by the loss of the task's recipe, its last picture: no features where there is noise or nothing to be seen."""
    blind = task.startswith(("deblur", "sense"))
    words = (
        {"LOSS": "[l1, l2]", "WEIGHT": "0.01", "WIDE": "0.02"} if blind else {"LOSS": "[l1, l2, lpips]", "WEIGHT": "0.05", "WIDE": "0.1"}
    )
    chain = OTHERS[solver]
    for word, meant in words.items():
        chain = chain.replace(word, meant)
    return f"solver=[{chain}]&output.mean=null"


SMALL = {
    "hole24": ("A hole of 24×24", f"inpaint?{HOLE}&output.mean=null"),
    "upscale4": ("4× larger, from 16×16", "upscale?operator.0.downsample.factor=4"),
    "colours64": ("Colours", "colorize?output.mean=null"),
    "identity": (
        "Nothing missing: how near the prior comes to a photo",
        "inpaint?operator=[identity]&output.consistency=false&output.mean=null",
    ),
    "sense500": ("500 Gaussian measurements of 12 288", "sense?operator=[{gaussian_sensing: {m: 500, seed: 0}}]&noise=[]"),
}
"""Tasks at 64×64 with digiface64, 16 photos, by every kind of solver."""

TUNED = (
    "[{multicode: {codes: 20, block: 1, steps: 100}},"
    " {tuned: {space: features@1, steps: 300, weights_lr: 3.0e-4, beta1: 0.9, lr: 0.01, decay: cosine, noise: 0.012}}]"
)
SOLVERS = {
    "z": "[{latent: {space: z, steps: 200, restarts: 8, candidates: 128}}]",
    "multicode": "[{multicode: {codes: 20, block: 1, steps: 100}},"
    " {multicode: {space: features@1, codes: 4, block: 3, steps: 150, mix_lr: 0.3, noise: 0.02}}]",
    "tuned": TUNED,
    "tuned-mean": f"{TUNED}&samples=4&output.mean=samples",
    "tuned-far": "[{latent: {space: z, steps: 100}}, {tuned: {steps: 300, weights_lr: 5.0e-4, lr: 0.01, decay: cosine}}]",
    "layered": "[{latent: {begin_at: regressed, steps: 20, lr: 0.1}}, {layered: {block: 2}}]",
    "layered-tuned": "[{latent: {begin_at: regressed, steps: 20, lr: 0.1}}, {layered: {block: 1, steps: 40, lr: 0.08, decay_share: 0.3}},"
    " {tuned: {space: features@1, steps: 200, weights_lr: 3.0e-4, beta1: 0.9, lr: 0.01, decay: cosine, noise: 0.012}}]",
}


def contest(title: str, recipes: list[str], photos: str, out: Path, limit: int, *options: str) -> bool:
    """One benchmark and its table; whether it failed."""
    common = ["--photos", photos, "--out", str(out), "--limit", str(limit), "--quiet", *options]
    failed = priorsolve(["benchmark", *recipes, *common]) != 0
    print(f"## {title}\n\n{(out / 'table.md').read_text(encoding='utf-8')}", flush=True)
    return failed


def main(photos: str, out: Path, limit: str = "1000", *tasks: str) -> int:
    """Run the tasks, all by default, and print their tables."""
    known = (*TASKS, *BESIDE, *SMALL)
    if unknown := [name for name in tasks if name not in known]:
        raise SystemExit(f"there is no task {unknown[0]!r}; give some of {', '.join(known)}")
    print(f"{describe()}; ffhq128 in bfloat16 while searching\n")
    failed, options = 0, tuple[str, ...]()
    for name in tasks or known:
        if name in TASKS:
            title, recipe, count = TASKS[name]
            recipes = [f"{name}={recipe}"] + ([f"{name}-latent-z={recipe}&{other(name, 'z')}"] if name in MAIN else [])
            options = ("--dtype", "bfloat16", "--batch-size", "4")
        elif name in BESIDE:
            task, count = name.removesuffix("-others"), BESIDE[name]
            title, recipe, _ = TASKS[task]
            recipes = [f"{task}={recipe}"] + [f"{task}-{solver}={recipe}&{other(task, solver)}" for solver in OTHERS]
            options = ("--dtype", "bfloat16", "--batch-size", "4", "--no-baselines")
        else:
            (title, recipe), count, options = SMALL[name], 16, ("--set", "prior=digiface64")
            recipes = [f"{name}-{solver}={recipe}&solver={chain}" for solver, chain in SOLVERS.items()]
        failed += contest(title, recipes, photos, out / name, min(count, int(limit)), *options)
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:]))
