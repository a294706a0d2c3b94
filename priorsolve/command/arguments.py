"""Arguments that several commands have, and how their words are read."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any

import typer


def path_of(given: str | Path) -> Path:
    """A path as it was typed; nothing at all would be the working folder, and is a shell's variable that was never set."""
    if not str(given):
        raise typer.BadParameter("it is empty; write . for the working folder")
    return Path(given)


def refuse_one_dash(given: Sequence[str], group: Any) -> None:
    """Raise ValueError where an argument is a long option of the group's commands with one dash: `-out x` would be `-o ut`, and a photo."""
    commands = (group, *group.commands.values())
    known = {"--help"} | {option for command in commands for each in command.params for option in (*each.opts, *each.secondary_opts)}
    for word in takewhile(lambda word: word != "--", given):
        if f"-{word.partition('=')[0]}" in known:
            raise ValueError(f"{word}: a long option has two dashes; write -{word}")


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"priorsolve {version('priorsolve')}")
        raise typer.Exit


RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="A built-in recipe's name, or the path of a YAML file.")]
Photos = Annotated[
    list[Path] | None, typer.Argument(metavar="PHOTOS", parser=path_of, help="Photos or folders; left out, the sample photos.")
]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="PATH", parser=path_of, help="Output folder.")]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe, e.g. solver.0.steps=50.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 …")]
Dtype = Annotated[str, typer.Option(help="Of the network while searching: auto, float32, float64 or bfloat16.")]
Batch = Annotated[int, typer.Option(help="Photos solved side by side.")]
Seed = Annotated[int | None, typer.Option(help="Use this seed instead of the recipe's.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show nothing but errors.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable lines on standard output.")]
What = Annotated[str, typer.Argument(metavar="WHAT", help="recipes, operators, noises, solvers, priors, losses or metrics.")]
Version = Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")]
