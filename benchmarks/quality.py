"""How well the recipes restore real faces, beside other solvers, another prior and classical methods: the tables of docs/quality.md.

    python benchmarks/quality.py PHOTOS OUT [LIMIT [TASK...]]

Every task is one `priorsolve benchmark` or more into folders of its own below OUT, so that it can be stopped and gone on with; photos are
clean and face the camera as in FFHQ. LIMIT is how many photos of the folder, by name; tables that take many hours stop at fewer.
Tables of larger pictures are for photos that large, and only made when they are named. Prints Markdown.
"""

from __future__ import annotations

import sys
from pathlib import Path

from machine import describe

from priorsolve.cli import main as priorsolve

HOLE = "operator=[{mask: {boxes: [[0.3125, 0.3125, 0.6875, 0.6875]]}}]"
WORN = "operator=[gray, {downsample: {factor: 4}}, {mask: {strokes: medium}}]"
LONGER = "solver.0.latent.steps=6&solver.1.layered.steps=94"
"""Where so little is measured more steps look better; the recipe's own have the better PSNR."""
TASKS = {
    "hole48": ("A hole of 48×48 in the middle of the face", f"inpaint?{HOLE}", 32),
    "upscale": ("8× larger, from 16×16", "upscale?", 32),
    "colorize": ("Colours", "colorize?", 32),
    "inpaint": ("Scribbles", "inpaint?", 32),
    "up16": ("16× larger, from 8×8", "upscale?operator.0.downsample.factor=16", 32),
    "deblur": ("A Gaussian blur of σ = 2, noise of 0.02", "deblur?", 32),
    "old-photo": ("Grey, soft and scratched", "old-photo?", 32),
    "worn": ("Grey, 4× smaller and under strokes", f"old-photo?{WORN}&output.damping=0&{LONGER}", 32),
    "sense2": ("Compressed sensing, 2 %: 983 random numbers of 49 152", "sense?operator.0.fast_sensing.ratio=0.02", 32),
    "sense": ("Compressed sensing, 5 %", "sense?", 32),
    "sense10": ("Compressed sensing, 10 %", "sense?operator.0.fast_sensing.ratio=0.1", 32),
}
"""Name -> what it is, the recipe with its changes, and on how many photos; the prior is ffhq128."""

ALONE = "output.own_detail=0&output.mean=null"
"""One answer for a photo, without its mirror image."""

FIRST = "{latent: {space: w, begin_at: regressed, steps: 6, lr: 0.12, loss: LOSS, penalties: {mahalanobis: WEIGHT}}}"
OTHERS = {
    "z": "{latent: {space: z, steps: 100, restarts: 1}}",
    "w+": FIRST
    + ", {latent: {space: w+, steps: 44, lr: 0.07, decay_share: 0.3, loss: LOSS, penalties: {mahalanobis: WEIGHT, layer_spread: WIDE}}}",
    "multicode": FIRST + ", {multicode: {space: w, codes: 5, block: 3, steps: 44, loss: LOSS, penalties: {mahalanobis: WEIGHT}}}",
    "tuned": FIRST + ", {tuned: {space: w, steps: 44, lr: 0.01, weights_lr: 3.0e-4, beta1: 0.9, loss: LOSS}}",
    "pivotal": FIRST + ", {pivotal: {steps: 44, loss: LOSS}}",
    "pulse": "{pulse: {steps: 100, geocross: 0.005, loss: LOSS}}",
    "projector": "{projector: {space: w, steps: 100, loss: LOSS}}",
    "robust": "{latent: {space: w, begin_at: centre, restarts: 1, candidates: 1, lr: 0.00353553, NORMALISED}},"
    " {latent: {space: w+, lr: 0.000883883, NORMALISED}}, {latent: {space: w++, lr: 0.000220971, NORMALISED}}",
    "langevin": FIRST + ", {langevin: {space: p_n, noise: 0.05, steps: 44}}",
}
"""The other kinds of solvers: one code by CSGM's loss of squares; from the recipe's first stage, from the mean face, or from samples, by
the recipe's loss; and samples of the posterior."""
NORMALISED = "steps: 50, optimiser: normalised, unit: raw, warmup: 0, decay: none, loss: LOSS"
"""A third of the published steps, by the published rates."""

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
    chain = OTHERS[solver].replace("NORMALISED", NORMALISED)
    for word, meant in words.items():
        chain = chain.replace(word, meant)
    return f"solver=[{chain}]&{ALONE}"


