"""What commands write to standard output, which may be a file on a disk that is full."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import typer


@contextlib.contextmanager
def to_output() -> Iterator[None]:
    """For writing to standard output within it: an OSError names that, as those of other files name theirs."""
    try:
        yield
    except OSError as error:
        # a BrokenPipeError stays one: Python makes it of the number
        raise OSError(error.errno, error.strerror, "standard output") from error


def emit(text: str) -> None:
    """A line on standard output, at once. Raises OSError, which names it, where it takes none."""
    with to_output():
        typer.echo(text)
