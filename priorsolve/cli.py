"""The command line: arguments, progress, exit codes; no mathematics. torch is imported inside the commands, so that --help is quick."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from priorsolve.command.arguments import (
    AsJson,
    Batch,
    Device,
    Dtype,
    Out,
    Photos,
    Quiet,
    RecipeName,
    Seed,
    Sets,
    Version,
    What,
    path_of,
    refuse_one_dash,
)
from priorsolve.command.engine import cluster_of, shard_of
from priorsolve.command.interrupted import stopped
from priorsolve.command.output import emit, losing_lines, refused, warning_plainly

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def priorsolve(version: Version = False) -> None:
    """Restore images with a pretrained GAN as the prior."""


@app.command()
def restore(
    recipe: RecipeName,
    photos: Photos = None,
    out: Out = Path("restored"),
    set_: Sets = None,
    degrade: Annotated[bool, typer.Option("--degrade", help="The photos are clean: degrade them first and compare with them.")] = False,
    device: Device = "auto",
    dtype: Dtype = "auto",
    seed: Seed = None,
    batch_size: Batch = 16,
    limit: Annotated[int | None, typer.Option(help="At most this many of the photos that are still to do.")] = None,
    shard: Annotated[str | None, typer.Option(metavar="I/N", help="Every N-th photo from the I-th on, counted from 0.")] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try failed photos again.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Do finished photos again.")] = False,
    engine: Annotated[str, typer.Option(help="local: this process; ray: workers of their own, here or on a cluster.")] = "local",
    workers: Annotated[int | None, typer.Option(help="With ray: how many; left out, one for each GPU, or for each core.")] = None,
    ray_address: Annotated[
        str | None, typer.Option(help="With ray: a cluster that runs; left out, $RAY_ADDRESS, or else this machine alone.")
    ] = None,
    gpus_per_worker: Annotated[float | None, typer.Option(help="With ray: 0.5 puts two workers on a GPU.")] = None,
    threads: Annotated[int | None, typer.Option(help="With ray: of each worker; left out, the cores shared out.")] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Restore photos: each is taken as the measurement, unless --degrade says that it is clean.

    With no photos given, the sample photos are degraded and restored. Finished photos are skipped: run it again to go on.
    """
    from priorsolve.command.restoring import run_restore
    from priorsolve.data import samples
    from priorsolve.memory import keep_freed_memory
    from priorsolve.run.restoration import Options, Run

    keep_freed_memory()

    options = Options(
        degrade=degrade or not photos,
        device=device,
        dtype=dtype,
        batch_size=batch_size,
        limit=limit,
        shard=shard_of(shard),
        retry_failed=retry_failed,
        overwrite=overwrite,
    )
    cluster = cluster_of(engine, workers=workers, address=ray_address, gpus_per_worker=gpus_per_worker, threads=threads)
    run = Run(_recipe(recipe, set_, seed), photos or samples(), out, options)
    opening = "" if photos else "No photos given: the sample photos are degraded, then restored."
    raise typer.Exit(run_restore(run, cluster, opening, quiet=quiet, as_json=as_json))