VIEWED = "solver.*.loss=[l1, l2, {lpips: {size: 256}}]"
LARGE = {
    "hole256": ("A hole of 96×96 of 256×256", f"inpaint?prior=ffhq256&{HOLE}"),
    "upscale256": ("8× larger, from 32×32 to 256×256", "upscale?prior=ffhq256"),
    "colorize256": ("Colours at 256×256", "colorize?prior=ffhq256"),
    "hole1024": ("A hole of 384×384 of 1024×1024", f"inpaint?prior=ffhq1024&{VIEWED}&{HOLE}"),
    "upscale1024": ("8× larger, from 128×128 to 1024×1024", "upscale?prior=ffhq1024"),
    "colorize1024": ("Colours at 1024×1024", f"colorize?prior=ffhq1024&{VIEWED}"),
}
"""The main tasks with the priors that draw larger pictures of the same faces; lpips looks at 256 pixels where there are more."""

SMALL = {
    "hole24": ("A hole of 24×24", f"inpaint?{HOLE}&{ALONE}"),
    "upscale4": ("4× larger, from 16×16", f"upscale?operator.0.downsample.factor=4&{ALONE}"),
    "colours64": ("Colours", f"colorize?{ALONE}"),
    "identity": (
        "Nothing missing: how near the prior comes to a photo",
        f"inpaint?operator=[identity]&output.consistency=false&{ALONE}",
    ),
    "sense500": ("500 Gaussian measurements of 12 288", f"sense?operator=[{{gaussian_sensing: {{m: 500, seed: 0}}}}]&noise=[]&{ALONE}"),
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


def recipes_of(name: str) -> list[str]:
    """What `priorsolve benchmark` compares for a task."""
    if name in TASKS:
        own = f"{name}={TASKS[name][1]}"
        return [own, f"{name}-latent-z={TASKS[name][1]}&{other(name, 'z')}"] if name in MAIN else [own]
    if name in BESIDE:
        task = name.removesuffix("-others")
        recipe = TASKS[task][1]
        return [f"{task}={recipe}&{ALONE}", *(f"{task}-{solver}={recipe}&{other(task, solver)}" for solver in OTHERS)]
    if name in LARGE:
        return [f"{name}={LARGE[name][1]}"]
    return [f"{name}-{solver}={SMALL[name][1]}&solver={chain}" for solver, chain in SOLVERS.items()]


def contest(name: str, photos: str, out: Path, limit: int) -> bool:
    """One benchmark and its table; whether it failed."""
    title, count, options = told(name)
    common = ["--photos", photos, "--out", str(out / name), "--limit", str(min(count, limit)), "--quiet", *options]
    failed = priorsolve(["benchmark", *recipes_of(name), *common]) != 0
    table = out / name / "table.md"
    print(f"## {title}\n\n{table.read_text(encoding='utf-8') if table.is_file() else 'nothing came of it'}", flush=True)
    return failed


def told(name: str) -> tuple[str, int, list[str]]:
    """What a task is, on how many photos, and with which options."""
    if name in SMALL:
        return SMALL[name][0], 16, ["--set", "prior=digiface64"]
    if name in LARGE:
        return LARGE[name][0], 32, ["--dtype", "bfloat16", "--batch-size", "1"]
    title, _, count = TASKS[name.removesuffix("-others")]
    options = ["--dtype", "bfloat16", "--batch-size", "4"]
    return (title, BESIDE[name], [*options, "--no-baselines"]) if name in BESIDE else (title, count, options)


def main(photos: str, out: Path, limit: str = "1000", *tasks: str) -> int:
    """Run the tasks, all by default, and print their tables."""
    known = (*TASKS, *BESIDE, *SMALL)
    if unknown := [name for name in tasks if name not in (*known, *LARGE)]:
        raise SystemExit(f"there is no task {unknown[0]!r}; give some of {', '.join((*known, *LARGE))}")
    print(f"{describe()}; ffhq128 in bfloat16 while searching\n")
    return sum(contest(name, photos, out, int(limit)) for name in tasks or known)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:]))