@app.command()
def degrade(
    recipe: RecipeName,
    photos: Photos = None,
    out: Out = Path("degraded"),
    set_: Sets = None,
    seed: Seed = None,
    exact: Annotated[bool, typer.Option("--exact", help="Write .npy arrays instead of 8-bit pictures.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Make measurements anew that are there.")] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Make measurements from clean photos: what RECIPE restores."""
    from priorsolve.command import console
    from priorsolve.data import samples
    from priorsolve.run.degrade import degrade as degrade_photos

    say = console.say_unless(quiet or as_json)
    outcomes = degrade_photos(_recipe(recipe, set_, seed), photos or samples(), out, exact=exact, overwrite=overwrite, say=say)
    raise typer.Exit(1 if console.show_outcomes("degrading", outcomes, out, quiet, as_json) else 0)


@app.command()
def masks(
    recipe: RecipeName,
    photos: Annotated[list[Path], typer.Argument(metavar="PHOTOS", parser=path_of, help="Photos or folders.")],
    out: Out = Path("masks"),
    set_: Sets = None,
    seed: Seed = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Find masks anew that are there, corrected or not.")] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Write what RECIPE's masks hide of each photo, white on black, and previews with the holes in red.

    Correct the masks in an editor, then restore with --set "operator.mask={file: 'masks/{stem}.png'}".
    """
    from priorsolve.command import console
    from priorsolve.run.masks import write_masks

    outcomes = write_masks(_recipe(recipe, set_, seed), photos, out, overwrite=overwrite, say=console.say_unless(quiet or as_json))
    raise typer.Exit(1 if console.show_outcomes("masking", outcomes, out, quiet, as_json) else 0)


@app.command()
def benchmark(
    recipes: Annotated[
        list[str],
        typer.Argument(metavar="RECIPE", help="Recipes, or 'NAME=RECIPE?key=value&key=value' for one with changes of its own."),
    ],
    photos: Annotated[
        list[Path] | None,
        typer.Option("--photos", metavar="PATH", parser=path_of, help="Clean photos or folders; left out, the sample photos."),
    ] = None,
    out: Out = Path("benchmarked"),
    set_: Sets = None,
    baselines: Annotated[bool, typer.Option("--baselines/--no-baselines", help="Compare with classical methods.")] = True,
    metric: Annotated[list[str] | None, typer.Option("--metric", help="Only these metrics; left out, psnr, ssim and lpips.")] = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    seed: Seed = None,
    batch_size: Batch = 16,
    limit: Annotated[int | None, typer.Option(help="Only the first photos, at most this many.")] = None,
    quiet: Quiet = False,
) -> None:
    """Compare recipes with one another and with classical methods: photos are degraded, restored and judged.

    Finished photos are skipped: run it again to go on. The table is printed and written, with a sheet for each problem.
    """
    from priorsolve.command.comparing import run_benchmark
    from priorsolve.comparison.benchmark import Benchmark
    from priorsolve.comparison.variants import read_variants
    from priorsolve.data import samples
    from priorsolve.memory import keep_freed_memory
    from priorsolve.run.restoration import Options

    keep_freed_memory()
    options = Options(device=device, dtype=dtype, batch_size=batch_size, limit=limit)
    variants = read_variants(recipes, _changes(set_, seed))
    bench = Benchmark(variants, photos or samples(), out, options, baselines=baselines, metrics=metric)
    raise typer.Exit(run_benchmark(bench, quiet))


@app.command()
def check(
    target: Annotated[str, typer.Argument(metavar="RECIPE|CHECKPOINT", help="A recipe, or a generator's checkpoint file.")],
    set_: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Check a recipe (and its operator, by the laws that it must keep) or a checkpoint, and say what it is."""
    from priorsolve.command.checks import check_prior, check_recipe, is_checkpoint

    path = path_of(target)
    if set_ and is_checkpoint(path):
        raise ValueError(f"--set changes a recipe, and {target} is a prior; leave it out")
    facts, passed = check_prior(path) if is_checkpoint(path) else check_recipe(_recipe(target, set_, None))
    if as_json:
        emit(json.dumps(facts))
    else:
        for key, value in facts.items():
            emit(f"{key}: {value}" if "\n" not in str(value) else f"{key}:\n{value}")
    raise typer.Exit(0 if passed else 1)


@app.command("list")
def list_(what: What, as_json: AsJson = False) -> None:
    """List what can be used, with its arguments."""
    from priorsolve.command.catalogue import catalogue

    found = catalogue(what)
    if as_json:
        emit(json.dumps(found, indent=2))
        return
    width = max(map(len, found))
    for name, line in found.items():
        emit(f"{name:<{width}}  {line}")


@app.command()
def schema() -> None:
    """Print the JSON Schema of recipes, for editors."""
    from priorsolve.command.console import say_once
    from priorsolve.recipe.schema import recipe_schema

    told = set[str]()
    emit(json.dumps(recipe_schema(lambda line: say_once(line, told)), indent=2))


@app.command()
def fetch(name: Annotated[str | None, typer.Argument(help="A prior's name; left out, all of them.")] = None, quiet: Quiet = False) -> None:
    """Download a prior's weights now, so that it works offline later."""
    from priorsolve.command import console
    from priorsolve.priors import ZOO
    from priorsolve.priors import fetch as fetch_weights

    for each in list(ZOO) if name is None else [name]:
        with console.downloading(each, quiet) as on_progress:
            path = fetch_weights(each, on_progress=on_progress)
        if not quiet:
            emit(f"{each}: {path}")


@app.command()
def convert(
    file: Annotated[str, typer.Argument(metavar="CHECKPOINT", help="A generator in any format that is read, or a prior's name.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", parser=path_of, help="The file to write; its name ends in .safetensors.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Write the file anew that is there.")] = False,
    quiet: Quiet = False,
) -> None:
    """Write a checkpoint as plain safetensors, with its settings inside: it draws the same pictures, and nothing in it can run."""
    from priorsolve.priors import load_prior, save_prior
    from priorsolve.run.outfolder import why_unwritable

    if out.suffix != ".safetensors":
        raise ValueError(f"{out}: the file to write must end in .safetensors")
    if os.path.lexists(out) and not overwrite:
        raise ValueError(f"{out} is there; --overwrite has it made anew, or give another name")
    if why := why_unwritable(out.parent):
        raise ValueError(f"{out} cannot be written: {why}; give another name")
    save_prior(load_prior(file), out)
    if not quiet:
        emit(str(out))


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", parser=path_of, help="A run's output folder.")],
    watch: Annotated[bool, typer.Option("--watch", help="Show how far a run in progress is, until it ends or Ctrl-C.")] = False,
    quiet: Quiet = False,
) -> None:
    """Rebuild report.html, sheet.png and results.parquet from a run's records."""
    if watch:
        from rich.console import Console

        from priorsolve.report.watch import watch as watch_run

        with contextlib.suppress(KeyboardInterrupt):
            watch_run(folder, Console(highlight=False, emoji=False, quiet=quiet))
        return
    from priorsolve.report import write_report
    from priorsolve.run.places import REPORT

    write_report(folder)
    if not quiet:
        emit(str(folder / REPORT))


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 all done, 1 some photos failed, 2 a usage or recipe error.

    130 and 143: stopped by Ctrl-C, by SIGTERM. 141: whoever read the output has gone, so that nothing more was done.
    """
    for stream in (sys.stdout, sys.stderr):  # in a terminal that knows fewer letters a table comes out all the same
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    with losing_lines(), warning_plainly():
        try:
            return _exit_code(sys.argv[1:] if arguments is None else arguments)
        except (BrokenPipeError, SystemExit):  # whoever read the output, such as head, has seen enough; typer leaves for nothing else
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141


def _exit_code(given: list[str]) -> int:
    """Run the command that the arguments name. Raises BrokenPipeError or SystemExit where nobody reads any more."""
    command: Any = typer.main.get_command(app)
    try:
        refuse_one_dash(given, command)
        code = int(command.main(args=given, prog_name="priorsolve", standalone_mode=False) or 0)
        return stopped(code, given) if code in (130, 143) else code  # 130 is also how newer typers tell of Ctrl-C
    except (typer.Abort, KeyboardInterrupt):
        return stopped(130, given)
    except Exception as error:
        if isinstance(error, BrokenPipeError) or not _expected(error):
            raise
        _fail(error)
        return 2


def _recipe(source: str, sets: list[str] | None, seed: int | None) -> Any:
    from priorsolve.recipe.recipe import Recipe

    return Recipe.load(source, _changes(sets, seed))


def _changes(sets: list[str] | None, seed: int | None) -> list[str]:
    """What `--set` and `--seed` change, written as for `--set`."""
    return [*(sets or []), *([] if seed is None else [f"seed={seed}"])]


def _expected(error: Exception) -> bool:
    """Whether it is the user's to mend: a bad value, a file, a download, or words that the command does not know."""
    if isinstance(error, ValueError | OSError) or hasattr(error, "format_message"):
        return True
    from priorsolve.cluster import ClusterError
    from priorsolve.priors import FetchError

    return isinstance(error, FetchError | ClusterError)


def _fail(message: object) -> None:
    from priorsolve.command import console

    message = refused(message) if isinstance(message, OSError) else message
    usage = getattr(message, "format_message", None)
    if usage is None:
        console.fail(message)
    elif told := usage():  # without any words it showed the help itself
        told = told.replace("Input should be", "it should be").partition(", unable to parse")[0].rstrip(".")  # as newer typers have it
        command = getattr(getattr(message, "ctx", None), "command_path", "priorsolve")
        console.fail(f"{told}{'' if told.endswith('?') else ';'} see {command} --help")


if __name__ == "__main__":
    sys.exit(main())
